"""Reads from AWS's error texts which permission is missing. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

from __future__ import annotations

import re
from typing import Final

_ACTION: Final = re.compile(
    r"not authorized to perform:?\s+([A-Za-z0-9-]+:[A-Za-z0-9*]+)", re.IGNORECASE
)
# Lambda says so of code in S3, which it reads as the caller:
# https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-deployment.html
_CODE_IN_S3: Final = "your request credentials have permission to GetObject"


def missing_actions(text: str) -> tuple[str, ...]:
    """Return the actions (`dynamodb:CreateTable`) that AWS has refused, in the text's order."""
    found = _ACTION.findall(text)
    if _CODE_IN_S3 in text:
        found.append("s3:GetObject")
    return tuple(dict.fromkeys(found))


def describe_missing(text: str) -> str:
    """Return a sentence about the permissions that the caller lacks, as a text of AWS tells."""
    actions = missing_actions(text)
    if not actions:
        return "Your identity lacks a permission."
    if len(actions) == 1:
        return f"Your identity lacks the permission {actions[0]}."
    return f"Your identity lacks the permissions {', '.join(actions)}."

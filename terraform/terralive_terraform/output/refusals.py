"""Reads from AWS's error texts which permission is missing. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

from __future__ import annotations

import re
from typing import Final

_ACTION: Final = re.compile(
    r"not authorized to perform:?\s+([A-Za-z0-9-]+:[A-Za-z0-9*]+)", re.IGNORECASE
)


def missing_actions(text: str) -> tuple[str, ...]:
    """Return the actions (`dynamodb:CreateTable`) that AWS has refused, in the text's order."""
    return tuple(dict.fromkeys(_ACTION.findall(text)))


def describe_missing(text: str) -> str:
    """Return a sentence about the permissions that the caller lacks, as a text of AWS tells."""
    actions = missing_actions(text)
    if not actions:
        return "Your identity lacks a permission."
    if len(actions) == 1:
        return f"Your identity lacks the permission {actions[0]}."
    return f"Your identity lacks the permissions {', '.join(actions)}."

"""Finds a permissions boundary that does not let a function's role invoke a version. Pure.

A boundary limits also what a resource policy grants to a role's ARN:
https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from terralive_stub.shared.json_documents import Json, section

_ACTION: Final = "lambda:InvokeFunction"


def may_invoke(document: Mapping[str, Json], version_arn: str) -> bool:
    """Tell whether a boundary may let a role invoke a version.

    A statement with a condition may apply: it counts for an `Allow`, and not for a `Deny`.

    Args:
        document: the boundary's policy document.
        version_arn: the ARN of the version.
    """
    allowed = False
    for statement in _statements(document):
        if not _applies(statement, version_arn):
            continue
        if statement.get("Effect") == "Allow":
            allowed = True
        elif not section(statement, "Condition"):
            return False
    return allowed


def _statements(document: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    found = document.get("Statement")
    if isinstance(found, dict):
        return [found]
    if isinstance(found, list):
        return [item for item in found if isinstance(item, dict)]
    return []


def _applies(statement: Mapping[str, Json], version_arn: str) -> bool:
    is_action = _is_named(statement, "Action", _ACTION, flags=re.IGNORECASE)
    return is_action and _is_named(statement, "Resource", version_arn)


def _is_named(
    statement: Mapping[str, Json], element: str, value: str, *, flags: re.RegexFlag = re.NOFLAG
) -> bool:
    """Tell whether an element (`Action`, `NotAction`, …) is about a value; `*` and `?` match."""
    if element in statement:
        return any(_matches(item, value, flags) for item in _texts(statement[element]))
    other = f"Not{element}"
    if other in statement:
        return not any(_matches(item, value, flags) for item in _texts(statement[other]))
    return False


def _texts(value: Json) -> list[str]:
    if isinstance(value, list):
        return [str(item) for item in value]
    return [str(value)]


def _matches(pattern: str, value: str, flags: re.RegexFlag) -> bool:
    escaped = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(escaped, value, flags) is not None

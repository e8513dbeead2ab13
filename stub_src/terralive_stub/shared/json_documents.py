"""Readers for JSON documents that another program wrote (Terraform, cdktf, moto, Lambda's events).

They never raise for unexpected content: a value of another type reads as an empty one. Part of a
stub's zip, so it imports as little as possible.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path  # importing it would lengthen a stub's cold start

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


def read_object(path: Path) -> dict[str, Json]:
    """Read a JSON object from a file; {} if the file cannot be read or holds anything else."""
    try:
        content = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    return parse_object(content)


def parse_object(content: str | bytes) -> dict[str, Json]:
    """Parse a JSON object; {} for anything else."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):  # RecursionError: a deeply nested document
        return {}
    return as_object(document)


def as_object(value: object) -> dict[str, Json]:
    """Return the value if it is a JSON object, else {}."""
    if isinstance(value, dict):
        return value
    return {}


def section(document: Mapping[str, object], name: str) -> dict[str, Json]:
    """Return the object under `name`, or {}."""
    return as_object(document.get(name))


def items(document: Mapping[str, object], name: str) -> list[Json]:
    """Return the list under `name`, or []."""
    value = document.get(name)
    if isinstance(value, list):
        return value
    return []


def text(document: Mapping[str, object], name: str) -> str:
    """Return the string under `name`, or ""."""
    value = document.get(name)
    if isinstance(value, str):
        return value
    return ""


def number(document: Mapping[str, object], name: str) -> float:
    """Return the number under `name`, or 0, also for `NaN` and `Infinity`, which Python reads."""
    value = document.get(name)
    if isinstance(value, float) and not math.isfinite(value):
        return 0
    if isinstance(value, int | float):
        return value
    return 0

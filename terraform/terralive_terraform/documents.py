"""Reading JSON documents that somebody else wrote (Terraform, cdktf, moto).

Small, total, never surprised.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


def read_object(path: Path) -> dict[str, Json]:
    """Read a JSON object; {} where there is none."""
    try:
        return parse_object(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return {}


def parse_object(text: str | bytes) -> dict[str, Json]:
    """Parse a JSON object; {} for anything else."""
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def section(document: Mapping[str, Json], name: str) -> dict[str, Json]:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def items(document: Mapping[str, Json], name: str) -> list[Json]:
    value = document.get(name)
    return value if isinstance(value, list) else []


def text(document: Mapping[str, Json], name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else ""


def number(document: Mapping[str, Json], name: str) -> float:
    value = document.get(name)
    return value if isinstance(value, int | float) else 0

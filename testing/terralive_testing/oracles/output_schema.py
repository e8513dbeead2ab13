"""Checks what a command has printed against the published schema of `--output json`.

Every command of a test is checked: at its end, so that the check delays nothing that is tested. The
validators are made once for each process, when the first line is checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).parents[3] / "docs" / "output.schema.json"


def faults(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what is wrong with lines of the output: one text for each line that is not valid."""
    found = []
    for event in events:
        fault = _fault(event)
        if fault:
            found.append(f"{fault}\n  in {json.dumps(event)[:600]}")
    return found


def require_valid(events: Iterable[Mapping[str, Any]], command: str) -> None:
    """Check all lines that a command has printed.

    Raises:
        AssertionError: a line is not as docs/output.schema.json says.
    """
    found = faults(events)
    listed = "\n".join(found[:5])
    assert not found, (
        f"{len(found)} lines of `{command}` are not as docs/output.schema.json says "
        f"(`make docs` writes it anew):\n{listed}"
    )


def _fault(event: Mapping[str, Any]) -> str:
    kind = event.get("type")
    if not isinstance(kind, str) or kind not in _types():
        return f"there is no event of the type {kind!r}"
    error = next(_validator(kind).iter_errors(event), None)
    if error is None:
        return ""
    return f"{error.json_path}: {error.message[:300]}"


@cache
def _schema() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(SCHEMA.read_text("utf-8"))
    return document


@cache
def _types() -> frozenset[str]:
    return frozenset(str(part["$ref"]).rpartition("/")[2] for part in _schema()["oneOf"])


@cache
def _validator(kind: str) -> Any:  # noqa: ANN401  # jsonschema has no types
    """Return the validator of one type: the whole schema would try all types for each line."""
    import jsonschema  # noqa: PLC0415  # 0.2 s, and only tests of the command line need it

    schema = {"$ref": f"#/$defs/{kind}", "$defs": _schema()["$defs"]}
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)

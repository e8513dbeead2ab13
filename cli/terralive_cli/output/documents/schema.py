"""The JSON Schema of `--output json`, made from the events' dataclasses.

    make docs    writes docs/output.schema.json

Every line of the output is one object of the schema, and its `type` tells which. Fields and types
may be added in later versions, so a reader ignores those that it does not know.
https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final

from terralive_cli.output.documents.fields import (
    Field,
    fields_of,
    is_any_json,
    item_of,
    summary_of,
    value_of,
)
from terralive_cli.output.formats.text import TextLines
from terralive_relay.events import Event

# A part of a JSON Schema.
Schema = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_ABOUT: Final = (
    "Every line is one JSON object. `type` tells which one. Fields and types may be added in later "
    "versions, and none is renamed or removed: ignore those that you do not know. A field that has "
    "no value is left out."
)
_PLAIN: Final = {str: "string", bool: "boolean", int: "integer", float: "number"}
_DEFINITIONS: Final = "#/$defs/"


def schema_of(events: Iterable[type[Event]]) -> Schema:
    """Return the schema of all events.

    Raises:
        TypeError: a field is of a type that events do not use, or has no description.
    """
    shown = sorted(events, key=lambda event: event.type)
    definitions: Schema = {}
    for event in shown:
        definitions[event.type] = _object(event, definitions)
    return {
        "$schema": _DIALECT,
        "title": "Output of `terralive --output json`",
        "description": _ABOUT,
        "oneOf": [{"$ref": f"{_DEFINITIONS}{event.type}"} for event in shown],
        "$defs": dict(sorted(definitions.items())),
    }


def document() -> str:
    """Return the text of docs/output.schema.json."""
    return json.dumps(schema_of(TextLines().events), indent=2) + "\n"


def _object(kind: type, definitions: Schema) -> Schema:
    """Return the schema of a dataclass, and add those that it needs to the definitions."""
    properties: Schema = {}
    required: list[str] = []
    if issubclass(kind, Event):
        properties["type"] = {"const": kind.type, "description": "Name of the kind of event."}
        required.append("type")
    for field in fields_of(kind):
        if not field.meaning:
            raise TypeError(f"{kind.__name__} does not describe its field {field.name}")
        properties[field.name] = {
            **_value(field.kind, field, definitions),
            "description": field.meaning,
        }
        if not field.is_optional:
            required.append(field.name)
    return {
        "type": "object",
        "description": summary_of(kind),
        "properties": properties,
        "required": required,
    }


def _value(kind: Any, field: Field, definitions: Schema) -> Schema:  # noqa: ANN401  # a type
    """Return the schema of a type."""
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if kind is datetime:
        return {"type": "string", "format": "date-time"}
    item = item_of(kind)
    if item is not None:
        return {"type": "array", "items": _value(item, field, definitions)}
    value = value_of(kind)
    if value is not None:
        of_values = _value(value, field, definitions)
        return {"type": "object", "additionalProperties": of_values}
    if isinstance(kind, type):
        return _class(kind, field, definitions)
    if is_any_json(kind):
        return {}
    raise TypeError(f"events hold no {kind} (field {field.name})")


def _class(kind: type, field: Field, definitions: Schema) -> Schema:
    """Return the schema of an enum or a dataclass."""
    if issubclass(kind, Enum):
        return {"type": "string", "enum": [member.value for member in kind]}
    if not is_dataclass(kind):
        raise TypeError(f"events hold no {kind} (field {field.name})")
    name = kind.__name__
    if name not in definitions:
        definitions[name] = {}  # so that a type may have fields of its own type
        definitions[name] = _object(kind, definitions)
    return {"$ref": f"{_DEFINITIONS}{name}"}


if __name__ == "__main__":
    sys.stdout.write(document())

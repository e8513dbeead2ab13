"""Fields of events: their types and their descriptions, as the dataclasses declare them. Pure."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

_UNIONS: Final = (Union, types.UnionType)
_ATTRIBUTES: Final = "Attributes:"
# `    name: text` in a cleaned docstring; further lines of the text are indented more.
_ATTRIBUTE: Final = re.compile(r"^ {4}(\w+): (.*)$")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an event, or of a value in an event.

    Attributes:
        name: its name, in Python and in JSON.
        kind: its type, without None.
        is_optional: true if it may be None, and is left out of the JSON object then.
        meaning: its description in the class's docstring; "" where there is none.
    """

    name: str
    kind: Any
    is_optional: bool
    meaning: str


@cache
def fields_of(kind: type) -> tuple[Field, ...]:
    """Return the fields of a dataclass, in their order."""
    hints = get_type_hints(kind)
    meanings: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        meanings.update(_meanings(base))
    found = []
    for item in fields(kind):
        hint = hints[item.name]
        is_optional = get_origin(hint) in _UNIONS and type(None) in get_args(hint)
        meaning = meanings.get(item.name, "")
        found.append(Field(item.name, _without_none(hint), is_optional, meaning))
    return tuple(found)


def summary_of(kind: type) -> str:
    """Return the description of a class: its docstring above the attributes, on one line."""
    text = inspect.cleandoc(kind.__doc__ or "").partition(f"\n{_ATTRIBUTES}")[0]
    return " ".join(text.split())


def is_any_json(kind: object) -> bool:
    """Tell whether a type is `Json`, which any value has."""
    return get_origin(kind) in _UNIONS


def item_of(kind: object) -> Any | None:  # noqa: ANN401  # a type of any form
    """Return the type of the items, where the type is a tuple; else None."""
    if get_origin(kind) is tuple:
        return get_args(kind)[0]
    return None


def value_of(kind: object) -> Any | None:  # noqa: ANN401  # a type of any form
    """Return the type of the values, where the type is a mapping; else None."""
    if get_origin(kind) is Mapping:
        return get_args(kind)[1]
    return None


def _without_none(hint: object) -> Any:  # noqa: ANN401  # a type of any form
    """Return the type of a value that may be None, if it is one type; else the hint itself."""
    if get_origin(hint) not in _UNIONS:
        return hint
    others = [kind for kind in get_args(hint) if kind is not type(None)]
    if len(others) == 1:
        return others[0]
    return hint


def _meanings(kind: type) -> dict[str, str]:
    """Return the descriptions in the section `Attributes` of a class's own docstring."""
    text = inspect.cleandoc(kind.__dict__.get("__doc__") or "")
    found: dict[str, str] = {}
    name = ""
    for line in text.partition(f"\n{_ATTRIBUTES}")[2].splitlines():
        match = _ATTRIBUTE.match(line)
        if match is not None:
            name = match[1]
            found[name] = match[2].strip()
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return found

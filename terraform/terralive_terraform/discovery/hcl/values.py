"""Values of Terraform's language, of which some are known to Terraform only. Pure."""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

from terralive_stub.shared.json_documents import Json


class Unknown(Enum):
    """A value that only Terraform can compute."""

    MAYBE_NULL = "it may be null"
    NOT_NULL = "it is not null"


Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | Unknown | None"


def is_known(value: Value) -> bool:
    """Tell whether a value is known with all that it contains."""
    if isinstance(value, list):
        return all(is_known(item) for item in value)
    if isinstance(value, dict):
        return all(is_known(item) for item in value.values())
    return not isinstance(value, Unknown)


def is_null(value: Value) -> bool | None:
    """Tell whether a value is `null`; None if only Terraform knows."""
    if value is Unknown.MAYBE_NULL:
        return None
    return value is None


def is_empty(value: Value) -> bool | None:
    """Tell whether a list or an object has no items; None if only Terraform knows."""
    if isinstance(value, list | dict):
        return not value
    return None


def scalar_types(value: Value) -> frozenset[str]:
    """Return the types of the texts, numbers and truth values that a value has in it."""
    if isinstance(value, list):
        return frozenset[str]().union(*map(scalar_types, value))
    if isinstance(value, dict):
        return frozenset[str]().union(*map(scalar_types, value.values()))
    if isinstance(value, bool):
        return frozenset({"bool"})
    if isinstance(value, int | float):
        return frozenset({"number"})
    if isinstance(value, str):
        return frozenset({"string"})
    return frozenset()


def shape_of(value: Value) -> Value:
    """Return a value whose texts, numbers and truth values are unknown, because of conversions."""
    if isinstance(value, list):
        return [shape_of(item) for item in value]
    if isinstance(value, dict):
        return {name: shape_of(item) for name, item in value.items()}
    if is_null(value) is False:
        return Unknown.NOT_NULL
    return Unknown.MAYBE_NULL


def as_text(value: Value) -> str | None:
    """Convert a value to a text as Terraform does; None where that is not possible.

    https://developer.hashicorp.com/terraform/language/expressions/types#type-conversion
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    return None


def as_number(value: Value) -> int | float | None:
    """Convert a value to a number; None where that is not possible."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str):
        for convert in (int, float):
            try:
                return convert(value)
            except ValueError:
                continue
    return None


def as_truth(value: Value) -> bool | None:
    """Convert a value to a truth value; None where that is not possible."""
    if isinstance(value, bool):
        return value
    if value == "true":
        return True
    if value == "false":
        return False
    return None


def in_json_syntax(value: Value, expression: Json) -> Json:
    """Return a value as Terraform's JSON syntax has it.

    Args:
        value: the value.
        expression: the expression that it is the value of. Its text stands for what is unknown.
    """
    if isinstance(value, Unknown):
        return expression
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, list):
        same_length = isinstance(expression, list) and len(expression) == len(value)
        found: list[Json] = []
        for number, item in enumerate(value):
            inner = expression
            if isinstance(expression, list) and same_length:
                inner = expression[number]
            found.append(in_json_syntax(item, inner))
        return found
    if isinstance(value, dict):
        named: dict[str, Json] = {}
        for name, item in value.items():
            inner = expression
            if isinstance(expression, dict):
                inner = expression.get(name, expression)
            named[name] = in_json_syntax(item, inner)
        return named
    return value

"""Operators of Terraform's language, on values. Pure.

https://developer.hashicorp.com/terraform/language/expressions/operators
"""

from __future__ import annotations

import math
import operator as operators
from collections.abc import Callable, Mapping
from typing import Final

from terralive_terraform.discovery.hcl.values import (
    Unknown,
    Value,
    as_number,
    as_text,
    as_truth,
    is_known,
    is_null,
    scalar_types,
    shape_of,
)

_ARITHMETIC: Final[Mapping[str, Callable[[float, float], float | bool]]] = {
    "+": operators.add,
    "-": operators.sub,
    "*": operators.mul,
    "/": operators.truediv,
    "%": math.fmod,
    "<": operators.lt,
    ">": operators.gt,
    "<=": operators.le,
    ">=": operators.ge,
}


def negated(operator: str, value: Value) -> Value:
    """Compute an operation with one operand: `-` or `!`."""
    number = as_number(value)
    if operator == "-" and number:
        return -number
    truth = as_truth(value)
    if operator == "!" and truth is not None:
        return not truth
    return Unknown.NOT_NULL


def combined(operator: str, left: Value, right: Value) -> Value:
    """Compute an operation with two operands."""
    if operator in ("&&", "||"):
        return _logical(operator, as_truth(left), as_truth(right))
    if operator in ("==", "!="):
        is_equal = _equal(left, right)
        if is_equal is None:
            return Unknown.NOT_NULL
        return is_equal is (operator == "==")
    return _arithmetic(operator, as_number(left), as_number(right))


def _arithmetic(operator: str, left: float | None, right: float | None) -> Value:
    is_division = operator in ("/", "%")
    if left is None or right is None or (is_division and not right):
        return Unknown.NOT_NULL
    result = _ARITHMETIC[operator](left, right)
    if not result and min(left, right) < 0 and operator in ("*", "/", "%"):
        # Terraform has a negative zero, whose text is "-0".
        return Unknown.NOT_NULL
    return result


def _logical(operator: str, left: bool | None, right: bool | None) -> Value:
    deciding = operator == "||"
    if deciding in (left, right):
        return deciding
    if left is None or right is None:
        return Unknown.NOT_NULL
    return not deciding


def _equal(left: Value, right: Value) -> bool | None:
    """Tell whether two values are equal; None if only Terraform knows."""
    if left is None or right is None:
        other = right if left is None else left
        return is_null(other)
    if not is_known(left) or not is_known(right):
        return None
    if isinstance(left, list | dict) or isinstance(right, list | dict):
        # `tolist([])` does not equal `[]`, and their types are not known here.
        return None
    return scalar_types(left) == scalar_types(right) and left == right


def chosen(condition: bool | None, yes: Value, no: Value) -> Value:
    """Compute a conditional expression, whose condition is None where only Terraform knows it."""
    if condition is None:
        if _equal(yes, no):
            return yes
        if is_null(yes) is False and is_null(no) is False:
            return Unknown.NOT_NULL
        return Unknown.MAYBE_NULL
    value, other = no, yes
    if condition:
        value, other = yes, no
    # Both have one type, as in Terraform.
    if isinstance(other, str) and isinstance(value, bool | int | float):
        return as_text(value)
    if isinstance(value, list | dict) and scalar_types(value) - {"string"}:
        # The other value may be a list of texts, also an empty one.
        return shape_of(value)
    return value

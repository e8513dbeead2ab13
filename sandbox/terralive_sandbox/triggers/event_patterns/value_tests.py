"""Tests of one value, which event patterns are made of: one function per operator. Pure.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import eq, ge, gt, le, lt
from typing import Final, TypeAlias, TypeGuard

ValueTest: TypeAlias = Callable[[object], bool]
"""A function that returns true if a value of an event passes."""


class InvalidPatternError(ValueError):
    """The text is not an event pattern. The message is the reason that AWS gives."""


def value_test(operator: str, operand: object) -> ValueTest:
    """Return the test of `{operator: operand}`. Raises InvalidPatternError."""
    make = _TESTS.get(operator)
    if make is None:
        raise InvalidPatternError(f"Unrecognized match type {operator}")
    return make(operand)


def equal_to(expected: object) -> ValueTest:
    """Return a test for a literal value: strings are compared exactly, and true is not 1.

    300 equals 300.0. The page says that numbers compare as they are written. In AWS they compare as
    numbers: localstack's tests, which were run against AWS, record that (number_comparison_float).
    """
    if _is_number(expected):
        return lambda value: _is_number(value) and value == expected
    return lambda value: type(value) is type(expected) and value == expected


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _exists(operand: object) -> ValueTest:
    if operand is not True:
        raise InvalidPatternError("exists match pattern must be either true or false.")
    return lambda _: True


def _prefix_or_suffix(operator: str, operand: object) -> ValueTest:
    """Return a test for the beginning or end of a string."""
    if not isinstance(operand, dict):
        return _text_test(operator, operand)
    if operand.keys() != {"equals-ignore-case"}:
        found = next(iter(operand), "")
        raise InvalidPatternError(f"Unsupported {operator} pattern: {found}")
    return _text_test(operator, operand["equals-ignore-case"], ignore_case=True)


def _text_test(operator: str, operand: object, *, ignore_case: bool = False) -> ValueTest:
    """Return a test for a whole string."""
    if not isinstance(operand, str):
        raise InvalidPatternError(f"{operator} match pattern must be a string")
    flags = re.DOTALL | re.IGNORECASE if ignore_case else re.DOTALL
    compiled = re.compile(_EXPRESSIONS[operator](operand), flags)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _wildcard(text: str) -> str:
    """Return the regular expression of a text in which `*` stands for any characters."""
    expression = ""
    previous = ""
    for part in re.findall(r"\\.|.", text, re.DOTALL):
        if part == previous == "*":
            raise InvalidPatternError("Consecutive wildcard characters are not allowed")
        if part.startswith("\\") and part not in {"\\*", "\\\\"}:
            raise InvalidPatternError("Invalid escape character")
        expression += ".*" if part == "*" else re.escape(part[-1])
        previous = part
    return expression


# Operator -> the regular expression of its operand.
_EXPRESSIONS: Final[Mapping[str, Callable[[str], str]]] = {
    "prefix": lambda text: re.escape(text) + ".*",
    "suffix": lambda text: ".*" + re.escape(text),
    "equals-ignore-case": lambda text: f"(?i:{re.escape(text)})",
    "wildcard": _wildcard,
}


def _anything_but(operand: object) -> ValueTest:
    """Return a test that every value passes that is there and does not match the operand."""
    unwanted = _unwanted_texts(operand) if isinstance(operand, dict) else _unwanted_values(operand)
    return lambda value: not any(test(value) for test in unwanted)


def _unwanted_texts(operand: Mapping[str, object]) -> list[ValueTest]:
    """Return the tests of an operator inside of `anything-but`."""
    operator, given = next(iter(operand.items()), ("", None))
    if len(operand) != 1 or operator not in _EXPRESSIONS:
        raise InvalidPatternError(f"Unsupported anything-but pattern: {operator}")
    texts = _as_list(given)
    if not texts or (operator in {"prefix", "suffix"} and not all(texts)):
        raise InvalidPatternError("Null prefix/suffix not allowed")
    return [_text_test(operator, text) for text in texts]


def _unwanted_values(operand: object) -> list[ValueTest]:
    """Return the tests of the literal values of `anything-but`."""
    values = _as_list(operand)
    all_strings = all(isinstance(value, str) for value in values)
    all_numbers = all(_is_number(value) for value in values)
    if not values or not (all_strings or all_numbers):
        raise InvalidPatternError(
            "Inside anything but list, either all values are number or string"
        )
    return [equal_to(value) for value in values]


def _as_list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else [value]


_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "=": eq,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}
# The most comparisons of one `numeric`: a lower and an upper bound.
_MOST_BOUNDS: Final = 2


def _numeric(operand: object) -> ValueTest:
    """Return a test for one comparison, or for a lower and an upper bound."""
    bounds = _read_bounds(operand)
    if len(bounds) > 1:
        _check_range(bounds)

    def is_within(value: object) -> bool:
        return _is_number(value) and all(
            _COMPARISONS[operator](value, bound) for operator, bound in bounds
        )

    return is_within


def _read_bounds(operand: object) -> list[tuple[str, float]]:
    """Return the operators and numbers, which alternate in the operand."""
    if not isinstance(operand, list):
        raise InvalidPatternError("Value of numeric must be an array.")
    bounds: list[tuple[str, float]] = []
    for operator, bound in zip(operand[::2], operand[1::2], strict=False):
        if not isinstance(operator, str) or operator not in _COMPARISONS:
            raise InvalidPatternError(f"Unrecognized numeric range operator: {operator}")
        if not _is_number(bound):
            raise InvalidPatternError(f"Value of {operator} must be numeric")
        bounds.append((operator, bound))
    if not bounds or len(operand) % 2:
        raise InvalidPatternError(
            "Invalid member in numeric match: operators and numbers have to alternate"
        )
    return bounds


def _check_range(bounds: Sequence[tuple[str, float]]) -> None:
    """Raise InvalidPatternError unless two bounds are a lower and then a higher one."""
    lower, bottom = bounds[0]
    upper, top = bounds[1]
    if lower not in {">", ">="} or len(bounds) > _MOST_BOUNDS:
        raise InvalidPatternError("Too many elements in numeric expression")
    if upper not in {"<", "<="}:
        raise InvalidPatternError(f"Bad numeric range operator: {upper}")
    if bottom >= top:
        raise InvalidPatternError("Bottom must be less than top")


def _cidr(operand: object) -> ValueTest:
    """Return a test for IP addresses of a network."""
    if not isinstance(operand, str):
        raise InvalidPatternError("cidr match pattern must be a string")
    if operand.count("/") != 1:
        raise InvalidPatternError("Malformed CIDR, one '/' required")
    try:
        network = ipaddress.ip_network(operand, strict=False)
    except ValueError as error:
        raise InvalidPatternError(f"Malformed CIDR: {error}") from error

    def is_inside(value: object) -> bool:
        if not isinstance(value, str):
            return False
        try:
            return ipaddress.ip_address(value) in network
        except ValueError:
            return False

    return is_inside


# Operator -> the function that makes its test from the operand.
_TESTS: Final[Mapping[str, Callable[[object], ValueTest]]] = {
    "prefix": partial(_prefix_or_suffix, "prefix"),
    "suffix": partial(_prefix_or_suffix, "suffix"),
    "equals-ignore-case": partial(_text_test, "equals-ignore-case"),
    "wildcard": partial(_text_test, "wildcard"),
    "anything-but": _anything_but,
    "numeric": _numeric,
    "cidr": _cidr,
    "exists": _exists,
}
OPERATORS: Final = _TESTS.keys()
"""The names of all operators."""

"""EventBridge's event pattern language, which Lambda's event filtering shares. Pure.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
    https://github.com/aws/event-ruler#readme (AWS's own matcher: arrays, `exists`, `$or`)

`parse` refuses what AWS refuses; a `Pattern` is always a valid one. moto's own matcher is not used:
it accepts unknown operators, takes true for 1, and does not look into arrays of objects.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt
from typing import TypeAlias

Test: TypeAlias = Callable[[object], bool]

_OPERATORS = frozenset({
    "prefix", "suffix", "equals-ignore-case", "wildcard", "anything-but", "numeric", "cidr", "exists",
})  # fmt: skip
_FEWEST_ALTERNATIVES = 2


class InvalidPatternError(ValueError):
    """The text is no event pattern; the message is the reason that AWS gives."""


@dataclass(frozen=True, slots=True)
class Values:
    """What one field may hold.

    A value that passes one of `tests`, or nothing at all if it `may_be_absent`.
    """

    tests: tuple[Test, ...]
    may_be_absent: bool = False


@dataclass(frozen=True, slots=True)
class Pattern:
    """All `fields` have to match, and of each group in `alternatives` (`$or`) one pattern."""

    fields: tuple[tuple[str, Values | Pattern], ...]
    alternatives: tuple[tuple[Pattern, ...], ...] = ()


def parse(text: str) -> Pattern:
    """Raises InvalidPatternError."""
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise InvalidPatternError(f"{error}") from error
    if not isinstance(parsed, dict):
        raise InvalidPatternError("Filter is not an object")
    return _pattern(parsed)


def matches(pattern: Pattern, event: Mapping[str, object]) -> bool:
    """Whether `event`, a JSON object, is one that `pattern` describes."""
    return _holds(pattern, event, (event,))


def _holds(
    pattern: Pattern, node: Mapping[str, object], everywhere: Sequence[Mapping[str, object]]
) -> bool:
    """All fields are looked for in the same element of an array (`node`), and absent means in none (`everywhere`)."""
    for name, expected in pattern.fields:
        if isinstance(expected, Pattern):
            found = [child for parent in everywhere for child in _objects(parent.get(name))]
            children = _objects(node.get(name)) or [{}]
            if not any(_holds(expected, child, found) for child in children):
                return False
        elif not (
            any(test(leaf) for leaf in _leaves(node, name) for test in expected.tests)
            or (expected.may_be_absent and not any(_leaves(parent, name) for parent in everywhere))
        ):
            return False
    return all(
        any(_holds(one, node, everywhere) for one in group) for group in pattern.alternatives
    )


def _objects(value: object) -> list[Mapping[str, object]]:
    if isinstance(value, list):
        return [child for element in value for child in _objects(element)]
    return [value] if isinstance(value, dict) else []


def _leaves(node: Mapping[str, object], name: str) -> list[object]:
    """A field's values: of an array its elements; an object or an empty array has none."""

    def flat(value: object) -> list[object]:
        if isinstance(value, list):
            return [leaf for element in value for leaf in flat(element)]
        return [] if isinstance(value, dict) else [value]

    return flat(node[name]) if name in node else []


def _pattern(parsed: Mapping[str, object]) -> Pattern:
    if not parsed:
        raise InvalidPatternError("Empty objects are not allowed")
    fields: list[tuple[str, Values | Pattern]] = []
    groups: list[tuple[Pattern, ...]] = []
    for name, value in parsed.items():
        if name == "$or" and (alternatives := _alternatives(value)):
            groups.append(tuple(_pattern(one) for one in alternatives))
        elif isinstance(value, dict):
            fields.append((name, _pattern(value)))
        elif isinstance(value, list):
            fields.append((name, _values(value)))
        else:
            raise InvalidPatternError(f'"{name}" must be an object or an array')
    return Pattern(tuple(fields), tuple(groups))


def _alternatives(value: object) -> list[Mapping[str, object]]:
    """What `$or` offers; nothing where it is an ordinary field's name (event-ruler's README)."""
    if not isinstance(value, list) or len(value) < _FEWEST_ALTERNATIVES:
        return []
    one_of: list[Mapping[str, object]] = [
        one for one in value if isinstance(one, dict) and not one.keys() & _OPERATORS
    ]
    return one_of if len(one_of) == len(value) else []


def _values(expected: Sequence[object]) -> Values:
    if not expected:
        raise InvalidPatternError("Empty arrays are not allowed")
    tests: list[Test] = []
    may_be_absent = False
    for one in expected:
        if isinstance(one, list):
            raise InvalidPatternError("Match value must be String, number, true, false, or null")
        if not isinstance(one, dict):
            tests.append(_equal_to(one))
            continue
        if len(one) != 1:
            raise InvalidPatternError("Only one key allowed in match expression")
        operator, operand = next(iter(one.items()))
        if operator == "exists" and operand is False:
            may_be_absent = True
        else:
            tests.append(_test(operator, operand))
    return Values(tuple(tests), may_be_absent)


def _test(operator: str, operand: object) -> Test:
    match operator:
        case "exists":
            if operand is not True:
                raise InvalidPatternError("exists match pattern must be either true or false.")
            return lambda _: True
        case "prefix" | "suffix" if isinstance(operand, dict):
            if operand.keys() != {"equals-ignore-case"}:
                raise InvalidPatternError(
                    f"Unsupported {operator} pattern: {next(iter(operand), '')}"
                )
            test: Test = _text_test(operator, operand["equals-ignore-case"], ignore_case=True)
        case "prefix" | "suffix" | "wildcard" | "equals-ignore-case":
            test = _text_test(operator, operand, ignore_case=operator == "equals-ignore-case")
        case "anything-but":
            test = _anything_but(operand)
        case "numeric":
            test = _numeric(operand)
        case "cidr":
            test = _cidr(operand)
        case _:
            raise InvalidPatternError(f"Unrecognized match type {operator}")
    return test


def _equal_to(expected: object) -> Test:
    """Strings to the letter, true is not 1, and 300 is 300.0.

    The page says that numbers compare as written; in AWS they compare as numbers (localstack's
    tests, which were run
    against AWS, record that: number_comparison_float).
    """
    if _is_number(expected):
        return lambda value: _is_number(value) and value == expected
    return lambda value: type(value) is type(expected) and value == expected


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text_test(operator: str, operand: object, *, ignore_case: bool = False) -> Test:
    if not isinstance(operand, str):
        raise InvalidPatternError(f"{operator} match pattern must be a string")
    expression = _wildcard(operand) if operator == "wildcard" else re.escape(operand)
    if operator == "prefix":
        expression += ".*"
    elif operator == "suffix":
        expression = ".*" + expression
    compiled = re.compile(expression, re.DOTALL | (re.IGNORECASE if ignore_case else 0))
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _wildcard(text: str) -> str:
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


def _anything_but(operand: object) -> Test:
    """Any value that is there, except those; of a list only strings or only numbers."""
    if isinstance(operand, dict):
        operator, refused = next(iter(operand.items()), ("", None))
        if len(operand) != 1 or operator not in {
            "prefix",
            "suffix",
            "equals-ignore-case",
            "wildcard",
        }:
            raise InvalidPatternError(f"Unsupported anything-but pattern: {operator}")
        texts = refused if isinstance(refused, list) else [refused]
        if not texts or (operator in {"prefix", "suffix"} and not all(texts)):
            raise InvalidPatternError("Null prefix/suffix not allowed")
        unwanted = [
            _text_test(operator, text, ignore_case=operator == "equals-ignore-case")
            for text in texts
        ]
    else:
        values = operand if isinstance(operand, list) else [operand]
        if not values or not (
            all(isinstance(v, str) for v in values) or all(_is_number(v) for v in values)
        ):
            raise InvalidPatternError(
                "Inside anything but list, either all values are number or string"
            )
        unwanted = [_equal_to(value) for value in values]
    return lambda value: not any(test(value) for test in unwanted)


_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "=": eq, "<": lt, "<=": le, ">": gt, ">=": ge,
}  # fmt: skip


def _numeric(operand: object) -> Test:
    bounds = _bounds(operand)

    def within(value: object) -> bool:
        return (
            isinstance(value, int | float)
            and _is_number(value)
            and all(_COMPARE[operator](value, bound) for operator, bound in bounds)
        )

    return within


def _bounds(operand: object) -> list[tuple[str, float]]:
    """One comparison, or a lower and then an upper bound."""
    if not isinstance(operand, list):
        raise InvalidPatternError("Value of numeric must be an array.")
    bounds: list[tuple[str, float]] = []
    for operator, bound in zip(operand[::2], operand[1::2], strict=False):
        if not isinstance(operator, str) or operator not in _COMPARE:
            raise InvalidPatternError(f"Unrecognized numeric range operator: {operator}")
        if not _is_number(bound):
            raise InvalidPatternError(f"Value of {operator} must be numeric")
        bounds.append((operator, bound))
    if not bounds or len(operand) % 2:
        raise InvalidPatternError(
            "Invalid member in numeric match: operators and numbers have to alternate"
        )
    if len(bounds) > 1:
        (lower, bottom), (upper, top) = bounds[0], bounds[1]
        if lower not in {">", ">="} or len(bounds) > len(("lower", "upper")):
            raise InvalidPatternError("Too many elements in numeric expression")
        if upper not in {"<", "<="}:
            raise InvalidPatternError(f"Bad numeric range operator: {upper}")
        if bottom >= top:
            raise InvalidPatternError("Bottom must be less than top")
    return bounds


def _cidr(operand: object) -> Test:
    if not isinstance(operand, str):
        raise InvalidPatternError("cidr match pattern must be a string")
    if operand.count("/") != 1:
        raise InvalidPatternError("Malformed CIDR, one '/' required")
    try:
        network = ipaddress.ip_network(operand, strict=False)
    except ValueError as error:
        raise InvalidPatternError(f"Malformed CIDR: {error}") from error

    def inside(value: object) -> bool:
        try:
            return isinstance(value, str) and ipaddress.ip_address(value) in network
        except ValueError:
            return False

    return inside

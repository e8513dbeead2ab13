"""EventBridge's event patterns, which Lambda's event filtering shares. Pure.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
    https://github.com/aws/event-ruler#readme (AWS's own matcher: arrays, `exists`, `$or`)

`parse` refuses what AWS refuses, so a `Pattern` is always valid. moto's own matcher is not used: it
accepts unknown operators, takes true for 1, and does not look into arrays of objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeGuard

from terralive_sandbox.triggers.event_patterns.value_tests import (
    OPERATORS,
    InvalidPatternError,
    ValueTest,
    equal_to,
    value_test,
)

__all__ = ["InvalidPatternError", "Pattern", "Values", "matches", "parse"]

# `$or` with fewer alternatives is the name of an ordinary field.
_FEWEST_ALTERNATIVES: Final = 2


@dataclass(frozen=True, slots=True)
class Values:
    """The values that one field may have.

    Attributes:
        tests: the value has to pass one of these.
        may_be_absent: true if an event without the field matches, too.
    """

    tests: tuple[ValueTest, ...]
    may_be_absent: bool = False


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern for one object.

    Attributes:
        fields: all of these fields have to match.
        alternatives: one pattern of each group has to match (`$or`).
    """

    fields: tuple[tuple[str, Values | Pattern], ...]
    alternatives: tuple[tuple[Pattern, ...], ...] = ()


def parse(text: str) -> Pattern:
    """Read a pattern from JSON text. Raises InvalidPatternError."""
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise InvalidPatternError(f"{error}") from error
    if not isinstance(parsed, dict):
        raise InvalidPatternError("Filter is not an object")
    return _parse_object(parsed)


def matches(pattern: Pattern, event: Mapping[str, object]) -> bool:
    """Return true if a pattern describes an event, which is a JSON object."""
    return _matches(pattern, event, [event])


def _matches(
    pattern: Pattern, node: Mapping[str, object], level: Sequence[Mapping[str, object]]
) -> bool:
    """Return true if a pattern describes an object of the event.

    Args:
        pattern: the pattern.
        node: the object. All fields are looked up in it, even if it is one element of an array.
        level: all objects of the event at the same place. A field is absent only if none of them
            has it.
    """
    for name, expected in pattern.fields:
        if isinstance(expected, Values):
            if not _value_matches(expected, name, node, level):
                return False
            continue
        next_level = [child for parent in level for child in _objects(parent, name)]
        # A missing object counts as an empty one: a field with `exists: false` matches there, too.
        children = _objects(node, name) or [{}]
        if not any(_matches(expected, child, next_level) for child in children):
            return False
    for group in pattern.alternatives:
        if not any(_matches(alternative, node, level) for alternative in group):
            return False
    return True


def _value_matches(
    expected: Values, name: str, node: Mapping[str, object], level: Sequence[Mapping[str, object]]
) -> bool:
    """Return true if a value under a name passes a test, or the name is absent and may be."""
    for value in _values_of(node, name):
        if any(test(value) for test in expected.tests):
            return True
    return expected.may_be_absent and not any(_values_of(parent, name) for parent in level)


def _objects(node: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    """Return the objects of a field: itself, or those of an array."""
    return [value for value in _flat(node.get(name)) if isinstance(value, dict)]


def _values_of(node: Mapping[str, object], name: str) -> list[object]:
    """Return the values of a field. An array has those of its elements, an object has none."""
    if name not in node:
        return []
    return [value for value in _flat(node[name]) if not isinstance(value, dict)]


def _flat(value: object) -> Iterator[object]:
    if isinstance(value, list):
        for element in value:
            yield from _flat(element)
    else:
        yield value


def _parse_object(parsed: Mapping[str, object]) -> Pattern:
    if not parsed:
        raise InvalidPatternError("Empty objects are not allowed")
    fields: list[tuple[str, Values | Pattern]] = []
    groups: list[tuple[Pattern, ...]] = []
    for name, value in parsed.items():
        if name == "$or" and _is_alternatives(value):
            groups.append(tuple(_parse_object(alternative) for alternative in value))
        elif isinstance(value, dict):
            fields.append((name, _parse_object(value)))
        elif isinstance(value, list):
            fields.append((name, _parse_values(value)))
        else:
            raise InvalidPatternError(f'"{name}" must be an object or an array')
    return Pattern(tuple(fields), tuple(groups))


def _is_alternatives(value: object) -> TypeGuard[list[Mapping[str, object]]]:
    """Return true if `$or` has alternatives; else it is a field (event-ruler's README)."""
    if not isinstance(value, list) or len(value) < _FEWEST_ALTERNATIVES:
        return False
    for alternative in value:
        if not isinstance(alternative, dict) or alternative.keys() & OPERATORS:
            return False
    return True


def _parse_values(expected: Sequence[object]) -> Values:
    if not expected:
        raise InvalidPatternError("Empty arrays are not allowed")
    tests: list[ValueTest] = []
    may_be_absent = False
    for one in expected:
        if isinstance(one, list):
            raise InvalidPatternError("Match value must be String, number, true, false, or null")
        if not isinstance(one, dict):
            tests.append(equal_to(one))
            continue
        if len(one) != 1:
            raise InvalidPatternError("Only one key allowed in match expression")
        operator, operand = next(iter(one.items()))
        if operator == "exists" and operand is False:
            may_be_absent = True
        else:
            tests.append(value_test(operator, operand))
    return Values(tuple(tests), may_be_absent)

"""Functions of Terraform's language that terralive computes itself. Pure.

A call that is not answered here is unknown, not wrong.
https://developer.hashicorp.com/terraform/language/functions
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
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
)


def call(function: str, arguments: Sequence[Value]) -> Value:
    """Return the result of a call; unknown if it fails, or if only Terraform can compute it."""
    computed = _FUNCTIONS.get(function.removeprefix("core::"))
    if computed is None:
        return Unknown.MAYBE_NULL
    try:
        return computed(*arguments)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError):
        # It has other arguments than this function takes here. Terraform may convert them.
        return Unknown.MAYBE_NULL


def _length(of: Value) -> Value:
    if isinstance(of, str | list | dict):
        return len(of)
    return Unknown.NOT_NULL


def _keys(of: Value) -> Value:
    if isinstance(of, dict):
        names: list[Value] = []
        names.extend(sorted(of))
        return names
    return Unknown.NOT_NULL


def _values(of: Value) -> Value:
    if isinstance(of, dict):
        return [of[name] for name in sorted(of)]
    return Unknown.NOT_NULL


def _of_one_type(of: Value) -> Value:
    """Return a collection whose items have one type, so that none of them is converted."""
    if is_null(of) is False and (not is_known(of) or len(scalar_types(of)) > 1):
        return Unknown.NOT_NULL
    return of


def _as_it_is(of: Value) -> Value:
    return of


def _to_set(of: Value) -> Value:
    """Return a set of texts as a sorted list."""
    if not isinstance(of, list):
        return Unknown.MAYBE_NULL
    texts: set[str] = set()
    for item in of:
        if not isinstance(item, str):
            # A set that has unknown items may be shorter than its list.
            return Unknown.NOT_NULL
        texts.add(item)
    found: list[Value] = []
    found.extend(sorted(texts))
    return found


def _concat(*lists: Value) -> Value:
    found: list[Value] = []
    for part in lists:
        if not isinstance(part, list):
            return Unknown.NOT_NULL
        found.extend(part)
    return found


def _compact(of: Value) -> Value:
    """Return a list of texts without those that are empty."""
    if isinstance(of, list) and all(item is None or isinstance(item, str) for item in of):
        return [item for item in of if item]
    return Unknown.NOT_NULL


def _flatten(of: Value) -> Value:
    found: list[Value] = []
    if not isinstance(of, list):
        return Unknown.NOT_NULL
    for item in of:
        if isinstance(item, Unknown):
            return Unknown.NOT_NULL
        inner = _flatten(item) if isinstance(item, list) else [item]
        if not isinstance(inner, list):
            return inner
        found.extend(inner)
    return found


def _merge(*objects: Value) -> Value:
    found: dict[str, Value] = {}
    for part in objects:
        if part is None:
            continue
        if not isinstance(part, dict):
            return Unknown.NOT_NULL
        found.update(part)
    return found


def _lookup(of: Value, name: Value, *otherwise: Value) -> Value:
    if isinstance(of, dict) and isinstance(name, str):
        if name in of:
            return of[name]
        if otherwise:
            return otherwise[0]
    return Unknown.MAYBE_NULL


def _contains(of: Value, item: Value) -> Value:
    if isinstance(of, list) and isinstance(item, str):
        if all(isinstance(known, str) for known in of):
            return item in of
    return Unknown.NOT_NULL


def _coalesce(*values: Value) -> Value:
    for value in values:
        if isinstance(value, Unknown):
            return Unknown.NOT_NULL
        if is_null(value) is False and value != "":
            return value
    return Unknown.MAYBE_NULL


def _try(*values: Value) -> Value:
    """Return the first value that has no error. What is not known may have one."""
    first = values[0]
    if is_known(first):
        return first
    return Unknown.MAYBE_NULL


def _texts(change: Callable[[str], str]) -> Callable[[Value], Value]:
    """Return a function of one text."""

    def changed(value: Value) -> Value:
        text = as_text(value)
        if text is None:
            return Unknown.NOT_NULL
        return change(text)

    return changed


def _join(separator: Value, *lists: Value) -> Value:
    parts = _concat(*lists)
    if not isinstance(separator, str) or not isinstance(parts, list):
        return Unknown.NOT_NULL
    texts: list[str] = []
    for part in parts:
        text = as_text(part)
        if text is None:
            return Unknown.NOT_NULL
        texts.append(text)
    return separator.join(texts)


def _format(pattern: Value, *values: Value) -> Value:
    """Fill the `%s` of a pattern in; other verbs are not computed here."""
    texts = [as_text(value) for value in values]
    if not isinstance(pattern, str) or None in texts:
        return Unknown.NOT_NULL
    if re.search(r"%(?!s)", pattern) or pattern.count("%s") != len(texts):
        return Unknown.NOT_NULL
    first, *rest = pattern.split("%s")
    return first + "".join(f"{text}{after}" for text, after in zip(texts, rest, strict=True))


def _replace(text: Value, old: Value, new: Value) -> Value:
    if isinstance(text, str) and isinstance(old, str) and isinstance(new, str):
        is_pattern = len(old) > 1 and old[0] == old[-1] == "/"
        if not is_pattern:
            return text.replace(old, new)
    return Unknown.NOT_NULL


def _converted(convert: Callable[[Value], Value]) -> Callable[[Value], Value]:
    """Return a conversion, which leaves `null` as it is."""

    def converted(value: Value) -> Value:
        if value is None or isinstance(value, Unknown):
            return value
        found = convert(value)
        if found is None:
            return Unknown.MAYBE_NULL
        return found

    return converted


def _numbers(choose: Callable[[list[float]], float]) -> Callable[..., Value]:
    """Return a function that chooses one of its numbers."""

    def chosen(*values: Value) -> Value:
        numbers: list[float] = []
        for value in values:
            number = as_number(value)
            if number is None:
                return Unknown.NOT_NULL
            numbers.append(number)
        return choose(numbers)

    return chosen


def _basename(path: str) -> str:
    if not path:
        return "."
    return posixpath.basename(path.rstrip("/")) or "/"


def _dirname(path: str) -> str:
    return posixpath.normpath(posixpath.dirname(path) or ".")


_FUNCTIONS: Final[Mapping[str, Callable[..., Value]]] = {
    "basename": _texts(_basename),
    "coalesce": _coalesce,
    "compact": _compact,
    "concat": _concat,
    "contains": _contains,
    "dirname": _texts(_dirname),
    "flatten": _flatten,
    "format": _format,
    "join": _join,
    "keys": _keys,
    "length": _length,
    "lookup": _lookup,
    "lower": _texts(str.lower),
    "max": _numbers(max),
    "merge": _merge,
    "min": _numbers(min),
    "nonsensitive": _as_it_is,
    "replace": _replace,
    "sensitive": _as_it_is,
    "tobool": _converted(as_truth),
    "tolist": _of_one_type,
    "tomap": _of_one_type,
    "tonumber": _converted(as_number),
    "toset": _to_set,
    "tostring": _converted(as_text),
    "trimspace": _texts(str.strip),
    "try": _try,
    "upper": _texts(str.upper),
    "values": _values,
}

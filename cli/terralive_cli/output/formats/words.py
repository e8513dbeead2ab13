"""Small phrases of the text formats: durations, names, counts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

_MILLISECONDS: Final = 1000.0
_KILOBYTE: Final = 1024
_SECONDS_OF_MINUTE: Final = 60.0
_SECONDS_OF_HOUR: Final = 3600.0
_SHOWN_PATHS: Final = 3
# Up to this number, an age is shown in the smaller unit (`90 s ago`).
_TWO_DIGITS: Final = 100


def duration(seconds: float) -> str:
    """Return a duration in words: `12 ms`, `3.4 s`, `2 min 5 s`."""
    if round(seconds * _MILLISECONDS) < _MILLISECONDS:
        return f"{seconds * _MILLISECONDS:.0f} ms"
    if round(seconds, 1) < _SECONDS_OF_MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), int(_SECONDS_OF_MINUTE))
    return f"{minutes} min {rest} s"


def size(count: int) -> str:
    """Return a number of bytes in words: `312 bytes`, `4.1 KB`, `20.0 MB`."""
    if count < _KILOBYTE:
        return f"{count} bytes"
    if count < _KILOBYTE * _KILOBYTE:
        return f"{count / _KILOBYTE:.1f} KB"
    return f"{count / _KILOBYTE / _KILOBYTE:.1f} MB"


def age(seconds: float) -> str:
    """Return an age in words: `63 s ago`, `12 min ago`, `2 h ago`."""
    return f"{span(seconds)} ago"


def span(seconds: float) -> str:
    """Return a span of time in words: `63 s`, `12 min`, `2 h`."""
    if seconds < _TWO_DIGITS:
        return f"{seconds:.0f} s"
    if seconds < _TWO_DIGITS * _SECONDS_OF_MINUTE:
        return f"{seconds / _SECONDS_OF_MINUTE:.0f} min"
    return f"{seconds / _SECONDS_OF_HOUR:.0f} h"


def some_paths(paths: Sequence[str]) -> str:
    """Return the first few paths and the number of the others."""
    if not paths:
        return "something"
    return listed(paths, _SHOWN_PATHS)


def listed(names: Sequence[str], most: int) -> str:
    """Return names in one line: `a, b and 3 more`.

    Args:
        names: the names.
        most: the number of names that are shown.
    """
    text = ", ".join(names[:most])
    more = len(names) - most
    if more > 0:
        text += f" and {more} more"
    return text


def plural(count: int, noun: str) -> str:
    """Return `1 function` or `2 functions`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}s"


def common_prefix(names: Sequence[str]) -> str:
    """Return the shared start of all names up to a `-` or `_`; "" for one name.

    `orders-dev-ana-api` and `orders-dev-ana-worker` share `orders-dev-ana-`.
    """
    if len(names) < 2:  # noqa: PLR2004  # two names are the fewest that share something
        return ""
    shared = os.path.commonprefix(list(names))  # noqa: RUF071  # characters, not paths
    end = max(shared.rfind("-"), shared.rfind("_"))
    return shared[: end + 1]


def shortened(name: str, width: int) -> str:
    """Return at most `width` characters of a name, cut at its start.

    The names of an app's functions differ at their end (`terralive-orders-dev-ana-api`).
    """
    if len(name) <= width:
        return name
    return f"…{name[len(name) - width + 1 :]}"

"""Words made of values that other programs wrote: names, counts, ARNs, folded payloads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from terralive_stub.shared.json_documents import Json, as_object, parse_object

# Parsing more would cost the invocation time.
MOST_BYTES: Final = 1024 * 1024
# Numbers of milliseconds and attempts that are larger are nonsense.
_LARGEST_NUMBER: Final = 2**53
_SHOWN_NAMES: Final = 4
# A longer key, or one with other characters, is rather data than a name.
_NAME: Final = re.compile(r"[A-Za-z_$][\w$.-]{0,31}\Z")


def parse(data: bytes) -> Mapping[str, Json]:
    """Parse a JSON object; {} for anything else, and for a large one."""
    if len(data) > MOST_BYTES:
        return {}
    return parse_object(data)


def as_text(value: object) -> str:
    """Return a value as text; "" for None."""
    if value is None:
        return ""
    try:
        return str(value)
    except RecursionError:  # lists within lists
        return ""


def as_number(value: object) -> int:
    """Read a number that may be written as a text; 0 for anything else."""
    if not isinstance(value, str | int | float):
        return 0
    try:
        number = int(float(value))
    except (ValueError, OverflowError):
        return 0
    return min(max(number, 0), _LARGEST_NUMBER)


def at(document: Mapping[str, Json], path: str) -> str:
    """Return the text or number at a path (`detail.state.value`); "" if there is none."""
    *sections, name = path.split(".")
    part = document
    for section in sections:
        part = as_object(part.get(section))
    value = part.get(name)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    return ""


def joined(words: Iterable[object], separator: str = " ") -> str:
    """Return the words that are not empty, in one text."""
    texts = [as_text(word) for word in words]
    return separator.join(text for text in texts if text)


def counted(count: int, noun: str) -> str:
    """Return `1 message` or `10 messages`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}s"


def resource_of(arn: object) -> str:
    """Return the resource in an ARN, with its type (`rule/nightly`, `orders`).

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
    """
    parts = as_text(arn).split(":", 5)
    return parts[-1]


def name_of(arn: object) -> str:
    """Return the last name in an ARN (`nightly` of `…:rule/nightly`, `orders` of `…:orders`)."""
    return re.split(r"[:/]", as_text(arn))[-1]


def folded(value: Json) -> str:
    """Return the shape of a JSON value without its data: `{orderId, items, …}`, `[3 items]`."""
    if isinstance(value, list):
        return f"[{counted(len(value), 'item')}]"
    if not isinstance(value, dict):
        return ""
    names = [name for name in value if _NAME.match(name)]
    shown = names[:_SHOWN_NAMES]
    if len(shown) < len(value):
        shown.append("…")
    return f"{{{', '.join(shown)}}}"

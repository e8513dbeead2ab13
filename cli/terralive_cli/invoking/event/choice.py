"""The event of an invocation, as the user gives it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_stub.protocol.limits import ASYNCHRONOUS_PAYLOAD_BYTES, SYNCHRONOUS_PAYLOAD_BYTES
from terralive_stub.shared.json_documents import Json

# The number of an item of a list. No list in an event has more items.
_ITEM: Final = re.compile(r"[0-9]{1,9}")
_MEGABYTE: Final = 1024 * 1024
_LAST: Final = "last"
# The body of a message or a request is a text, also where it is JSON.
_BODY: Final = "body"
# The first group of a UUID has 8 digits.
_SHORTEST_ID: Final = 8
_HEX_DIGITS: Final = frozenset("0123456789abcdefABCDEF")


class Source(Enum):
    """Origin of an event."""

    EMPTY = auto()
    STANDARD_INPUT = auto()
    FILE = auto()
    TEMPLATE = auto()
    LAST = auto()
    REQUEST = auto()


@dataclass(frozen=True, slots=True)
class EventChoice:
    """The event that the user has chosen.

    Attributes:
        source: where it comes from.
        name: the file, the template or the request id; "" for the others.
    """

    source: Source
    name: str = ""


def chosen(given: str, *, is_file: bool) -> EventChoice:
    """Return the event that `--event` names.

    Args:
        given: the option's value; "" where it was not given.
        is_file: whether there is a file of this name.
    """
    if not given:
        return EventChoice(Source.EMPTY)
    if given == "-":
        return EventChoice(Source.STANDARD_INPUT)
    if given.startswith("@"):
        name = given.removeprefix("@")
        if name == _LAST:
            return EventChoice(Source.LAST)
        return EventChoice(Source.TEMPLATE, name)
    if not is_file and _is_request_id(given):
        return EventChoice(Source.REQUEST, given)
    return EventChoice(Source.FILE, given)


def checked(content: bytes, where: str, *, asynchronous: bool) -> bytes:
    """Return an event as Lambda takes it: JSON in UTF-8, and not too large.

    https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html

    Args:
        content: the event's bytes.
        where: where it comes from, for a person.
        asynchronous: whether it is for an asynchronous invocation, which takes less.

    Raises:
        ConfigurationError: `event-not-json`, `event-too-large`.
    """
    try:
        # Editors on Windows write a byte order mark, which Lambda does not take.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            "event-not-json",
            f"The event ({where}) is not UTF-8 text: byte {error.start} is invalid.",
            hint="Lambda takes events in JSON only. Put binary data into a text in it, in Base64.",
        ) from None
    if not text.strip():
        raise ConfigurationError(
            "event-not-json", f"The event ({where}) is empty.", hint="An empty event is {}."
        )
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            "event-not-json",
            f"The event ({where}) is not valid JSON: {error.msg}, in line {error.lineno}, "
            f"column {error.colno}.",
            hint="Correct it there. `terralive invoke FUNCTION --event @sqs --print-event` shows "
            "how an event looks.",
        ) from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            "event-not-json", f"The event ({where}) cannot be read as JSON: {error}."
        ) from None
    event = text.encode()
    _check_size(len(event), where, asynchronous=asynchronous)
    return event


def with_changes(event: Json, changes: Iterable[str]) -> Json:
    """Return an event with other values, each written as `PATH=VALUE`.

    A path has the names of fields and the numbers of items, with dots between them:
    `Records.0.body.id`. Where it goes on below a text that is JSON itself (the body of a message or
    request), it changes that JSON. A value that is not JSON is a text.

    Raises:
        ConfigurationError: `change-not-possible`.
    """
    for change in changes:
        path, equals, value = change.partition("=")
        if not equals or not path:
            raise ConfigurationError(
                "change-not-possible",
                f'--set "{change}" is not PATH=VALUE.',
                hint="Write PATH=VALUE, as in `--set Records.0.body.id=7`.",
            )
        event = _changed(event, path.split("."), _value(value), path)
    return event


def _changed(document: Json, path: list[str], value: Json, whole: str) -> Json:
    if not path:
        return value
    first, *rest = path
    if isinstance(document, dict):
        before = document.get(first)
        if first == _BODY and rest and not before:
            before = "{}"
        return {**document, first: _changed(before, rest, value, whole)}
    if isinstance(document, list) and _ITEM.fullmatch(first) and int(first) < len(document):
        items = list(document)
        items[int(first)] = _changed(items[int(first)], rest, value, whole)
        return items
    if isinstance(document, str):
        inner = _value(document)
        if isinstance(inner, dict | list):
            return json.dumps(_changed(inner, path, value, whole))
    if document is None:
        return {first: _changed(None, rest, value, whole)}
    raise ConfigurationError(
        "change-not-possible",
        f'--set {whole}: the event has nothing at "{first}" that could be changed.',
        hint="`--print-event` shows the event. Items of a list have numbers, beginning with 0.",
    )


def _value(text: str) -> Json:
    try:
        value: Json = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text
    return value


def _check_size(size: int, where: str, *, asynchronous: bool) -> None:
    most, kind = SYNCHRONOUS_PAYLOAD_BYTES, ""
    if asynchronous:
        most, kind = ASYNCHRONOUS_PAYLOAD_BYTES, " of an asynchronous invocation"
    if size <= most:
        return
    raise ConfigurationError(
        "event-too-large",
        f"The event ({where}) has {size:,} bytes. Lambda takes at most {most // _MEGABYTE} MB"
        f"{kind}.",
        hint="Put the data into a bucket, and its name into the event.",
    )


def _is_request_id(text: str) -> bool:
    """Tell whether a text looks like a request id: a UUID, or the beginning of one."""
    digits = text.replace("-", "")
    return len(digits) >= _SHORTEST_ID and _HEX_DIGITS.issuperset(digits)


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")

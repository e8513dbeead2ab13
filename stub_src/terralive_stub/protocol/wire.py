"""Wire protocol v1: the messages that stub, broker and relay exchange. No sockets, no clock, no threads.

A message is one JSON object in one WebSocket text message, with `v` (the protocol's version) and
`action` (its type); every other key is a field of the dataclass below. `decode` is the only way in:
it raises `ProtocolError` on anything malformed, and ignores keys it does not know so that a later
version can add some. `encode` is the only way out.

`peer` names a WebSocket connection id of API Gateway. The broker sets it when it passes a stub's
message on; a relay's answer carries it back. A stub's own `peer` is always overwritten, so it
cannot speak for another connection.

    stub  -> relay   Chunk(kind=INVOKE), Resume, Done, Missing
    relay -> stub    Ack, Chunk(kind=RESULT), Chunk(kind=LOGS), Missing, Unknown
    relay -> broker  Hello, Heartbeat, Goodbye
    broker -> relay  Welcome, LeaseRefused, TakenOver, Released, Undeliverable
    broker -> stub   NoRelay
    broker -> both   Problem
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import ClassVar, Final, TypeAlias

from terralive_stub.protocol.limits import MESSAGE_BYTES

VERSION: Final = 1
TEXT_CHARACTERS: Final = 4096
LIST_ITEMS: Final = 4096
NAME_CHARACTERS: Final = 256

Name: TypeAlias = str
"""What a machine made: an id of AWS's, a function's name, a word of this protocol's. Printable ASCII without spaces, at
most 256 characters: it goes into table keys, HTTP headers and log lines, and every answer that repeats it still fits.
"""


class ProtocolError(Exception):
    """A message that no speaker of this protocol sends. The session that got it stays usable."""


class GatewayError(ProtocolError):
    """API Gateway's own word that one of this connection's messages got lost; it does not say which.

    `{"message": "Internal server error", "connectionId": …, "requestId": …}` where the broker
    failed or was throttled.
    """


class Kind(StrEnum):
    """What a chunk is a part of."""

    INVOKE = "invoke"
    RESULT = "result"
    LOGS = "logs"  # what a handler has printed so far: always one part, never answered


@dataclass(frozen=True, slots=True)
class Hello:
    """A relay asks for the stage's lease. `relay` names one life of one relay process."""

    ACTION: ClassVar[str] = "hello"
    relay: Name
    functions: tuple[Name, ...]
    owner: str
    machine: str
    takeover: bool = False
    renewal: bool = False  # its old connection is alive, and it closes that one itself


@dataclass(frozen=True, slots=True)
class Welcome:
    """The lease is this relay's until `expires_ms` (broker's clock, ms since the epoch) unless it is renewed."""

    ACTION: ClassVar[str] = "welcome"
    relay: Name
    expires_ms: int
    heartbeat_ms: int


@dataclass(frozen=True, slots=True)
class LeaseRefused:
    """The lease is somebody else's."""

    ACTION: ClassVar[str] = "refused"
    owner: str
    machine: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class TakenOver:
    """The lease has moved to somebody who asked for it explicitly."""

    ACTION: ClassVar[str] = "taken-over"
    owner: str
    machine: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Renews the lease and keeps the connection from idling; answered by a Welcome."""

    ACTION: ClassVar[str] = "heartbeat"
    relay: Name


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The relay leaves.

    From now on stubs fail at once instead of waiting for it; answered by Released.
    """

    ACTION: ClassVar[str] = "goodbye"
    relay: Name


@dataclass(frozen=True, slots=True)
class Released:
    """The lease has been given back.

    Closing before that could make the relay look lost instead of gone.
    """

    ACTION: ClassVar[str] = "released"
    relay: Name


@dataclass(frozen=True, slots=True)
class Chunk:
    """One part of a payload.

    See `terralive_stub.protocol.chunks`. `size` is the whole encoded payload's length in bytes.
    """

    ACTION: ClassVar[str] = "chunk"
    kind: Kind
    request_id: Name
    function: Name
    part: int
    parts: int
    size: int
    encoding: Name
    data: bytes = field(repr=False)
    peer: Name = ""


@dataclass(frozen=True, slots=True)
class Ack:
    """The invocation is fully received and owned by this relay, which is running it."""

    ACTION: ClassVar[str] = "ack"
    request_id: Name
    function: Name
    peer: Name = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """Some parts of a payload have not come; please send them again. No parts: please wait, there is no room yet.

    Each part is named once: it may be 96,000 bytes.
    """

    ACTION: ClassVar[str] = "missing"
    kind: Kind
    request_id: Name
    function: Name
    parts: tuple[int, ...]
    peer: Name = ""


@dataclass(frozen=True, slots=True)
class Resume:
    """A stub asks how an acknowledged invocation stands.

    Answered by Ack, by the result, or by Unknown.
    """

    ACTION: ClassVar[str] = "resume"
    request_id: Name
    function: Name
    peer: Name = ""


@dataclass(frozen=True, slots=True)
class Done:
    """The result has arrived."""

    ACTION: ClassVar[str] = "done"
    request_id: Name
    function: Name
    peer: Name = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """This relay has never owned that invocation (it was restarted since)."""

    ACTION: ClassVar[str] = "unknown"
    request_id: Name
    function: Name
    peer: Name = ""


@dataclass(frozen=True, slots=True)
class NoRelay:
    """Nobody can take the invocation.

    `owner` and `machine` say who was connected last, from `since_ms` until `until_ms`; empty and 0
    if nobody ever was. `retry_ms` > 0: the relay lost its connection a moment ago and may be back,
    so ask again after that time.
    """

    ACTION: ClassVar[str] = "no-relay"
    request_id: Name
    owner: str
    machine: str
    since_ms: int
    until_ms: int
    retry_ms: int
    reason: Name


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """A relay's answer found the stub's connection gone; the stub will come back and ask."""

    ACTION: ClassVar[str] = "undeliverable"
    request_id: Name
    peer: Name


@dataclass(frozen=True, slots=True)
class Problem:
    """The broker refuses a message; `reference` is kebab-case as in every terralive error."""

    ACTION: ClassVar[str] = "problem"
    reference: Name
    message: str
    request_id: Name = ""


Message: TypeAlias = (
    Hello
    | Welcome
    | LeaseRefused
    | TakenOver
    | Heartbeat
    | Goodbye
    | Released
    | Chunk
    | Ack
    | Missing
    | Resume
    | Done
    | Unknown
    | NoRelay
    | Undeliverable
    | Problem
)

_TYPES: Final[dict[str, type[Message]]] = {
    kind.ACTION: kind
    for kind in (
        Hello,
        Welcome,
        LeaseRefused,
        TakenOver,
        Heartbeat,
        Goodbye,
        Released,
        Chunk,
        Ack,
        Missing,
        Resume,
        Done,
        Unknown,
        NoRelay,
        Undeliverable,
        Problem,
    )
}

_NAME: Final = re.compile("[!-~]*")


def encode(message: Message) -> str:
    """Give the message's JSON text, at most 128 KB long.

    Raises:
        ProtocolError: the message would be larger than API Gateway lets through.
    """
    document: dict[str, object] = {"v": VERSION, "action": message.ACTION}
    for item in fields(message):
        value = getattr(message, item.name)
        document[item.name] = (
            base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value
        )
    text = json.dumps(document, separators=(",", ":"))
    if (
        len(text) > MESSAGE_BYTES
    ):  # json.dumps escapes everything that is not ASCII: characters are bytes
        raise ProtocolError(
            f"{message.ACTION}: {len(text)} bytes, but a WebSocket message holds {MESSAGE_BYTES}"
        )
    return text


def decode(text: str) -> Message:
    """Read one message.

    Raises:
        GatewayError: it is API Gateway's own error.
        ProtocolError: not JSON, not an object, another version, an unknown action, a missing or
            ill-typed field.
    """
    if len(text) > MESSAGE_BYTES:
        raise ProtocolError(
            f"a message of {len(text)} characters; API Gateway lets {MESSAGE_BYTES} bytes through"
        )
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ProtocolError("not a JSON object")
    if (
        "v" not in document
        and isinstance(document.get("message"), str)
        and "connectionId" in document
    ):
        raise GatewayError(f"API Gateway: {document['message']!r:.80}")
    version = document.get("v")
    if type(version) is not int or version != VERSION:
        found = (
            repr(version)[:40] if isinstance(version, int | str | None) else type(version).__name__
        )
        raise ProtocolError(f"protocol version {found}, but this is version {VERSION}")
    action = document.get("action")
    kind = _TYPES.get(action) if isinstance(action, str) else None
    if kind is None:
        found = repr(action)[:60] if isinstance(action, str) else type(action).__name__
        raise ProtocolError(f"unknown action {found}")
    values: dict[str, object] = {}
    for item in fields(kind):
        if item.name in document:
            values[item.name] = _READERS[str(item.type)](
                document[item.name], f"{action}.{item.name}"
            )
        elif item.default is MISSING:
            raise ProtocolError(f"{action}.{item.name} is missing")
    return kind(**values)  # type: ignore[arg-type]  # each value was read by its field's own type


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or len(value) > TEXT_CHARACTERS:
        raise ProtocolError(f"{where} must be a text of at most {TEXT_CHARACTERS} characters")
    if any(
        "\ud800" <= character <= "\udfff" for character in value
    ):  # no UTF-8, so nothing could pass it on
        raise ProtocolError(f"{where} has half a surrogate pair")
    return value


def _name(value: object, where: str) -> Name:
    if not isinstance(value, str) or len(value) > NAME_CHARACTERS or not _NAME.fullmatch(value):
        raise ProtocolError(
            f"{where} must be a name of at most {NAME_CHARACTERS} printable ASCII characters"
        )
    return value


def _number(value: object, where: str) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ProtocolError(f"{where} must be a whole number from 0 to 2^53")
    return value


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise ProtocolError(f"{where} must be true or false")
    return value


def _bytes(value: object, where: str) -> bytes:
    if not isinstance(value, str):
        raise ProtocolError(f"{where} must be base64 text")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError(f"{where} is not base64") from None


def _items(value: object, where: str) -> list[object]:
    if not isinstance(value, list) or len(value) > LIST_ITEMS:
        raise ProtocolError(f"{where} must be a list of at most {LIST_ITEMS} items")
    return value


def _kind(value: object, where: str) -> Kind:
    try:
        return Kind(_text(value, where))
    except ValueError:
        raise ProtocolError(f"{where} must be one of {', '.join(Kind)}") from None


def _numbers(value: object, where: str) -> tuple[int, ...]:
    numbers = tuple(_number(item, where) for item in _items(value, where))
    if len(set(numbers)) < len(numbers):
        raise ProtocolError(f"{where} names a number twice")
    return numbers


_READERS: Final[dict[str, Callable[[object, str], object]]] = {
    "str": _text,
    "Name": _name,
    "int": _number,
    "bool": _flag,
    "bytes": _bytes,
    "Kind": _kind,
    "tuple[Name, ...]": lambda value, where: tuple(
        _name(item, where) for item in _items(value, where)
    ),
    "tuple[int, ...]": _numbers,
}

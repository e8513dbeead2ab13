"""The wire protocol, version 1: JSON text messages through API Gateway. Pure: no I/O, no clock.

A message is an object with `v`, `action` and the fields of one of the dataclasses below. `decode`
is the only way to read one: it raises `ProtocolError` for a malformed message, and ignores unknown
keys so that a later version can add some. `encode` is the only way to write one.

`peer` is the id of a stub's WebSocket connection at API Gateway. The broker sets it when it passes
a stub's message on, and a relay's answer returns it. The broker overwrites a stub's own `peer`, so
a stub cannot speak for another connection.

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
# Limits of this protocol, so that a peer cannot make a message's fields arbitrarily large.
TEXT_CHARACTERS: Final = 4096
LIST_ITEMS: Final = 4096
NAME_CHARACTERS: Final = 256
# Characters of a peer's value that an error message repeats.
_SHOWN_VERSION: Final = 40
_SHOWN_ACTION: Final = 60

Name: TypeAlias = str
"""An identifier: an id that AWS made, a function's name, or a word of this protocol.

Printable ASCII without spaces, at most 256 characters. It is used in table keys, HTTP headers and
log lines, and a message that repeats it must not exceed API Gateway's limit.
"""


class ProtocolError(Exception):
    """A message that violates the protocol. The session that received it stays usable."""


class GatewayError(ProtocolError):
    """API Gateway's own error: it lost one of this connection's messages, without saying which one.

    `{"message": "Internal server error", "connectionId": …, "requestId": …}` if the broker failed
    or was throttled.
    """


class Kind(StrEnum):
    """The payload that a chunk is a part of."""

    INVOKE = "invoke"
    RESULT = "result"
    LOGS = "logs"  # a running handler's output: always one part, and never acknowledged


@dataclass(frozen=True, slots=True)
class Hello:
    """A relay asks for the stage's lease.

    Attributes:
        relay: a random id of one run of a relay process.
        functions: the names of the functions that it serves.
        owner: the person's name.
        machine: the machine's name.
        takeover: the person asks to take the lease from another person.
        renewal: the relay's old connection is alive, and the relay closes it itself.
    """

    ACTION: ClassVar[str] = "hello"
    relay: Name
    functions: tuple[Name, ...]
    owner: str
    machine: str
    takeover: bool = False
    renewal: bool = False


@dataclass(frozen=True, slots=True)
class Welcome:
    """The relay holds the lease.

    Attributes:
        relay: the relay's id, as in `Hello`.
        expires_ms: when the lease ends unless it is renewed, in milliseconds since the Unix epoch
            on the broker's clock.
        heartbeat_ms: the interval at which the relay must renew it, in milliseconds.
    """

    ACTION: ClassVar[str] = "welcome"
    relay: Name
    expires_ms: int
    heartbeat_ms: int


@dataclass(frozen=True, slots=True)
class LeaseRefused:
    """Another relay holds the lease, since `since_ms` (milliseconds since the Unix epoch)."""

    ACTION: ClassVar[str] = "refused"
    owner: str
    machine: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class TakenOver:
    """Another person has taken the lease over, by an explicit request."""

    ACTION: ClassVar[str] = "taken-over"
    owner: str
    machine: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Renews the lease and keeps the connection from being idle. The answer is a Welcome."""

    ACTION: ClassVar[str] = "heartbeat"
    relay: Name


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The relay stops: from now on stubs fail at once instead of waiting for it.

    The answer is Released.
    """

    ACTION: ClassVar[str] = "goodbye"
    relay: Name


@dataclass(frozen=True, slots=True)
class Released:
    """The lease has been given back, and the relay can close its connection.

    If it closed the connection earlier, the broker could count the relay as lost.
    """

    ACTION: ClassVar[str] = "released"
    relay: Name


@dataclass(frozen=True, slots=True)
class Chunk:
    """One part of a payload. See `terralive_stub.protocol.chunks`.

    Attributes:
        kind: the payload's kind.
        request_id: the invocation's AWS request id.
        function: the function's name.
        part: the part's number, from 0.
        parts: the number of parts.
        size: the length of the whole encoded payload, in bytes.
        encoding: how the payload is encoded.
        data: this part of the encoded payload.
        peer: the stub's connection; see the module's docstring.
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
    """The relay has received the whole invocation, owns it and is running it."""

    ACTION: ClassVar[str] = "ack"
    request_id: Name
    function: Name
    peer: Name = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """Some parts of a payload have not arrived and must be sent again.

    Without parts, the sender must wait: the receiver has no memory for the payload yet. No part is
    named twice, because each may have 96,000 bytes.
    """

    ACTION: ClassVar[str] = "missing"
    kind: Kind
    request_id: Name
    function: Name
    parts: tuple[int, ...]
    peer: Name = ""


@dataclass(frozen=True, slots=True)
class Resume:
    """A stub asks for the state of an acknowledged invocation.

    The answer is Ack (it is running), its result, or Unknown.
    """

    ACTION: ClassVar[str] = "resume"
    request_id: Name
    function: Name
    peer: Name = ""


@dataclass(frozen=True, slots=True)
class Done:
    """The stub has received the result."""

    ACTION: ClassVar[str] = "done"
    request_id: Name
    function: Name
    peer: Name = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """This relay has never owned that invocation; it was restarted since."""

    ACTION: ClassVar[str] = "unknown"
    request_id: Name
    function: Name
    peer: Name = ""


@dataclass(frozen=True, slots=True)
class NoRelay:
    """No relay can take the invocation.

    Attributes:
        request_id: the invocation's AWS request id.
        owner: the person whose relay was connected last; "" if there has been none.
        machine: that relay's machine.
        since_ms: when it connected, in milliseconds since the Unix epoch; 0 if there has been none.
        until_ms: when it left.
        retry_ms: if not 0, the relay lost its connection a moment ago and may return: the stub asks
            again after this time.
        reason: why, in a word of this protocol.
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
    """The stub's connection was gone when a relay's answer came; the stub reconnects and asks."""

    ACTION: ClassVar[str] = "undeliverable"
    request_id: Name
    peer: Name


@dataclass(frozen=True, slots=True)
class Problem:
    """The broker refuses a message. `reference` is kebab-case, as in every terralive error."""

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
    """Return the message's JSON text, at most 128 KB long.

    Raises:
        ProtocolError: the message would be larger than API Gateway accepts.
    """
    document: dict[str, object] = {"v": VERSION, "action": message.ACTION}
    for item in fields(message):
        value = getattr(message, item.name)
        if isinstance(value, bytes):
            value = base64.b64encode(value).decode("ascii")
        document[item.name] = value
    # json.dumps escapes all characters beyond ASCII, so characters are bytes.
    text = json.dumps(document, separators=(",", ":"))
    if len(text) > MESSAGE_BYTES:
        raise ProtocolError(
            f"{message.ACTION}: {len(text)} bytes, but a WebSocket message holds {MESSAGE_BYTES}"
        )
    return text


def decode(text: str) -> Message:
    """Read one message.

    Raises:
        GatewayError: it is API Gateway's own error.
        ProtocolError: not JSON, not an object, another version, an unknown action, or a field that
            is missing or has the wrong type.
    """
    document = _parse(text)
    _check_gateway_error(document)
    _check_version(document)
    kind = _message_type(document)
    values: dict[str, object] = {}
    for item in fields(kind):
        where = f"{kind.ACTION}.{item.name}"
        if item.name in document:
            read = _READERS[str(item.type)]
            values[item.name] = read(document[item.name], where)
        elif item.default is MISSING:
            raise ProtocolError(f"{where} is missing")
    return kind(**values)  # type: ignore[arg-type]  # each value was read by its field's own type


def _parse(text: str) -> dict[str, object]:
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
    return document


def _check_gateway_error(document: dict[str, object]) -> None:
    message = document.get("message")
    if "v" not in document and isinstance(message, str) and "connectionId" in document:
        raise GatewayError(f"API Gateway: {message!r:.80}")


def _check_version(document: dict[str, object]) -> None:
    version = document.get("v")
    if type(version) is int and version == VERSION:  # True is an int, but no version
        return
    found = type(version).__name__
    if isinstance(version, int | str | None):
        found = repr(version)[:_SHOWN_VERSION]
    raise ProtocolError(f"protocol version {found}, but this is version {VERSION}")


def _message_type(document: dict[str, object]) -> type[Message]:
    action = document.get("action")
    if not isinstance(action, str):
        raise ProtocolError(f"unknown action {type(action).__name__}")
    kind = _TYPES.get(action)
    if kind is None:
        raise ProtocolError(f"unknown action {repr(action)[:_SHOWN_ACTION]}")
    return kind


# Readers of the fields' types: each returns the value, or raises ProtocolError


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or len(value) > TEXT_CHARACTERS:
        raise ProtocolError(f"{where} must be a text of at most {TEXT_CHARACTERS} characters")
    # Half a surrogate pair has no UTF-8 form, so the text could not be passed on.
    if any("\ud800" <= character <= "\udfff" for character in value):
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


def _names(value: object, where: str) -> tuple[Name, ...]:
    return tuple(_name(item, where) for item in _items(value, where))


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
    "tuple[Name, ...]": _names,
    "tuple[int, ...]": _numbers,
}

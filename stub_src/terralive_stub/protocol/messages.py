"""The messages of the wire protocol, version 2, as values. `wire.py` reads and writes them.

`function` is a function's ARN without a qualifier: names repeat in other regions and accounts.

`attempt` names one attempt of an invocation: a random id that the stub makes for each `next` of the
Runtime API. A retry of Lambda's has the same request id and is another attempt. A repetition by the
stub is the same attempt. It is "" in messages of a stub or broker of a former terralive: then the
request id serves as the attempt.

`peer` is the id of a stub's WebSocket connection at API Gateway. The broker sets it when it passes
a stub's message on, and a relay's answer returns it. The broker overwrites a stub's own `peer`, so
a stub cannot speak for another connection.

    stub  -> relay   Chunk(kind=INVOKE), Resume, Consumed, Done, Missing
    stub  -> broker  FellBack
    relay -> stub    Ack, Chunk(kind=RESULT), Chunk(kind=LOGS), Piece, Missing,
                     EnvironmentMissing, Unknown
    relay -> broker  Hello, Heartbeat, Goodbye
    broker -> relay  Welcome, FallbackCount, LeaseRefused, TakenOver, Released, Undeliverable
    broker -> stub   NoRelay
    broker -> both   Problem
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, TypeAlias

Name: TypeAlias = str
"""An identifier: an id that AWS made, a function's ARN, or a word of this protocol.

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
        functions: the ARNs of the functions that it serves.
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
        streams: whether this broker passes `Piece` and `Consumed` on.
    """

    ACTION: ClassVar[str] = "welcome"
    relay: Name
    expires_ms: int
    heartbeat_ms: int
    streams: bool = False


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
        function: the function's ARN.
        part: the part's number, from 0.
        parts: the number of parts.
        size: the length of the whole encoded payload, in bytes.
        encoding: how the payload is encoded.
        data: this part of the encoded payload.
        peer: the stub's connection; see the module's docstring.
        attempt: the attempt; see the module's docstring.
        sent_ms: when the stub has offered the invocation by this chunk, in milliseconds since the
            Unix epoch on Lambda's clock. Chunks of one offer have the same. 0 for other kinds, and
            from a stub that knows no fallback.
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
    attempt: Name = ""
    sent_ms: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a response that is sent while the handler writes it.

    Attributes:
        relay: the relay's id, as in `Hello`: another relay's handler writes another stream.
        content_type: the response's content type, in each piece.
        offset: the number of the response's bytes before this piece.
        data: the bytes.
    """

    ACTION: ClassVar[str] = "piece"
    request_id: Name
    function: Name
    relay: Name
    content_type: str
    offset: int
    data: bytes = field(repr=False)
    peer: Name = ""
    attempt: Name = ""


@dataclass(frozen=True, slots=True)
class Consumed:
    """The stub has given the first `offset` bytes of a streamed response to Lambda."""

    ACTION: ClassVar[str] = "consumed"
    request_id: Name
    function: Name
    offset: int
    peer: Name = ""
    attempt: Name = ""


@dataclass(frozen=True, slots=True)
class Ack:
    """The relay has received the whole invocation, owns it and is running it."""

    ACTION: ClassVar[str] = "ack"
    request_id: Name
    function: Name
    peer: Name = ""
    attempt: Name = ""


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
    attempt: Name = ""


@dataclass(frozen=True, slots=True)
class EnvironmentMissing:
    """The relay does not know the environment that an invocation names by its digest.

    The stub sends the invocation again, with its environment.
    """

    ACTION: ClassVar[str] = "environment-missing"
    request_id: Name
    function: Name
    peer: Name = ""
    attempt: Name = ""


@dataclass(frozen=True, slots=True)
class Resume:
    """A stub asks for the state of an acknowledged invocation.

    The answer is Ack (it is running), its result, or Unknown. The pieces of a streamed response
    from `offset` on come, too. `relay` is the relay that sent those before; "" for none.
    """

    ACTION: ClassVar[str] = "resume"
    request_id: Name
    function: Name
    peer: Name = ""
    attempt: Name = ""
    offset: int = 0
    relay: Name = ""


@dataclass(frozen=True, slots=True)
class Done:
    """The stub has received the result."""

    ACTION: ClassVar[str] = "done"
    request_id: Name
    function: Name
    peer: Name = ""
    attempt: Name = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """This relay does not know that attempt, because it was restarted since, or not any more."""

    ACTION: ClassVar[str] = "unknown"
    request_id: Name
    function: Name
    peer: Name = ""
    attempt: Name = ""


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
        attempt: the attempt; see the module's docstring.
        sent_ms: the `sent_ms` of the chunk that could not be delivered; 0 for another message.
        vacant_ms: for how long no relay can have received an invocation of this function.
        fallbacks: the version that may answer, by the alias that was invoked; "" stands for the
            function without a qualifier. Empty where the function has no fallback.
    """

    ACTION: ClassVar[str] = "no-relay"
    request_id: Name
    owner: str
    machine: str
    since_ms: int
    until_ms: int
    retry_ms: int
    reason: Name
    attempt: Name = ""
    sent_ms: int = 0
    vacant_ms: int = 0
    fallbacks: Mapping[Name, Name] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FellBack:
    """The fallback has answered an invocation; `ok` is false for an error of its handler."""

    ACTION: ClassVar[str] = "fell-back"
    request_id: Name
    function: Name
    ok: bool
    attempt: Name = ""


@dataclass(frozen=True, slots=True)
class FallbackCount:
    """The number of a function's invocations that its fallback has answered, for the next relay.

    Attributes:
        function: the function's ARN.
        answered: the number, with those that ended in an error of the handler.
        failed: the number of those that ended in an error of the handler.
        since_ms: when the first of them was counted, in milliseconds since the Unix epoch.
    """

    ACTION: ClassVar[str] = "fallback-count"
    function: Name
    answered: int
    failed: int
    since_ms: int


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """The stub's connection was gone when a relay's answer came; the stub reconnects and asks."""

    ACTION: ClassVar[str] = "undeliverable"
    request_id: Name
    peer: Name
    attempt: Name = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """The broker refuses a message. `reference` is kebab-case, as in every terralive error."""

    ACTION: ClassVar[str] = "problem"
    reference: Name
    message: str
    request_id: Name = ""
    attempt: Name = ""


Message: TypeAlias = (
    Hello
    | Welcome
    | LeaseRefused
    | TakenOver
    | Heartbeat
    | Goodbye
    | Released
    | Chunk
    | Piece
    | Consumed
    | Ack
    | Missing
    | EnvironmentMissing
    | Resume
    | Done
    | Unknown
    | NoRelay
    | FellBack
    | FallbackCount
    | Undeliverable
    | Problem
)

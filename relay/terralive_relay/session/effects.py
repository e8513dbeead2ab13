"""Effects: what the relay's session asks of its shell. `relay.py` carries them out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from terralive_relay.events import RelayEvent
from terralive_relay.session.journal import Seen
from terralive_stub.protocol.invocation import Invocation
from terralive_stub.protocol.messages import Message


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message over one connection."""

    connection: int
    message: Message


@dataclass(frozen=True, slots=True)
class Run:
    """Run an invocation's handler; its end goes to `Invocations.finished`.

    Attributes:
        invocation: the invocation.
        replaces: running attempts that have to be ended before the handler begins.
    """

    invocation: Invocation
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LetWrite:
    """Let a worker write more of a streamed response: the stub has consumed so many bytes.

    Attributes:
        attempt: the attempt.
        consumed: the number of bytes; None if the caller is gone.
    """

    attempt: str
    consumed: int | None


@dataclass(frozen=True, slots=True)
class Remember:
    """Write a request id to the journal, which outlives this process."""

    request_id: str
    seen: Seen


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish an event."""

    event: RelayEvent


@dataclass(frozen=True, slots=True)
class Renew:
    """Open a connection beside the present one."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close a connection. If it was the only one, the transport opens another.

    Attributes:
        connection: its number.
        why: the reason, in words for a user.
    """

    connection: int
    why: str


class StopReason(Enum):
    """The reason for which a relay stops by itself."""

    HELD = auto()  # another relay held the stage when this one came
    TAKEN_OVER = auto()  # another relay has taken the stage over


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the relay: another relay holds the stage.

    Attributes:
        reason: see `StopReason`.
        owner: the person whose relay it is.
        machine: the machine on which it runs.
        since_ms: the time since when, in milliseconds since the Unix epoch; 0 if it is not known.
    """

    reason: StopReason
    owner: str
    machine: str
    since_ms: int = 0


Effect: TypeAlias = Send | Run | LetWrite | Remember | Publish | Renew | Close | Stop

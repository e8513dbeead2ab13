"""What the relay's session asks of its shell: values, done by `relay.py`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from terralive_relay.connection.journal import Seen
from terralive_relay.events import RelayEvent
from terralive_stub.protocol.invocation import Invocation
from terralive_stub.protocol.wire import Message


@dataclass(frozen=True, slots=True)
class Send:
    connection: int
    message: Message


@dataclass(frozen=True, slots=True)
class Run:
    invocation: Invocation


@dataclass(frozen=True, slots=True)
class Note:
    """Remember a request id beyond this life."""

    request_id: str
    seen: Seen


@dataclass(frozen=True, slots=True)
class Tell:
    event: RelayEvent


@dataclass(frozen=True, slots=True)
class Renew:
    """Open a connection beside the present one."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close a connection. Where it was the only one, the transport opens another."""

    connection: int
    why: str


class StopReason(Enum):
    """Why a relay stops by itself."""

    HELD = auto()
    TAKEN_OVER = auto()


@dataclass(frozen=True, slots=True)
class Stop:
    """The stage is somebody else's: `owner` on `machine`, since `since_ms` (0: not known)."""

    reason: StopReason
    owner: str
    machine: str
    since_ms: int = 0


Effect: TypeAlias = Send | Run | Note | Tell | Renew | Close | Stop

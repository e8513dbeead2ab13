"""Events that a transport (of the stub or of the relay) reports about its WebSocket connections.

A transport numbers its connections, so an event of an older connection can be recognised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection is open: messages can be sent."""

    connection: int


@dataclass(frozen=True, slots=True)
class TextReceived:
    """A text message arrived."""

    connection: int
    text: str


@dataclass(frozen=True, slots=True)
class Closed:
    """A connection ended, or could not be opened.

    Attributes:
        connection: its number.
        reason: why, in words for a user.
        retry_in_s: seconds until the transport's next attempt; None if it makes none by itself.
        refused_with: the HTTP status with which the caller was refused: 401 (its token) or 403 (its
            permissions); 0 for every other end.
    """

    connection: int
    reason: str
    retry_in_s: float | None = None
    refused_with: int = 0


TransportEvent: TypeAlias = Opened | TextReceived | Closed

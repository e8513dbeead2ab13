"""Effects: what a stub's session asks its shell to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from terralive_stub.protocol.invocation import Outcome
from terralive_stub.protocol.messages import Message


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a connection, and close what is left of an old one.

    The shell reports `connected`, `connection_lost` or `handshake_refused`.
    """


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message on the connection."""

    message: Message


@dataclass(frozen=True, slots=True)
class Show:
    """Print a text, for Lambda's log."""

    text: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The invocation has ended: pass the outcome on to Lambda."""

    outcome: Outcome


Effect: TypeAlias = Connect | Send | Show | Finish

"""Effects: what a stub's session asks its shell to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome
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
class Write:
    """Give bytes of a streamed response to Lambda, which may block.

    The shell reports `wrote`.
    """

    content_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Invoke:
    """Invoke a version of the function with the present invocation's payload.

    The shell reports `fallback_ended`, at `until` at the latest.
    """

    invocation: Invocation
    version: str
    until: Deadline


@dataclass(frozen=True, slots=True)
class Show:
    """Print a text, for Lambda's log."""

    text: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The invocation has ended: pass the outcome on to Lambda.

    If it is `streamed`, all its bytes were in the effects `Write` before.
    """

    outcome: Outcome


Effect: TypeAlias = Connect | Send | Write | Invoke | Show | Finish


def shown(text: str) -> list[Effect]:
    """Return the effect that prints a text; none for no text."""
    if not text:
        return []
    return [Show(text)]

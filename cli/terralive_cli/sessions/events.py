"""The event for a session of `terralive start` in another process."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from terralive_cli.sessions.record import Session
from terralive_relay.events import Event
from terralive_stub.shared.timestamps import format_datetime


class SessionState(StrEnum):
    """State of a session."""

    RUNNING = "running"
    ENDED = "ended"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class SessionReported(Event):
    """The session of `terralive start` for this project and stage on this machine.

    Attributes:
        stage: name of the stage.
        state: `running`, `ended`, or `none` where none has run.
        message: a sentence for the terminal.
        pid: its process id.
        since: time at which it began, in RFC 3339 format (UTC).
        detached: true if it runs in the background.
        live: true if its functions have become live.
    """

    type = "session"
    stage: str
    state: SessionState
    message: str
    pid: int | None = None
    since: str | None = None
    detached: bool = False
    live: bool = False

    @classmethod
    def of(cls, session: Session, state: SessionState, message: str) -> SessionReported:
        """Return the event of a session."""
        return cls(
            stage=session.stage,
            state=state,
            message=message,
            pid=session.pid,
            since=format_datetime(session.since),
            detached=session.is_detached,
            live=session.is_live,
        )

"""What the relay tells the world: frozen events, published to a sink that must never block.

The command line turns them into the terminal's text and into `--output json`; the field names are
those of the JSON events wherever both exist. Nothing here ever carries a credential or an
environment variable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class ConnectionState(StrEnum):
    """Where the relay stands with its debug stack."""

    CONNECTED = "connected"
    LOST = "lost"
    REFUSED = "refused"
    TAKEN_OVER = "taken-over"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class ConnectionChanged:
    state: ConnectionState
    reason: str = ""
    retry_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class InvocationStarted:
    """`trigger`: a guess from the event's shape (`http`, `sns`, `sqs`, …, `invoke`); `summary`: a few words of it.

    `attempt`: the how-manieth try it is, as far as is known; `age_s`: seconds since it was first
        sent (0: not known).
    """

    request_id: str
    function: str
    trigger: str
    summary: str = ""
    attempt: int = 1
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a worker's stdout or stderr, without its newline.

    `request_id` is "" outside an invocation.
    """

    request_id: str
    function: str
    line: str
    stream: str = "stdout"


@dataclass(frozen=True, slots=True)
class InvocationFinished:
    """`error_message` and `stack` are the handler's own, for the terminal; empty for a success.

    `waited_ms`: until a worker took it, apart from `handler_ms`.
    """

    request_id: str
    function: str
    ok: bool
    error_type: str
    handler_ms: float
    error_message: str = ""
    stack: tuple[str, ...] = ()
    waited_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A file changed.

    The function's next invocation runs the new code. Paths are relative to the code root.
    """

    function: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user should know that stops nothing."""

    reference: str
    message: str
    function: str = ""


RelayEvent = (
    ConnectionChanged | InvocationStarted | LogLine | InvocationFinished | Reloaded | Warned
)
Sink = Callable[[RelayEvent], None]

"""The counts of a session that the footer shows. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from terralive_cli.output.events import Ready
from terralive_cli.output.stream.names import FunctionNames
from terralive_relay.events import (
    ConnectionChanged,
    ConnectionState,
    Event,
    FallbackAnswered,
    InvocationFinished,
    InvocationStarted,
)


@dataclass(frozen=True, slots=True)
class Slowest:
    """The invocation whose handler has run longest.

    Attributes:
        function: name of its function, without the start that all live functions share.
        handler_ms: run time of its handler.
    """

    function: str
    handler_ms: float


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of a session at one moment.

    Attributes:
        is_connected: whether the relay is connected.
        lost_at: time at which the connection was lost (UTC); None while there is none to regain.
        is_retrying: whether the relay connects again by itself.
        running: invocations that have begun and have not ended, with those that wait for a worker.
        waiting: invocations that no worker has taken yet.
        answered: invocations that have ended with a result.
        failed: invocations that have ended with an error.
        by_fallback: invocations that the deployed code has answered.
        slowest: the slowest one; None before the first has ended.
    """

    is_connected: bool = False
    lost_at: datetime | None = None
    is_retrying: bool = False
    running: int = 0
    waiting: int = 0
    answered: int = 0
    failed: int = 0
    by_fallback: int = 0
    slowest: Slowest | None = None


class Tally:
    """Counts the events of a session. One thread uses it."""

    def __init__(self) -> None:
        # The last event about the connection; None before the first.
        self._connection: ConnectionChanged | None = None
        # The time at which the connection was lost; None while there is one.
        self._lost_at: datetime | None = None
        # Request ids of the invocations that run.
        self._running: set[str] = set()
        self._answered = 0
        self._failed = 0
        self._by_fallback = 0
        self._slowest: Slowest | None = None
        # The names of the live functions.
        self._names = FunctionNames()

    def take(self, event: Event) -> None:
        """Count an event."""
        match event:
            case InvocationStarted():
                self._running.add(event.request_id)
            case InvocationFinished():
                self._finished(event)
            case ConnectionChanged():
                self._changed(event)
            case FallbackAnswered():
                self._by_fallback += event.answered
            case Ready():
                self._names = FunctionNames([function.name for function in event.functions])
            case _:
                pass

    def counts(self, waiting: int = 0) -> Counts:
        """Return the counts of this moment.

        Args:
            waiting: invocations that no worker has taken yet, which no event tells.
        """
        last = self._connection
        return Counts(
            is_connected=last is not None and last.state is ConnectionState.CONNECTED,
            lost_at=self._lost_at,
            is_retrying=last is not None and last.retry_in_s is not None,
            running=len(self._running),
            waiting=waiting,
            answered=self._answered,
            failed=self._failed,
            by_fallback=self._by_fallback,
            slowest=self._slowest,
        )

    def _finished(self, event: InvocationFinished) -> None:
        self._running.discard(event.request_id)
        if event.ok:
            self._answered += 1
        else:
            self._failed += 1
        if self._slowest is None or event.handler_ms > self._slowest.handler_ms:
            self._slowest = Slowest(self._names.label(event.function), event.handler_ms)

    def _changed(self, event: ConnectionChanged) -> None:
        self._connection = event
        if event.state is ConnectionState.CONNECTED:
            self._lost_at = None
        elif self._lost_at is None:
            self._lost_at = event.at

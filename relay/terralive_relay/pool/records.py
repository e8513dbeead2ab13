"""The pool's records: a pending invocation, a worker with its states, an invocation's result."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from terralive_relay.streaming.response import OutgoingResponse
from terralive_stub.protocol.deadline import NEVER, Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_workers import outcomes
from terralive_workers.environment import credentials_key, environment_key
from terralive_workers.process import Process

# A worker that has answered asks for the next invocation at once. After this many seconds it is
# still busy with something of its own.
ANSWERED_SECONDS: Final = 0.2
_log = logging.getLogger("terralive.relay")


class WorkerState(StrEnum):
    """The state of one worker, as its pool sees it."""

    STARTING = "starting"  # its process starts, and its runtime loads the function's code
    IDLE = "idle"  # it waits for an invocation
    BUSY = "busy"  # its handler runs
    ANSWERED = "answered"  # it has sent its result and has not asked for the next invocation yet
    STOPPING = "stopping"  # its process is being killed
    GONE = "gone"  # its process has ended

    @property
    def alive(self) -> bool:
        """Return whether the worker counts towards its function's limit."""
        return self not in _ENDS


_ENDS: Final = frozenset({WorkerState.STOPPING, WorkerState.GONE})
# Each state, and the states that may follow it. Any other transition is a defect in terralive.
_TRANSITIONS: Final[Mapping[WorkerState, frozenset[WorkerState]]] = {
    WorkerState.STARTING: _ENDS | {WorkerState.IDLE},
    WorkerState.IDLE: _ENDS | {WorkerState.BUSY},
    WorkerState.BUSY: _ENDS | {WorkerState.ANSWERED},
    WorkerState.ANSWERED: _ENDS | {WorkerState.IDLE},
    WorkerState.STOPPING: frozenset({WorkerState.GONE}),
    WorkerState.GONE: frozenset(),
}


class IllegalTransitionError(Exception):
    """A worker's state does not lead to the requested one: a defect in terralive."""


@dataclass(frozen=True)
class PoolResult:
    """The end of an invocation.

    Attributes:
        outcome: the handler's result, or an error.
        handler_ms: the time that the worker had it; 0 where no worker ever took it.
        timed_out: it ended at its deadline.
        waited_ms: the time until a worker took it, which includes a new worker's start.
        first_byte_ms: the time from then to a streamed response's first byte; None without one.
    """

    outcome: Outcome
    handler_ms: float
    timed_out: bool = False
    waited_ms: float = 0.0
    first_byte_ms: float | None = None


@dataclass(eq=False)
class PendingInvocation:
    """An invocation that has no outcome yet.

    Attributes:
        invocation: the invocation itself.
        environment: its worker's environment variables, before this machine's own are added.
        environment_key: a digest of `environment` without its credentials.
        credentials_key: a digest of the credentials in `environment`.
        deadline: when it is ended; `NEVER` where deadlines are not enforced.
        allowed_s: the time it had when it was submitted, for the error message.
        after: futures that have to complete before a worker may take it.
        response: takes its response in pieces; None where a stub takes a response as a whole.
        future: completed exactly once, by `complete`.
        submitted: the time of `Pool.submit`, on the monotonic clock.
        handed_over: the time at which a worker took it, on the monotonic clock; 0 before.
    """

    invocation: Invocation
    environment: Mapping[str, str] = field(repr=False)
    environment_key: str
    credentials_key: str
    deadline: Deadline
    allowed_s: float
    after: tuple[Future[None], ...] = ()
    response: OutgoingResponse | None = None
    future: Future[PoolResult] = field(default_factory=Future)
    submitted: float = field(default_factory=time.monotonic)
    handed_over: float = 0.0

    @classmethod
    def of(
        cls,
        invocation: Invocation,
        after: Sequence[Future[None]],
        response: OutgoingResponse | None,
        now: float,
        *,
        enforce_deadline: bool,
    ) -> PendingInvocation:
        """Return the pending invocation for one that the pool has just got."""
        environment = invocation.environment
        deadline = NEVER
        if enforce_deadline:
            deadline = invocation.deadline
        return cls(
            invocation,
            environment,
            environment_key(environment),
            credentials_key(environment),
            deadline,
            invocation.deadline.remaining(now),
            tuple(after),
            response,
        )

    @property
    def may_begin(self) -> bool:
        """Return whether a worker may take it."""
        return all(former.done() for former in self.after)

    @property
    def is_streaming(self) -> bool:
        """Return whether its handler has begun to stream the response."""
        return self.response is not None and self.response.content_type is not None

    def complete(self, outcome: Outcome, *, timed_out: bool = False) -> None:
        """Complete the future, which runs its callbacks: never call this with the pool's lock."""
        now = time.monotonic()
        taken = self.handed_over or now
        handler_ms = (now - taken) * 1000
        waited_ms = (taken - self.submitted) * 1000
        first_byte_ms = None
        if self.response is not None:
            self.response.close()
            if self.response.first_at:
                first_byte_ms = (self.response.first_at - taken) * 1000
        result = PoolResult(outcome, handler_ms, timed_out, waited_ms, first_byte_ms)
        self.future.set_result(result)

    def end_replaced(self) -> None:
        """Complete the future because AWS has replaced this invocation; see `complete`."""
        self.complete(outcomes.replaced(self.invocation.request_id))

    def time_out(self) -> None:
        """Complete the future with Lambda's error of a timeout; see `complete`."""
        request_id = self.invocation.request_id
        _log.debug("invocation %s is past its deadline", request_id)
        outcome = outcomes.timed_out(request_id, self.allowed_s, time.time())
        self.complete(outcome, timed_out=True)


# Where a worker's request for the next invocation waits; None in the queue ends that request
# without an invocation.
NextRequest: TypeAlias = queue.SimpleQueue[PendingInvocation | None]


@dataclass(eq=False)
class Worker:
    """One worker. The pool's lock guards every field.

    Attributes:
        environment_key: the digest of its environment without credentials.
        credentials_key: the digest of its credentials.
        generation: the generation of the code that it has loaded.
        process: its process.
        state: see `WorkerState`; only `go` changes it.
        since: the time of the last change of state, on the monotonic clock.
        pending: the invocation that it runs.
        next_request: its request for the next invocation, while that waits.
        gone: completed when its process has ended.
        tenant_id: the tenant of its invocations; None before its first one, "" where the function
            does not isolate its tenants.
    """

    environment_key: str
    credentials_key: str
    generation: int
    process: Process
    state: WorkerState = WorkerState.STARTING
    since: float = field(default_factory=time.monotonic)
    pending: PendingInvocation | None = None
    next_request: NextRequest | None = None
    gone: Future[None] = field(default_factory=Future)
    tenant_id: str | None = None

    def go(self, to: WorkerState) -> None:
        """Change the state.

        Raises:
            IllegalTransitionError: the present state does not lead there.
        """
        if to not in _TRANSITIONS[self.state]:
            raise IllegalTransitionError(f"a worker cannot go from {self.state} to {to}")
        self.state = to
        self.since = time.monotonic()

    def state_for_placement(self, now: float) -> WorkerState:
        """Return the state. A worker that has answered and does not come back counts as busy."""
        if self.state is WorkerState.ANSWERED and now >= self.since + ANSWERED_SECONDS:
            return WorkerState.BUSY
        return self.state

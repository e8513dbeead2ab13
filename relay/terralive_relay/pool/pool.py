"""The workers of one function: every invocation handed in comes back with an outcome, whatever its handler does.

One lock guards one state; what is to happen outside it (completing futures, killing processes) is
collected under the lock and done right after. `plan()` decides who gets which worker. Threads: one
clock per pool, which sleeps until the next deadline; the threads of each worker's `Process`; and
the Runtime API's connection threads, which enter through `_Door`. A change of code or environment
never changes a worker: another one takes its place.

Credentials: a worker keeps those it was started with, as an execution environment in Lambda does.
Lambda's execution environments of one function have different, equally valid ones, so other
credentials alone are no reason for a new worker as long as the worker's own were seen in an
invocation within `credentials_s`; after that they may have expired, and the worker serves only
invocations that bring the very same.

It must never log or publish an environment, and never call anything of others while it holds the
lock.
"""

from __future__ import annotations

import itertools
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from terralive_relay.describe import describe_error, describe_place
from terralive_relay.events import LogLine, Sink, Warned
from terralive_relay.pool.debug_port import DebugPort
from terralive_relay.pool.placement import plan
from terralive_relay.pool.worker_state import WorkerState, transition
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.protocol.limits import INIT_SECONDS
from terralive_workers import outcomes
from terralive_workers.environment import credentials_key, environment_key, worker_environment
from terralive_workers.function import LocalFunction
from terralive_workers.launch import launch_of
from terralive_workers.process import Process
from terralive_workers.runtime_api import PostResult, RuntimeApi

IDLE_SECONDS: Final = 600.0
CREDENTIALS_SECONDS: Final = 300.0
# A worker that has answered asks for more at once. One that does not is still busy with something
# of its own.
_ANSWERED_SECONDS: Final = 0.2
_JOIN_SECONDS: Final = 5.0
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True)
class PoolResult:
    """What became of an invocation. `handler_ms` is 0 where no worker ever took it.

    `waited_ms`: until a worker took it; a new worker's start is part of that.
    """

    outcome: Outcome
    handler_ms: float
    timed_out: bool = False
    waited_ms: float = 0.0


@dataclass(eq=False)
class _Pending:
    """An invocation that has no outcome yet."""

    invocation: Invocation
    environment: Mapping[str, str] = field(repr=False)
    key: str
    credentials: str
    due: float  # on the monotonic clock; infinite where deadlines are not enforced
    allowed_s: float
    future: Future[PoolResult] = field(default_factory=Future)
    submitted: float = field(default_factory=time.monotonic)
    handed_over: float = 0.0

    def complete(self, outcome: Outcome, *, timed_out: bool = False) -> None:
        now = time.monotonic()
        taken = self.handed_over or now
        self.future.set_result(
            PoolResult(outcome, (now - taken) * 1000, timed_out, (taken - self.submitted) * 1000)
        )


@dataclass(eq=False)
class _Worker:
    """One worker as the pool sees it. Every field is guarded by the pool's lock."""

    key: str
    credentials: str
    generation: int
    process: Process
    state: WorkerState = WorkerState.STARTING
    since: float = field(default_factory=time.monotonic)
    pending: _Pending | None = None
    waiter: queue.SimpleQueue[_Pending | None] | None = None
    init_failed: bool = False

    def go(self, to: WorkerState) -> None:
        self.state = transition(self.state, to)
        self.since = time.monotonic()

    def state_at(self, now: float) -> WorkerState:
        """The state for planning.

        One that has answered and does not come back cannot be counted on.
        """
        late = self.state is WorkerState.ANSWERED and now - self.since >= _ANSWERED_SECONDS
        return WorkerState.BUSY if late else self.state


@dataclass(frozen=True)
class _KeptFailure:
    """How a worker that nobody waited for failed to start.

    For the next invocation, if the code is still the same.
    """

    key: str
    failure: outcomes.WorkerFailure


class Pool:
    """The workers of one function. Thread-safe; no method blocks but `close()`.

    Args:
        function: what to run.
        api: where workers get their invocations.
        sink: takes the workers' output as `LogLine`s.
        environment: the function's environment as far as it is known before the first invocation;
            each invocation's own goes over it.
        local_environment: this process's environment; by default `os.environ`.
        command: an official runtime interface client or an executable to run instead of terralive's
            bootstrap.
        enforce_deadline: False lets an invocation run past its deadline.
        idle_s: how long a worker may have nothing to do before it is ended; without a limit while
            it is debugged.
        credentials_s: how long credentials count as valid after an invocation brought them.

    Raises:
        ConfigurationError: no worker can run this function's runtime, or its debugger's port is in
            use.
    """

    def __init__(
        self,
        function: LocalFunction,
        api: RuntimeApi,
        sink: Sink,
        *,
        environment: Mapping[str, str] = _NOTHING,
        local_environment: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
        enforce_deadline: bool = True,
        idle_s: float = IDLE_SECONDS,
        credentials_s: float = CREDENTIALS_SECONDS,
    ) -> None:
        self._function = function
        self._api = api
        self._sink = sink
        self._base = dict(environment)
        self._local = dict(os.environ if local_environment is None else local_environment)
        self._command = command
        self._launch = launch_of(function, command)
        debugger = function.debugger
        self._debug_port = DebugPort(function.name, debugger.port) if debugger is not None else None
        self._enforce_deadline = enforce_deadline and not (
            debugger is not None and debugger.freeze_time
        )
        self._idle_s = idle_s if debugger is None else math.inf
        self._credentials_s = credentials_s
        # Guards every field below it, and every _Worker's. The condition wakes the clock.
        self._lock = threading.Lock()
        self._clock_wakes = threading.Condition(self._lock)
        self._clock_until = math.inf
        self._waiting: list[_Pending] = []
        self._workers: list[_Worker] = []
        self._generation = 0
        self._known: Mapping[str, str] | None = self._base or None
        self._credentials_seen: dict[str, float] = {}
        self._kept: _KeptFailure | None = None
        self._held = False
        self._unbuilt: Outcome | None = None
        self._after: list[Callable[[], object]] = []
        self._told_of_queue = False
        self._closed = False
        self._clock = threading.Thread(
            target=self._watch_clock, name=f"pool-clock-{function.name}", daemon=True
        )
        self._clock.start()

    # What others call

    def submit(self, invocation: Invocation) -> Future[PoolResult]:
        """Run an invocation; the future always completes, never with an exception."""
        environment = {**self._base, **invocation.environment}
        allowed_s = max(0.0, invocation.deadline_ms / 1000 - time.time())
        now = time.monotonic()
        pending = _Pending(
            invocation,
            environment,
            environment_key(environment),
            credentials_key(environment),
            now + allowed_s if self._enforce_deadline else math.inf,
            allowed_s,
        )
        pending.future.set_running_or_notify_cancel()
        with self._locked():
            if self._closed:
                self._after.append(lambda: pending.complete(outcomes.stopped(self._function.name)))
                return pending.future
            self._known = environment
            self._credentials_seen[pending.credentials] = now
            if (unbuilt := self._unbuilt) is not None:
                self._after.append(lambda: pending.complete(unbuilt))
                return pending.future
            kept, self._kept = self._kept, None
            if kept is not None and kept.key == pending.key:
                self._after.append(
                    lambda: pending.complete(kept.failure.outcome(invocation.request_id))
                )
                return pending.future
            self._waiting.append(pending)
            self._serve()
            self._mind(self._next_due())
        return pending.future

    def warm(self) -> None:
        """Start a worker ahead of the next invocation, if the function's environment is known and none is there."""
        with self._locked():
            self._warm()

    def mark_stale(self) -> bool:
        """The code has changed: invocations from now on get workers that have the new code.

        Returns whether the environment is known: the new code is tried before an invocation asks
            for it.
        """
        with self._locked():
            self._outdate()
            self._serve()
            self._warm()
            return self._known is not None

    def hold(self) -> None:
        """The code is being built: invocations from now on wait until it is."""
        with self._locked():
            self._outdate()
            self._held, self._unbuilt = True, None

    def built(self, failure: Outcome | None = None) -> None:
        """Go on with the new code.

        Or answer every invocation with why there is none, until the next build.
        """
        with self._locked():
            self._held, self._unbuilt = False, failure
            if failure is not None:
                for pending in self._waiting:
                    self._later(pending, failure)
                self._waiting.clear()
            self._serve()
            self._warm()

    def close(self) -> None:
        """End all workers.

        Invocations without an outcome get a named error. Waits for the processes' end.
        """
        with self._locked():
            if self._closed:
                return
            self._closed = True
            left = [*self._waiting, *(w.pending for w in self._workers if w.pending is not None)]
            self._waiting.clear()
            workers = list(self._workers)
            for worker in workers:
                worker.pending = None
                if worker.state.alive:
                    self._stop(worker)
            for pending in left:
                self._later(pending, outcomes.stopped(self._function.name))
            self._clock_wakes.notify_all()
        for worker in workers:
            worker.process.join(_JOIN_SECONDS)
        if self._debug_port is not None:
            self._debug_port.close()
        if self._clock is not threading.current_thread():
            self._clock.join(_JOIN_SECONDS)

    # What the lock is held for

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock, then do what was put off until it is free."""
        with self._lock:
            yield
            after, self._after = self._after, []
        for action in after:
            action()

    def _later(self, pending: _Pending, outcome: Outcome) -> None:
        self._after.append(lambda: pending.complete(outcome))

    def _outdate(self) -> None:
        """Let no invocation from now on have what runs now."""
        if self._closed:
            return
        self._generation += 1
        self._kept = None
        for worker in self._workers:
            if worker.state in {WorkerState.IDLE, WorkerState.STARTING}:
                self._stop(worker)

    def _serve(self) -> None:
        """Bring waiting invocations and workers together."""
        if not self._waiting or self._closed or self._held:
            return
        now = time.monotonic()
        workers = [(worker, worker.state_at(now)) for worker in self._workers]
        decided = plan(self._waiting, workers, self._function.max_workers, self._fit)
        for pending, worker in decided.assign:
            self._waiting.remove(pending)
            worker.go(WorkerState.BUSY)
            worker.pending = pending
            if worker.waiter is not None:
                worker.waiter.put(pending)
                worker.waiter = None
        for worker in decided.retire:
            self._stop(worker)
        for pending in decided.start:
            self._start(pending.environment, pending.key, pending.credentials)
        if decided.queued and not self._told_of_queue:
            self._told_of_queue = True
            self._after.append(self._tell_of_queue)

    def _tell_of_queue(self) -> None:
        most = self._function.max_workers
        text = (
            f"An invocation waits until one of {most} busy worker{'s' if most > 1 else ''} is free, and its time runs "
            f"meanwhile. More run at once with max_workers in [functions.'{self._function.address}'] of terralive.toml."
        )
        self._sink(Warned("workers-all-busy", text, self._function.name))

    def _fit(self, pending: _Pending, worker: _Worker) -> int:
        if worker.generation != self._generation or worker.key != pending.key or worker.init_failed:
            return 0
        if worker.credentials == pending.credentials:
            return 2
        seen = self._credentials_seen.get(worker.credentials, -math.inf)
        return 1 if time.monotonic() - seen < self._credentials_s else 0

    def _warm(self) -> None:
        if (
            self._closed
            or self._held
            or self._known is None
            or self._kept is not None
            or self._unbuilt is not None
        ):
            return
        if any(w.state.alive and w.generation == self._generation for w in self._workers):
            return
        if sum(w.state.alive for w in self._workers) < self._function.max_workers:
            self._start(self._known, environment_key(self._known), credentials_key(self._known))

    def _start(self, environment: Mapping[str, str], key: str, credentials: str) -> None:
        door = _Door(
            lambda: self._next(worker),
            lambda request_id, outcome: self._answered(worker, request_id, outcome),
            lambda outcome, cause: self._init_failed(worker, outcome, cause),
        )
        launch = self._launch
        if self._debug_port is not None:
            launch = launch_of(self._function, self._command, self._debug_port.for_worker())
        worker_id, runtime_api = self._api.register(door, own_port=launch.own_port)
        process = Process(
            launch.command,
            cwd=self._function.path,
            environment=worker_environment(environment, self._function, runtime_api, self._local),
            guardian=self._api.guardian,
            emit=self._publish,
            on_exit=lambda status: self._exited(worker, worker_id, status),
        )
        worker = _Worker(key, credentials, self._generation, process)
        self._workers.append(worker)
        self._after.append(process.start)

    def _publish(self, request_id: str, line: str, stream: str) -> None:
        # Python's runtime separates the lines of a stack trace with carriage returns, to keep it
        # one log event.
        for part in line.split("\r"):
            self._sink(LogLine(request_id, self._function.name, part, stream))

    def _stop(self, worker: _Worker) -> None:
        worker.go(WorkerState.STOPPING)
        self._after.append(worker.process.kill)
        self._release(worker)

    def _release(self, worker: _Worker) -> None:
        """Let the worker's wait for an invocation end.

        After the kill, or its runtime might complain in the log.
        """
        waiter, worker.waiter = worker.waiter, None
        if waiter is not None:
            self._after.append(lambda: waiter.put(None))

    def _start_failed(self, worker: _Worker, failure: outcomes.WorkerFailure) -> None:
        """A worker did not come up: that is the outcome of who waited for it, or of the next one."""
        if worker.generation != self._generation:
            return
        for pending in self._waiting:
            if self._fit(pending, worker):
                self._waiting.remove(pending)
                self._later(pending, failure.outcome(pending.invocation.request_id))
                return
        self._kept = _KeptFailure(worker.key, failure)
        self._after.append(lambda: self._sink(self._warning(failure)))

    def _warning(self, failure: outcomes.WorkerFailure) -> Warned:
        """What the developer hears of code that does not load, before an invocation asks for it."""
        outcome = failure.outcome("")
        place = describe_place(outcome, failure.cause, self._function.path)
        error = describe_error(outcome)
        text = f"{f'{place}: ' if place else ''}{error.message or error.type}\nThe next invocation gets this error."
        return Warned("code-does-not-load", text, self._function.name)

    # What workers do, through the Runtime API and by ending

    def _next(self, worker: _Worker) -> Invocation | None:
        mine: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        with self._locked():
            if self._closed or not worker.state.alive or worker.state is WorkerState.BUSY:
                return None
            self._release(worker)  # an earlier request is dead: its connection broke
            worker.waiter = mine
            if worker.state is not WorkerState.IDLE:
                worker.go(WorkerState.IDLE)
            if worker.generation != self._generation:
                self._stop(worker)
            self._serve()
            if worker.generation != self._generation:
                self._warm()  # at the limit there was no room for a new one while this one was busy
            self._mind(worker.since + self._idle_s)
        pending = mine.get()
        if pending is None:
            return None
        worker.process.begin(pending.invocation.request_id)
        pending.handed_over = time.monotonic()
        return pending.invocation

    def _answered(self, worker: _Worker, request_id: str, outcome: Outcome) -> PostResult:
        with self._locked():
            pending = worker.pending
            if pending is None or pending.invocation.request_id != request_id:
                return PostResult.UNKNOWN_REQUEST
            worker.pending = None
            worker.go(WorkerState.ANSWERED)
        worker.process.end()
        pending.complete(outcome)
        return PostResult.ACCEPTED

    def _init_failed(self, worker: _Worker, outcome: Outcome, cause: str) -> PostResult:
        with self._lock:
            if worker.state is not WorkerState.STARTING or worker.init_failed:
                return PostResult.WRONG_STATE
        worker.process.end()
        with self._locked():
            if worker.state is WorkerState.STARTING:
                self._start_failed(worker, outcomes.WorkerFailure(document=outcome, cause=cause))
                worker.init_failed = True
                self._stop(worker)
                self._serve()
        return PostResult.ACCEPTED

    def _exited(self, worker: _Worker, worker_id: str, status: int | OSError) -> None:
        self._api.unregister(worker_id)
        failure = outcomes.WorkerFailure(status=status)
        with self._locked():
            was_starting = worker.state is WorkerState.STARTING
            pending, worker.pending = worker.pending, None
            self._release(worker)
            worker.go(WorkerState.GONE)
            self._workers.remove(worker)
            if pending is not None:
                self._later(pending, failure.outcome(pending.invocation.request_id))
            elif was_starting:
                self._start_failed(worker, failure)
            self._serve()

    # The clock

    def _mind(self, due: float) -> None:
        """Make sure that the clock wakes by `due`."""
        if due < self._clock_until:
            self._clock_until = due
            self._clock_wakes.notify_all()

    def _watch_clock(self) -> None:
        while True:
            with self._locked():
                if self._closed:
                    return
                self._clock_until = self._next_due()
                left = self._clock_until - time.monotonic()
                if left > 0:
                    self._clock_wakes.wait(
                        None if math.isinf(left) else min(left, threading.TIMEOUT_MAX)
                    )
                if not self._closed:
                    self._expire(time.monotonic())

    def _next_due(self) -> float:
        pending = [*self._waiting, *(w.pending for w in self._workers if w.pending is not None)]
        idle = (w.since + self._idle_s for w in self._workers if w.state is WorkerState.IDLE)
        answered = (
            w.since + _ANSWERED_SECONDS for w in self._workers if w.state is WorkerState.ANSWERED
        )
        now = time.monotonic()
        late = (due for due in answered if self._waiting and due > now)
        return min(itertools.chain((p.due for p in pending), idle, late), default=math.inf)

    def _expire(self, now: float) -> None:
        for worker in list(self._workers):
            pending = worker.pending
            if pending is not None and pending.due <= now:
                worker.pending = None
                self._stop(worker)
                self._after.append(worker.process.end)
                self._time_out(pending)
            elif worker.state is WorkerState.IDLE and worker.since + self._idle_s <= now:
                self._stop(worker)
        late = [pending for pending in self._waiting if pending.due <= now]
        for pending in late:
            self._waiting.remove(pending)
            self._time_out(pending)
        # What they waited for may hang: Lambda gives up on an init, too. Or it waits for somebody
        # with a debugger.
        if late and self._debug_port is None:
            for worker in self._workers:
                if worker.state is WorkerState.STARTING and now - worker.since >= INIT_SECONDS:
                    self._stop(worker)
        self._serve()

    def _time_out(self, pending: _Pending) -> None:
        outcome = outcomes.timed_out(pending.invocation.request_id, pending.allowed_s, time.time())
        self._after.append(lambda: pending.complete(outcome, timed_out=True))


@dataclass(frozen=True)
class _Door:
    """One worker's way into the pool: what the Runtime API calls."""

    next_invocation: Callable[[], Invocation | None]
    answered: Callable[[str, Outcome], PostResult]
    init_failed: Callable[[Outcome, str], PostResult]

    def respond(self, request_id: str, body: bytes) -> PostResult:
        return self.answered(request_id, Outcome(body))

    def fail(self, request_id: str, error_type: str, body: bytes) -> PostResult:
        return self.answered(request_id, Outcome(body, error_type or "Unhandled"))

    def fail_init(self, error_type: str, body: bytes, cause: str = "") -> PostResult:
        return self.init_failed(Outcome(body, error_type or "Unhandled"), cause)

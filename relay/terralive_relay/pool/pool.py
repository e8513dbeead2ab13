"""The workers of one function: every invocation that is handed in gets an outcome.

This module is the shell: it owns the lock and the clock's thread. `workers` starts and stops the
processes. The decisions are pure and stand in other modules: `placement` (which worker gets which
invocation), `expiry` (what ends by time) and `code_state` (can workers start, and what answers if
not).

Threads: one clock per pool, which sleeps until the next deadline; the threads of each worker's
`Process`; and the Runtime API's connection threads. The last two enter through `WorkerCalls`.

A change of code or environment never changes a worker: another one takes its place.

It must never log or publish an environment. It must never call anything outside the pool while it
holds the lock: what has to happen outside is deferred until the lock is free, so a callback of a
future may call the pool again.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Final

from terralive_relay.events import Sink
from terralive_relay.pool import messages
from terralive_relay.pool.alarm import Alarm, DeferringLock
from terralive_relay.pool.code_state import CodeState
from terralive_relay.pool.expiry import expired, next_due
from terralive_relay.pool.placement import Fit, fit_of, note_credentials, place
from terralive_relay.pool.records import (
    NextRequest,
    PendingInvocation,
    PoolResult,
    Worker,
    WorkerState,
)
from terralive_relay.pool.workers import WorkerCalls, Workers
from terralive_relay.streaming.response import OutgoingResponse
from terralive_relay.threads import ThreadFailed
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_workers import outcomes
from terralive_workers.function import LocalFunction
from terralive_workers.runtime_api.server import RuntimeApi
from terralive_workers.runtime_api.worker_client import PostResult

IDLE_SECONDS: Final = 600.0
CREDENTIALS_SECONDS: Final = 300.0
_JOIN_SECONDS: Final = 5.0
_log = logging.getLogger("terralive.relay")


class Pool:
    """The workers of one function. Thread-safe; no method blocks but `close()`.

    Args:
        function: the function to run.
        api: the Runtime API, from which workers get their invocations.
        sink: takes the workers' output as `LogLine`s.
        command: an official runtime interface client or an executable to run instead of terralive's
            bootstrap.
        enforce_deadline: False lets an invocation run past its deadline.
        idle_s: the number of seconds for which a worker may have nothing to do before it is ended;
            without a limit while it is debugged.
        credentials_s: the number of seconds for which credentials count as valid after an
            invocation brought them.
        failed: takes an exception that has ended the clock's thread.

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
        command: Sequence[str] | None = None,
        enforce_deadline: bool = True,
        idle_s: float = IDLE_SECONDS,
        credentials_s: float = CREDENTIALS_SECONDS,
        failed: ThreadFailed | None = None,
    ) -> None:
        debugger = function.debugger
        if debugger is not None:
            idle_s = math.inf
            enforce_deadline = enforce_deadline and not debugger.freeze_time

        # These never change.
        self.function = function
        self._sink = sink
        self._enforce_deadline = enforce_deadline
        self._credentials_s = credentials_s

        # Guards every attribute below, and every field of every worker.
        self._lock = DeferringLock()
        # The time after which an idle worker is ended; 0 once another pool has replaced this one.
        self._idle_s = idle_s
        # Invocations that no worker has taken, oldest first.
        self._waiting: list[PendingInvocation] = []
        # Texts about missing modules that were shown.
        self._told: set[str] = set()
        calls = WorkerCalls(
            self._ready, self._streams, self._answered, self._init_failed, self._exited
        )
        # Starts and stops workers, and has those that are there.
        self._workers = Workers(function, api, sink, command, self._lock, calls=calls)
        self._code = CodeState()
        # The environment of the newest invocation, for workers that are started ahead of the next
        # one; None while no environment is known.
        self._known_environment: Mapping[str, str] | None = None
        # By credentials' digests: when an invocation brought them last, on the monotonic clock.
        self._credentials_seen: dict[str, float] = {}
        # The pool that runs what no worker has taken here; None while this pool is used.
        self._successor: Pool | None = None
        # The warning about a full queue is given once.
        self._queue_warned = False
        self._closed = False

        self._clock = Alarm(
            f"pool-clock-{function.shown_name}",
            self._lock,
            self._next_due,
            self._end_expired,
            failed,
        )
        self._clock.start()

    # Methods for the relay

    @property
    def waiting(self) -> int:
        """The number of invocations that no worker has taken yet."""
        with self._lock:
            return len(self._waiting)

    def submit(
        self,
        invocation: Invocation,
        after: Sequence[Future[None]] = (),
        response: OutgoingResponse | None = None,
    ) -> Future[PoolResult]:
        """Run an invocation; the future always completes, never with an exception.

        Args:
            invocation: the invocation.
            after: what `end` has returned for each invocation that this one replaces. No handler
                begins before these complete.
            response: takes the response in pieces, if the handler streams it. Otherwise it is
                collected.
        """
        now = time.monotonic()
        pending = PendingInvocation.of(
            invocation, after, response, now, enforce_deadline=self._enforce_deadline
        )
        pending.future.set_running_or_notify_cancel()
        self._take(pending, now)
        return pending.future

    def end(self, attempt: str) -> Future[None]:
        """End an invocation, because AWS has replaced it by another one.

        Returns:
            A future that completes when no process runs it any more.
        """
        gone: Future[None] = Future()
        gone.set_result(None)
        with self._lock:
            for pending in self._waiting:
                if pending.invocation.attempt == attempt:
                    self._waiting.remove(pending)
                    self._lock.defer(pending.end_replaced)
                    return gone
            worker = self._workers.running(attempt)
            if worker is not None:
                running = self._workers.interrupt(worker)
                if running is not None:
                    self._lock.defer(running.end_replaced)
                return worker.gone
            successor = self._successor
        if successor is not None:
            return successor.end(attempt)
        return gone

    def _take(self, pending: PendingInvocation, now: float) -> None:
        """Answer an invocation, or find a worker for it. This takes the lock itself."""
        with self._lock:
            answer = self._answer_without_worker(pending, now)
            if answer is not None:
                self._defer_completion(pending, answer)
            else:
                self._waiting.append(pending)
                self._place()
                self._clock.wake_by(self._next_due(now))
        for former in pending.after:
            former.add_done_callback(lambda _: self._place_waiting())

    def _place_waiting(self) -> None:
        """Place invocations that have waited for another one's end. This takes the lock itself."""
        with self._lock:
            self._place()

    def mark_stale(self) -> bool:
        """Have invocations from now on run by new workers, because the code has changed.

        Returns:
            True if the environment is known: the new code is tried before an invocation needs it.
        """
        with self._lock:
            if not self._closed:
                self._code = self._code.changed()
                self._workers.stop_unused()
            self._place()
            self._start_ahead()
            return self._known_environment is not None

    def hold(self) -> None:
        """Have invocations from now on wait, because the code is being built."""
        with self._lock:
            if not self._closed:
                self._code = self._code.build_started()
                self._workers.stop_unused()

    def built(self, failure: Outcome | None = None) -> None:
        """Go on with the new code.

        With a failure there is none: it answers every invocation until the next build.
        """
        with self._lock:
            if failure is None:
                self._code = self._code.build_succeeded()
            else:
                self._code = self._code.build_failed(failure)
                for pending in self._waiting:
                    self._defer_completion(pending, failure)
                self._waiting.clear()
            self._place()
            self._start_ahead()

    def finish(self, successor: Pool | None) -> None:
        """End each worker as soon as it has nothing to do: this pool is not used any more.

        Args:
            successor: the pool that runs the invocations that no worker has taken; None where the
                function is not served any more, so that they run here.
        """
        moved: list[PendingInvocation] = []
        now = time.monotonic()
        with self._lock:
            self._successor = successor
            if successor is not None:
                moved, self._waiting = self._waiting, []
            self._idle_s = 0.0
            self._clock.wake_by(now)
        if successor is not None:
            for pending in moved:
                successor._take(pending, now)  # noqa: SLF001  # another pool

    def close(self) -> None:
        """End all workers, and wait for the end of their processes.

        Invocations without an outcome get a named error.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            workers = list(self._workers.present)
            unanswered = [*self._waiting, *self._workers.stop_all()]
            self._waiting.clear()
            for pending in unanswered:
                self._defer_completion(pending, outcomes.stopped(self.function.shown_name))
            self._clock.close()
        self._workers.close(workers)
        self._clock.join(_JOIN_SECONDS)

    # Methods from here on expect the lock to be held, unless they say otherwise

    def _defer_completion(self, pending: PendingInvocation, outcome: Outcome) -> None:
        self._lock.defer(lambda: pending.complete(outcome))

    def _answer_without_worker(self, pending: PendingInvocation, now: float) -> Outcome | None:
        """Return the outcome of a new invocation that no worker can run; None if one can."""
        if self._closed:
            return outcomes.stopped(self.function.shown_name)
        self._known_environment = pending.environment
        note_credentials(
            self._credentials_seen, pending.credentials_key, now, now - self._credentials_s
        )
        answer = self._code.answer(pending.environment_key, pending.invocation.request_id)
        self._code = self._code.start_failure_reported()
        return answer

    def _place(self) -> None:
        """Bring waiting invocations and workers together."""
        if not self._waiting or self._closed or not self._code.may_start_for_invocations:
            return
        now = time.monotonic()
        workers = [(worker, worker.state_for_placement(now)) for worker in self._workers.present]
        waiting = [pending for pending in self._waiting if pending.may_begin]
        placement = place(waiting, workers, self.function.max_workers, self._fit)
        for pending, worker in placement.assign:
            self._waiting.remove(pending)
            self._workers.assign(worker, pending)
        for worker in placement.retire:
            self._workers.stop(worker)
        for pending in placement.start:
            self._workers.start(pending.environment, self._code.generation)
        if placement.queued and not self._queue_warned:
            self._queue_warned = True
            warning = messages.workers_all_busy(self.function)
            self._lock.defer(lambda: self._sink(warning))

    def _fit(self, pending: PendingInvocation, worker: Worker) -> Fit:
        valid_since = time.monotonic() - self._credentials_s
        return fit_of(pending, worker, self._code.generation, self._credentials_seen, valid_since)

    def _start_ahead(self) -> None:
        """Start a worker before an invocation needs it, unless there is one with this code."""
        environment = self._known_environment
        if self._closed or environment is None or not self._code.may_start_ahead:
            return
        self._workers.start_ahead(environment, self._code.generation)

    def _start_failed(self, worker: Worker, failure: outcomes.WorkerFailure) -> None:
        """Give the failure to an invocation that waits for this worker, or keep it for the next."""
        if worker.generation != self._code.generation:
            return
        for pending in self._waiting:
            if self._fit(pending, worker) is not Fit.NONE:
                self._waiting.remove(pending)
                self._tell_missing_module(failure)
                self._defer_completion(pending, failure.outcome(pending.invocation.request_id))
                return
        self._code = self._code.start_failed(worker.environment_key, failure)
        self._lock.defer(lambda: self._sink(messages.code_does_not_load(self.function, failure)))

    def _tell_missing_module(self, failure: outcomes.WorkerFailure) -> None:
        """Say once for each module where it has to be installed."""
        warning = messages.module_missing(self.function, failure)
        if warning is not None and warning.message not in self._told:
            self._told.add(warning.message)
            self._lock.defer(lambda: self._sink(warning))

    # Calls from workers, through the Runtime API and by their end: these take the lock themselves

    def _ready(self, worker: Worker, request: NextRequest) -> bool:
        """Let a worker wait for its next invocation; return False when it has to end."""
        with self._lock:
            if self._closed or not worker.state.alive or worker.state is WorkerState.BUSY:
                return False
            self._workers.wait(worker, request)
            stale = worker.generation != self._code.generation
            if stale:
                self._workers.stop(worker)
            self._place()
            if stale:
                # While this worker was busy, the limit may have left no place for a new one.
                self._start_ahead()
            self._clock.wake_by(worker.since + self._idle_s)
        return True

    def _streams(
        self, worker: Worker, request_id: str, content_type: str
    ) -> OutgoingResponse | PostResult | None:
        with self._lock:
            pending = worker.pending
            if pending is None or pending.invocation.request_id != request_id:
                return PostResult.UNKNOWN_REQUEST
        if pending.response is not None and not pending.response.begin(content_type):
            return PostResult.WRONG_STATE
        return pending.response

    def _answered(self, worker: Worker, request_id: str, outcome: Outcome) -> PostResult:
        with self._lock:
            pending = worker.pending
            if pending is None or pending.invocation.request_id != request_id:
                return PostResult.UNKNOWN_REQUEST
            if pending.is_streaming and outcome.streamed is None:
                # Another response than the one that the worker has begun to stream.
                return PostResult.WRONG_STATE
            worker.pending = None
            worker.go(WorkerState.ANSWERED)
        # All output is published before the outcome is.
        worker.process.end()
        pending.complete(outcome)
        return PostResult.ACCEPTED

    def _init_failed(self, worker: Worker, outcome: Outcome, cause: str) -> PostResult:
        with self._lock:
            if worker.state is not WorkerState.STARTING:
                return PostResult.WRONG_STATE
        # All output is published before the outcome is.
        worker.process.end()
        with self._lock:
            if worker.state is WorkerState.STARTING:
                self._start_failed(worker, outcomes.WorkerFailure(document=outcome, cause=cause))
                self._workers.stop(worker)
                self._place()
        return PostResult.ACCEPTED

    def _exited(self, worker: Worker, status: int | OSError) -> None:
        _log.debug("worker of %s has ended: %s", self.function.shown_name, status)
        failure = outcomes.WorkerFailure(status=status)
        with self._lock:
            was_starting = worker.state is WorkerState.STARTING
            pending = self._workers.gone(worker)
            if pending is not None:
                outcome = failure.outcome(pending.invocation.request_id)
                if pending.is_streaming:
                    outcome = messages.TRUNCATED_STREAM
                self._defer_completion(pending, outcome)
            elif was_starting:
                self._start_failed(worker, failure)
            self._place()
            self._lock.defer(lambda: worker.gone.set_result(None))

    # The clock

    def _next_due(self, now: float) -> float:
        return next_due(self._waiting, self._workers.present, now, idle_s=self._idle_s)

    def _end_expired(self, now: float) -> None:
        over = expired(
            self._waiting,
            self._workers.present,
            now,
            idle_s=self._idle_s,
            starts_may_take_longer=self.function.debugger is not None,
        )
        for worker in over.overrunning:
            pending = self._workers.interrupt(worker)
            if pending is not None:
                self._lock.defer(pending.time_out)
        for pending in over.unserved:
            self._waiting.remove(pending)
            self._lock.defer(pending.time_out)
        for worker in (*over.unused, *over.hanging):
            self._workers.stop(worker)
        self._place()

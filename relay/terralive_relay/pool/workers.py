"""The workers of one pool, from the build of their process to its end.

`Workers` carries out what the pool decides: it starts and stops workers, and gives them
invocations. It must never decide which worker runs what, and when one is needed.

The pool's lock guards everything here: the pool holds it during each call, unless a method says
otherwise. Processes start and end when the lock is free again.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from terralive_relay.describe.causes import ErrorWithCauses
from terralive_relay.events import Sink
from terralive_relay.pool.alarm import DeferringLock
from terralive_relay.pool.launcher import Launcher
from terralive_relay.pool.records import NextRequest, PendingInvocation, Worker, WorkerState
from terralive_relay.streaming.response import OutgoingResponse
from terralive_stub.protocol.invocation import Invocation, Outcome, Streamed
from terralive_workers.environment import credentials_key, environment_key
from terralive_workers.function import LocalFunction
from terralive_workers.runtime_api.server import RuntimeApi
from terralive_workers.runtime_api.worker_client import PostResult, StreamedResponse, collected

_JOIN_SECONDS: Final = 5.0
_log = logging.getLogger("terralive.relay")


@dataclass(frozen=True)
class WorkerCalls:
    """Functions that take the calls of workers. They are called without the pool's lock.

    Attributes:
        ready: a worker asks for its next invocation, which arrives in a queue. Returns False if the
            worker has to end.
        streams: a worker begins to stream the response to the invocation with a request id, with
            its content type. Returns what takes it; None if it is to be collected.
        answered: a worker has sent the outcome of the invocation with a request id.
        init_failed: a worker's runtime could not load the code; with the outcome, and its cause as
            the runtime reports it.
        exited: a worker's process has ended, with what `Process` tells about that.
    """

    ready: Callable[[Worker, NextRequest], bool]
    streams: Callable[[Worker, str, str], OutgoingResponse | PostResult | None]
    answered: Callable[[Worker, str, Outcome], PostResult]
    init_failed: Callable[[Worker, Outcome, str], PostResult]
    exited: Callable[[Worker, int | OSError], None]


class Workers:
    """The workers of one pool.

    Args:
        function: the function that they run.
        api: the Runtime API, from which they get their invocations.
        sink: takes their output as `LogLine`s, and warnings.
        command: a program to run instead of terralive's bootstrap; None for that.
        lock: the pool's lock.
        calls: take what they send.

    Raises:
        ConfigurationError: no worker can run this function's runtime, or its debugger's port is in
            use.
    """

    def __init__(
        self,
        function: LocalFunction,
        api: RuntimeApi,
        sink: Sink,
        command: Sequence[str] | None,
        lock: DeferringLock,
        *,
        calls: WorkerCalls,
    ) -> None:
        # These never change.
        self._function = function
        self._sink = sink
        self._launcher = Launcher(function, api, sink, command)
        self._lock = lock
        self._calls = calls
        # Workers from the build of their process to its end, oldest first. Only `start` and `gone`
        # change the list.
        self.present: list[Worker] = []

    def start(self, environment: Mapping[str, str], generation: int) -> None:
        """Start a worker with an environment and the code of a generation."""
        # `worker` is set below, before the process starts and thus before any of these calls.
        client = _Client(
            lambda: self._next(worker),
            lambda request_id, content_type: self._calls.streams(worker, request_id, content_type),
            lambda request_id, outcome: self._calls.answered(worker, request_id, outcome),
            lambda outcome, cause: self._calls.init_failed(worker, outcome, cause),
        )
        process = self._launcher.build(
            environment, client, lambda status: self._calls.exited(worker, status)
        )
        for warning in self._launcher.warnings(environment):
            self._lock.defer(partial(self._sink, warning))
        worker = Worker(
            environment_key(environment), credentials_key(environment), generation, process
        )
        self.present.append(worker)

        def start() -> None:
            _log.debug(
                "worker of %s starts (code generation %d)", self._function.shown_name, generation
            )
            process.start()

        self._lock.defer(start)

    def start_ahead(self, environment: Mapping[str, str], generation: int) -> None:
        """Start a worker, unless there is one with this code, or as many as there may be."""
        alive = [worker for worker in self.present if worker.state.alive]
        if any(worker.generation == generation for worker in alive):
            return
        if len(alive) < self._function.max_workers:
            self.start(environment, generation)

    def wait(self, worker: Worker, request: NextRequest) -> None:
        """Let a worker wait for its next invocation."""
        # A request that came earlier is dead: its connection broke.
        self._end_request(worker)
        worker.next_request = request
        if worker.state is not WorkerState.IDLE:
            worker.go(WorkerState.IDLE)

    def assign(self, worker: Worker, pending: PendingInvocation) -> None:
        """Give an invocation to an idle worker."""
        worker.go(WorkerState.BUSY)
        worker.pending = pending
        worker.tenant_id = pending.invocation.tenant_id
        if worker.next_request is not None:
            worker.next_request.put(pending)
            worker.next_request = None

    def running(self, attempt: str) -> Worker | None:
        """Return the worker that runs an attempt; None if none does."""
        for worker in self.present:
            if worker.pending is not None and worker.pending.invocation.attempt == attempt:
                return worker
        return None

    def stop(self, worker: Worker) -> None:
        """End a worker's process. An invocation that it runs stays with it."""
        worker.go(WorkerState.STOPPING)
        self._lock.defer(worker.process.kill)
        self._end_request(worker)

    def interrupt(self, worker: Worker) -> PendingInvocation | None:
        """End a worker's process in the middle of its invocation, and return that invocation.

        All output is published before the pool completes it.
        """
        pending, worker.pending = worker.pending, None
        self.stop(worker)
        self._lock.defer(worker.process.end)
        return pending

    def stop_unused(self) -> None:
        """Stop the workers that run no invocation; their code is out of date."""
        for worker in self.present:
            if worker.state in {WorkerState.IDLE, WorkerState.STARTING}:
                self.stop(worker)

    def stop_all(self) -> list[PendingInvocation]:
        """Stop all workers, and return the invocations that they ran."""
        interrupted: list[PendingInvocation] = []
        for worker in self.present:
            if worker.pending is not None:
                interrupted.append(worker.pending)
                worker.pending = None
            if worker.state.alive:
                self.stop(worker)
        return interrupted

    def gone(self, worker: Worker) -> PendingInvocation | None:
        """Remove a worker whose process has ended, and return the invocation that it ran."""
        pending, worker.pending = worker.pending, None
        self._end_request(worker)
        worker.go(WorkerState.GONE)
        self.present.remove(worker)
        return pending

    def close(self, workers: Sequence[Worker]) -> None:
        """Wait for the end of these workers' processes. Called without the lock.

        Args:
            workers: those that were there at `stop_all`.
        """
        for worker in workers:
            worker.process.join(_JOIN_SECONDS)
        self._launcher.close()

    def _next(self, worker: Worker) -> Invocation | None:
        """Block until the worker has an invocation; return None when it has to end.

        Called without the lock.
        """
        request: NextRequest = queue.SimpleQueue()
        if not self._calls.ready(worker, request):
            return None
        pending = request.get()
        if pending is None:
            return None
        worker.process.begin(pending.invocation.request_id)
        pending.handed_over = time.monotonic()
        return pending.invocation

    def _end_request(self, worker: Worker) -> None:
        """End the worker's request for its next invocation without one.

        Deferred, and after the kill: its runtime might complain in the log otherwise.
        """
        request, worker.next_request = worker.next_request, None
        if request is not None:
            self._lock.defer(lambda: request.put(None))


@dataclass(frozen=True)
class _Client:
    """A `WorkerClient`: passes one worker's calls of the Runtime API on to its pool."""

    next_invocation: Callable[[], Invocation | None]
    streams: Callable[[str, str], OutgoingResponse | PostResult | None]
    answered: Callable[[str, Outcome], PostResult]
    init_failed: Callable[[Outcome, str], PostResult]

    def respond(self, request_id: str, body: bytes) -> PostResult:
        return self.answered(request_id, Outcome(body))

    def begin_stream(self, request_id: str, content_type: str) -> StreamedResponse | PostResult:
        taken = self.streams(request_id, content_type)
        if taken is None:
            return collected(self, request_id)
        if isinstance(taken, PostResult):
            return taken
        return _Streamed(self, request_id, taken)

    def fail(self, request_id: str, error_type: str, body: bytes, causes: str = "") -> PostResult:
        outcome = ErrorWithCauses(body, error_type or "Unhandled", causes=causes)
        return self.answered(request_id, outcome)

    def fail_init(self, error_type: str, body: bytes, cause: str = "") -> PostResult:
        return self.init_failed(Outcome(body, error_type or "Unhandled"), cause)


@dataclass(frozen=True)
class _Streamed:
    """A `StreamedResponse`: its bytes go to a stub, and its end is the invocation's outcome."""

    client: _Client
    request_id: str
    response: OutgoingResponse

    def write(self, piece: bytes) -> bool:
        return self.response.write(piece)

    def end(self) -> PostResult:
        return self._answer(Outcome(b""))

    def fail(self, error_type: str, body: bytes) -> PostResult:
        return self._answer(Outcome(body, error_type or "Unhandled"))

    def _answer(self, outcome: Outcome) -> PostResult:
        streamed = Streamed(self.response.content_type or "", self.response.size)
        return self.client.answered(self.request_id, replace(outcome, streamed=streamed))

"""One execution environment: a process that runs one invocation at a time and is frozen in between.

Its life is Lambda's (https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html).
It starts, and its runtime asks for the first invocation, which ends the init phase. From then on it
is frozen whenever it waits for the next invocation, so that threads and timers of its code stand
still as they do on AWS. A timeout kills it.

All state belongs to the event loop, to which the Runtime API's threads pass everything on. A
process never outlives the sandbox: the guardian of the Runtime API kills it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from terralive_sandbox.functions.environments import runtimes
from terralive_sandbox.functions.logs import FunctionLog
from terralive_sandbox.functions.streams import ResponseStream
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_workers.outcomes import WorkerFailure, timed_out
from terralive_workers.process import Process
from terralive_workers.runtime_api.server import RuntimeApi
from terralive_workers.runtime_api.worker_client import (
    TRUNCATED,
    PostResult,
    StreamedResponse,
    collected,
    truncated_document,
)

_log = logging.getLogger("terralive.sandbox")
_Result = TypeVar("_Result")

# The peak memory is read this often at most: reading it costs a tenth of a warm invocation.
_PEAK_INTERVAL_SECONDS: Final = 0.5
# So much time has a streamed response to arrive after its process has ended.
_LAST_PIECES_SECONDS: Final = 2.0


class Phase(StrEnum):
    """The phases of an execution environment's life."""

    INIT = "init"
    # The runtime waits for an invocation; the process is frozen.
    READY = "ready"
    RUNNING = "running"
    # The runtime has posted the outcome and has not yet asked for the next invocation.
    ANSWERED = "answered"
    # The process has ended or is being killed.
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """The result of one invocation in one environment.

    Attributes:
        outcome: the handler's response or an error.
        handler_ms: how long the handler ran; 0 if it was not reached.
        peak_mb: the most memory that the process has held so far; None if it is not known.
    """

    outcome: Outcome
    handler_ms: float = 0.0
    peak_mb: int | None = None


class ExecutionEnvironment:
    """A running process of one function, and its `WorkerClient` at the Runtime API.

    Build it on the event loop, call `start`, wait until it is `ready`, then `run` one invocation
    after the other.

    Args:
        api: the Runtime API.
        log: its log stream.
        scratch: its `/tmp`; removed when the process has ended.
        own_port: true if its Runtime API client needs a port of its own.
    """

    def __init__(self, api: RuntimeApi, log: FunctionLog, scratch: Path, *, own_port: bool) -> None:
        self.log = log
        # When its credentials were issued, in seconds since the Unix epoch.
        self.made = time.time()
        self.phase = Phase.INIT
        # When the runtime last asked for an invocation, on the event loop's clock.
        self.idle_since = 0.0
        # True while the fleet keeps it for one invocation. Only the fleet sets it.
        self.claimed = False
        # The tenant of its invocations; "" for none. Only the fleet sets it.
        self.tenant_id = ""
        # The peak memory in MB, and when it was read, on the event loop's clock.
        self._peak: int | None = None
        self._peak_read_at = -_PEAK_INTERVAL_SECONDS
        self._loop = asyncio.get_running_loop()
        self._api = api
        self._scratch = scratch
        # Done when the runtime asks for an invocation (None), or can never ask again.
        self._ready: asyncio.Future[WorkerFailure | None] = self._loop.create_future()
        # Done at the end of the present invocation; None while there is none.
        self._ending: asyncio.Future[Outcome | WorkerFailure] | None = None
        # Set once, by `start`.
        self._process: Process
        # The next invocation for the runtime; None to end it.
        self._inbox: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        # Guards the five attributes below it, which the Runtime API's threads use, too.
        self._lock = threading.Lock()
        # The request id of the invocation whose outcome is awaited, or "".
        self._current = ""
        # Takes that invocation's response if the function streams it.
        self._stream: ResponseStream | None = None
        # True once the function has begun to do so.
        self._is_streaming = False
        # True once the runtime has asked for an invocation: the init phase is over.
        self._initialised = False
        # True once the environment has ended.
        self._closed = False
        # Its id at the Runtime API, which is a secret, and the API's address for it.
        self._id, self.address = api.register(self, own_port=own_port)

    def start(self, command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None:
        """Start the runtime in the folder of the code, with these environment variables."""
        self._process = Process(
            command,
            cwd=folder,
            environment=variables,
            guardian=self._api.guardian,
            emit=self.log.line,
            on_exit=self._exited,
        )
        self._process.start()

    async def ready(self, seconds: float) -> WorkerFailure | None:
        """Wait until the runtime asks for an invocation. Return its failure if it never will.

        Raises:
            TimeoutError: it took longer than `seconds`.
        """
        async with asyncio.timeout(seconds):
            return await asyncio.shield(self._ready)

    async def run(
        self, invocation: Invocation, seconds: float, stream: ResponseStream | None = None
    ) -> ExecutionResult:
        """Run one invocation. The process is killed when `seconds` have passed.

        Args:
            invocation: the invocation.
            seconds: the time that it has.
            stream: takes the response if the function streams it. The result's body is empty then.
        """
        self.phase = Phase.RUNNING
        self._ready = self._loop.create_future()
        ending = self._ending = self._loop.create_future()
        began = time.monotonic()
        with self._lock:
            self._current = invocation.request_id
            self._stream = stream
            self._is_streaming = False
        self._inbox.put(invocation)
        try:
            async with asyncio.timeout(seconds):
                end = await asyncio.shield(ending)
        except TimeoutError:
            # From now on no outcome is accepted.
            with self._lock:
                is_awaited = bool(self._current)
                self._current = ""
            if is_awaited:
                self.end()
                outcome = timed_out(invocation.request_id, seconds, time.time())
                return ExecutionResult(outcome, _milliseconds_since(began))
            # The outcome was posted in time, but this loop was too busy to see it.
            end = await ending
        finally:
            self._ending = None
        handler_ms = _milliseconds_since(began)
        if isinstance(end, WorkerFailure):
            end = end.outcome(invocation.request_id)
        return ExecutionResult(end, handler_ms, peak_mb=self._peak_mb())

    def _peak_mb(self) -> int | None:
        """Return the peak memory of now or of a moment ago."""
        now = self._loop.time()
        if now - self._peak_read_at >= _PEAK_INTERVAL_SECONDS:
            self._peak = self._process.peak_memory_mb()
            self._peak_read_at = now
        return self._peak

    def end(self) -> None:
        """Kill the process and everything that it started. Return without waiting."""
        self.phase = Phase.GONE
        self._close()
        self._process.kill()

    def join(self, seconds: float) -> None:
        """Wait until the process is gone. Do not call it on the event loop."""
        self._process.join(seconds)

    def _runtime_asked(self) -> None:
        if self.phase is not Phase.GONE:
            self.phase = Phase.READY
            self.idle_since = self._loop.time()
            _settle(self._ready, None)

    def _runtime_posted(self, outcome: Outcome) -> None:
        if self.phase is Phase.RUNNING:
            self.phase = Phase.ANSWERED
        _settle(self._ending, outcome)

    def _gone(self, failure: WorkerFailure) -> None:
        _log.debug("an execution environment has ended in phase %s", self.phase)
        self.phase = Phase.GONE
        _settle(self._ready, failure)
        if self._is_streaming:
            # The connection ends, too: its thread tells that after the pieces that it still has.
            # A child of the process may keep the connection open.
            truncated = Outcome(truncated_document(), TRUNCATED)
            self._loop.call_later(_LAST_PIECES_SECONDS, _settle, self._ending, truncated)
        else:
            _settle(self._ending, failure)

    # Any thread may call these two.

    def _call_on_loop(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # The sandbox has stopped.
            self._loop.call_soon_threadsafe(function, *arguments)

    def _close(self) -> None:
        """End the runtime the next time it asks."""
        with self._lock:
            self._closed = True
        self._inbox.put(None)

    # Called by the process's own thread.

    def _exited(self, status: int | OSError) -> None:
        """Clean up after the process."""
        self._api.unregister(self._id)
        self._close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._call_on_loop(self._gone, WorkerFailure(status=status))

    # Called by the threads of the Runtime API.

    def next_invocation(self) -> Invocation | None:
        """Freeze the process until there is an invocation. Return None when it is to end."""
        with self._lock:
            if self._closed:
                return None
            self._initialised = True
        self._process.freeze()
        self._call_on_loop(self._runtime_asked)
        invocation = self._inbox.get()
        if invocation is None:
            return None
        self._process.thaw()
        self._process.begin(invocation.request_id)
        return invocation

    def respond(self, request_id: str, body: bytes) -> PostResult:
        """Take the handler's response."""
        return self._post(request_id, Outcome(body))

    def begin_stream(self, request_id: str, content_type: str) -> StreamedResponse | PostResult:
        """Take a streamed response: for the caller's stream, or as a whole if there is none."""
        with self._lock:
            if not self.awaits(request_id) or self._is_streaming:
                return PostResult.UNKNOWN_REQUEST
            stream = self._stream
            if stream is None:
                return collected(self, request_id)
            self._is_streaming = True
        stream.content_type = content_type
        return _PassedOn(self, request_id, stream, self._loop)

    def awaits(self, request_id: str) -> bool:
        """Return true if the outcome of this invocation is awaited."""
        return bool(request_id) and request_id == self._current

    def fail(self, request_id: str, error_type: str, body: bytes, causes: str = "") -> PostResult:
        """Take the handler's error."""
        del causes  # Lambda tells nobody of them.
        return self._post(request_id, Outcome(body, error_type or "Unhandled"))

    def fail_init(self, error_type: str, body: bytes, cause: str = "") -> PostResult:
        """Take the error of the init phase."""
        del cause  # It is for X-Ray, which the sandbox does not have.
        with self._lock:
            if self._initialised or self._closed:
                return PostResult.WRONG_STATE
        self._process.end()
        hint = runtimes.hint_about(body)
        if hint:
            self.log.line("", hint)
        failure = WorkerFailure(document=Outcome(body, error_type or "Unhandled"))
        self._call_on_loop(_settle, self._ready, failure)
        return PostResult.ACCEPTED

    def _post(self, request_id: str, outcome: Outcome) -> PostResult:
        with self._lock:
            if not self.awaits(request_id):
                return PostResult.UNKNOWN_REQUEST
            self._current = ""
        self._process.end()
        self._call_on_loop(self._runtime_posted, outcome)
        return PostResult.ACCEPTED


class _PassedOn:
    """A streamed response that goes to the caller. One thread of the Runtime API calls it."""

    def __init__(
        self,
        environment: ExecutionEnvironment,
        request_id: str,
        stream: ResponseStream,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._environment = environment
        self._request_id = request_id
        self._stream = stream
        self._loop = loop

    def write(self, piece: bytes) -> bool:
        """Pass a piece on. Block until there is room for it."""
        if not self._environment.awaits(self._request_id):
            return False
        try:
            asyncio.run_coroutine_threadsafe(self._stream.put(piece), self._loop).result()
        except (RuntimeError, CancelledError):  # The sandbox has stopped.
            return False
        return True

    def end(self) -> PostResult:
        """Note that the response is complete."""
        return self._environment.respond(self._request_id, b"")

    def fail(self, error_type: str, body: bytes) -> PostResult:
        """Note that the response ends with an error."""
        return self._environment.fail(self._request_id, error_type, body)


def _settle(future: asyncio.Future[_Result] | None, result: _Result) -> None:
    """Set the result of a future that is there and has none."""
    if future is not None and not future.done():
        future.set_result(result)


def _milliseconds_since(began: float) -> float:
    return (time.monotonic() - began) * 1000

"""One execution environment: a process that runs one invocation at a time and is frozen in between.

Its life is Lambda's (https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html).
It starts, and its runtime asks for the first invocation, which ends the init phase. From then on it
is frozen whenever it waits for the next invocation, so that threads and timers of its code stand
still as they do on AWS. A timeout kills it.

All state belongs to the event loop. The Runtime API's threads call `_RuntimeClient`, which passes
everything on. A process never outlives the sandbox: the guardian of the Runtime API kills it.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from terralive_sandbox.functions.logs import FunctionLog
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_workers import outcomes
from terralive_workers.process import Process
from terralive_workers.runtime_api import PostResult, RuntimeApi

_log = logging.getLogger("terralive.sandbox")

# The peak memory is read this often at most: reading it costs a tenth of a warm invocation.
_PEAK_INTERVAL_SECONDS: Final = 0.5


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
class Setup:
    """Everything that an execution environment is started with.

    Attributes:
        command: the runtime's command line.
        own_port: true if its Runtime API client needs a port of its own.
        task_root: the unpacked code, which is the process's working directory.
        scratch: this environment's `/tmp`; removed when the process has ended.
        variables: returns the process's environment, given the address of the Runtime API.
        log: its log stream.
        made: when its credentials were issued, in seconds since the Unix epoch.
    """

    command: Sequence[str]
    own_port: bool
    task_root: Path
    scratch: Path
    variables: Callable[[str], Mapping[str, str]] = field(repr=False)
    log: FunctionLog = field(repr=False)
    made: float = 0.0


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """The result of one invocation in one environment.

    Attributes:
        outcome: the handler's response or an error.
        handler_ms: how long the handler ran; 0 if it was not reached.
        timed_out: true if the function's timeout ended it.
        peak_mb: the most memory that the process has held so far; None if it is not known.
    """

    outcome: Outcome
    handler_ms: float = 0.0
    timed_out: bool = False
    peak_mb: int | None = None


class InitTimeoutError(Exception):
    """The init phase exceeded its time."""


class ExecutionEnvironment:
    """A running process of one function.

    Build it on the event loop, call `initialise`, then `run` for one invocation after the other.
    """

    def __init__(self, setup: Setup, api: RuntimeApi) -> None:
        self.log = setup.log
        # When its credentials were issued, in seconds since the Unix epoch.
        self.made = setup.made
        self.phase = Phase.INIT
        # When the runtime last asked for an invocation, on the event loop's clock.
        self.idle_since = 0.0
        # True while the fleet keeps it for one invocation. Only the fleet sets it.
        self.claimed = False
        # The peak memory in MB, and when it was read, on the event loop's clock.
        self._peak: int | None = None
        self._peak_read_at = -_PEAK_INTERVAL_SECONDS
        self._loop = asyncio.get_running_loop()
        self._api = api
        self._scratch = setup.scratch
        # Done when the runtime asks for an invocation (None), or can never ask again.
        self._ready: asyncio.Future[outcomes.WorkerFailure | None] = self._loop.create_future()
        # Done at the end of the present invocation; None while there is none.
        self._ending: asyncio.Future[Outcome | outcomes.WorkerFailure] | None = None
        self._client = _RuntimeClient(self)
        # The environment's id at the Runtime API, which is a secret.
        self._id, address = api.register(self._client, own_port=setup.own_port)
        self._process = Process(
            setup.command,
            cwd=setup.task_root,
            environment=setup.variables(address),
            guardian=api.guardian,
            emit=setup.log.line,
            on_exit=self._exited,
        )
        self._client.process = self._process
        self._process.start()

    async def initialise(self, seconds: float) -> outcomes.WorkerFailure | None:
        """Wait for the end of the init phase.

        Returns:
            None, or the failure. After a failure the environment is gone.

        Raises:
            InitTimeoutError: the init phase took longer than `seconds`; the environment is gone.
        """
        try:
            async with asyncio.timeout(seconds):
                failure = await asyncio.shield(self._ready)
        except TimeoutError:
            self.end()
            raise InitTimeoutError from None
        if failure is not None:
            self.end()
        return failure

    async def is_ready_within(self, seconds: float) -> bool:
        """Return true if an environment that has answered asks for more within this time."""
        try:
            async with asyncio.timeout(seconds):
                failure = await asyncio.shield(self._ready)
        except TimeoutError:
            return False
        return failure is None and self.phase is Phase.READY

    async def run(self, invocation: Invocation, seconds: float) -> ExecutionResult:
        """Run one invocation. The process is killed when `seconds` have passed."""
        self.phase = Phase.RUNNING
        self._ready = self._loop.create_future()
        self._ending = self._loop.create_future()
        began = time.monotonic()
        self._client.hand_over(invocation)
        ending = self._ending
        try:
            async with asyncio.timeout(seconds):
                end = await asyncio.shield(ending)
        except TimeoutError:
            if self._client.take_back():
                self.end()
                outcome = outcomes.timed_out(invocation.request_id, seconds, time.time())
                return ExecutionResult(outcome, _milliseconds_since(began), timed_out=True)
            # The outcome was posted in time, but this loop was too busy to see it.
            end = await ending
        finally:
            self._ending = None
        handler_ms = _milliseconds_since(began)
        if isinstance(end, outcomes.WorkerFailure):
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
        self._client.close()
        self._process.kill()

    def join(self, seconds: float) -> None:
        """Wait until the process is gone. Do not call it on the event loop."""
        self._process.join(seconds)

    # Called on the event loop, for the process.

    def runtime_asked(self) -> None:
        """Note that the runtime asks for an invocation."""
        if self.phase is Phase.GONE:
            return
        self.phase = Phase.READY
        self.idle_since = self._loop.time()
        if not self._ready.done():
            self._ready.set_result(None)

    def runtime_posted(self, outcome: Outcome) -> None:
        """Note the outcome of the present invocation."""
        if self.phase is Phase.RUNNING:
            self.phase = Phase.ANSWERED
        if self._ending is not None and not self._ending.done():
            self._ending.set_result(outcome)

    def init_failed(self, outcome: Outcome) -> None:
        """Note that the runtime has reported an error of its init phase."""
        if not self._ready.done():
            self._ready.set_result(outcomes.WorkerFailure(document=outcome))

    def call_on_loop(self, function: Callable[..., None], *arguments: object) -> None:
        """Call a function on the event loop. Any thread may call this."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return  # The sandbox has stopped.

    def _exited(self, status: int | OSError) -> None:
        """Clean up after the process. Runs on the process's own thread."""
        self._api.unregister(self._id)
        self._client.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        self.call_on_loop(self._gone, outcomes.WorkerFailure(status=status))

    def _gone(self, failure: outcomes.WorkerFailure) -> None:
        _log.debug("an execution environment has ended in phase %s", self.phase)
        self.phase = Phase.GONE
        if not self._ready.done():
            self._ready.set_result(failure)
        if self._ending is not None and not self._ending.done():
            self._ending.set_result(failure)


class _RuntimeClient:
    """The environment's side of the Runtime API (`terralive_workers.runtime_api.WorkerClient`)."""

    def __init__(self, environment: ExecutionEnvironment) -> None:
        self._environment = environment
        # Set once, before the process starts.
        self.process: Process | None = None
        # The next invocation for the runtime; None to end it.
        self._inbox: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        # Guards the three attributes below it.
        self._lock = threading.Lock()
        # The request id of the invocation whose outcome is awaited, or "".
        self._current = ""
        # True once the runtime has asked for an invocation: the init phase is over.
        self._initialised = False
        # True once the environment has ended.
        self._closed = False

    # Called on the event loop.

    def hand_over(self, invocation: Invocation) -> None:
        """Give the runtime an invocation."""
        with self._lock:
            self._current = invocation.request_id
        self._inbox.put(invocation)

    def take_back(self) -> bool:
        """Accept no outcome of this invocation any more. Return false if one was accepted."""
        with self._lock:
            current = self._current
            self._current = ""
        return bool(current)

    def close(self) -> None:
        """End the runtime the next time it asks. Any thread may call it."""
        with self._lock:
            self._closed = True
        self._inbox.put(None)

    # Called by the threads of the Runtime API.

    def next_invocation(self) -> Invocation | None:
        process = self.process
        with self._lock:
            if self._closed or process is None:
                return None
            self._initialised = True
        process.freeze()
        self._environment.call_on_loop(self._environment.runtime_asked)
        invocation = self._inbox.get()
        if invocation is None:
            return None
        process.thaw()
        process.begin(invocation.request_id)
        return invocation

    def respond(self, request_id: str, body: bytes) -> PostResult:
        return self._post(request_id, Outcome(body))

    def fail(self, request_id: str, error_type: str, body: bytes) -> PostResult:
        return self._post(request_id, Outcome(body, error_type or "Unhandled"))

    def fail_init(self, error_type: str, body: bytes, cause: str = "") -> PostResult:
        del cause  # It is for X-Ray, which the sandbox does not have.
        with self._lock:
            if self._initialised or self._closed:
                return PostResult.WRONG_STATE
        if self.process is not None:
            self.process.end()
        outcome = Outcome(body, error_type or "Unhandled")
        self._environment.call_on_loop(self._environment.init_failed, outcome)
        return PostResult.ACCEPTED

    def _post(self, request_id: str, outcome: Outcome) -> PostResult:
        with self._lock:
            if not request_id or request_id != self._current:
                return PostResult.UNKNOWN_REQUEST
            self._current = ""
        if self.process is not None:
            self.process.end()
        self._environment.call_on_loop(self._environment.runtime_posted, outcome)
        return PostResult.ACCEPTED


def _milliseconds_since(began: float) -> float:
    return (time.monotonic() - began) * 1000

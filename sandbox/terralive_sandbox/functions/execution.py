"""One execution environment: a process that runs one invocation at a time and stands still in between.

Its life is Lambda's (https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html):
it starts, its runtime asks for the first invocation (that ends the init phase), and from then on it
is frozen whenever it waits for the next one, so that threads and timers of its code stand still as
they do on AWS. At a timeout it is killed.

All state belongs to the event loop. The Runtime API's threads come in through `_Runtime`, which
does no more than hand over. It must never outlive the sandbox: the relay's guardian sees to that.
"""

from __future__ import annotations

import asyncio
import queue
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from terralive_sandbox.functions.logs import FunctionLog
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_workers import outcomes
from terralive_workers.process import Process
from terralive_workers.runtime_api import PostResult, RuntimeApi

_PEAK_SECONDS = 0.5


class Phase(StrEnum):
    """Where an execution environment is in its life."""

    INIT = "init"
    READY = "ready"
    RUNNING = "running"
    ANSWERED = "answered"  # has given its result and not yet asked for the next invocation
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Setup:
    """What an execution environment is made of.

    Attributes:
        command: the runtime's command line.
        own_port: whether its Runtime API client needs a port of its own.
        task_root: the unpacked code, the process's working directory.
        scratch: this environment's `/tmp`; removed with it.
        variables: given the address of the Runtime API, the process's environment.
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
class Ending:
    """How an invocation ended.

    `handler_ms` is 0 where no handler was reached, `peak_mb` None where nobody knows it.
    """

    outcome: Outcome
    handler_ms: float = 0.0
    timed_out: bool = False
    peak_mb: int | None = None


class InitTimeoutError(Exception):
    """The init phase took longer than it may."""


class ExecutionEnvironment:
    """Build it on the event loop, `initialise` it, then `run` invocations one after the other."""

    def __init__(self, setup: Setup, api: RuntimeApi) -> None:
        self.log = setup.log
        self.made = setup.made
        self.phase = Phase.INIT
        self.idle_since = 0.0  # on the loop's clock
        self.claimed = False
        self._peak: int | None = None
        self._peak_at = -_PEAK_SECONDS
        self._loop = asyncio.get_running_loop()
        self._api = api
        self._scratch = setup.scratch
        self._ready: asyncio.Future[outcomes.WorkerFailure | None] = self._loop.create_future()
        self._ending: asyncio.Future[Outcome | outcomes.WorkerFailure] | None = None
        self._runtime = _Runtime(self)
        self._id, address = api.register(self._runtime, own_port=setup.own_port)
        self._process = Process(
            setup.command,
            cwd=setup.task_root,
            environment=setup.variables(address),
            guardian=api.guardian,
            emit=setup.log.line,
            on_exit=self._exited,
        )
        self._runtime.process = self._process
        self._process.start()

    async def initialise(self, seconds: float) -> outcomes.WorkerFailure | None:
        """Wait for the end of the init phase: None, or how it failed; after a failure the environment is gone.

        Raises:
            InitTimeoutError: it took too long.
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

    async def came_back(self, seconds: float) -> bool:
        """Whether an environment that has answered asks for more within this time."""
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(self._ready) is None and self.phase is Phase.READY
        except TimeoutError:
            return False

    async def run(self, invocation: Invocation, seconds: float) -> Ending:
        """Run one invocation; at its timeout the process is killed."""
        self.phase = Phase.RUNNING
        self._ready = self._loop.create_future()
        self._ending = self._loop.create_future()
        began = time.monotonic()
        self._runtime.hand_over(invocation)
        ending = self._ending
        try:
            async with asyncio.timeout(seconds):
                ended = await asyncio.shield(ending)
        except TimeoutError:
            if self._runtime.take_back():
                self.end()
                outcome = outcomes.timed_out(invocation.request_id, seconds, time.time())
                return Ending(outcome, (time.monotonic() - began) * 1000, timed_out=True)
            ended = await ending  # an answer was taken in time; this loop was too busy to see it
        finally:
            self._ending = None
        elapsed = (time.monotonic() - began) * 1000
        outcome = ended if isinstance(ended, Outcome) else ended.outcome(invocation.request_id)
        return Ending(outcome, elapsed, peak_mb=self._peak_mb())

    def _peak_mb(self) -> int | None:
        """Of now, or of a moment ago: asking costs a tenth of a warm invocation."""
        now = self._loop.time()
        if now - self._peak_at >= _PEAK_SECONDS:
            self._peak, self._peak_at = self._process.peak_memory_mb(), now
        return self._peak

    def end(self) -> None:
        """Kill the process and all it started; returns without waiting."""
        self.phase = Phase.GONE
        self._runtime.close()
        self._process.kill()

    def join(self, seconds: float) -> None:
        """Wait until the process is gone; not on the event loop."""
        self._process.join(seconds)

    # called on the event loop, on behalf of the process

    def asked(self) -> None:
        """The runtime asks for an invocation."""
        if self.phase is Phase.GONE:
            return
        self.phase = Phase.READY
        self.idle_since = self._loop.time()
        if not self._ready.done():
            self._ready.set_result(None)

    def answered(self, outcome: Outcome) -> None:
        if self.phase is Phase.RUNNING:
            self.phase = Phase.ANSWERED
        if self._ending is not None and not self._ending.done():
            self._ending.set_result(outcome)

    def init_failed(self, outcome: Outcome) -> None:
        if not self._ready.done():
            self._ready.set_result(outcomes.WorkerFailure(document=outcome))

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        """Call on the event loop, from any thread."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return  # the sandbox has stopped

    def _exited(self, status: int | OSError) -> None:
        """On the process's own thread."""
        self._api.unregister(self._id)
        self._runtime.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        self.call(self._gone, outcomes.WorkerFailure(status=status))

    def _gone(self, failure: outcomes.WorkerFailure) -> None:
        self.phase = Phase.GONE
        if not self._ready.done():
            self._ready.set_result(failure)
        if self._ending is not None and not self._ending.done():
            self._ending.set_result(failure)


class _Runtime:
    """The environment as the Runtime API's threads see it (`terralive_workers.runtime_api.WorkerClient`)."""

    def __init__(self, environment: ExecutionEnvironment) -> None:
        self._environment = environment
        self.process: Process | None = None
        self._inbox: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        # Guards the three below it.
        self._lock = threading.Lock()
        self._current = ""
        self._initialised = False
        self._closed = False

    # from the event loop

    def hand_over(self, invocation: Invocation) -> None:
        with self._lock:
            self._current = invocation.request_id
        self._inbox.put(invocation)

    def take_back(self) -> bool:
        """Take no answer to the present invocation any more; False where one has been taken."""
        with self._lock:
            current, self._current = self._current, ""
        return bool(current)

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._inbox.put(None)

    # from the Runtime API

    def next_invocation(self) -> Invocation | None:
        process = self.process
        with self._lock:
            if self._closed or process is None:
                return None
            self._initialised = True
        process.freeze()
        self._environment.call(self._environment.asked)
        invocation = self._inbox.get()
        if invocation is None:
            return None
        process.thaw()
        process.begin(invocation.request_id)
        return invocation

    def respond(self, request_id: str, body: bytes) -> PostResult:
        return self._answer(request_id, Outcome(body))

    def fail(self, request_id: str, error_type: str, body: bytes) -> PostResult:
        return self._answer(request_id, Outcome(body, error_type or "Unhandled"))

    def fail_init(self, error_type: str, body: bytes, cause: str = "") -> PostResult:  # noqa: ARG002
        with self._lock:
            if self._initialised or self._closed:
                return PostResult.WRONG_STATE
        if self.process is not None:
            self.process.end()
        self._environment.call(
            self._environment.init_failed, Outcome(body, error_type or "Unhandled")
        )
        return PostResult.ACCEPTED

    def _answer(self, request_id: str, outcome: Outcome) -> PostResult:
        with self._lock:
            if not request_id or request_id != self._current:
                return PostResult.UNKNOWN_REQUEST
            self._current = ""
        if self.process is not None:
            self.process.end()
        self._environment.call(self._environment.answered, outcome)
        return PostResult.ACCEPTED

"""Which execution environment runs an invocation: one that waits, else a new one. There is no queue, as in Lambda.

A `Fleet` belongs to one state of a function's code and configuration. When that changes, it is
retired: environments that wait end at once, the others with their last invocation. Lives on the
event loop.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from terralive_sandbox.functions.execution import (
    Ending,
    ExecutionEnvironment,
    InitTimeoutError,
    Phase,
)
from terralive_sandbox.functions.logs import Report
from terralive_stub.protocol.invocation import Invocation
from terralive_stub.protocol.limits import INIT_SECONDS
from terralive_workers import outcomes

# One that has answered asks for more at once, unless it is still busy with something of its own.
_ANSWERED_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Placed:
    """An invocation's end, with what only its environment knows.

    Attributes:
        ending: the end.
        log_tail: the lines of its log.
    """

    ending: Ending
    log_tail: tuple[str, ...]


class Fleet:
    """The execution environments of one state of a function.

    Args:
        make: builds and starts one environment.
        version: the function's version, for the log.
        memory: its memory in MB, for the log.
        timeout: its timeout in seconds.
        credential_seconds: how old an environment's credentials may be when it takes an invocation.
    """

    def __init__(
        self,
        make: Callable[[], Awaitable[ExecutionEnvironment]],
        *,
        version: str,
        memory: int,
        timeout: float,
        credential_seconds: float,
    ) -> None:
        self._make = make
        self._version = version
        self._memory = memory
        self._timeout = timeout
        self._credential_seconds = credential_seconds
        self._environments: list[ExecutionEnvironment] = []
        self._retired = False

    async def run(self, invocation: Callable[[float], Invocation]) -> Placed:
        """Run an invocation, which is made once the time that it has (in seconds) begins.

        A failed init is tried once more as a part of the invocation, within the function's timeout.
        """
        if (waiting := await self._waiting()) is not None:
            with self._held(waiting):
                return await self._run(waiting, invocation(self._timeout), self._timeout, None)
        with self._held(await self._start()) as environment:
            began = time.monotonic()
            try:
                failure = await environment.initialise(INIT_SECONDS)
            except InitTimeoutError:
                failure = _TOO_LONG
            init_ms = (time.monotonic() - began) * 1000
            if failure is None:
                return await self._run(
                    environment, invocation(self._timeout), self._timeout, init_ms
                )
            status = (
                "timeout" if failure is _TOO_LONG else f"error\tError Type: {_error_type(failure)}"
            )
            environment.log.line(
                "", f"INIT_REPORT Init Duration: {init_ms:.2f} ms\tPhase: init\tStatus: {status}"
            )
        with self._held(await self._start()) as environment:
            return await self._run_with_init(environment, invocation(self._timeout))

    async def _run_with_init(
        self, environment: ExecutionEnvironment, invocation: Invocation
    ) -> Placed:
        environment.log.start(invocation.request_id, self._version)
        began = time.monotonic()
        try:
            failure = await environment.initialise(self._timeout)
        except InitTimeoutError:
            outcome = outcomes.timed_out(invocation.request_id, self._timeout, time.time())
            ending = Ending(outcome, self._timeout * 1000, timed_out=True)
        else:
            elapsed = time.monotonic() - began
            if failure is None:
                return await self._run(
                    environment, invocation, max(self._timeout - elapsed, 0.001), None, started=True
                )
            ending = Ending(failure.outcome(invocation.request_id), elapsed * 1000)
        return Placed(ending, self._close_log(environment, invocation, ending, None))

    async def _run(
        self,
        environment: ExecutionEnvironment,
        invocation: Invocation,
        seconds: float,
        init_ms: float | None,
        *,
        started: bool = False,
    ) -> Placed:
        if not started:
            environment.log.start(invocation.request_id, self._version)
        ending = await environment.run(invocation, seconds)
        return Placed(ending, self._close_log(environment, invocation, ending, init_ms))

    def _close_log(
        self,
        environment: ExecutionEnvironment,
        invocation: Invocation,
        ending: Ending,
        init_ms: float | None,
    ) -> tuple[str, ...]:
        request_id = invocation.request_id
        return environment.log.end(
            request_id,
            ending.outcome,
            Report(ending.handler_ms, self._memory, init_ms, ending.peak_mb),
        )

    async def _waiting(self) -> ExecutionEnvironment | None:
        """Take an environment that waits.

        The latest used first, so that the others can grow old and end.
        """
        oldest = time.time() - self._credential_seconds
        for environment in sorted(self._environments, key=lambda e: e.idle_since, reverse=True):
            if environment.claimed or environment.phase not in {Phase.READY, Phase.ANSWERED}:
                continue
            if environment.made < oldest:
                self._end(environment)
                continue
            environment.claimed = True
            if environment.phase is Phase.READY or await environment.came_back(_ANSWERED_SECONDS):
                return environment
            environment.claimed = False
        return None

    async def _start(self) -> ExecutionEnvironment:
        environment = await self._make()
        environment.claimed = True
        self._environments.append(environment)
        return environment

    @contextmanager
    def _held(self, environment: ExecutionEnvironment) -> Iterator[ExecutionEnvironment]:
        """Keep a claimed environment for one invocation; one that cannot take another one goes."""
        try:
            yield environment
        finally:
            environment.claimed = False
            # INIT and RUNNING: who waited for it has given up
            if self._retired or environment.phase in {Phase.GONE, Phase.INIT, Phase.RUNNING}:
                self._end(environment)

    def reap(self, before: float) -> None:
        """End environments that wait since before this moment of the loop's clock."""
        for environment in list(self._environments):
            if environment.claimed:
                continue
            if environment.phase is Phase.GONE or environment.idle_since < before:
                self._end(environment)

    def retire(self) -> None:
        """Take no more invocations."""
        self._retired = True
        self.reap(float("inf"))

    @property
    def empty(self) -> bool:
        return not self._environments

    def close(self) -> list[ExecutionEnvironment]:
        """End every environment; those that the caller has to wait for."""
        self._retired = True
        environments = list(self._environments)
        for environment in environments:
            environment.end()
        return environments

    def _end(self, environment: ExecutionEnvironment) -> None:
        environment.end()
        if environment in self._environments:
            self._environments.remove(environment)


_TOO_LONG = outcomes.WorkerFailure()


def _error_type(failure: outcomes.WorkerFailure) -> str:
    return failure.outcome("").error_type


async def settle(environments: list[ExecutionEnvironment], seconds: float) -> None:
    """Wait until these environments' processes are gone."""

    def join() -> None:
        for environment in environments:
            environment.join(seconds)

    await asyncio.to_thread(join)

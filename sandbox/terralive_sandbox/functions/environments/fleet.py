"""The execution environments of one revision of a function.

An invocation runs in an environment that waits, else in a new one. As in Lambda there is no queue.
When the function's code or configuration changes, its fleet is retired: environments that wait end
at once, the others end with their last invocation. It belongs to the event loop.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from terralive_sandbox.functions.environments.environment import (
    ExecutionEnvironment,
    ExecutionResult,
    InitTimeoutError,
    Phase,
)
from terralive_sandbox.functions.logs import Report
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.protocol.limits import INIT_SECONDS
from terralive_workers import outcomes

_log = logging.getLogger("terralive.sandbox")

# A runtime that has posted its outcome asks for more at once, unless its code still does something.
_ANSWERED_SECONDS: Final = 0.2
# An init phase that used up the function's timeout leaves at least this time to the handler.
_LEAST_HANDLER_SECONDS: Final = 0.001


@dataclass(frozen=True, slots=True)
class LoggedOutcome:
    """The outcome of an invocation.

    Attributes:
        outcome: the handler's response or an error.
        log_lines: the lines of the invocation's log.
    """

    outcome: Outcome
    log_lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Init:
    """One init phase that has ended.

    Attributes:
        milliseconds: how long it took.
        error: the status of an init phase that failed, in the words of Lambda's INIT_REPORT line;
            "" after a success.
    """

    milliseconds: float
    error: str


class Fleet:
    """Runs invocations, and keeps the environments that it starts for them.

    Args:
        make: builds and starts one environment.
        version: the function's version, for the log.
        memory: the function's memory in MB, for the log.
        timeout: the function's timeout in seconds.
        credential_seconds: an environment with older credentials takes no invocation.
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
        # All environments that have not ended.
        self._environments: list[ExecutionEnvironment] = []
        # True once the function has changed or the sandbox stops.
        self._retired = False

    async def run(self, invocation: Callable[[float], Invocation]) -> LoggedOutcome:
        """Run an invocation.

        An init phase that fails is repeated once, as a part of the invocation and within the
        function's timeout.

        Args:
            invocation: makes the invocation, given the seconds that it has from now on.
        """
        # A warm start.
        ready = await self._claim_ready()
        if ready is not None:
            with self._held(ready):
                return await self._run(ready, invocation(self._timeout), self._timeout)
        # A cold start: the init phase has its own time and is not part of the invocation.
        with self._held(await self._start()) as environment:
            init = await _initialise(environment)
            if not init.error:
                return await self._run(
                    environment,
                    invocation(self._timeout),
                    self._timeout,
                    init_ms=init.milliseconds,
                )
            environment.log.line(
                "",
                f"INIT_REPORT Init Duration: {init.milliseconds:.2f} ms\tPhase: init\t"
                f"Status: {init.error}",
            )
        # The second init phase uses the invocation's time.
        _log.debug("the init phase failed and is repeated as a part of the invocation")
        with self._held(await self._start()) as environment:
            return await self._run_with_init(environment, invocation(self._timeout))

    async def _run_with_init(
        self, environment: ExecutionEnvironment, invocation: Invocation
    ) -> LoggedOutcome:
        """Run an init phase and an invocation, together within the function's timeout."""
        environment.log.start(invocation.request_id, self._version)
        began = time.monotonic()
        try:
            failure = await environment.initialise(self._timeout)
        except InitTimeoutError:
            outcome = outcomes.timed_out(invocation.request_id, self._timeout, time.time())
            result = ExecutionResult(outcome, self._timeout * 1000, timed_out=True)
            return self._logged(environment, invocation, result)
        elapsed = time.monotonic() - began
        if failure is not None:
            result = ExecutionResult(failure.outcome(invocation.request_id), elapsed * 1000)
            return self._logged(environment, invocation, result)
        left = max(self._timeout - elapsed, _LEAST_HANDLER_SECONDS)
        result = await environment.run(invocation, left)
        return self._logged(environment, invocation, result)

    async def _run(
        self,
        environment: ExecutionEnvironment,
        invocation: Invocation,
        seconds: float,
        *,
        init_ms: float | None = None,
    ) -> LoggedOutcome:
        environment.log.start(invocation.request_id, self._version)
        result = await environment.run(invocation, seconds)
        return self._logged(environment, invocation, result, init_ms=init_ms)

    def _logged(
        self,
        environment: ExecutionEnvironment,
        invocation: Invocation,
        result: ExecutionResult,
        *,
        init_ms: float | None = None,
    ) -> LoggedOutcome:
        """Close the invocation's log."""
        report = Report(result.handler_ms, self._memory, init_ms, result.peak_mb)
        lines = environment.log.end(invocation.request_id, result.outcome, report)
        return LoggedOutcome(result.outcome, lines)

    async def _claim_ready(self) -> ExecutionEnvironment | None:
        """Claim an environment that waits; None if there is none.

        The one that was used last comes first, so that the others can grow old and end.
        """
        oldest = time.time() - self._credential_seconds
        for environment in sorted(self._environments, key=lambda e: e.idle_since, reverse=True):
            if environment.claimed or environment.phase not in {Phase.READY, Phase.ANSWERED}:
                continue
            if environment.made < oldest:
                self._end(environment)
                continue
            environment.claimed = True
            if environment.phase is Phase.READY:
                return environment
            if await environment.is_ready_within(_ANSWERED_SECONDS):
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
        """Keep a claimed environment for one invocation, then end it if it cannot take another."""
        try:
            yield environment
        finally:
            environment.claimed = False
            # In INIT and RUNNING whoever waited for it has given up.
            is_unusable = environment.phase in {Phase.GONE, Phase.INIT, Phase.RUNNING}
            if self._retired or is_unusable:
                self._end(environment)

    def reap(self, before: float) -> None:
        """End environments that have waited since before this moment of the event loop's clock."""
        for environment in list(self._environments):
            if environment.claimed:
                continue
            if environment.phase is Phase.GONE or environment.idle_since < before:
                self._end(environment)

    def retire(self) -> None:
        """Take no more invocations. Environments that wait end now."""
        self._retired = True
        self.reap(float("inf"))

    @property
    def empty(self) -> bool:
        """True if all environments have ended."""
        return not self._environments

    def close(self) -> list[ExecutionEnvironment]:
        """End every environment. Return those whose processes the caller has to wait for."""
        self._retired = True
        environments = list(self._environments)
        for environment in environments:
            environment.end()
        return environments

    def _end(self, environment: ExecutionEnvironment) -> None:
        environment.end()
        if environment in self._environments:
            self._environments.remove(environment)


async def _initialise(environment: ExecutionEnvironment) -> _Init:
    """Wait for the end of the init phase of a new environment."""
    began = time.monotonic()
    error = ""
    try:
        failure = await environment.initialise(INIT_SECONDS)
    except InitTimeoutError:
        error = "timeout"
    else:
        if failure is not None:
            error = f"error\tError Type: {failure.outcome('').error_type}"
    return _Init((time.monotonic() - began) * 1000, error)


async def wait_until_gone(environments: list[ExecutionEnvironment], seconds: float) -> None:
    """Wait until the processes of these environments are gone."""

    def join() -> None:
        for environment in environments:
            environment.join(seconds)

    await asyncio.to_thread(join)

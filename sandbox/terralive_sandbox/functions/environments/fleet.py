"""The execution environments of one revision of a function.

An invocation runs in an environment that waits, else in a new one. As in Lambda there is no queue.
When the function's code or configuration changes, its fleet is retired: environments that wait end
at once, the others end with their last invocation. It belongs to the event loop.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

from moto.awslambda.models import LambdaFunction

from terralive_sandbox.functions.environments.environment import (
    ExecutionEnvironment,
    ExecutionResult,
    Phase,
)
from terralive_sandbox.functions.invoke_api import InvokeResponse
from terralive_sandbox.functions.streams import ResponseStream
from terralive_stub.protocol.invocation import Invocation
from terralive_stub.protocol.limits import INIT_SECONDS, LOG_TAIL_BYTES
from terralive_workers import outcomes

_log = logging.getLogger("terralive.sandbox")

# A runtime that has posted its outcome asks for more at once, unless its code still does something.
_ANSWERED_SECONDS: Final = 0.2
# An init phase that used up the function's timeout leaves at least this time to the handler.
_LEAST_HANDLER_SECONDS: Final = 0.001


class Fleet:
    """Runs invocations, and keeps the environments that it starts for them.

    Args:
        function: the function.
        revision: its present code and configuration.
        folder: its unpacked code.
        make: builds and starts one environment.
        credential_seconds: an environment with older credentials takes no invocation.
    """

    def __init__(
        self,
        function: LambdaFunction,
        revision: object,
        folder: Path,
        make: Callable[[], Awaitable[ExecutionEnvironment]],
        *,
        credential_seconds: float,
    ) -> None:
        # What the fleet runs. Neither changes.
        self.revision = revision
        self.folder = folder
        # For the log: the version, and the memory in MB.
        self._version = str(function.version)
        self._memory = int(function.memory_size)
        # The function's timeout in seconds.
        self._timeout = float(function.timeout)
        self._make = make
        self._credential_seconds = credential_seconds
        # All environments that have not ended.
        self._environments: list[ExecutionEnvironment] = []
        # True once the function has changed or the sandbox stops.
        self._retired = False

    async def run(
        self,
        invocation: Callable[[float], Invocation],
        stream: ResponseStream | None = None,
        tenant_id: str = "",
    ) -> InvokeResponse:
        """Run an invocation.

        An init phase that fails is repeated once, as a part of the invocation and within the
        function's timeout.

        Args:
            invocation: makes the invocation, given the seconds that it has from now on.
            stream: takes the response if the function streams it.
            tenant_id: the invocation's tenant; "" for none.
        """
        # A warm start.
        ready = await self._claim_ready(tenant_id)
        if ready is not None:
            with self._held(ready):
                return await self._run(ready, invocation(self._timeout), stream)
        # A cold start: the init phase has its own time and is not part of the invocation.
        with self._held(await self._start(tenant_id)) as environment:
            began = time.monotonic()
            error = await _init_error(environment)
            init_ms = (time.monotonic() - began) * 1000
            if not error:
                asked = invocation(self._timeout)
                return await self._run(environment, asked, stream, init_ms=init_ms)
            report = f"Init Duration: {init_ms:.2f} ms\tPhase: init\tStatus: {error}"
            environment.log.line("", f"INIT_REPORT {report}")
        # The second init phase uses the invocation's time.
        _log.debug("the init phase failed and is repeated as a part of the invocation")
        with self._held(await self._start(tenant_id)) as environment:
            asked = invocation(self._timeout)
            return await self._run(environment, asked, stream, with_init=True)

    async def _run(
        self,
        environment: ExecutionEnvironment,
        invocation: Invocation,
        stream: ResponseStream | None,
        *,
        init_ms: float | None = None,
        with_init: bool = False,
    ) -> InvokeResponse:
        """Run an invocation and log it.

        Args:
            environment: the environment that runs it.
            invocation: the invocation.
            stream: takes the response if the function streams it.
            init_ms: how long the init phase of a cold start took; None for a warm start.
            with_init: true if the init phase is a part of the invocation.
        """
        environment.log.start(invocation.request_id, self._version)
        if with_init:
            result = await self._init_and_run(environment, invocation, stream)
        else:
            result = await environment.run(invocation, self._timeout, stream)
        outcome = result.outcome
        report = _report(result, self._memory, init_ms)
        lines = environment.log.end(invocation.request_id, outcome, report)
        log = "".join(f"{line}\n" for line in lines).encode()
        return InvokeResponse(
            outcome.body,
            function_error=not outcome.ok,
            error_type=outcome.error_type,
            executed_version=self._version,
            log_tail=log[-LOG_TAIL_BYTES:],
        )

    async def _init_and_run(
        self,
        environment: ExecutionEnvironment,
        invocation: Invocation,
        stream: ResponseStream | None,
    ) -> ExecutionResult:
        """Run an init phase and an invocation, together within the function's timeout."""
        began = time.monotonic()
        try:
            failure = await environment.ready(self._timeout)
        except TimeoutError:
            outcome = outcomes.timed_out(invocation.request_id, self._timeout, time.time())
            return ExecutionResult(outcome, self._timeout * 1000)
        elapsed = time.monotonic() - began
        if failure is not None:
            return ExecutionResult(failure.outcome(invocation.request_id), elapsed * 1000)
        left = max(self._timeout - elapsed, _LEAST_HANDLER_SECONDS)
        return await environment.run(invocation, left, stream)

    async def _claim_ready(self, tenant_id: str) -> ExecutionEnvironment | None:
        """Claim an environment of a tenant that waits; None if there is none.

        The one that was used last comes first, so that the others can grow old and end.
        """
        oldest = time.time() - self._credential_seconds
        for environment in sorted(self._environments, key=lambda e: e.idle_since, reverse=True):
            if environment.claimed or environment.phase not in {Phase.READY, Phase.ANSWERED}:
                continue
            if environment.tenant_id != tenant_id:
                continue
            if environment.made < oldest:
                self._end(environment)
                continue
            environment.claimed = True
            # An environment that has answered is about to ask for more.
            with contextlib.suppress(TimeoutError):
                if environment.phase is Phase.ANSWERED:
                    await environment.ready(_ANSWERED_SECONDS)
                if environment.phase is Phase.READY:
                    return environment
            environment.claimed = False
        return None

    async def _start(self, tenant_id: str) -> ExecutionEnvironment:
        environment = await self._make()
        environment.tenant_id = tenant_id
        environment.claimed = True
        self._environments.append(environment)
        return environment

    @contextlib.contextmanager
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


async def _init_error(environment: ExecutionEnvironment) -> str:
    """Wait for the end of the init phase.

    Returns:
        The status of an init phase that failed, in the words of Lambda's INIT_REPORT line, or "".
    """
    try:
        failure = await environment.ready(INIT_SECONDS)
    except TimeoutError:
        return "timeout"
    if failure is None:
        return ""
    return f"error\tError Type: {failure.outcome('').error_type}"


def _report(result: ExecutionResult, memory_mb: int, init_ms: float | None) -> str:
    """Return the values of a REPORT line."""
    billed = int(result.handler_ms + (init_ms or 0)) + 1
    parts = [
        f"Duration: {result.handler_ms:.2f} ms",
        f"Billed Duration: {billed} ms",
        f"Memory Size: {memory_mb} MB",
    ]
    if result.peak_mb is not None:
        parts.append(f"Max Memory Used: {result.peak_mb} MB")
    if init_ms is not None:
        parts.append(f"Init Duration: {init_ms:.2f} ms")
    return "\t".join(parts)

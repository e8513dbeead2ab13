"""The invocations that pools run for a relay: where each one runs, and what it replaces.

A replaced invocation may run in another pool than the one that replaces it, because the functions
of a relay may change while it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final, TypeAlias

from terralive_relay.pool.pool import Pool
from terralive_relay.pool.records import PoolResult
from terralive_relay.streaming.response import OutgoingResponse, StreamItem
from terralive_stub.protocol.invocation import Invocation
from terralive_stub.protocol.named_errors import ErrorName, error_outcome

# Takes an invocation with its result, on any thread.
Ended: TypeAlias = Callable[[Invocation, PoolResult], None]


class RunningInvocations:
    """Hands invocations to pools. The session's thread alone uses it.

    Args:
        ended: called with the end of each invocation, on any thread; must not block.
        streamed: called with what invocations stream, on any thread; must not block.
    """

    def __init__(self, ended: Ended, streamed: Callable[[StreamItem], None]) -> None:
        self._ended: Final = ended
        self._streamed: Final = streamed
        # Responses that may be streamed, of invocations whose end was not seen yet, by attempt.
        self._responses: dict[str, OutgoingResponse] = {}
        # The pools of invocations whose end was not seen yet, by attempt.
        self._pools: dict[str, Pool] = {}

    def run(self, invocation: Invocation, pool: Pool, replaces: Sequence[str]) -> None:
        """Run an invocation after those that it replaces were ended.

        Args:
            invocation: the invocation.
            pool: its function's pool.
            replaces: the attempts that it replaces.
        """
        after: list[Future[None]] = []
        for attempt in replaces:
            former = self._pools.get(attempt)
            if former is not None:
                after.append(former.end(attempt))
        self._pools[invocation.attempt] = pool
        response = None
        if invocation.streams:
            response = OutgoingResponse(invocation.attempt, self._streamed)
            self._responses[invocation.attempt] = response
        future = pool.submit(invocation, after, response)
        future.add_done_callback(partial(self._report, invocation))

    def seen(self, attempt: str) -> None:
        """Forget an invocation whose end was taken from the inbox."""
        self._pools.pop(attempt, None)
        self._responses.pop(attempt, None)

    def let_write(self, attempt: str, consumed: int | None) -> None:
        """Let a worker write more of a streamed response; see `LetWrite`."""
        response = self._responses.get(attempt)
        if response is None:
            return
        if consumed is None:
            response.drop()
        else:
            response.consume(consumed)

    def _report(self, invocation: Invocation, future: Future[PoolResult]) -> None:
        """Report an outcome, on any thread."""
        error = future.exception()
        if error is None:
            result = future.result()
        else:
            text = f"The relay could not run the handler: {error}"
            result = PoolResult(error_outcome(ErrorName.PROTOCOL, text), 0.0)
        self._ended(invocation, result)

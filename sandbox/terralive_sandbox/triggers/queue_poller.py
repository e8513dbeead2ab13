"""Reads a queue for a function: batches that run side by side, deleted when the function has succeeded.

A message is hidden for its queue's visibility timeout from when it is received, and Lambda does not prolong that: what
fails, or takes too long, is received again, by its redrive policy in the end for the dead-letter queue.
"""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from dataclasses import dataclass

from terralive_sandbox.lambdas import InvokeError, Result

from . import queues, reading
from .poller import BLOCKED_SECONDS, FAILED, IDLE_SECONDS, OK, Poller, Tools
from .sources import SourceMapping

_THROTTLED_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0)
_GROWTH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Held:
    """A received message on its way to the function: as JSON text, until it is visible again."""

    id: str
    receipt_handle: str
    text: bytes
    hidden_until: float


class QueuePoller(Poller):
    """One mapping of a queue."""

    def __init__(self, mapping: SourceMapping, tools: Tools) -> None:
        super().__init__(mapping, tools)
        self._gathered: list[_Held] = []
        self._window_ends = 0.0
        self._running: set[asyncio.Task[None]] = set()
        self._busy_since: float | None = None

    def cancel(self) -> None:
        super().cancel()
        for task in self._running:
            task.cancel()

    async def _turn(self) -> float | None:
        mapping = self._mapping
        if not mapping.enabled:
            self._start_batches(everything=True)
            return None
        if problem := self._problem():
            self._report(problem)
            return BLOCKED_SECONDS
        # What a window outlasts is visible again, and somebody else's.
        self._gathered = [held for held in self._gathered if held.hidden_until > time.time()]
        while True:
            # Nothing is received that could not run soon: it would only wait while hidden.
            free = len(self._running) < self._concurrency()
            room = mapping.batch_size - len(self._gathered) if free else 0
            received = await asyncio.wrap_future(self._control.call(reading.receive, mapping.source_arn, room))
            if received is None:
                self._report("PROBLEM: The specified queue does not exist.")
                return BLOCKED_SECONDS
            await self._gather(received)
            self._start_batches()
            if not free or not received.messages:
                break
        if free:
            self._busy_since = None
        return self._wait(received.next_at, free=free)

    def _concurrency(self) -> int:
        busy = 0.0 if self._busy_since is None else (time.monotonic() - self._busy_since) / (self._time_scale or 1)
        return queues.concurrency(busy, self._mapping.maximum_concurrency)

    def _wait(self, next_at: float | None, *, free: bool) -> float:
        waits = [IDLE_SECONDS]
        if free and next_at is not None:
            waits.append(next_at - time.time())
        if not free:
            waits.append(_GROWTH_SECONDS)
        if self._gathered:
            waits.append(self._window_ends - time.monotonic())
        return max(min(waits), 0.0)

    async def _gather(self, received: reading.Received) -> None:
        """Keep what passes the filters for the next batch; what does not is deleted."""
        mapping = self._mapping
        unwanted = []
        for message in received.messages:
            record = queues.record(message, mapping.source_arn)
            if not mapping.filters.pass_message(record):
                unwanted.append(message.receipt_handle)
                continue
            if not self._gathered:
                self._window_ends = time.monotonic() + mapping.window * self._time_scale
            text = json.dumps(record, separators=(",", ":")).encode()
            self._gathered.append(_Held(message.id, message.receipt_handle, text, received.hidden_until))
        if unwanted:
            await asyncio.wrap_future(self._control.call(reading.delete, mapping.source_arn, unwanted))
        if received.messages and self._busy_since is None:
            self._busy_since = time.monotonic()

    def _start_batches(self, *, everything: bool = False) -> None:
        """Run what is full or has waited long enough; several batches only where one event cannot hold all."""
        while self._gathered:
            count, full = queues.fitting([len(held.text) for held in self._gathered], self._mapping.batch_size)
            if not (full or everything or time.monotonic() >= self._window_ends):
                return
            batch, self._gathered = self._gathered[:count], self._gathered[count:]
            task = asyncio.create_task(self._process(self._mapping, batch))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            traceback.print_exception(error)
        self.wake()

    async def _process(self, mapping: SourceMapping, batch: list[_Held]) -> None:
        result = await self._invoke(mapping, batch)
        if result is None or result.function_error:
            failed = frozenset(held.id for held in batch)
        elif mapping.reports_failures:
            failed = queues.failed(result.body, [held.id for held in batch])
        else:
            failed = frozenset()
        if len(failed) == len(batch) and not mapping.reports_failures:
            self._back_off()
        if result is not None:
            self._report(FAILED if failed else OK)
        done = [held.receipt_handle for held in batch if held.id not in failed]
        if done and self._problem() is None:
            await asyncio.wrap_future(self._control.call(reading.delete, mapping.source_arn, done))

    async def _invoke(self, mapping: SourceMapping, batch: list[_Held]) -> Result | None:
        """Run the function; None when it could not be run at all.

        While it is throttled Lambda tries again, until the messages are visible again: then somebody else has them.
        """
        event = queues.event([held.text for held in batch])
        tries = 0
        while True:
            try:
                function = self._functions.find(mapping.function_arn)
                return await self._functions.invoke(function, event, arn=mapping.function_arn)
            except InvokeError as error:
                self._report(f"PROBLEM: {error.message}")
                pause = _THROTTLED_PAUSES_SECONDS[min(tries, len(_THROTTLED_PAUSES_SECONDS) - 1)] * self._time_scale
                over = time.time() + pause >= min(held.hidden_until for held in batch)
                if error.code != "TooManyRequestsException" or over:
                    return None
            self._back_off()
            tries += 1
            await asyncio.sleep(pause)

    def _back_off(self) -> None:
        """Concurrency begins to grow anew."""
        self._busy_since = time.monotonic()

"""Reads a queue for a function: batches that run side by side, deleted when the function has succeeded.

A message is hidden for its queue's visibility timeout from when it is received, and Lambda does not
prolong that: what fails, or takes too long, is received again, by its redrive policy in the end for
the dead-letter queue.
"""

from __future__ import annotations

import asyncio
import time
import traceback

from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.functions.invoke_api import InvokeError, InvokeResponse
from terralive_sandbox.functions.registry import Functions
from terralive_sandbox.triggers.event_source_mappings import batches
from terralive_sandbox.triggers.event_source_mappings.batches import Record
from terralive_sandbox.triggers.event_source_mappings.poller import (
    BLOCKED_SECONDS,
    FAILED,
    OK,
    Poller,
)
from terralive_sandbox.triggers.event_source_mappings.queues import messages
from terralive_sandbox.triggers.event_source_mappings.settings import MappingSettings

_THROTTLED_PAUSE_SECONDS = 0.5
# So many batches Lambda begins with; that it adds more each minute would gain nothing on one
# machine.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
_CONCURRENCY = 5


class QueuePoller(Poller):
    """One mapping of a queue."""

    def __init__(
        self, mapping: MappingSettings, control: ControlPlane, functions: Functions
    ) -> None:
        super().__init__(mapping, control, functions)
        self._running: set[asyncio.Task[None]] = set()

    def cancel(self) -> None:
        super().cancel()
        for task in self._running:
            task.cancel()

    async def _turn(self) -> float | None:
        mapping = self.mapping
        # What a window outlasts is visible again, and somebody else's.
        self._gathered = [message for message in self._gathered if message.moment > time.time()]
        while True:
            while batch := self._take_batch(everything=not mapping.enabled):
                self._start(batch)
            # Nothing is received that could not run soon: it would only wait while hidden. Each end
            # of a batch wakes.
            if not mapping.enabled or len(self._running) >= (
                mapping.maximum_concurrency or _CONCURRENCY
            ):
                return None
            room = mapping.batch_size - len(self._gathered)
            received = await self._call(messages.receive, mapping.source_arn, room)
            if received is None:
                self._report("PROBLEM: The specified queue does not exist.")
                return BLOCKED_SECONDS
            if not received.messages:
                return seconds_to_next_turn(self._wait(), received.next_at, time.time())
            if unwanted := self._gather(received.messages):
                await self._call(messages.delete, mapping.source_arn, unwanted)

    def _start(self, batch: list[Record]) -> None:
        task = asyncio.create_task(self._process(self.mapping, batch))
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            traceback.print_exception(error)
        self.wake()

    async def _process(self, mapping: MappingSettings, batch: list[Record]) -> None:
        result = await self._run_function(mapping, batch)
        if result is None:
            return
        ids = [message.id for message in batch]
        if result.function_error:
            failed = frozenset(ids)
        else:
            failed = batches.failed(result.body, ids) if mapping.reports_failures else frozenset()
        self._report(FAILED if failed else OK)
        done = [message for message in batch if message.id not in failed]
        if done and self._problem() is None:
            await self._call(messages.delete, mapping.source_arn, done)

    async def _run_function(
        self, mapping: MappingSettings, batch: list[Record]
    ) -> InvokeResponse | None:
        """None when it could not be run at all.

        While it is throttled Lambda tries again, until the messages are visible again: then
            somebody else has them.
        """
        pause = _THROTTLED_PAUSE_SECONDS * self._time_scale
        while True:
            try:
                return await self._invoke(mapping, batch)
            except InvokeError as error:
                self._report(f"PROBLEM: {error.message}")
                over = time.time() + pause >= min(message.moment for message in batch)
                if error.code != "TooManyRequestsException" or over:
                    return None
            await asyncio.sleep(pause)


def seconds_to_next_turn(window: float, next_visible_at: float | None, now: float) -> float:
    """Return how long a poller waits after it has found no message. Pure.

    Args:
        window: the seconds until the batching window ends.
        next_visible_at: when the next hidden message becomes visible; None if there is none.
        now: the present time. Both times are in seconds since the Unix epoch.
    """
    if next_visible_at is None:
        return window
    return max(min(window, next_visible_at - now), 0.0)

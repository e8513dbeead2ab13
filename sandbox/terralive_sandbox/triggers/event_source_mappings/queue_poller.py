"""Read a queue for a function: batches run side by side and are deleted after a success.

A message is hidden for its queue's visibility timeout from the moment when it is received, and
Lambda does not prolong that time. A message whose batch fails, or takes too long, is received
again; the queue's redrive policy moves it to the dead-letter queue in the end.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from typing import Final

from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.functions.invoke_api import InvokeError
from terralive_sandbox.functions.registry import Functions
from terralive_sandbox.refusals import Refusals
from terralive_sandbox.triggers.event_source_mappings import sources
from terralive_sandbox.triggers.event_source_mappings.batches import Record
from terralive_sandbox.triggers.event_source_mappings.poller import BLOCKED_SECONDS, Poller
from terralive_sandbox.triggers.event_source_mappings.settings import MappingSettings

_THROTTLED_PAUSE_SECONDS: Final = 0.5
# Lambda begins with so many batches at once. It adds more each minute, which would gain nothing on
# one machine.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
_CONCURRENCY: Final = 5


class QueuePoller(Poller):
    """Reads the queue of one mapping."""

    def __init__(
        self,
        mapping: MappingSettings,
        control: ControlPlane,
        functions: Functions,
        refusals: Refusals,
    ) -> None:
        super().__init__(mapping, control, functions, refusals)
        # One task for each batch that the function has now.
        self._running: set[asyncio.Task[None]] = set()

    def cancel(self) -> None:
        super().cancel()
        for task in self._running:
            task.cancel()

    async def _turn(self) -> float | None:
        mapping = self.mapping
        # A message that waited here for longer than its visibility timeout is visible again:
        # another receiver may have it.
        now = time.time()
        self._gathered = [message for message in self._gathered if message.moment > now]
        most_batches = mapping.maximum_concurrency or _CONCURRENCY
        while True:
            while batch := self._take_batch(everything=not mapping.enabled):
                self._start(batch)
            # Nothing is received that could not run soon: it would only wait while it is hidden.
            # The end of each batch wakes the poller.
            if not mapping.enabled or len(self._running) >= most_batches:
                return None
            count = mapping.batch_size - len(self._gathered)
            received = await self._control.call_async(
                sources.receive_messages, mapping.source_arn, count
            )
            if received is None:
                self._report("PROBLEM: The specified queue does not exist.")
                return BLOCKED_SECONDS
            messages, next_visible_at = received
            if not messages:
                return seconds_to_next_turn(self._window_seconds(), next_visible_at, time.time())
            unwanted = self._gather(messages)
            if unwanted:
                await self._control.call_async(
                    sources.delete_messages, mapping.source_arn, unwanted
                )

    def _start(self, batch: list[Record]) -> None:
        task = asyncio.create_task(self._process(self.mapping, batch))
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            error = task.exception()
            if error is not None:
                traceback.print_exception(error)
        self.wake()

    async def _process(self, mapping: MappingSettings, batch: list[Record]) -> None:
        """Invoke the function with a batch, then delete the messages that it has processed."""
        failed = await self._run_function(mapping, batch)
        if failed is None:
            return
        done = [message for message in batch if message.id not in failed]
        if done and self._problem() is None:
            await self._control.call_async(sources.delete_messages, mapping.source_arn, done)

    async def _run_function(
        self, mapping: MappingSettings, batch: list[Record]
    ) -> frozenset[str] | None:
        """Invoke the function. Return the ids of failed messages; None if Lambda does not run it.

        Lambda tries a throttled batch again until its messages are visible again. From then on
        another receiver may have them.
        """
        pause = _THROTTLED_PAUSE_SECONDS * self._time_scale
        visible_again = min(message.moment for message in batch)
        while True:
            try:
                return await self._invoke(mapping, batch)
            except InvokeError as error:
                is_throttled = error.code == "TooManyRequestsException"
                if not is_throttled or time.time() + pause >= visible_again:
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

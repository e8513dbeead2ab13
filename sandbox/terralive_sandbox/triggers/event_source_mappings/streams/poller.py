"""Read a DynamoDB stream for a function: one batch after the other, each until it is done.

A batch is done when the function has processed it or its records are given up.
moto's streams have one shard. ParallelizationFactor allows several batches per shard as long as the
changes of each item stay in order; it is accepted here and changes nothing.
"""

from __future__ import annotations

import sys
import time

from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.functions.invoke_api import InvokeError, InvokeResponse
from terralive_sandbox.functions.registry import Functions
from terralive_sandbox.triggers.event_source_mappings.poller import (
    BLOCKED_SECONDS,
    FAILED,
    OK,
    Poller,
)
from terralive_sandbox.triggers.event_source_mappings.settings import MappingSettings
from terralive_sandbox.triggers.event_source_mappings.streams import records, retries
from terralive_sandbox.triggers.event_source_mappings.streams.retries import Batch


class StreamPoller(Poller):
    """Reads the stream of one mapping."""

    def __init__(
        self, mapping: MappingSettings, control: ControlPlane, functions: Functions
    ) -> None:
        super().__init__(mapping, control, functions)
        # The index of the next record that is read.
        self._position = mapping.start
        # The batch that the function gets next; more than one after a batch was split.
        self._batches: list[Batch] = []
        # How many attempts in a row have failed.
        self._failures = 0
        # When the next attempt may begin, on the monotonic clock.
        self._not_before = 0.0

    async def _turn(self) -> float | None:
        if not self.mapping.enabled:
            return None
        if not self._batches:
            batch = self._take_batch()
            if not batch:
                return await self._read()
            self._batches = [Batch(tuple(batch))]
        if time.monotonic() >= self._not_before:
            await self._attempt()
        return max(self._not_before - time.monotonic(), 0.0)

    async def _read(self) -> float:
        """Read more records. Return the seconds until the next turn."""
        mapping = self.mapping
        count = mapping.batch_size - len(self._gathered)
        found = await self._call(records.read, mapping.source_arn, self._position, count)
        if found is None:
            self._report(f"PROBLEM: Stream not found: {mapping.source_arn}")
            return BLOCKED_SECONDS
        if not found:
            return self._window_seconds()
        self._position += len(found)
        self._gather(found)
        return 0.0

    async def _attempt(self) -> None:
        """Invoke the function with the first batch and decide how it goes on."""
        mapping = self.mapping
        batch = self._without_expired(self._batches[0])
        if not batch.records:
            self._batches.pop(0)
            return
        self._batches[0] = batch
        try:
            response = await self._invoke(mapping, batch.records)
        except InvokeError as error:
            # The function did not run: this uses up time, but no retry.
            self._report(f"PROBLEM: {error.message}")
            self._pause()
            return
        first = _first_failed(response, batch, reports_failures=mapping.reports_failures)
        if first is None:
            self._report(OK)
            self._failures = 0
            self._batches.pop(0)
            return
        self._report(FAILED)
        following = retries.after_failure(
            batch, first, mapping.maximum_retries, bisects=mapping.bisects
        )
        self._batches[:1] = following
        if not following:
            self._discard(len(batch.records) - first, "retries are used up")
        if len(following) == 1 and first == 0:
            # The same records come again.
            self._pause()
        else:
            self._failures = 0

    def _without_expired(self, batch: Batch) -> Batch:
        """Return a batch without the records that are older than the mapping allows."""
        age = self.mapping.maximum_age
        if age is None:
            return batch
        left = retries.without_expired(batch, age * self._time_scale, time.time())
        self._discard(len(batch.records) - len(left.records), "too old")
        return left

    def _pause(self) -> None:
        self._failures += 1
        self._not_before = time.monotonic() + retries.pause(self._failures) * self._time_scale

    def _discard(self, count: int, why: str) -> None:
        """Write to the sandbox's log that records are given up."""
        if count:
            mapping = self.mapping
            sys.stderr.write(
                f"{mapping.source_arn} -> {mapping.function_arn}: {count} discarded, {why}\n"
            )


def _first_failed(response: InvokeResponse, batch: Batch, *, reports_failures: bool) -> int | None:
    """Return the index of the first record that is not processed; None if all are."""
    if response.function_error:
        return 0
    if reports_failures:
        return retries.first_failed(response.body, batch)
    return None

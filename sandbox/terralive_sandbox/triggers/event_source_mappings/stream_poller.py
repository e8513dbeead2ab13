"""Read a stream for a function: one batch after the other, each until it is done.

The stream is a DynamoDB stream or one shard of a Kinesis stream.

A batch is done when the function has processed it or its records are given up.
moto's DynamoDB streams have one shard. ParallelizationFactor allows several batches per shard as
long as the records of each key stay in order; it is accepted here and changes nothing.
"""

from __future__ import annotations

import sys
import time

from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.functions.invoke_api import InvokeError
from terralive_sandbox.functions.registry import Functions
from terralive_sandbox.refusals import Refusals
from terralive_sandbox.triggers.event_source_mappings import batches, kinesis_shards, sources
from terralive_sandbox.triggers.event_source_mappings.batches import Batch, Record
from terralive_sandbox.triggers.event_source_mappings.poller import BLOCKED_SECONDS, Poller
from terralive_sandbox.triggers.event_source_mappings.settings import MappingSettings, SourceKind


class StreamPoller(Poller):
    """Reads the stream of one mapping."""

    def __init__(
        self,
        mapping: MappingSettings,
        control: ControlPlane,
        functions: Functions,
        refusals: Refusals,
    ) -> None:
        super().__init__(mapping, control, functions, refusals)
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
        found = await self._control.call_async(self._records, mapping, self._position, count)
        if found is None:
            self._report(f"PROBLEM: Stream not found: {mapping.source_arn}")
            return BLOCKED_SECONDS
        if not found:
            return self._window_seconds()
        self._position += len(found)
        self._gather(found)
        return 0.0

    def _records(self, mapping: MappingSettings, start: int, count: int) -> list[Record] | None:
        """Return records from an index on; None if there is no such stream.

        Runs on the thread that owns moto's state.
        """
        if mapping.kind is SourceKind.STREAM:
            return sources.read_stream(mapping.source_arn, start, count)
        return kinesis_shards.read(mapping.source_arn, mapping.shard, start, count, self._role())

    def _role(self) -> str:
        """Return the role that reads the stream."""
        return str(self._functions.find(self.mapping.function_arn).role)

    async def _attempt(self) -> None:
        """Invoke the function with the first batch and decide how it goes on."""
        mapping = self.mapping
        given = self._batches[0]
        batch = batches.without_expired(given, mapping.maximum_age, time.time(), self._time_scale)
        self._discard(len(given.records) - len(batch.records), "too old")
        if not batch.records:
            self._batches.pop(0)
            return
        self._batches[0] = batch
        try:
            failed = await self._invoke(mapping, batch.records)
        except InvokeError:
            # The function did not run: this uses up time, but no retry.
            self._pause()
            return
        first = batches.first_failed(batch, failed)
        if first is None:
            self._failures = 0
            self._batches.pop(0)
            return
        following = batches.after_failure(
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

    def _pause(self) -> None:
        self._failures += 1
        self._not_before = time.monotonic() + batches.pause(self._failures) * self._time_scale

    def _discard(self, count: int, why: str) -> None:
        """Write to the sandbox's log that records are given up."""
        if count:
            mapping = self.mapping
            sys.stderr.write(
                f"{mapping.source_arn} -> {mapping.function_arn}: {count} discarded, {why}\n"
            )

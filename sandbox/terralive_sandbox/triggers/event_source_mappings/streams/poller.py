"""Reads a DynamoDB stream for a function: one batch after the other, in order, until each is done or given up.

moto's streams have one shard, so ParallelizationFactor, which allows several batches a shard as
long as each item's changes stay in order, is accepted and changes nothing.
"""

from __future__ import annotations

import sys
import time

from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.functions.invoke_api import InvokeError
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
    """One mapping of a stream."""

    def __init__(
        self, mapping: MappingSettings, control: ControlPlane, functions: Functions
    ) -> None:
        super().__init__(mapping, control, functions)
        self._position = mapping.start
        # What the function has now; after splitting several.
        self._batches: list[Batch] = []
        self._failures = 0
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
        mapping = self.mapping
        room = mapping.batch_size - len(self._gathered)
        found = await self._call(records.read, mapping.source_arn, self._position, room)
        if found is None:
            self._report(f"PROBLEM: Stream not found: {mapping.source_arn}")
            return BLOCKED_SECONDS
        self._position += len(found)
        self._gather(found)
        return 0.0 if found else self._wait()

    async def _attempt(self) -> None:
        mapping = self.mapping
        age = None if mapping.maximum_age is None else mapping.maximum_age * self._time_scale
        batch = retries.without_expired(self._batches[0], age, time.time())
        self._discard(len(self._batches[0].records) - len(batch.records), "too old")
        if not batch.records:
            self._batches.pop(0)
            return
        self._batches[0] = batch
        try:
            result = await self._invoke(mapping, batch.records)
        except InvokeError as error:  # not run: no retry is used up, only time
            self._report(f"PROBLEM: {error.message}")
            self._pause()
            return
        if result.function_error:
            first: int | None = 0
        else:
            first = retries.first_failed(result.body, batch) if mapping.reports_failures else None
        self._report(OK if first is None else FAILED)
        if first is None:
            self._failures = 0
            self._batches.pop(0)
            return
        following = retries.after_failure(
            batch, first, mapping.maximum_retries, bisects=mapping.bisects
        )
        self._batches[:1] = following
        if not following:
            self._discard(len(batch.records) - first, "retries are used up")
        if len(following) == 1 and not first:
            self._pause()
        else:
            self._failures = 0

    def _pause(self) -> None:
        self._failures += 1
        self._not_before = time.monotonic() + retries.pause(self._failures) * self._time_scale

    def _discard(self, count: int, why: str) -> None:
        if count:
            mapping = self.mapping
            sys.stderr.write(
                f"{mapping.source_arn} -> {mapping.function_arn}: {count} discarded, {why}\n"
            )

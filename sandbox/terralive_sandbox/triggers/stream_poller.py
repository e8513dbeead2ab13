"""Reads a DynamoDB stream for a function: one batch after the other, in order, until each is done or given up.

moto's streams have one shard, so ParallelizationFactor, which allows several batches a shard as long as each item's
changes stay in order, is accepted and changes nothing.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sys
import time
import uuid

from terralive_sandbox.lambdas import InvokeError

from . import queues, reading, streams
from .destinations import DestinationError, Role, send
from .poller import BLOCKED_SECONDS, FAILED, IDLE_SECONDS, OK, Poller, Tools
from .sources import SourceMapping
from .streams import Batch, Discarded, LastRun, Limits


class StreamPoller(Poller):
    """One mapping of a stream."""

    def __init__(self, mapping: SourceMapping, tools: Tools) -> None:
        super().__init__(mapping, tools)
        self._position = mapping.start
        self._gathered: list[streams.Record] = []
        self._window_ends = 0.0
        self._batches: list[Batch] = []
        self._failures = 0
        self._not_before = 0.0
        self._last: LastRun | None = None

    async def _turn(self) -> float | None:
        if not self._mapping.enabled:
            return None
        if problem := self._problem():
            self._report(problem)
            return BLOCKED_SECONDS
        if not self._batches:
            wait = await self._gather()
            if not self._batches:
                return wait
        if (left := self._not_before - time.monotonic()) > 0:
            return left
        await self._attempt()
        return max(self._not_before - time.monotonic(), 0.0)

    async def _gather(self) -> float:
        """Read on until there is a batch, or nothing more; return the seconds after which to look again."""
        mapping = self._mapping
        while room := mapping.batch_size - len(self._gathered):
            read = await asyncio.wrap_future(
                self._control.call(reading.read, mapping.source_arn, self._position, max(room, 0))
            )
            if read is None:
                self._report(f"PROBLEM: Stream not found: {mapping.source_arn}")
                return BLOCKED_SECONDS
            if not read:
                break
            self._position += len(read)
            for one in read:
                if mapping.filters.pass_record(streams.record(one, mapping.source_arn)):
                    if not self._gathered:
                        self._window_ends = time.monotonic() + mapping.window * self._time_scale
                    self._gathered.append(one)
        if not self._gathered:
            return IDLE_SECONDS
        sizes = [len(self._text(one)) for one in self._gathered]
        count, full = queues.fitting(sizes, mapping.batch_size)
        if not full and (left := self._window_ends - time.monotonic()) > 0:
            return left
        self._batches.append(Batch(tuple(self._gathered[:count])))
        self._gathered = self._gathered[count:]
        return 0.0

    def _text(self, one: streams.Record) -> bytes:
        return json.dumps(streams.record(one, self._mapping.source_arn), separators=(",", ":")).encode()

    async def _attempt(self) -> None:
        mapping = self._mapping
        age = None if mapping.maximum_age is None else mapping.maximum_age * self._time_scale
        limits = Limits(mapping.maximum_retries, age, mapping.bisects)
        fresh = streams.without_expired(self._batches[0], limits, time.time())
        self._batches[:1] = fresh.batches
        if fresh.discarded:
            await self._give_up(fresh.discarded)
        if not fresh.batches:
            return
        batch = self._batches[0]
        event = queues.event([self._text(one) for one in batch.records])
        request_id = str(uuid.uuid4())
        try:
            function = self._functions.find(mapping.function_arn)
            result = await self._functions.invoke(function, event, arn=mapping.function_arn, request_id=request_id)
        except InvokeError as error:  # not run: no retry is used up, only time
            self._report(f"PROBLEM: {error.message}")
            self._pause()
            return
        self._last = LastRun(request_id, result.executed_version, result.function_error)
        if result.function_error:
            first: int | None = 0
        else:
            first = streams.first_failed(result.body, batch) if mapping.reports_failures else None
        if first is None:
            self._report(OK)
            self._failures = 0
            self._batches.pop(0)
            return
        self._report(FAILED)
        step = streams.after_failure(batch, first, limits)
        self._batches[:1] = step.batches
        if step.discarded:
            self._failures = 0
            await self._give_up(step.discarded)
        elif len(step.batches) > 1 or first:
            self._failures = 0
        else:
            self._pause()

    def _pause(self) -> None:
        self._failures += 1
        self._not_before = time.monotonic() + streams.pause(self._failures) * self._time_scale

    async def _give_up(self, gone: Discarded) -> None:
        """Tell the on-failure destination; the stream goes on, whether that works or not."""
        mapping = self._mapping
        count = len(gone.batch.records)
        sys.stderr.write(f"{mapping.source_arn} -> {mapping.function_arn}: {count} discarded, {gone.condition.value}\n")
        if mapping.on_failure is None:
            return
        shard = await asyncio.wrap_future(self._control.call(reading.shard_id, mapping.source_arn))
        document = streams.failure_document(
            gone, function_arn=mapping.function_arn, stream_arn=mapping.source_arn, shard_id=shard, last=self._last,
            now=dt.datetime.now(dt.UTC),
        )  # fmt: skip
        try:
            sender = Role(self._functions.find(mapping.function_arn).role)
            sending = self._control.call(send, sender, mapping.on_failure, json.dumps(document), {})
            await asyncio.wrap_future(sending)
        except (InvokeError, DestinationError) as error:
            sys.stderr.write(f"{mapping.source_arn}: the on-failure destination was not told: {error}\n")

"""The base class of the pollers of queues and of streams.

A poller takes *turns* on the event loop: it reads and invokes when something may be due.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Final

from moto.awslambda.models import lambda_backends

from terralive_sandbox.access import identity
from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.functions.invoke_api import InvokeError
from terralive_sandbox.functions.registry import Functions
from terralive_sandbox.places import Place
from terralive_sandbox.refusals import Refusals
from terralive_sandbox.triggers.event_source_mappings import batches
from terralive_sandbox.triggers.event_source_mappings.batches import Record
from terralive_sandbox.triggers.event_source_mappings.settings import (
    MappingSettings,
    missing_permission,
)

# New records wake a poller. This is for changes that wake nobody.
_IDLE_SECONDS: Final = 20.0
# A poller that may not read, or has nothing to read from, tries again after this time.
BLOCKED_SECONDS: Final = 1.0
# Values of LastProcessingResult.
_OK: Final = "OK"
_FAILED: Final = "PROBLEM: Function call failed"


class Poller(ABC):
    """Reads the source of one mapping and invokes its function. It belongs to the event loop."""

    def __init__(
        self,
        mapping: MappingSettings,
        control: ControlPlane,
        functions: Functions,
        refusals: Refusals,
    ) -> None:
        # The present settings; `update` replaces them.
        self.mapping = mapping
        self._control = control
        self._functions = functions
        self._refusals = refusals
        self._time_scale = functions.time_scale
        # Records that were read and belong to no batch yet, in order.
        self._gathered: list[Record] = []
        # When the batching window of the gathered records ends, on the monotonic clock.
        self._window_ends = 0.0
        # Set when a turn may be due.
        self._woken = asyncio.Event()
        # True once the mapping is deleted: the turn that runs is the last one.
        self._deleted = False
        # The last value of LastProcessingResult.
        self._reported = ""
        self._task = asyncio.create_task(self._run())

    def update(self, mapping: MappingSettings) -> None:
        """Go on with other settings, from the same place in the source."""
        self.mapping = mapping
        self.wake()

    def wake(self) -> None:
        """Let the poller take a turn now."""
        self._woken.set()

    def finish(self) -> None:
        """Read nothing more. Invocations that run are completed."""
        self._deleted = True
        self.wake()

    def cancel(self) -> None:
        """End at once."""
        self._task.cancel()

    async def _run(self) -> None:
        while not self._deleted:
            self._woken.clear()
            try:
                problem = None
                if self.mapping.enabled:
                    problem = self._problem()
                if problem is None:
                    wait = await self._turn()
                else:
                    self._report(problem)
                    wait = BLOCKED_SECONDS
            except Exception:  # noqa: BLE001  # a mapping must not end because of one bad turn
                traceback.print_exc()
                wait = BLOCKED_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._woken.wait()

    @abstractmethod
    async def _turn(self) -> float | None:
        """Do what is due.

        Return the seconds until the next turn, if nothing wakes the poller before; None for never.
        """

    def _gather(self, records: Iterable[Record]) -> list[Record]:
        """Keep the records that pass the filters for the next batches. Return the others."""
        unwanted = []
        for record in records:
            if not self.mapping.filters.passes(record.fields):
                unwanted.append(record)
                continue
            if not self._gathered:
                self._window_ends = time.monotonic() + self.mapping.window * self._time_scale
            self._gathered.append(record)
        return unwanted

    def _take_batch(self, *, everything: bool = False) -> list[Record]:
        """Return the next batch if it is full or its window has ended, else an empty list.

        With `everything`, return what is gathered at once.
        """
        sizes = [len(record.text) for record in self._gathered]
        count, full = batches.fitting(sizes, self.mapping.batch_size)
        if not (full or everything or time.monotonic() >= self._window_ends):
            return []
        batch = self._gathered[:count]
        self._gathered = self._gathered[count:]
        return batch

    def _window_seconds(self) -> float:
        """Return the seconds until the batching window ends; without records, a long time."""
        if not self._gathered:
            return _IDLE_SECONDS
        return max(self._window_ends - time.monotonic(), 0.0)

    async def _invoke(self, mapping: MappingSettings, batch: Sequence[Record]) -> frozenset[str]:
        """Invoke the function with a batch. Return the ids of the records that failed.

        Raises:
            InvokeError: the function did not run.
        """
        ids = [record.id for record in batch]
        try:
            function = self._functions.find(mapping.function_arn)
            event = batches.event(batch)
            response = await self._functions.invoke(function, event, arn=mapping.function_arn)
        except InvokeError as error:
            self._report(f"PROBLEM: {error.message}")
            raise
        failed: frozenset[str] = frozenset()
        if response.function_error:
            failed = frozenset(ids)
        elif mapping.reports_failures:
            failed = batches.failed(response.body, ids)
        result = _FAILED if failed else _OK
        self._report(result)
        return failed

    def _problem(self) -> str | None:
        """Return why nothing may be read now; None if reading is allowed.

        AWS does not document the texts of LastProcessingResult.
        """
        mapping = self.mapping
        try:
            function = self._functions.find(mapping.function_arn)
        except InvokeError as error:
            return f"PROBLEM: {error.message}"
        missing = missing_permission(
            lambda action: identity.role_may(function.role, action, mapping.source_arn),
            mapping.source_arn,
            mapping.kind,
        )
        if missing is None:
            return None
        problem = f"PROBLEM: {missing}"
        # A poller asks every second.
        if problem != self._reported:
            self._refusals.add(f"{mapping.source_arn} -> {mapping.function_arn}: {missing}")
        return problem

    def _report(self, result: str) -> None:
        """Set LastProcessingResult, if it changes."""
        if result == self._reported:
            return
        self._reported = result
        self._control.call(_keep_result, self.mapping.function_arn, self.mapping.uuid, result)


def _keep_result(function_arn: str, uuid: str, result: str) -> None:
    """Keep LastProcessingResult with moto's mapping. Runs on the thread that owns moto's state."""
    place = Place.of(function_arn)
    mapping = lambda_backends[place.account][place.region]._event_source_mappings.get(uuid)  # noqa: SLF001  # moto has no other way
    if mapping is not None:
        vars(mapping)["terralive_result"] = result

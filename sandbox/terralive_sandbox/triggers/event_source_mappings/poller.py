"""What pollers of queues and of streams have in common.

Turns on the event loop, taken when something may be due.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

from moto.awslambda.models import lambda_backends

from terralive_sandbox.access import identity
from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.functions.invoke_api import InvokeError, InvokeResponse
from terralive_sandbox.functions.registry import Functions
from terralive_sandbox.triggers.event_source_mappings import batches
from terralive_sandbox.triggers.event_source_mappings.batches import Record
from terralive_sandbox.triggers.event_source_mappings.settings import (
    MappingSettings,
    missing_permission,
)

# A poller is woken by what arrives; this is for what nothing tells of.
IDLE_SECONDS = 20.0
# How soon a poller that may not read, or has nothing to read, tries again.
BLOCKED_SECONDS = 1.0
OK = "OK"
FAILED = "PROBLEM: Function call failed"

P = ParamSpec("P")
T = TypeVar("T")


class Poller(ABC):
    """One mapping at work. All methods belong to the event loop."""

    def __init__(
        self, mapping: MappingSettings, control: ControlPlane, functions: Functions
    ) -> None:
        self.mapping = mapping
        self._control = control
        self._functions = functions
        self._time_scale = functions.time_scale
        self._gathered: list[Record] = []
        self._window_ends = 0.0
        self._woken = asyncio.Event()
        self._deleted = False
        self._reported = ""
        self._task = asyncio.create_task(self._run())

    def update(self, mapping: MappingSettings) -> None:
        """Go on with other settings, from the same place."""
        self.mapping = mapping
        self.wake()

    def wake(self) -> None:
        self._woken.set()

    def finish(self) -> None:
        """Read nothing more; what runs comes to its end."""
        self._deleted = True
        self.wake()

    def cancel(self) -> None:
        """End at once."""
        self._task.cancel()

    async def _run(self) -> None:
        while not self._deleted:
            self._woken.clear()
            try:
                problem = self._problem() if self.mapping.enabled else None
                if problem:
                    self._report(problem)
                wait = BLOCKED_SECONDS if problem else await self._turn()
            except Exception:  # noqa: BLE001 - a mapping must not end because of one bad turn
                traceback.print_exc()
                wait = BLOCKED_SECONDS
            try:
                async with asyncio.timeout(wait):
                    await self._woken.wait()
            except TimeoutError:
                continue

    @abstractmethod
    async def _turn(self) -> float | None:
        """Do what is due.

        Return the seconds after which the next turn comes even if nothing wakes (None: never).
        """

    def _gather(self, records: Iterable[Record]) -> list[Record]:
        """Keep what passes the filters for the next batches; return the rest."""
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
        """The next batch, if it is full or has waited long enough."""
        count, full = batches.fitting(
            [len(record.text) for record in self._gathered], self.mapping.batch_size
        )
        if not (full or everything or time.monotonic() >= self._window_ends):
            return []
        batch, self._gathered = self._gathered[:count], self._gathered[count:]
        return batch

    def _wait(self) -> float:
        """Seconds until the window of what is gathered ends."""
        return max(self._window_ends - time.monotonic(), 0.0) if self._gathered else IDLE_SECONDS

    async def _invoke(self, mapping: MappingSettings, batch: Iterable[Record]) -> InvokeResponse:
        """Raises InvokeError."""
        function = self._functions.find(mapping.function_arn)
        return await self._functions.invoke(
            function, batches.event(tuple(batch)), arn=mapping.function_arn
        )

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.wrap_future(self._control.call(function, *args, **kwargs))

    def _problem(self) -> str | None:
        """Why nothing may be read now. AWS's texts for LastProcessingResult are not documented."""
        mapping = self.mapping
        try:
            function = self._functions.find(mapping.function_arn)
        except InvokeError as error:
            return f"PROBLEM: {error.message}"
        lacking = missing_permission(
            identity.role_documents(function.role), mapping.source_arn, mapping.kind
        )
        return f"PROBLEM: {lacking}" if lacking else None

    def _report(self, result: str) -> None:
        if result != self._reported:
            self._reported = result
            self._control.call(_record_result, self.mapping.function_arn, self.mapping.uuid, result)


def _record_result(function_arn: str, uuid: str, result: str) -> None:
    """Keep what a mapping's configuration says of its last batch."""
    _, _, _, region, account, _ = function_arn.split(":", 5)
    mapping = lambda_backends[account][region]._event_source_mappings.get(uuid)  # noqa: SLF001
    if mapping is not None:
        vars(mapping)["terralive_result"] = result

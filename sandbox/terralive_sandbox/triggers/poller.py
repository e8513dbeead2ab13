"""What pollers of queues and of streams have in common: turns on the event loop, taken when something may be due."""

from __future__ import annotations

import asyncio
import traceback
from abc import ABC, abstractmethod
from dataclasses import dataclass

from terralive_sandbox import identity
from terralive_sandbox.control import ControlPlane
from terralive_sandbox.lambdas import Functions, InvokeError

from . import reading, sources
from .sources import SourceMapping

# A poller is woken by what arrives; this is for what nothing tells of.
IDLE_SECONDS = 20.0
# How soon a poller that may not read, or has nothing to read, tries again.
BLOCKED_SECONDS = 1.0
OK = "OK"
FAILED = "PROBLEM: Function call failed"


@dataclass(frozen=True, slots=True)
class Tools:
    """What pollers work with."""

    control: ControlPlane
    functions: Functions


class Poller(ABC):
    """One mapping at work. All methods belong to the event loop."""

    def __init__(self, mapping: SourceMapping, tools: Tools) -> None:
        self._mapping = mapping
        self._control = tools.control
        self._functions = tools.functions
        self._time_scale = tools.functions.time_scale
        self._woken = asyncio.Event()
        self._deleted = False
        self._reported = ""
        self._task = asyncio.create_task(self._run())

    @property
    def mapping(self) -> SourceMapping:
        return self._mapping

    def update(self, mapping: SourceMapping) -> None:
        """Go on with other settings, from the same place."""
        self._mapping = mapping
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
                wait = await self._turn()
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
        """Do what is due; return the seconds after which the next turn comes even if nothing wakes (None: never)."""

    def _problem(self) -> str | None:
        """Why nothing may be read now. AWS's texts for LastProcessingResult are not documented."""
        mapping = self._mapping
        try:
            function = self._functions.find(mapping.function_arn)
        except InvokeError as error:
            return f"PROBLEM: {error.message}"
        lacking = sources.lacking(identity.role_documents(function.role), mapping.source_arn, mapping.kind)
        return f"PROBLEM: {lacking}" if lacking else None

    def _report(self, result: str) -> None:
        if result != self._reported:
            self._reported = result
            self._control.call(reading.report, self._mapping.function_arn, self._mapping.uuid, result)

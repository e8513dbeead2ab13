"""Fires what is scheduled.

One task on the event loop that sleeps until the next time, or until schedules change.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import traceback
from collections.abc import Callable, Mapping

from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.triggers.rules.schedules import Agenda

# A laptop that was asleep, or a clock that was set: what is due is looked at this often anyway.
_LONGEST_SLEEP_SECONDS = 30.0


class Clock:
    """Fires what is due, on the thread that owns moto's state. Build it on the event loop.

    Args:
        control: the thread that owns moto's state.
        scheduled: every key that is enabled now, with its expression.
        fire: the key's time has come; which time by the schedule, is told as well.
        scale: what intervals of rate() are multiplied by.
    """

    def __init__(
        self,
        control: ControlPlane,
        scheduled: Callable[[], Mapping[str, str]],
        fire: Callable[[str, dt.datetime], None],
        *,
        scale: float = 1.0,
    ) -> None:
        self._control = control
        self._scheduled = scheduled
        self._fire = fire
        self._agenda = Agenda(scale)
        self._loop = asyncio.get_running_loop()
        self._changes = asyncio.Event()
        self._task = self._loop.create_task(self._run())

    def changed(self) -> None:
        """Something may fire sooner than before. Any thread."""
        self._loop.call_soon_threadsafe(self._changes.set)

    def close(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            self._changes.clear()
            next_at = await asyncio.wrap_future(self._control.call(self._tick))
            seconds = _LONGEST_SLEEP_SECONDS
            if next_at is not None:
                seconds = min(
                    seconds, max(0.0, (next_at - dt.datetime.now(dt.UTC)).total_seconds())
                )
            try:
                await asyncio.wait_for(self._changes.wait(), seconds)
            except TimeoutError:
                continue

    def _tick(self) -> dt.datetime | None:
        now = dt.datetime.now(dt.UTC)
        for key, at in self._agenda.due(self._scheduled(), now):
            try:
                self._fire(key, at)
            except Exception:  # noqa: BLE001 - one schedule's failure is not another's
                traceback.print_exc()
        return self._agenda.next_at()

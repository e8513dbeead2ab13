"""Fire rules that have a schedule, and schedules of EventBridge Scheduler.

One task on the event loop sleeps until the next time, or until schedules change.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.triggers.rules.timetables import Timetable

_log = logging.getLogger("terralive.sandbox")

# A laptop may have slept, or its clock may have been set: the schedules are looked at this often.
_LONGEST_SLEEP_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Plan:
    """The next time of one schedule.

    Attributes:
        timetable: the schedule's times; a changed one is planned anew.
        at: the next time; None if the schedule never fires again.
    """

    timetable: Timetable
    at: dt.datetime | None


class Agenda:
    """The next times of all schedules. Pure: the caller says what time it is.

    Times that pass while the machine sleeps are skipped.

    Args:
        scale: what intervals of rate() are multiplied by.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale
        # By the schedule's key; `due` replaces it.
        self._plans: dict[str, _Plan] = {}

    def due(
        self, scheduled: Mapping[str, Timetable], now: dt.datetime
    ) -> list[tuple[str, dt.datetime]]:
        """Return the keys that fire now, each with the time that its schedule says.

        Keys that are not in `scheduled` any more are forgotten.

        Args:
            scheduled: the times of the schedules that are enabled now, by key.
            now: the present time in UTC.
        """
        plans: dict[str, _Plan] = {}
        fires: list[tuple[str, dt.datetime]] = []
        for key, timetable in scheduled.items():
            plan = self._plans.get(key)
            if plan is None or plan.timetable != timetable:
                at = timetable.first_time(now, self._scale)
            else:
                at = plan.at
            if at is not None and at <= now:
                fires.append((key, at))
                at = timetable.next_time(at, self._scale)
                # A schedule that is late fires once, however many of its times have passed.
                if at is not None and at <= now:
                    at = timetable.next_time(now, self._scale)
            plans[key] = _Plan(timetable, at)
        self._plans = plans
        return fires

    def next_at(self) -> dt.datetime | None:
        """Return the next time of all schedules; None if none of them fires again."""
        times = [plan.at for plan in self._plans.values() if plan.at is not None]
        return min(times, default=None)


class Clock:
    """Fires schedules that are due, on the thread that owns moto's state.

    Build it on the event loop.

    Args:
        control: the thread that owns moto's state.
        scheduled: returns the times of all schedules that are enabled now, by key.
        fire: is called with the key of a schedule that is due, and the time that the schedule says.
        scale: what intervals of rate() are multiplied by.
    """

    def __init__(
        self,
        control: ControlPlane,
        scheduled: Callable[[], Mapping[str, Timetable]],
        fire: Callable[[str, dt.datetime], None],
        *,
        scale: float = 1.0,
    ) -> None:
        self._control = control
        self._scheduled = scheduled
        self._fire = fire
        # Only the thread that owns moto's state uses it.
        self._agenda = Agenda(scale)
        self._loop = asyncio.get_running_loop()
        # Set when a schedule may fire sooner than planned.
        self._changes = asyncio.Event()
        self._task = self._loop.create_task(self._run())

    def changed(self) -> None:
        """Look at the schedules again, because they have changed. Any thread may call it."""
        self._loop.call_soon_threadsafe(self._changes.set)

    def close(self) -> None:
        """Fire nothing any more."""
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            self._changes.clear()
            next_at = await self._control.call_async(self._fire_due)
            seconds = _LONGEST_SLEEP_SECONDS
            if next_at is not None:
                left = (next_at - dt.datetime.now(dt.UTC)).total_seconds()
                seconds = min(seconds, max(left, 0.0))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changes.wait(), seconds)

    def _fire_due(self) -> dt.datetime | None:
        """Fire what is due and return the next time. Runs on the thread that owns moto's state."""
        now = dt.datetime.now(dt.UTC)
        for key, at in self._agenda.due(self._scheduled(), now):
            _log.debug("the schedule of %s fires", key)
            try:
                self._fire(key, at)
            except Exception:  # noqa: BLE001  # a failure must not stop the other schedules
                traceback.print_exc()
        return self._agenda.next_at()

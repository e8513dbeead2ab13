"""Fire rules that have a schedule.

One task on the event loop sleeps until the next time, or until schedules change.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import traceback
from collections.abc import Callable, Mapping
from typing import Final

from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.triggers.rules.agenda import Agenda

_log = logging.getLogger("terralive.sandbox")

# A laptop may have slept, or its clock may have been set: the schedules are looked at this often.
_LONGEST_SLEEP_SECONDS: Final = 30.0


class Clock:
    """Fires schedules that are due, on the thread that owns moto's state.

    Build it on the event loop.

    Args:
        control: the thread that owns moto's state.
        scheduled: returns the expressions of all schedules that are enabled now, by key.
        fire: is called with the key of a schedule that is due, and the time that the schedule says.
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
            next_at = await asyncio.wrap_future(self._control.call(self._fire_due))
            try:
                await asyncio.wait_for(self._changes.wait(), _sleep_seconds(next_at))
            except TimeoutError:
                continue

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


def _sleep_seconds(next_at: dt.datetime | None) -> float:
    if next_at is None:
        return _LONGEST_SLEEP_SECONDS
    left = (next_at - dt.datetime.now(dt.UTC)).total_seconds()
    return min(_LONGEST_SLEEP_SECONDS, max(left, 0.0))

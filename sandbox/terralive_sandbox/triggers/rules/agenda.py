"""Remember when each schedule fires next. Pure: the caller says what time it is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from terralive_sandbox.triggers.rules.schedules import next_time, parse


@dataclass(frozen=True, slots=True)
class _Plan:
    """The next time of one schedule.

    Attributes:
        expression: the schedule expression; a changed one is planned anew.
        at: the next time; None if the schedule never fires again.
    """

    expression: str
    at: dt.datetime | None


class Agenda:
    """The next times of all schedules. Times that pass while the machine sleeps are skipped.

    Args:
        scale: what intervals of rate() are multiplied by.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale
        # By the schedule's key; `due` replaces it.
        self._plans: dict[str, _Plan] = {}

    def due(self, scheduled: Mapping[str, str], now: dt.datetime) -> list[tuple[str, dt.datetime]]:
        """Return the keys that fire now, each with the time that its schedule says.

        Keys that are not in `scheduled` any more are forgotten.

        Args:
            scheduled: the schedule expressions that are enabled now, by key.
            now: the present time in UTC.
        """
        plans: dict[str, _Plan] = {}
        fires: list[tuple[str, dt.datetime]] = []
        for key, expression in scheduled.items():
            at = self._planned(key, expression, now)
            # A schedule that is late fires once, however many of its times have passed.
            if at is not None and at <= now:
                fires.append((key, at))
                at = self._following(expression, at, now)
            plans[key] = _Plan(expression, at)
        self._plans = plans
        return fires

    def next_at(self) -> dt.datetime | None:
        """Return the next time of all schedules; None if none of them fires again."""
        times = [plan.at for plan in self._plans.values() if plan.at is not None]
        return min(times, default=None)

    def _planned(self, key: str, expression: str, now: dt.datetime) -> dt.datetime | None:
        plan = self._plans.get(key)
        if plan is not None and plan.expression == expression and plan.at is not None:
            return plan.at
        return next_time(parse(expression), now, self._scale)

    def _following(
        self, expression: str, fired: dt.datetime, now: dt.datetime
    ) -> dt.datetime | None:
        """Return the time after one that fires now, without times that have passed already."""
        schedule = parse(expression)
        following = next_time(schedule, fired, self._scale)
        if following is not None and following <= now:
            return next_time(schedule, now, self._scale)
        return following

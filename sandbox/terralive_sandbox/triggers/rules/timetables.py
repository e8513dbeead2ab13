"""Times of a schedule: its expression in a time zone, between a start and an end. Pure.

A rule of EventBridge has an expression only. EventBridge Scheduler also has at(), time zones, and
dates on which a schedule starts and ends.
https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from terralive_sandbox.triggers.rules import schedules
from terralive_sandbox.triggers.rules.schedules import InvalidScheduleError, Schedule

_AT: Final = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")

Expression: TypeAlias = Schedule | dt.datetime
"""A recurring schedule, or the one time of at(), which has no time zone yet."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """The times of one schedule.

    Attributes:
        expression: rate(), cron() or at().
        zone: the name of the time zone of cron() and at().
        start: nothing is fired before it, in UTC; a rate() is counted from it. None for a rule,
            whose rate() is counted from the moment at which it is first seen.
        end: nothing is fired after it, in UTC; None if there is no end.
    """

    expression: str
    zone: str = "UTC"
    start: dt.datetime | None = None
    end: dt.datetime | None = None

    def check(self) -> None:
        """Raise InvalidScheduleError unless expression and time zone are valid."""
        _zone(self.zone)
        _parse(self.expression)

    def first_time(self, now: dt.datetime, scale: float) -> dt.datetime | None:
        """Return the first time of a schedule that is seen for the first time at `now`.

        A rate() begins at once.
        """
        expression = _parse(self.expression)
        if isinstance(expression, dt.timedelta) and self.start is not None:
            if now - self.start < expression * scale:
                return self._before_end(self.start)
        return self.next_time(now, scale)

    def next_time(self, after: dt.datetime, scale: float = 1.0) -> dt.datetime | None:
        """Return the first time later than `after`; None if there is none.

        Args:
            after: a time in UTC.
            scale: what the interval of rate() is multiplied by.
        """
        expression = _parse(self.expression)
        if isinstance(expression, dt.datetime):
            # The dates do not count for a schedule with one time.
            moment = _in_utc(expression, _zone(self.zone))
            if moment is None or moment <= after:
                return None
            return moment
        if isinstance(expression, dt.timedelta):
            return self._before_end(self._next_of_rate(expression * scale, after))
        if self.start is not None:
            after = max(after, self.start - dt.timedelta(seconds=1))
        return self._before_end(self._next_of_cron(expression, after))

    def _next_of_rate(self, interval: dt.timedelta, after: dt.datetime) -> dt.datetime:
        if self.start is None:
            return after + interval
        if after < self.start:
            return self.start
        return self.start + interval * (math.floor((after - self.start) / interval) + 1)

    def _next_of_cron(self, cron: schedules.Cron, after: dt.datetime) -> dt.datetime | None:
        """Return the next time in UTC. A local time that does not exist on a day is left out."""
        zone = _zone(self.zone)
        # cron() is evaluated with local times that are written as if they were UTC.
        local: dt.datetime | None = after.astimezone(zone).replace(tzinfo=dt.UTC)
        while local is not None:
            local = schedules.next_time(cron, local)
            moment = local and _in_utc(local, zone)
            if moment and moment > after:
                return moment
        return None

    def _before_end(self, moment: dt.datetime | None) -> dt.datetime | None:
        if moment is None or (self.end is not None and moment > self.end):
            return None
        return moment


@lru_cache(maxsize=1024)
def _parse(expression: str) -> Expression:
    """Read an expression. Raises InvalidScheduleError."""
    at = _AT.fullmatch(expression)
    if at is None:
        return schedules.parse(expression)
    try:
        return dt.datetime.fromisoformat(at[1])
    except ValueError as error:
        raise InvalidScheduleError(expression) from error


def _zone(name: str) -> ZoneInfo:
    """Return a time zone. Raises InvalidScheduleError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidScheduleError(name) from error


def _in_utc(local: dt.datetime, zone: ZoneInfo) -> dt.datetime | None:
    """Return a local time in UTC; None if clocks skip it. Of two such times, it is the first."""
    moment = local.replace(tzinfo=zone, fold=0).astimezone(dt.UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
        return None
    return moment

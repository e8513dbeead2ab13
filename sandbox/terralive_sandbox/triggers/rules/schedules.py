"""When a rule's schedule fires next: rate(), and cron() in EventBridge's dialect. Pure.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html

A sandbox's time scale shortens the intervals of rate() alone. cron() names times of the day, in
UTC, which a scale
says nothing about: they fire when a clock on the wall shows them.

No library is used: croniter speaks Unix cron, and those that speak AWS's dialect are unmaintained.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_WEEKDAYS = {
    name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)
}
_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
_RATE = re.compile(r"rate\((?P<value>\d+)\s+(?P<unit>minute|hour|day)(?P<plural>s?)\)")
_ITEM = re.compile(r"(?:(?P<all>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")
_SATURDAY, _SUNDAY = 5, 6
_CRON_FIELDS = 6
_FIRST_YEAR, _LAST_YEAR = 1970, 2199


class InvalidScheduleError(ValueError):
    """The text is no schedule expression."""


@dataclass(frozen=True, slots=True)
class Cron:
    """Times of the day on certain days; `day_of_month` or `day_of_week` is `?`, which is any."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    day_of_month: str
    months: tuple[int, ...]
    day_of_week: str
    years: tuple[int, ...]


Schedule: TypeAlias = dt.timedelta | Cron
"""rate()'s interval, or cron()."""


def parse(expression: str) -> Schedule:
    """Raises InvalidScheduleError."""
    if found := _RATE.fullmatch(expression):
        value = int(found["value"])
        if not value or (value == 1) == bool(found["plural"]):
            raise InvalidScheduleError(expression)
        return dt.timedelta(seconds=value * _SECONDS[found["unit"]])
    kind, inside = expression[:-1].partition("(")[::2]
    try:
        fields = inside.upper().split()
        if kind != "cron" or not expression.endswith(")") or len(fields) != _CRON_FIELDS:
            raise InvalidScheduleError(expression)
        minutes, hours, day_of_month, months, day_of_week, years = fields
        if (day_of_month == "?") == (day_of_week == "?"):
            raise InvalidScheduleError(expression)
        cron = Cron(
            _numbers(minutes, 0, 59), _numbers(hours, 0, 23), day_of_month, _numbers(months, 1, 12, _MONTHS),
            day_of_week, _numbers(years, _FIRST_YEAR, _LAST_YEAR),
        )  # fmt: skip
        _days(cron, 2000, 1)
    except ValueError as error:
        raise InvalidScheduleError(expression) from error
    return cron


def next_time(schedule: Schedule, after: dt.datetime, scale: float = 1.0) -> dt.datetime | None:
    """The first time later than `after`, None if there is none.

    `scale` is what rate()'s interval is multiplied by.
    """
    if isinstance(schedule, dt.timedelta):
        return after + schedule * scale
    return next((moment for moment in _times(schedule, after) if moment > after), None)


def _times(cron: Cron, after: dt.datetime) -> Iterable[dt.datetime]:
    """From the day of `after` on, some of them past."""
    for year in cron.years:
        for month in cron.months:
            if (year, month) < (after.year, after.month):
                continue
            for day in sorted(_days(cron, year, month)):
                if (year, month, day) < (after.year, after.month, after.day):
                    continue
                for hour in cron.hours:
                    for minute in cron.minutes:
                        yield dt.datetime(year, month, day, hour, minute, tzinfo=dt.UTC)


def _days(cron: Cron, year: int, month: int) -> set[int]:
    last = calendar.monthrange(year, month)[1]
    if cron.day_of_week == "?":
        return _days_of_month(cron.day_of_month, year, month, last)
    return _days_of_week(cron.day_of_week, year, month, last)


def _days_of_month(field: str, year: int, month: int, last: int) -> set[int]:
    days: set[int] = set()
    for item in field.split(","):
        if item == "L":
            days.add(last)
        elif item.endswith("W"):
            (day,) = _numbers(item[:-1], 1, 31)
            if day <= last:
                days.add(_nearest_weekday(year, month, day, last))
        else:
            days.update(day for day in _numbers(item, 1, 31) if day <= last)
    return days


def _nearest_weekday(year: int, month: int, day: int, last: int) -> int:
    """Never in another month."""
    weekday = dt.date(year, month, day).weekday()
    if weekday == _SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == _SUNDAY:
        return day + 1 if day < last else day - 2
    return day


def _days_of_week(field: str, year: int, month: int, last: int) -> set[int]:
    by_weekday: dict[int, list[int]] = {}
    for day in range(1, last + 1):
        by_weekday.setdefault(dt.date(year, month, day).isoweekday() % 7 + 1, []).append(day)
    if "#" in field:
        weekday, _, nth = field.partition("#")
        (number,), (which,) = _numbers(weekday, 1, 7, _WEEKDAYS), _numbers(nth, 1, 5)
        return set(by_weekday[number][which - 1 : which])
    days: set[int] = set()
    for item in field.split(","):
        if item == "L":  # of the week: Saturday
            days.update(by_weekday[7])
        elif item.endswith("L"):
            (number,) = _numbers(item[:-1], 1, 7, _WEEKDAYS)
            days.add(by_weekday[number][-1])
        else:
            days.update(
                day for number in _numbers(item, 1, 7, _WEEKDAYS) for day in by_weekday[number]
            )
    return days


def _numbers(
    field: str, low: int, high: int, names: dict[str, int] | None = None
) -> tuple[int, ...]:
    """The values of one field, ascending; a range may go over the end (20-2)."""

    def number(text: str) -> int:
        value = (names or {}).get(text)
        value = int(text) if value is None and text.isascii() and text.isdigit() else value
        if value is None or not low <= value <= high:
            raise InvalidScheduleError(field)
        return value

    values: set[int] = set()
    for item in field.split(","):
        found = _ITEM.fullmatch(item)
        if found is None or found["step"] == "0":
            raise InvalidScheduleError(field)
        first = low if found["all"] else number(found["first"])
        last = (
            number(found["last"])
            if found["last"]
            else (high if found["all"] or found["step"] else first)
        )
        reach = (
            range(first, last + 1)
            if first <= last
            else [*range(first, high + 1), *range(low, last + 1)]
        )
        values.update(reach[:: int(found["step"] or 1)])
    return tuple(sorted(values))


class Agenda:
    """Remembers when each key's expression fires next. What it missed while the machine slept is not made up for.

    Args:
        scale: what intervals of rate() are multiplied by.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale
        self._planned: dict[tuple[str, str], dt.datetime | None] = {}

    def due(self, scheduled: Mapping[str, str], now: dt.datetime) -> list[tuple[str, dt.datetime]]:
        """The keys that fire now, with their time; what is not `scheduled` any more is forgotten."""
        planned: dict[tuple[str, str], dt.datetime | None] = {}
        fires: list[tuple[str, dt.datetime]] = []
        for key, expression in scheduled.items():
            schedule = parse(expression)
            at = self._planned.get((key, expression)) or next_time(schedule, now, self._scale)
            if at is not None and at <= now:
                fires.append((key, at))
                at = next_time(schedule, at, self._scale)
                if at is not None and at <= now:
                    at = next_time(schedule, now, self._scale)
            planned[key, expression] = at
        self._planned = planned
        return fires

    def next_at(self) -> dt.datetime | None:
        """When `due` is to be asked again, at the latest."""
        return min((at for at in self._planned.values() if at is not None), default=None)

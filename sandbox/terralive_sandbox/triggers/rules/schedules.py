"""Schedule expressions of rules: rate(), and cron() in EventBridge's dialect. Pure.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html

A sandbox's time scale shortens only the intervals of rate(). cron() names times of the day in UTC,
to which a scale does not apply: they come when a clock on the wall shows them.

No library is used. croniter reads Unix cron. aws-croniter reads AWS's dialect, but not rate(); it
would be one more dependency for about a hundred lines.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final, TypeAlias

_RATE: Final = re.compile(r"rate\((?P<value>\d+)\s+(?P<unit>minute|hour|day)(?P<plural>s?)\)")
_CRON: Final = re.compile(r"cron\((?P<fields>.*)\)", re.DOTALL)
_UNIT_SECONDS: Final[Mapping[str, int]] = {"minute": 60, "hour": 3600, "day": 86400}
_CRON_FIELDS: Final = 6
# One item of a field: `*`, `3` or `3-5`, each with a step (`/2`) or without.
_ITEM: Final = re.compile(r"(?:(?P<all>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")


class InvalidScheduleError(ValueError):
    """The text is not a schedule expression."""


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The values that a field may have.

    Attributes:
        low: the lowest number.
        high: the highest number.
        names: the names that stand for the numbers from `low` on.
    """

    low: int
    high: int
    names: tuple[str, ...] = ()


_MINUTES: Final = _Bounds(0, 59)
_HOURS: Final = _Bounds(0, 23)
_DAYS_OF_MONTH: Final = _Bounds(1, 31)
_MONTHS: Final = _Bounds(
    1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
)
_WEEKDAYS: Final = _Bounds(1, 7, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))
# The number behind `#`: the first to the fifth such weekday of a month.
_OCCURRENCES: Final = _Bounds(1, 5)
_YEARS: Final = _Bounds(1970, 2199)


@dataclass(frozen=True, slots=True)
class Cron:
    """Times of the day on certain days.

    Attributes:
        minutes: in ascending order, as all numbers here.
        hours: hours of the day in UTC.
        day_of_month: the field's text; `?` if the days follow from `day_of_week`.
        months: months of the year.
        day_of_week: the field's text; `?` if the days follow from `day_of_month`.
        years: the years.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    day_of_month: str
    months: tuple[int, ...]
    day_of_week: str
    years: tuple[int, ...]


Schedule: TypeAlias = dt.timedelta | Cron
"""The interval of rate(), or a cron()."""


def parse(expression: str) -> Schedule:
    """Read a schedule expression. Raises InvalidScheduleError."""
    rate = _RATE.fullmatch(expression)
    if rate is not None:
        value = int(rate["value"])
        is_plural = bool(rate["plural"])
        if value == 0 or is_plural != (value > 1):
            raise InvalidScheduleError(expression)
        return dt.timedelta(seconds=value * _UNIT_SECONDS[rate["unit"]])
    cron = _CRON.fullmatch(expression)
    if cron is None:
        raise InvalidScheduleError(expression)
    try:
        return _parse_cron(cron["fields"].upper().split())
    except ValueError as error:
        raise InvalidScheduleError(expression) from error


def _parse_cron(fields: list[str]) -> Cron:
    """Read the six fields of a cron(). Raises ValueError."""
    if len(fields) != _CRON_FIELDS:
        raise InvalidScheduleError(" ".join(fields))
    minutes, hours, day_of_month, months, day_of_week, years = fields
    if (day_of_month == "?") == (day_of_week == "?"):
        raise InvalidScheduleError("exactly one of the two fields for days has to be ?")
    cron = Cron(
        minutes=_numbers(minutes, _MINUTES),
        hours=_numbers(hours, _HOURS),
        day_of_month=day_of_month,
        months=_numbers(months, _MONTHS),
        day_of_week=day_of_week,
        years=_numbers(years, _YEARS),
    )
    # The fields for days are read again for each month. Here this only finds invalid ones.
    _days(cron, year=2000, month=1)
    return cron


def next_time(schedule: Schedule, after: dt.datetime, scale: float = 1.0) -> dt.datetime | None:
    """Return the first time later than `after`; None if there is none.

    Args:
        schedule: the schedule.
        after: a time in UTC.
        scale: what the interval of rate() is multiplied by.
    """
    if isinstance(schedule, dt.timedelta):
        return after + schedule * scale
    return next((moment for moment in _times(schedule, after) if moment > after), None)


def _times(cron: Cron, after: dt.datetime) -> Iterable[dt.datetime]:
    """Yield times on or after the day of `after`. Some may already be in the past."""
    for year in cron.years:
        for month in cron.months:
            if (year, month) < (after.year, after.month):
                continue
            for day in sorted(_days(cron, year, month)):
                if dt.date(year, month, day) < after.date():
                    continue
                for hour, minute in product(cron.hours, cron.minutes):
                    yield dt.datetime(year, month, day, hour, minute, tzinfo=dt.UTC)


def _days(cron: Cron, year: int, month: int) -> set[int]:
    """Return the days of a month on which a cron() fires."""
    if cron.day_of_week == "?":
        return _by_day_of_month(cron.day_of_month, year, month)
    return _by_day_of_week(cron.day_of_week, year, month)


def _by_day_of_month(field: str, year: int, month: int) -> set[int]:
    last = calendar.monthrange(year, month)[1]
    days: set[int] = set()
    for item in field.split(","):
        if item == "L":
            days.add(last)
        elif item.endswith("W"):
            day = _number(item[:-1], _DAYS_OF_MONTH)
            if day <= last:
                days.add(_nearest_weekday(year, month, day, last))
        else:
            days.update(day for day in _numbers(item, _DAYS_OF_MONTH) if day <= last)
    return days


def _nearest_weekday(year: int, month: int, day: int, last: int) -> int:
    """Return the day from Monday to Friday that is nearest to a day, in the same month."""
    weekday = calendar.weekday(year, month, day)
    if weekday == calendar.SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == calendar.SUNDAY:
        return day + 1 if day < last else day - 2
    return day


def _by_day_of_week(field: str, year: int, month: int) -> set[int]:
    if "#" in field:
        weekday, _, occurrence = field.partition("#")
        days_of_weekday = _days_of_weekday(_number(weekday, _WEEKDAYS), year, month)
        index = _number(occurrence, _OCCURRENCES) - 1
        return set(days_of_weekday[index : index + 1])
    days: set[int] = set()
    for item in field.split(","):
        if item == "L":
            # The last day of a week is a Saturday.
            days.update(_days_of_weekday(_WEEKDAYS.high, year, month))
        elif item.endswith("L"):
            days.add(_days_of_weekday(_number(item[:-1], _WEEKDAYS), year, month)[-1])
        else:
            for number in _numbers(item, _WEEKDAYS):
                days.update(_days_of_weekday(number, year, month))
    return days


def _days_of_weekday(weekday: int, year: int, month: int) -> list[int]:
    """Return the days of a month with this weekday, which cron() counts from 1 for Sunday."""
    weeks = calendar.Calendar(calendar.SUNDAY).monthdayscalendar(year, month)
    # A day of another month is 0.
    return [week[weekday - 1] for week in weeks if week[weekday - 1]]


def _numbers(field: str, bounds: _Bounds) -> tuple[int, ...]:
    """Return the numbers of a field in ascending order. Raises InvalidScheduleError."""
    numbers: set[int] = set()
    for item in field.split(","):
        numbers.update(_numbers_of_item(item, bounds))
    return tuple(sorted(numbers))


def _number(text: str, bounds: _Bounds) -> int:
    """Return the number of a field that has exactly one. Raises InvalidScheduleError."""
    numbers = _numbers(text, bounds)
    if len(numbers) != 1:
        raise InvalidScheduleError(text)
    return numbers[0]


def _numbers_of_item(item: str, bounds: _Bounds) -> list[int]:
    """Return the numbers of one item. A range may wrap around (`20-2` for hours)."""
    found = _ITEM.fullmatch(item)
    if found is None or found["step"] == "0":
        raise InvalidScheduleError(item)
    if found["all"]:
        first, last = bounds.low, bounds.high
    else:
        first = last = _single_number(found["first"], bounds)
        if found["last"]:
            last = _single_number(found["last"], bounds)
        elif found["step"]:
            # `5/10` is every tenth number from 5 on.
            last = bounds.high
    if first <= last:
        numbers = list(range(first, last + 1))
    else:
        numbers = [*range(first, bounds.high + 1), *range(bounds.low, last + 1)]
    return numbers[:: int(found["step"] or 1)]


def _single_number(text: str, bounds: _Bounds) -> int:
    """Return the number that a name or digits stand for. Raises InvalidScheduleError."""
    if text in bounds.names:
        return bounds.low + bounds.names.index(text)
    if not (text.isascii() and text.isdigit()):
        raise InvalidScheduleError(text)
    number = int(text)
    if not bounds.low <= number <= bounds.high:
        raise InvalidScheduleError(text)
    return number

"""Schedules fire at the times that EventBridge's page says.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
"""

from __future__ import annotations

import calendar
import datetime as dt
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_sandbox.triggers.rules.clock import Agenda
from terralive_sandbox.triggers.rules.schedules import InvalidScheduleError, next_time, parse
from terralive_sandbox.triggers.rules.timetables import Timetable

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)  # a Thursday
MINUTE = dt.timedelta(minutes=1)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def times(expression: str, count: int, after: dt.datetime = START) -> list[str]:
    """Return the next `count` times, without seconds."""
    schedule = parse(expression)
    found: list[str] = []
    now: dt.datetime | None = after
    while now is not None and len(found) < count:
        now = next_time(schedule, now)
        found += [now.strftime("%Y-%m-%d %H:%M")] if now else []
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # the examples on the page
        ("cron(0 10 * * ? *)", ["2026-01-01 10:00", "2026-01-02 10:00"]),
        ("cron(15 12 * * ? *)", ["2026-01-01 12:15", "2026-01-02 12:15"]),
        ("cron(0 18 ? * MON-FRI *)", ["2026-01-01 18:00", "2026-01-02 18:00", "2026-01-05 18:00"]),
        ("cron(0 8 1 * ? *)", ["2026-01-01 08:00", "2026-02-01 08:00"]),
        (
            "cron(0/15 * * * ? *)",
            ["2026-01-01 00:15", "2026-01-01 00:30", "2026-01-01 00:45", "2026-01-01 01:00"],
        ),
        (
            "cron(0/30 20-2 ? * MON-FRI *)",
            ["2026-01-01 00:30", "2026-01-01 01:00", "2026-01-01 01:30"],
        ),
        ("cron(15 10 ? * 6L 2019-2027)", ["2026-01-30 10:15", "2026-02-27 10:15"]),
        ("cron(1/10 * * * ? *)", ["2026-01-01 00:01", "2026-01-01 00:11", "2026-01-01 00:21"]),
        (
            "cron(0 0 3W * ? *)",
            ["2026-01-02 00:00", "2026-02-03 00:00", "2026-03-03 00:00", "2026-04-03 00:00"],
        ),
        ("cron(0 0 ? * 3#2 *)", ["2026-01-13 00:00", "2026-02-10 00:00"]),
        # L, W and the ends of months
        ("cron(0 0 L * ? *)", ["2026-01-31 00:00", "2026-02-28 00:00", "2026-03-31 00:00"]),
        ("cron(0 0 1W * ? *)", ["2026-02-02 00:00", "2026-03-02 00:00"]),
        ("cron(0 0 31W * ? *)", ["2026-01-30 00:00", "2026-03-31 00:00", "2026-05-29 00:00"]),
        ("cron(0 0 ? * L *)", ["2026-01-03 00:00", "2026-01-10 00:00"]),
        ("cron(0 0 ? * MON#5 *)", ["2026-03-30 00:00", "2026-06-29 00:00"]),
        ("cron(0 0 29 FEB ? *)", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        (
            "cron(0 0 1,15 JAN,MAR ? 2026)",
            ["2026-01-15 00:00", "2026-03-01 00:00", "2026-03-15 00:00"],
        ),
        ("cron(0 0 30 2 ? *)", []),
        ("cron(0 0 1 1 ? 2025)", []),
        ("rate(1 minute)", ["2026-01-01 00:01", "2026-01-01 00:02"]),
        ("rate(5 hours)", ["2026-01-01 05:00", "2026-01-01 10:00"]),
        ("rate(7 days)", ["2026-01-08 00:00"]),
    ],
)
def test_a_schedule_fires_when_the_page_says(expression: str, expected: list[str]) -> None:
    found = times(expression, max(len(expected), 1))
    assert found == expected


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "rate()",
        "rate(0 minutes)",
        "rate(1 minutes)",
        "rate(5 minute)",
        "rate(-1 hours)",
        "rate(30 seconds)",
        "rate(1.5 hours)",
        "cron()",
        "cron(* * * * *)",
        "cron(* * * * * *)",
        "cron(* * ? * ? *)",
        "cron(60 * * * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 0 0 * ? *)",
        "cron(0 0 32 * ? *)",
        "cron(0 0 * 13 ? *)",
        "cron(0 0 ? * 0 *)",
        "cron(0 0 ? * 8 *)",
        "cron(0 0 ? * 3#6 *)",
        "cron(0 0 ? * 3#1,6#3 *)",
        "cron(0 0 * * ? 1969)",
        "cron(0 0 * * ? 2200)",
        "cron(*/0 * * * ? *)",
        "cron(0 0 W * ? *)",
        "cron(0 0 1 JANUARY ? *)",
        "cron(a * * * ? *)",
        "cron(0 0 * * ? *",
        "at(2026-02-03T04:05:06)",
        "every day",
    ],
)
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    with pytest.raises(InvalidScheduleError):
        parse(expression)


_HOURS = st.lists(st.integers(0, 23), min_size=1, max_size=3, unique=True)
_MINUTES = st.lists(st.integers(0, 59), min_size=1, max_size=3, unique=True)
_MOMENTS = st.datetimes(
    at("2024-01-01").replace(tzinfo=None), at("2030-01-01").replace(tzinfo=None)
)
_WEEKDAYS = st.lists(
    st.sampled_from(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]), min_size=1, unique=True
)


@given(_MINUTES, _HOURS, _WEEKDAYS, _MOMENTS)
def test_the_next_time_is_the_first_minute_that_fits(
    minutes: list[int], hours: list[int], weekdays: list[str], after: dt.datetime
) -> None:
    fields = [
        ",".join(map(str, minutes)),
        ",".join(map(str, hours)),
        "?",
        "*",
        ",".join(weekdays),
        "*",
    ]
    found = next_time(parse(f"cron({' '.join(fields)})"), after.replace(tzinfo=dt.UTC))
    minute = after.replace(second=0, microsecond=0) + MINUTE
    while not (
        minute.minute in minutes
        and minute.hour in hours
        and calendar.day_abbr[minute.weekday()].upper() in weekdays
    ):
        minute += MINUTE
    assert found == minute.replace(tzinfo=dt.UTC)


@given(st.integers(1, 31), _MOMENTS)
def test_a_weekday_near_a_day_stays_in_its_month_and_is_near(day: int, after: dt.datetime) -> None:
    found = times(f"cron(0 0 {day}W * ? *)", 12, after.replace(tzinfo=dt.UTC))
    for text in found:
        moment = dt.datetime.fromisoformat(text)
        assert moment.weekday() < 5
        assert abs(moment.day - day) <= 2
    assert all(a[:7] != b[:7] for a, b in pairwise(found)), "once a month"


def test_an_agenda_fires_once_a_time_and_forgets_what_is_gone() -> None:
    agenda = Agenda(scale=0.5)
    daily = {"daily": Timetable("cron(0 12 * * ? *)")}
    both = {"rule": Timetable("rate(1 minute)"), **daily}
    assert agenda.due(both, START) == []
    assert agenda.next_at() == START + dt.timedelta(seconds=30)
    assert agenda.due(both, START + dt.timedelta(seconds=29)) == []
    assert agenda.due(both, START + dt.timedelta(seconds=31)) == [
        ("rule", START + dt.timedelta(seconds=30))
    ]
    assert agenda.due(both, START + dt.timedelta(seconds=32)) == []
    after_sleep = START + dt.timedelta(hours=13)
    assert [key for key, _ in agenda.due(both, after_sleep)] == list(both)
    assert agenda.due(daily, after_sleep) == []
    assert agenda.next_at() == at("2026-01-02T12:00")
    assert agenda.due({}, after_sleep) == []
    assert agenda.next_at() is None

"""Times of EventBridge Scheduler: at(), time zones, and dates of start and end.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import datetime as dt

import pytest

from terralive_sandbox.triggers.rules.clock import Agenda
from terralive_sandbox.triggers.rules.schedules import InvalidScheduleError
from terralive_sandbox.triggers.rules.timetables import Timetable

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def times(timetable: Timetable, count: int, after: dt.datetime = START) -> list[str]:
    """The next `count` times in UTC, without seconds."""
    found: list[str] = []
    now: dt.datetime | None = timetable.next_time(after)
    while now is not None and len(found) < count:
        found.append(now.strftime("%m-%d %H:%M"))
        now = timetable.next_time(now)
    return found


def test_at_fires_once_in_its_own_time_zone() -> None:
    assert times(Timetable("at(2026-03-01T12:30:00)"), 3) == ["03-01 12:30"]
    assert times(Timetable("at(2026-03-01T12:30:00)", "America/Sao_Paulo"), 3) == ["03-01 15:30"]
    assert times(Timetable("at(2025-03-01T12:30:00)"), 3) == []


def test_cron_is_local_time_and_a_time_that_clocks_skip_is_left_out() -> None:
    daily = Timetable("cron(30 2 * * ? *)", "Europe/Berlin")
    # The clocks go from 02:00 to 03:00 on March 29, and back on October 25.
    assert times(daily, 3, at("2026-03-27T12:00")) == ["03-28 01:30", "03-30 00:30", "03-31 00:30"]
    assert times(daily, 3, at("2026-10-23T12:00")) == ["10-24 00:30", "10-25 00:30", "10-26 01:30"]


def test_a_schedule_fires_between_its_start_and_its_end() -> None:
    start, end = at("2026-01-02T12:00"), at("2026-01-04T12:00")
    daily = Timetable("cron(0 12 * * ? *)", start=start, end=end)
    assert times(daily, 9) == ["01-02 12:00", "01-03 12:00", "01-04 12:00"]
    often = Timetable("rate(12 hours)", start=start + MINUTE, end=end)
    assert times(often, 9) == ["01-02 12:01", "01-03 00:01", "01-03 12:01", "01-04 00:01"]


def test_a_rate_is_counted_from_the_start_and_begins_at_once() -> None:
    agenda = Agenda(scale=0.5)
    every = {"minute": Timetable("rate(1 minute)", start=START)}
    soon = START + dt.timedelta(seconds=2)
    assert agenda.due(every, soon) == [("minute", START)]
    assert agenda.due(every, soon) == []
    assert agenda.next_at() == START + MINUTE / 2
    assert agenda.due(every, START + MINUTE / 2) == [("minute", START + MINUTE / 2)]
    # A schedule that is seen long after its start goes on where it is.
    late = Agenda(scale=0.5)
    assert late.due(every, START + 10 * MINUTE + dt.timedelta(seconds=1)) == []
    assert late.next_at() == START + 10 * MINUTE + MINUTE / 2


def test_a_schedule_that_is_over_never_fires_again() -> None:
    agenda = Agenda()
    once = {"once": Timetable("at(2026-01-01T00:01:00)")}
    assert agenda.due(once, START) == []
    assert agenda.due(once, START + MINUTE) == [("once", START + MINUTE)]
    assert agenda.due(once, START + 2 * MINUTE) == []
    assert agenda.next_at() is None


@pytest.mark.parametrize(
    ("expression", "zone"),
    [
        ("at(2026-02-30T00:00:00)", "UTC"),
        ("at(2026-02-03)", "UTC"),
        ("at(2026-02-03T00:00:00Z)", "UTC"),
        ("rate(0 minutes)", "UTC"),
        ("rate(1 minute)", "Mars/Olympus"),
        ("rate(1 minute)", "../etc/passwd"),
        ("every minute", "UTC"),
    ],
)
def test_an_expression_or_time_zone_that_does_not_exist_is_refused(
    expression: str, zone: str
) -> None:
    with pytest.raises(InvalidScheduleError):
        Timetable(expression, zone).check()

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_stub.protocol.deadline import NEVER, Deadline

clocks = st.floats(0, 1e9)
walls = st.floats(0, 4e9)


def test_a_deadline_passes_at_its_very_moment_and_never_has_less_than_nothing_left() -> None:
    deadline = Deadline.after(3.0, now=100.0)
    assert deadline.remaining(101.0) == 2.0
    assert not deadline.has_passed(102.999)
    assert deadline.has_passed(103.0)
    assert deadline.remaining(104.0) == 0.0


def test_no_time_left_is_a_deadline_that_has_passed() -> None:
    assert Deadline.after(0, now=0.1).has_passed(0.1)


def test_lambdas_deadline_is_measured_on_this_machines_two_clocks() -> None:
    deadline = Deadline.from_epoch_ms(1_700_000_003_000, now=50.0, wall_now=1_700_000_000.0)
    assert deadline == Deadline(53.0)
    assert deadline.epoch_ms(now=51.0, wall_now=1_700_000_001.0) == 1_700_000_003_000


def test_a_wall_clock_that_is_set_while_an_invocation_runs_does_not_change_the_time_left() -> None:
    deadline = Deadline.from_epoch_ms(1_700_000_003_000, now=50.0, wall_now=1_700_000_000.0)
    an_hour_ahead = deadline.epoch_ms(now=51.0, wall_now=1_700_003_601.0)
    assert an_hour_ahead == 1_700_003_603_000  # 2 s from then by that clock


@given(st.integers(0, 2**42), clocks, walls)
def test_the_header_that_came_in_goes_out_to_the_millisecond(
    epoch_ms: int, now: float, wall_now: float
) -> None:
    deadline = Deadline.from_epoch_ms(epoch_ms, now=now, wall_now=wall_now)
    assert abs(deadline.epoch_ms(now=now, wall_now=wall_now) - epoch_ms) <= 1


@pytest.mark.parametrize("fraction", [0.0, 0.0004, 0.0006, 0.0009])
def test_a_handler_that_asks_at_once_has_no_more_time_left_than_the_timeout(
    fraction: float,
) -> None:
    wall = 1_700_000_000 + fraction
    header = Deadline.after(10, now=7.0).epoch_ms(now=7.0, wall_now=wall)
    # Both runtimes of AWS drop the fraction of a millisecond of the present time.
    assert header - int(wall * 1000) in {9_999, 10_000}


def test_deadlines_are_ordered_and_never_is_the_last() -> None:
    assert min(NEVER, Deadline(2.0), Deadline(1.0)) == Deadline(1.0)
    assert not NEVER.has_passed(1e300)

"""The rules stand at https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-throttling.html."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_sandbox.apigateway.throttle import ACCOUNT, Limit, Throttle, limit


def count(throttle: Throttle, limit: Limit, now: float, of: int = 20) -> int:
    return sum(throttle.allows([("key", limit)], now) for _ in range(of))


def test_a_burst_passes_at_once_and_then_the_rate() -> None:
    throttle = Throttle()
    assert count(throttle, Limit(2, 5), 100.0) == 5
    assert count(throttle, Limit(2, 5), 100.4) == 0
    assert count(throttle, Limit(2, 5), 101.5) == 3
    assert count(throttle, Limit(2, 5), 200.0) == 5


@pytest.mark.parametrize("refusing", [Limit(0, 5), Limit(5, 0)])
def test_a_limit_of_zero_refuses_everything(refusing: Limit) -> None:
    throttle = Throttle()
    assert count(throttle, refusing, 0.0) + count(throttle, refusing, 1000.0) == 0


def test_a_changed_limit_holds_at_once() -> None:
    throttle = Throttle()
    assert count(throttle, Limit(1, 0), 0.0) == 0
    assert count(throttle, Limit(1, 3), 10.0) == 3
    assert count(throttle, Limit(1, 100), 11.0) == 1


def test_a_refused_request_takes_nothing_of_the_other_buckets() -> None:
    throttle = Throttle()
    small, large = ("route", Limit(1, 1)), ("account", Limit(1, 3))
    assert [throttle.allows([small, large], 0.0) for _ in range(3)] == [True, False, False]
    assert [throttle.allows([large], 0.0) for _ in range(3)] == [True, True, False]


def test_what_is_unset_is_the_accounts() -> None:
    assert limit(None, None) == ACCOUNT
    assert limit(-1, -1) == ACCOUNT
    assert limit(0, 0) == Limit(0, 0)
    assert limit(1.5, None, Limit(7, 8)) == Limit(1.5, 8)


@given(
    st.lists(st.floats(0, 100), max_size=60), st.floats(0, 20, allow_subnormal=False), st.integers(0, 10)
)  # fmt: skip
def test_no_time_lets_more_pass_than_burst_and_rate(
    times: list[float], rate: float, burst: int
) -> None:
    throttle = Throttle()
    passed = sum(throttle.allows([("key", Limit(rate, burst))], at) for at in sorted(times))
    assert passed <= burst + rate * (max(times, default=0.0) - min(times, default=0.0)) + 1e-6

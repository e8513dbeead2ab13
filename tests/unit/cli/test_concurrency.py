"""The broker's reserved concurrency, and the warning about an account's low limit."""

from __future__ import annotations

import pytest

from terralive_cli.joining.concurrency import Concurrency, broker_concurrency, low_limit
from terralive_stub.errors import ConfigurationError

USUAL = Concurrency(limit=1000, unreserved=1000)
NEW = Concurrency(limit=10, unreserved=10)


@pytest.mark.parametrize(
    ("account", "reserved"),
    [
        (USUAL, 20),
        (Concurrency(1000, 520), 20),
        (Concurrency(1000, 519), None),  # other teams have reserved half of it
        (Concurrency(130, 130), 20),
        (Concurrency(119, 119), None),  # AWS keeps 100
        (NEW, None),
        (None, None),  # not known
    ],
)
def test_a_new_broker_reserves_what_leaves_enough_for_everybody_else(
    account: Concurrency | None, reserved: int | None
) -> None:
    assert broker_concurrency(None, account, None, exists=False) == reserved


@pytest.mark.parametrize("present", [None, 20])
def test_an_existing_broker_keeps_what_it_has(present: int | None) -> None:
    assert broker_concurrency(None, USUAL, present, exists=True) == present
    assert broker_concurrency(None, None, present, exists=True) == present


def test_a_team_decides_for_itself() -> None:
    assert broker_concurrency(50, USUAL, None, exists=False) == 50
    assert broker_concurrency(50, None, None, exists=False) == 50
    assert broker_concurrency(0, USUAL, 20, exists=True) is None


def test_more_than_aws_allows_is_told_before_anything_is_deployed() -> None:
    with pytest.raises(ConfigurationError, match=r"broker_concurrency = 50 .* 120 of its 1000"):
        broker_concurrency(50, Concurrency(1000, 120), None, exists=False)
    assert broker_concurrency(40, Concurrency(1000, 120), 20, exists=True) == 40
    with pytest.raises(ConfigurationError) as caught:
        broker_concurrency(1, NEW, None, exists=False)
    assert "at most 0" in caught.value.hint


def test_a_low_limit_is_warned_of_with_its_numbers() -> None:
    warning = low_limit(Concurrency(limit=10, unreserved=9), "eu-west-1")
    assert warning is not None
    assert warning.reference == "account-concurrency-low"
    assert "at most 10 functions at a time in eu-west-1, and 9" in warning.message
    assert low_limit(USUAL, "eu-west-1") is None
    assert low_limit(None, "eu-west-1") is None

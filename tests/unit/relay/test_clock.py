"""The warning about a clock that differs from AWS's."""

from __future__ import annotations

import pytest

from terralive_relay.connection.clock import clock_warning


@pytest.mark.parametrize(
    ("offset_s", "text"),
    [
        (420.0, "7.0 minutes behind AWS's clock"),
        (-90.0, "1.5 minutes ahead of AWS's clock"),
        (60.0, "1.0 minutes behind AWS's clock"),
        (86_400.0, "1440.0 minutes behind AWS's clock"),
    ],
)
def test_a_clock_that_differs_by_a_minute_or_more_is_named_with_its_difference(
    offset_s: float, text: str
) -> None:
    warning = clock_warning(offset_s)
    assert warning is not None
    assert warning.reference == "clock-differs"
    assert f"The clock of this machine is {text}." in warning.message


@pytest.mark.parametrize("offset_s", [0.0, 2.5, -59.9])
def test_a_small_difference_is_not_worth_a_word(offset_s: float) -> None:
    assert clock_warning(offset_s) is None

"""A laptop that slept, and one whose network changed."""

from __future__ import annotations

import pytest

from terralive_relay.connection import surroundings as module
from terralive_relay.connection.surroundings import (
    Observation,
    Surroundings,
    address_towards,
)


@pytest.mark.parametrize(
    ("monotonic", "wall", "gap"),
    [
        (1.0, 1.0, False),
        (3.0, 3.0, False),  # a busy machine
        (1.0, 3600.0, True),  # it slept: the monotonic clock stood still
        (60.0, 60.0, True),  # the process was stopped
        (1.0, -3600.0, False),  # somebody set the clock back
    ],
)
def test_a_gap_shows_on_either_clock(*, monotonic: float, wall: float, gap: bool) -> None:
    surroundings = Surroundings(100.0, 1_000_000.0)
    expected = Observation.CHECK_CONNECTION if gap else Observation.NOTHING
    assert surroundings.observe(100.0 + monotonic, 1_000_000.0 + wall, "") is expected
    after = surroundings.observe(100.0 + monotonic + 1, 1_000_000.0 + wall + 1, "")
    assert after is Observation.NOTHING


def test_another_address_is_a_move_and_the_same_one_after_a_while_without_any_a_return(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    addresses = ("10.0.0.1", "10.0.0.1", "", "", "10.0.0.1", "10.0.0.2", "", "10.0.0.3")
    left = iter(addresses)
    monkeypatch.setattr(module, "address_towards", lambda _peer: next(left))
    surroundings = Surroundings(0.0, 0.0)
    seen = [surroundings.observe(0.0, 0.0, "203.0.113.7") for _ in addresses]
    none, moved = Observation.NOTHING, Observation.ADDRESS_CHANGED
    back = Observation.CHECK_CONNECTION
    assert seen == [none, none, none, none, back, moved, none, moved]


def test_the_way_to_a_peer_is_asked_of_the_system_without_sending_anything() -> None:
    assert address_towards("127.0.0.1") == "127.0.0.1"
    assert address_towards("::1") in {"::1", ""}
    assert address_towards("no address") == ""


def test_a_machine_that_slept_has_its_connection_checked() -> None:
    surroundings = Surroundings(100.0, 1000.0)
    assert surroundings.observe(101.0, 1001.0, "") is Observation.NOTHING
    assert surroundings.observe(102.0, 1002.0, "127.0.0.1") is Observation.NOTHING
    assert surroundings.observe(103.0, 4000.0, "127.0.0.1") is Observation.CHECK_CONNECTION
    assert surroundings.observe(104.0, 4001.0, "") is Observation.NOTHING

from __future__ import annotations

from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_relay.pool.placement import Placement, place
from terralive_relay.pool.records import IllegalTransitionError, Worker, WorkerState

S = WorkerState


def decide(
    waiting: str, workers: list[tuple[str, WorkerState]], limit: int = 4
) -> Placement[str, str]:
    """Invocations and workers are letters.

    A worker fits an invocation of the same letter, in upper case better.
    """
    return place(
        waiting,
        workers,
        limit,
        lambda need, worker: (need == worker[0].lower()) * (1 + worker[0].isupper()),
    )


def test_an_idle_worker_takes_the_invocation() -> None:
    assert decide("a", [("a1", S.IDLE)]) == Placement((("a", "a1"),), (), ())


def test_without_a_worker_one_is_started() -> None:
    assert decide("a", []) == Placement((), ("a",), ())


def test_the_worker_that_fits_best_is_taken() -> None:
    assert decide("a", [("A1", S.IDLE), ("a2", S.IDLE)]).assign == (("a", "A1"),)


def test_the_youngest_is_taken_so_that_the_oldest_can_go() -> None:
    assert decide("a", [("a1", S.IDLE), ("a2", S.IDLE)]).assign == (("a", "a2"),)


@pytest.mark.parametrize("state", [S.STARTING, S.ANSWERED])
def test_a_worker_that_is_soon_idle_is_waited_for(state: WorkerState) -> None:
    assert decide("a", [("a1", state)]) == Placement((), (), ())
    assert decide("aa", [("a1", state)]) == Placement((), ("a",), ())


def test_more_workers_than_the_limit_never_live() -> None:
    assert decide("aaa", [("a1", S.BUSY)], limit=2) == Placement((), ("a",), (), queued=("a", "a"))
    assert decide("a", [("a1", S.BUSY), ("a2", S.BUSY)], limit=2) == Placement(
        (), (), (), queued=("a",)
    )


def test_a_worker_that_ends_counts_no_more() -> None:
    assert decide("a", [("a1", S.STOPPING), ("a2", S.GONE)], limit=1) == Placement((), ("a",), ())


def test_an_idle_worker_that_fits_no_invocation_is_ended_for_a_new_one() -> None:
    assert decide("a", [("b1", S.IDLE)], limit=1) == Placement((), ("a",), ("b1",))


def test_an_idle_worker_that_fits_a_later_invocation_stays() -> None:
    assert decide("ab", [("b1", S.IDLE)], limit=1) == Placement(
        (("b", "b1"),), (), (), queued=("a",)
    )


@given(
    st.text("ab", max_size=6),
    st.lists(st.tuples(st.sampled_from(["a", "b", "A"]), st.sampled_from(list(S))), max_size=6),
    st.integers(1, 4),
)
def test_every_placement_keeps_the_rules(
    waiting: str, kinds: list[tuple[str, WorkerState]], limit: int
) -> None:
    workers = [(f"{kind}{number}", state) for number, (kind, state) in enumerate(kinds)]
    states = dict(workers)
    placement = decide(waiting, workers, limit)
    taken = [worker for _, worker in placement.assign]
    assert all(states[worker] is S.IDLE for worker in (*taken, *placement.retire))
    assert len({*taken, *placement.retire}) == len(taken) + len(placement.retire)
    assert all(need == worker[0].lower() for need, worker in placement.assign)
    alive = sum(state.alive for state in states.values())
    assert alive - len(placement.retire) + len(placement.start) <= max(limit, alive)
    if waiting and not alive:
        assert placement.start


def in_state(state: WorkerState) -> Worker:
    return Worker("key", "role", 0, Mock(), state)


def test_a_worker_that_is_gone_stays_gone() -> None:
    with pytest.raises(IllegalTransitionError):
        in_state(S.GONE).go(S.IDLE)


def test_a_worker_never_gets_an_invocation_before_it_asks() -> None:
    for state in (S.STARTING, S.ANSWERED, S.STOPPING, S.BUSY):
        with pytest.raises(IllegalTransitionError):
            in_state(state).go(S.BUSY)

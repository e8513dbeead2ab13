from __future__ import annotations

import math
from unittest.mock import Mock

import pytest

from terralive_relay.pool.expiry import Expired, expired, next_due
from terralive_relay.pool.placement import Fit, fit_of, note_credentials
from terralive_relay.pool.records import (
    ANSWERED_SECONDS,
    PendingInvocation,
    Worker,
    WorkerState,
)
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.limits import INIT_SECONDS
from terralive_testing.drivers.workers import invocation

IDLE_S = 600.0


def pending(due: float = 50.0, *, key: str = "key", credentials: str = "role") -> PendingInvocation:
    return PendingInvocation(invocation(), {}, key, credentials, Deadline(due), allowed_s=3.0)


def worker(state: WorkerState, since: float = 0.0, runs: PendingInvocation | None = None) -> Worker:
    return Worker("key", "role", 0, Mock(), state, since, runs)


def over(
    waiting: list[PendingInvocation], workers: list[Worker], now: float, *, debugged: bool = False
) -> Expired:
    return expired(waiting, workers, now, idle_s=IDLE_S, starts_may_take_longer=debugged)


def due(waiting: list[PendingInvocation], workers: list[Worker], now: float = 0.0) -> float:
    return next_due(waiting, workers, now, idle_s=IDLE_S)


def test_a_handler_is_ended_at_its_deadline_and_not_before() -> None:
    busy = worker(WorkerState.BUSY, runs=pending(50.0))
    assert due([], [busy]) == 50.0
    assert over([], [busy], 49.9).overrunning == ()
    assert over([], [busy], 50.0).overrunning == (busy,)


def test_a_worker_that_does_nothing_is_ended() -> None:
    idle = worker(WorkerState.IDLE, since=10.0)
    assert due([], [idle]) == 610.0
    assert over([], [idle], 609.9).unused == ()
    assert over([], [idle], 610.0).unused == (idle,)


def test_an_invocation_is_over_at_its_deadline_though_no_worker_took_it() -> None:
    waits = pending(50.0)
    assert due([waits], []) == 50.0
    assert over([waits], [], 50.0).unserved == (waits,)


def test_a_start_hangs_once_an_invocation_has_waited_for_it_in_vain() -> None:
    starts = worker(WorkerState.STARTING)
    late = INIT_SECONDS + 1.0
    assert over([pending(late)], [starts], late).hanging == (starts,)
    assert over([], [starts], late).hanging == ()
    assert over([pending(1.0)], [starts], 1.0).hanging == ()
    assert over([pending(late)], [starts], late, debugged=True).hanging == ()


def test_a_worker_that_does_not_come_back_is_due_while_an_invocation_waits() -> None:
    answered = worker(WorkerState.ANSWERED, since=10.0)
    assert due([pending(50.0)], [answered], now=10.0) == 10.0 + ANSWERED_SECONDS
    assert due([], [answered], now=10.0) == math.inf
    assert answered.state_for_placement(10.1) is WorkerState.ANSWERED
    assert answered.state_for_placement(10.0 + ANSWERED_SECONDS) is WorkerState.BUSY


@pytest.mark.parametrize("state", [WorkerState.STARTING, WorkerState.STOPPING, WorkerState.GONE])
def test_without_invocations_and_idle_workers_there_is_nothing_to_wait_for(
    state: WorkerState,
) -> None:
    assert due([], [worker(state)]) == math.inf


def test_a_worker_fits_invocations_of_its_code_and_environment() -> None:
    one = worker(WorkerState.IDLE)
    assert fit_of(pending(), one, 0, {}, 0.0) is Fit.SAME_CREDENTIALS
    assert fit_of(pending(), one, 1, {}, 0.0) is Fit.NONE
    assert fit_of(pending(key="other"), one, 0, {}, 0.0) is Fit.NONE


def test_a_worker_fits_other_credentials_while_its_own_are_valid() -> None:
    one = worker(WorkerState.IDLE)
    other = pending(credentials="other")
    assert fit_of(other, one, 0, {}, 9.9) is Fit.NONE
    assert fit_of(other, one, 0, {"role": 10.0}, 9.9) is Fit.OTHER_CREDENTIALS
    assert fit_of(other, one, 0, {"role": 10.0}, 10.0) is Fit.NONE


def test_the_credentials_of_environments_that_are_gone_are_forgotten() -> None:
    seen: dict[str, float] = {}
    for number in range(10_000):
        note_credentials(seen, f"role-{number}", now=float(number), valid_since=number - 300.0)
        note_credentials(seen, "busy", now=float(number), valid_since=number - 300.0)
    assert len(seen) == 301
    assert seen["busy"] == 9999.0
    note_credentials(seen, "last", now=20_000.0, valid_since=20_000.0 - 300.0)
    assert seen == {"last": 20_000.0}

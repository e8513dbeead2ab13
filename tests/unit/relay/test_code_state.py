from __future__ import annotations

import pytest

from terralive_relay.pool.code_state import (
    BuildFailed,
    Building,
    CodeReady,
    CodeState,
    StartFailed,
)
from terralive_stub.protocol.invocation import Outcome
from terralive_workers.outcomes import WorkerFailure

FAILURE = WorkerFailure(status=1)
NO_CODE = Outcome(b"{}", "Terralive.BuildFailed")
STATES = [
    CodeState(),
    CodeState().start_failed("key", FAILURE),
    CodeState().build_started(),
    CodeState().build_failed(NO_CODE),
]


@pytest.mark.parametrize("state", STATES)
def test_every_change_and_every_build_begins_a_generation(state: CodeState) -> None:
    assert state.changed().generation == state.generation + 1
    assert state.build_started().generation == state.generation + 1


def test_a_failed_start_says_nothing_about_changed_code() -> None:
    state = CodeState().start_failed("key", FAILURE)
    assert state.status == StartFailed("key", FAILURE)
    assert state.changed().status == CodeReady()
    assert state.build_started().status == Building()


def test_a_failed_start_is_reported_once_and_stops_no_worker_that_an_invocation_needs() -> None:
    state = CodeState().start_failed("key", FAILURE)
    assert state.may_start_for_invocations
    assert not state.may_start_ahead
    assert state.start_failure_reported() == CodeState()


def test_a_failed_start_answers_only_an_invocation_with_the_same_environment() -> None:
    state = CodeState().start_failed("key", FAILURE)
    assert state.answer("key", "request-1") == FAILURE.outcome("request-1")
    assert state.answer("other", "request-1") is None


def test_a_failed_build_answers_every_invocation_and_a_running_one_none() -> None:
    building = CodeState().build_started()
    assert building.answer("key", "request-1") is None
    assert building.build_failed(NO_CODE).answer("key", "request-1") == NO_CODE


def test_a_change_during_a_build_does_not_end_the_wait_for_it() -> None:
    building = CodeState().build_started()
    assert building.changed().status == Building()
    assert not building.changed().may_start_for_invocations
    assert not building.changed().may_start_ahead


def test_a_failed_build_lasts_until_the_next_build() -> None:
    failed = CodeState().build_started().build_failed(NO_CODE)
    assert failed.start_failure_reported() == failed
    assert failed.changed().status == BuildFailed(NO_CODE)
    assert not failed.may_start_ahead
    again = failed.build_started().build_succeeded()
    assert again == CodeState(generation=2)

"""Events of work beside other work: they come together, when that work is waited for."""

from __future__ import annotations

import pytest

from terralive_cli.output.events import StepState, TerraformProgress
from terralive_cli.output.progress import Phase
from terralive_relay.events import Event
from terralive_terraform.side_by_side.runs import StoppedError


def test_events_of_a_phase_are_kept_in_order_until_they_are_released() -> None:
    shown: list[Event] = []
    phase = Phase("debug-stack", lambda *events: shown.extend(events))
    phase.note("before")
    held = phase.held()
    with phase.step("plan"):
        phase.note("meanwhile")
    assert [event.message for event in steps(shown)] == ["before"]
    held.release()
    phase.note("after")
    held.release()
    words = [(event.action, event.message) for event in steps(shown)]
    assert words == [
        ("note", "before"),
        ("plan", ""),
        ("note", "meanwhile"),
        ("plan", ""),
        ("note", "after"),
    ]


def test_a_step_that_was_stopped_says_so_and_claims_no_failure_of_its_own() -> None:
    shown: list[Event] = []
    phase = Phase("app", lambda *events: shown.extend(events))
    with pytest.raises(StoppedError), phase.step("evaluate"):
        raise StoppedError
    last = steps(shown)[-1]
    assert last.state is StepState.FAILED
    assert last.message == "stopped, because the work beside it has failed"


def steps(events: list[Event]) -> list[TerraformProgress]:
    return [event for event in events if isinstance(event, TerraformProgress)]

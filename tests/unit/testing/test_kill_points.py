"""The points at which `make kill` ends commands, and the comparison of what is there afterwards."""

from __future__ import annotations

import pytest

from terralive_testing.drivers.command import Event
from terralive_testing.kill.account import differences
from terralive_testing.kill.points import POINTS, Before


def event(phase: str, action: str, state: str, address: str = "") -> Event:
    return {"type": "stack", "phase": phase, "action": action, "state": state, "address": address}


def reached(*events: Event) -> set[str]:
    return {point.name for point in POINTS for item in events if point.is_reached(item)}


@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        (event("debug-stack", "apply", "started"), "the debug stack's apply begins"),
        (
            event("debug-stack", "create", "done", "aws_lambda_function.broker"),
            "the broker is there",
        ),
        (
            event("app", "update", "started", 'module.a["x"].aws_lambda_function.this'),
            "a function changes",
        ),
        (event("restore", "complete", "done"), "the restore is applied"),
        ({"type": "ready"}, "live"),
    ],
)
def test_a_point_is_reached_by_its_event(happens: Event, expected: str) -> None:
    assert expected in reached(happens)


@pytest.mark.parametrize(
    "happens",
    [
        event("debug-stack", "apply", "done"),
        event("app", "create", "progress", "aws_lambda_function.work"),
        event("app", "create", "started", "aws_sqs_queue.work"),
        {"type": "note", "message": "ready"},
    ],
)
def test_no_point_is_reached_by_another_event(happens: Event) -> None:
    assert reached(happens) == set()


def test_each_command_is_struck_at_points_of_its_own() -> None:
    assert len({point.name for point in POINTS}) == len(POINTS)
    assert {point.words[0] for point in POINTS} == {"start", "restore", "destroy"}
    alone = {point.name for point in POINTS if point.removes_app}
    assert alone == {point.name for point in POINTS if point.before in (Before.NOTHING, Before.ALL)}


def test_every_difference_has_a_line() -> None:
    before = {"function a": {"Handler": "app.handler", "Timeout": 3}, "role r": {}}
    after = {"function a": {"Handler": "stub.handler", "Timeout": 3}, "bucket b": {}}
    assert differences(before, after) == [
        "bucket b is left",
        "function a: Handler: app.handler -> stub.handler",
        "role r is gone",
    ]
    assert differences(before, before) == []

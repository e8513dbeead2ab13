"""Mistakes in definitions of state machines."""

from __future__ import annotations

import json

import pytest

from terralive_sandbox.control.state_machines import diagnose

PASS = {"Type": "Pass", "End": True}
WORKFLOW = {
    "Comment": "Every type of state",
    "StartAt": "Check",
    "States": {
        "Check": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.a", "BooleanEquals": True, "Next": "Both"}],
            "Default": "Wait",
        },
        "Wait": {"Type": "Wait", "Seconds": 1, "Next": "Work"},
        "Work": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Failed"}],
            "Next": "Each",
        },
        "Each": {
            "Type": "Map",
            "ItemProcessor": {"StartAt": "One", "States": {"One": PASS}},
            "Next": "Done",
        },
        "Both": {
            "Type": "Parallel",
            "Branches": [{"StartAt": "Left", "States": {"Left": PASS}}],
            "End": True,
        },
        "Failed": {"Type": "Fail", "Error": "no"},
        "Done": {"Type": "Succeed"},
    },
}


def found(*states: tuple[str, object], start: str = "A") -> list[tuple[str, str]]:
    """Return the codes and locations of the mistakes of a workflow with these states."""
    document = json.dumps({"StartAt": start, "States": dict(states)})
    return [(one.code, one.location) for one in diagnose(document)]


def test_a_workflow_with_every_type_of_state_has_no_mistakes() -> None:
    assert diagnose(json.dumps(WORKFLOW)) == []


@pytest.mark.parametrize(
    ("definition", "code"),
    [
        ("", "MISSING_DESCRIPTION"),
        ("{", "INVALID_JSON_DESCRIPTION"),
        ("[]", "SCHEMA_VALIDATION_FAILED"),
        ("{}", "SCHEMA_VALIDATION_FAILED"),
        ('{"StartAt": "A", "States": []}', "SCHEMA_VALIDATION_FAILED"),
        ('{"StartAt": "A", "States": {"A": 1}}', "SCHEMA_VALIDATION_FAILED"),
        ('{"StartAt": 1, "States": {"A": {}}}', "SCHEMA_VALIDATION_FAILED"),
    ],
)
def test_what_is_no_workflow_is_named(definition: str, code: str) -> None:
    (diagnostic,) = diagnose(definition)
    assert diagnostic.code == code


@pytest.mark.parametrize(
    "state",
    [
        {"End": True},
        {"Type": "Job", "End": True},
        {"Type": "Task", "End": True},
        {"Type": "Pass"},
        {"Type": "Pass", "Next": "A", "End": True},
        {"Type": "Succeed", "End": True},
        {"Type": "Choice", "Choices": []},
        {"Type": "Wait", "End": True},
        {"Type": "Map", "End": True},
        {"Type": "Parallel", "End": True},
    ],
)
def test_a_state_without_a_field_that_its_type_needs_is_named(state: object) -> None:
    assert found(("A", state)) == [("SCHEMA_VALIDATION_FAILED", "/States/A")]


def test_transitions_lead_to_states_and_every_state_is_reached() -> None:
    assert found(("A", {"Type": "Pass", "Next": "C"}), ("B", PASS)) == [
        ("MISSING_TRANSITION_TARGET", "/States/A/Next"),
        ("MISSING_TRANSITION_TARGET", "/States/B"),
    ]
    assert found(("A", PASS), start="B") == [
        ("MISSING_TRANSITION_TARGET", "/StartAt"),
        ("MISSING_TRANSITION_TARGET", "/States/A"),
    ]


def test_a_branch_has_states_of_its_own() -> None:
    branch = {"StartAt": "B", "States": {"B": {"Type": "Pass", "Next": "A"}}}
    parallel = {"Type": "Parallel", "Branches": [branch], "End": True}
    assert found(("A", parallel)) == [
        ("MISSING_TRANSITION_TARGET", "/States/A/Branches[0]/States/B/Next")
    ]


def test_a_rule_of_a_choice_needs_a_state_that_follows() -> None:
    choice = {"Type": "Choice", "Choices": [{"Variable": "$.a"}], "Default": "B"}
    assert found(("A", choice), ("B", PASS)) == [
        ("SCHEMA_VALIDATION_FAILED", "/States/A/Choices[0]")
    ]

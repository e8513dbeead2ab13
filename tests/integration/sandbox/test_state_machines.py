"""Definitions of state machines are checked as Step Functions does; no execution runs.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_ValidateStateMachineDefinition.html
"""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.sandbox import Aws, unique

DONE = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}
LOST = {
    "StartAt": "A",
    "States": {
        "A": {"Type": "Pass", "Next": "Nowhere"},
        "B": {"Type": "Task", "End": True},
    },
}


@pytest.fixture
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


def test_a_definition_is_validated_without_a_state_machine(aws: Aws) -> None:
    states = aws._client("stepfunctions")
    answer = states.validate_state_machine_definition(definition=json.dumps(DONE))
    assert (answer["result"], answer["diagnostics"], answer["truncated"]) == ("OK", [], False)
    answer = states.validate_state_machine_definition(
        definition=json.dumps(LOST), type="EXPRESS", severity="WARNING"
    )
    assert answer["result"] == "FAIL"
    assert {(one["code"], one["location"]) for one in answer["diagnostics"]} == {
        ("MISSING_TRANSITION_TARGET", "/States/A/Next"),
        ("MISSING_TRANSITION_TARGET", "/States/B"),
        ("SCHEMA_VALIDATION_FAILED", "/States/B"),
    }
    assert {one["severity"] for one in answer["diagnostics"]} == {"ERROR"}
    first = states.validate_state_machine_definition(definition=json.dumps(LOST), maxResults=1)
    assert (len(first["diagnostics"]), first["truncated"]) == (1, True)


def test_a_state_machine_is_kept_if_its_definition_is_valid_and_never_executed(aws: Aws) -> None:
    states = aws._client("stepfunctions")
    name, role = unique("flow"), aws.role()
    with pytest.raises(ClientError, match=r"InvalidDefinition.*target: Nowhere at /States/A/Next"):
        states.create_state_machine(name=name, roleArn=role, definition=json.dumps(LOST))
    made = states.create_state_machine(name=name, roleArn=role, definition=json.dumps(DONE))
    arn = made["stateMachineArn"]
    with pytest.raises(ClientError, match="InvalidDefinition"):
        states.update_state_machine(stateMachineArn=arn, definition="{")
    assert states.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"] == []
    states.update_state_machine(stateMachineArn=arn, roleArn=aws.role(), publish=True)
    versions = states.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"]
    assert [version["stateMachineVersionArn"] for version in versions] == [f"{arn}:1"]
    assert json.loads(states.describe_state_machine(stateMachineArn=arn)["definition"]) == DONE
    with pytest.raises(ClientError, match="NotEmulatedBySandbox"):
        states.start_execution(stateMachineArn=arn)
    states.delete_state_machine(stateMachineArn=arn)

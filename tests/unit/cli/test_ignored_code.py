"""Functions whose code Terraform ignores: which become live by Lambda's API, and what changes."""

from __future__ import annotations

import pytest

from terralive_cli.code_changes.at_handlers import (
    Instance,
    SeenCode,
    handlers_of,
    instances_of,
    planned_change,
    reason_against,
)
from terralive_cli.code_changes.changes import Keep
from terralive_cli.restoring.by_api import FunctionVersion, Settings
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.output.state import DeployedFunction, Package

API = "aws_lambda_function.api"
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:api"
CODE = ("filename", "source_code_hash")
STATE = DeployedFunction("api", ARN, handler="app.handler")
INSTANCE = Instance(API, CODE, "app.handler", "python3.12", STATE)


def seen(
    handler: str = "app.handler", runtime: str = "python3.12", sha256: str = "own="
) -> FunctionVersion:
    return FunctionVersion(ARN, "$LATEST", sha256, Settings(handler, runtime))


def test_the_stub_stands_at_the_functions_handler_and_at_the_configured_one() -> None:
    assert handlers_of(seen(), "app.handler") == ("app.handler",)
    assert handlers_of(seen("old.run"), "app.handler") == ("app.handler", "old.run")
    assert handlers_of(seen(), "") == ("app.handler",)


@pytest.mark.parametrize(
    ("function", "word"),
    [
        (seen(runtime="python3.10"), "its runtime is python3.10"),
        (seen(runtime="nodejs22.x"), "its runtime is nodejs22.x"),
        (seen("main"), "no stub can stand at its handler main"),
        (seen("logging.handler"), "no stub can stand at its handler logging.handler"),
    ],
)
def test_a_function_that_cannot_run_the_stub_stays_with_the_reason(
    function: FunctionVersion, word: str
) -> None:
    assert word in reason_against(INSTANCE, function)


NODE = Instance(API, CODE, "dist/index.handler", "nodejs22.x", STATE)


@pytest.mark.parametrize("runtime", ["nodejs22.x", "python3.13"])
def test_a_function_of_node_can_run_the_stub_with_its_own_runtime_and_with_pythons(
    runtime: str,
) -> None:
    assert reason_against(NODE, seen("dist/index.handler", runtime)) == ""


def test_a_function_of_node_whose_handler_is_nested_stays() -> None:
    reason = reason_against(NODE, seen("index.api.handler", "nodejs22.x"))
    assert "no stub can stand at its handler index.api.handler" in reason


def test_a_stub_under_the_runtime_that_an_apply_by_hand_has_set_back_is_no_stub_in_place() -> None:
    code = seen("dist/index.handler", "nodejs22.x", "stub=")
    change = planned_change(NODE, SeenCode(code, is_stub=True), ["stub="])
    assert change is not None
    assert change.keep is Keep.KNOWN


def test_a_function_that_can_run_the_stub_has_no_reason_against_it() -> None:
    assert reason_against(INSTANCE, seen()) == ""


def test_a_function_that_terraform_publishes_stays_because_the_stub_would_be_published() -> None:
    state = DeployedFunction("api", ARN, package=Package(publish=True))
    assert "publish = true" in reason_against(Instance(API, CODE, "app.handler", "", state), seen())


def test_a_stub_that_is_in_place_stays() -> None:
    assert planned_change(INSTANCE, SeenCode(seen(sha256="stub="), is_stub=True), ["stub="]) is None


def test_own_code_is_kept_as_a_version_and_an_older_stub_is_not() -> None:
    own = planned_change(INSTANCE, SeenCode(seen()), ["stub="])
    older = planned_change(INSTANCE, SeenCode(seen(sha256="old="), is_stub=True), ["stub="])
    # Before the stage is deployed, its stub is not known.
    first = planned_change(INSTANCE, SeenCode(seen()), [])

    assert own is not None
    assert older is not None
    assert (own.keep, older.keep) == (Keep.VERSION, Keep.KNOWN)
    assert (own.arn, own.sha256, own.handler) == (ARN, "own=", "app.handler")
    assert first == own
    assert own.reason == (
        "by Lambda's API, because Terraform ignores changes of its filename, source_code_hash"
    )


def test_a_function_that_is_not_deployed_changes_after_its_deployment() -> None:
    planned = (PlannedFunction(f"{API}[0]", "", handler="app.handler"),)
    function = DeclaredFunction(API, "api", instances=planned)
    (instance,) = instances_of(function, ("all",), {})

    assert (instance.change.address, instance.change.arn) == (f"{API}[0]", "")
    assert instance.change.reason == "by Lambda's API, because Terraform ignores changes of it"

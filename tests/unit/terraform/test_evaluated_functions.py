"""Functions as a plan describes them, and the targets of later plans."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from terralive_terraform.artifacts import STUB_HANDLER
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.evaluation.functions import planned_functions
from terralive_terraform.evaluation.merge import with_planned
from terralive_terraform.evaluation.planned import PlannedFunction, Triggers
from terralive_terraform.output.state import DeployedAlias, DeployedFunction, DeployedLambda
from terralive_terraform.substitution.rules import ignored_by_terraform
from terralive_terraform.substitution.targets import live_targets, plan_targets, restore_targets
from terralive_testing.fakes.plan_document import PlanDocument

ADDRESS = "module.orders.aws_lambda_function.this"
# As a registry module declares it: every setting is a variable.
DECLARED = DeclaredFunction(
    ADDRESS,
    "this",
    attributes=frozenset({"filename", "handler", "durable_config", "code_signing_config_arn"}),
    environment_known=False,
    repeated="count",
)
PLANNED = PlannedFunction(
    f"{ADDRESS}[0]",
    "module.orders",
    name="orders",
    handler="app.handler",
    runtime="python3.13",
    package_type="Zip",
    timeout=7,
    is_set=frozenset({"filename", "handler"}),
    environment_names=frozenset({"TABLE"}),
)


def test_the_values_that_terraform_computes_are_those_of_the_function() -> None:
    (function,) = with_planned([DECLARED], [PLANNED])
    assert (function.handler, function.runtime, function.timeout) == (
        "app.handler",
        "python3.13",
        7,
    )
    assert function.architecture == "x86_64"
    assert function.is_named(["orders"])
    assert function.environment_names == {"TABLE"}
    assert function.environment_known
    assert function.instances == (PLANNED,)


@pytest.mark.parametrize(
    ("value", "runtime", "ignored"),
    [
        (True, "python3.13", ("source_code_hash",)),
        (False, "python3.13", ()),
        # Terraform makes them live.
        (True, "nodejs22.x", ()),
    ],
)
def test_a_module_may_be_told_that_something_else_deploys_the_code(
    value: bool, runtime: str, ignored: tuple[str, ...]
) -> None:
    document = PlanDocument()
    document.managed(f"{ADDRESS}[0]", {"runtime": runtime, "handler": "app.handler"})
    document.argument("module.orders", "ignore_source_code_hash", value)

    planned = planned_functions(document.evaluation(Path("/infra")))
    (function,) = with_planned([DECLARED], planned)

    assert ignored_by_terraform(function) == ignored


def test_a_variable_may_tell_a_module_that_something_else_deploys_the_code() -> None:
    document = PlanDocument()
    document.managed(f"{ADDRESS}[0]", {"runtime": "python3.13"})
    document.call("module.orders", {"ignore_source_code_hash": ["var.ignore"]})
    document.variable("ignore", value=True)

    (planned,) = planned_functions(document.evaluation(Path("/infra")))

    assert planned.code_elsewhere


def test_a_setting_that_a_module_leaves_unset_is_not_set() -> None:
    (function,) = with_planned([DECLARED], [PLANNED])
    assert function.attributes == {"filename", "handler"}


def test_a_setting_that_is_known_only_after_an_apply_may_be_set() -> None:
    unknown = replace(PLANNED, unknown=frozenset({"code_signing_config_arn"}))
    (function,) = with_planned([DECLARED], [unknown])
    assert "code_signing_config_arn" in function.attributes


@pytest.mark.parametrize(
    ("planned", "is_set", "undecided"),
    [
        (replace(PLANNED, is_set=PLANNED.is_set | {"durable_config"}), True, False),
        (replace(PLANNED, unknown=frozenset({"durable_config"})), False, True),
        (PLANNED, False, False),
    ],
    ids=["set", "after an apply", "not set"],
)
def test_a_plan_decides_what_static_reading_left_undecided(
    planned: PlannedFunction, *, is_set: bool, undecided: bool
) -> None:
    undecided_before = replace(
        DECLARED, attributes=frozenset({"handler"}), undecided=frozenset({"durable_config"})
    )
    (function,) = with_planned([undecided_before], [planned])
    assert ("durable_config" in function.attributes) == is_set
    assert ("durable_config" in function.undecided) == undecided


def test_a_function_that_count_leaves_out_is_no_function() -> None:
    assert with_planned([DECLARED], []) == ()


OTHER = replace(PLANNED, address=f"{ADDRESS}[1]")


@pytest.mark.parametrize(
    "other",
    [
        replace(OTHER, handler="jobs.handler"),
        replace(OTHER, runtime="nodejs22.x"),
        replace(OTHER, package_type="Image"),
        replace(OTHER, name="jobs"),
    ],
)
def test_values_that_differ_by_instance_are_not_those_of_the_function(
    other: PlannedFunction,
) -> None:
    (function,) = with_planned([DECLARED], [PLANNED, other])
    values = (function.handler, function.runtime, function.package_type, function.function_name)
    assert values.count(None) == 1
    assert function.is_named(["orders"])


def test_the_longest_timeout_of_all_instances_counts() -> None:
    (function,) = with_planned([DECLARED], [PLANNED, replace(OTHER, timeout=30)])
    assert function.timeout == 30


def test_what_invokes_any_instance_counts_for_the_function() -> None:
    polls = replace(PLANNED, triggers=Triggers((30,), ("aws_api_gateway_integration",)))
    also = replace(OTHER, triggers=Triggers((None,), ("aws_api_gateway_integration",)))
    (function,) = with_planned([DECLARED], [polls, also])
    assert function.queue_visibilities == (30, None)
    assert function.gateways == ("aws_api_gateway_integration",)
    stale = replace(DECLARED, queue_visibilities=(60,))
    assert with_planned([stale], [PLANNED])[0].queue_visibilities == ()


def test_a_function_in_a_file_that_cannot_be_read_is_there_all_the_same() -> None:
    hidden = replace(
        PLANNED,
        address='module.jobs["a"].aws_lambda_function.job',
        module='module.jobs["a"]',
        declared=frozenset({"filename", "handler", "layers"}),
    )
    (function,) = with_planned([], [hidden])
    assert (function.address, function.label) == ("module.jobs.aws_lambda_function.job", "job")
    assert function.attributes == {"filename", "handler"}
    assert (function.repeated, function.module_repeated) == (None, True)


def deployed(name: str, handler: str = "app.handler") -> DeployedFunction:
    return DeployedFunction(name, f"arn:aws:lambda:eu-west-1:1:function:{name}", handler=handler)


def test_a_plan_is_limited_to_deployed_functions_and_to_those_that_hold_a_stub() -> None:
    live = with_planned([DECLARED], [PLANNED])
    state = DeployedLambda(
        {
            f"{ADDRESS}[0]": deployed("orders"),
            "aws_lambda_function.was_live": deployed("was", STUB_HANDLER),
            "aws_lambda_function.other": deployed("other"),
        },
        {
            "aws_lambda_alias.live": DeployedAlias("orders", "3"),
            "aws_lambda_alias.was": DeployedAlias(deployed("was").arn, "$LATEST"),
            "aws_lambda_alias.other": DeployedAlias("other", "1"),
        },
    )
    was_live = ("aws_lambda_alias.was", "aws_lambda_function.was_live")
    assert restore_targets(state) == was_live
    # A look at AWS has found a stub's code in a function that the state takes for its own.
    assert restore_targets(state, ["aws_lambda_function.other"]) == (
        "aws_lambda_alias.other",
        "aws_lambda_alias.was",
        "aws_lambda_function.other",
        "aws_lambda_function.was_live",
    )
    assert live_targets(live, state) == (
        "aws_lambda_alias.live",
        *was_live,
        f"{ADDRESS}[0]",
    )


def test_a_function_that_lambdas_api_makes_live_is_no_target() -> None:
    (shipped,) = with_planned([DECLARED], [PLANNED])
    deployed = DeployedLambda({PLANNED.address: DeployedFunction("orders", "arn:orders")}, {})

    assert plan_targets([], [shipped], deployed) is None
    # It is deployed first, with all that it needs.
    assert plan_targets([], [shipped], DeployedLambda({}, {})) == ()
    api = DeclaredFunction("aws_lambda_function.api", "api")
    planned = PlannedFunction("aws_lambda_function.api", "", name="api")
    (live,) = with_planned([api], [planned])
    both = DeployedLambda(
        {**deployed.functions, planned.address: DeployedFunction("api", "arn:api")}, {}
    )
    assert plan_targets([live], [shipped], both) == (planned.address,)


def test_everything_is_planned_where_a_function_is_not_deployed_yet() -> None:
    live = with_planned([DECLARED], [PLANNED])
    assert live_targets(live, DeployedLambda({}, {})) == ()

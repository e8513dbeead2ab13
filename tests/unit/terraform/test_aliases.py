"""Aliases while their function is live: those that point at the stub, and those that cannot."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from terralive_cli.app.checks import at_edge
from terralive_cli.functions.warnings import version_warnings
from terralive_stub.shared.json_documents import Json
from terralive_terraform.artifacts import STUB_HANDLER
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.discovery.files import Module
from terralive_terraform.evaluation.aliases import edge_functions, planned_aliases
from terralive_terraform.evaluation.functions import planned_functions
from terralive_terraform.output.shown_plan import PlannedResource, ShownPlan
from terralive_terraform.output.state import DeployedAlias, DeployedFunction, DeployedLambda
from terralive_terraform.substitution.other_changes import other_changes
from terralive_terraform.substitution.rules import LiveSettings
from terralive_terraform.substitution.selection import Selection, select
from terralive_terraform.substitution.targets import restore_targets
from terralive_testing.fakes.plan_document import PlanDocument

ROOT = Path("/app")
LIVE = LiveSettings(ROOT / ".terralive/stub.zip", "hash")
API = "aws_lambda_function.api"
ALIAS = "aws_lambda_alias.live"
OF_API = {"function_name": [f"{API}.function_name", API], "function_version": [f"{API}.version"]}


def declared(address: str = API) -> DeclaredFunction:
    return DeclaredFunction(address, address.rpartition(".")[2], attributes=frozenset({"publish"}))


def plan(**alias: Json) -> PlanDocument:
    """A function that publishes versions, and an alias of it."""
    made = PlanDocument()
    made.managed(API, {"handler": "app.handler", "runtime": "python3.13", "publish": True})
    made.managed(ALIAS, {"name": "live", **alias}, references=OF_API)
    return made


def selected(made: PlanDocument, *functions: DeclaredFunction) -> Selection:
    evaluation = made.evaluation(ROOT)
    chosen = select((Module(ROOT, functions or (declared(),)),), LIVE, ROOT)
    return chosen.evaluated(
        tuple(planned_functions(evaluation)), tuple(planned_aliases(evaluation))
    )


def test_a_live_function_publishes_nothing_and_its_alias_points_at_the_stub() -> None:
    changes = selected(plan()).changes_by_call()[""]
    assert changes[API].set["publish"] is False
    assert changes[ALIAS].set == {"function_version": "$LATEST"}


def test_an_alias_in_a_module_is_changed_in_that_call_of_the_module() -> None:
    made = PlanDocument()
    address = 'module.orders["a"].aws_lambda_function.api'
    made.managed(address, {"handler": "app.handler", "function_name": "orders"})
    made.managed('module.orders["a"].aws_lambda_alias.live', {"function_name": "orders"})
    function = declared("module.orders.aws_lambda_function.api")
    assert set(selected(made, function).changes_by_call()["orders"]) == {API, ALIAS}


def test_the_alias_of_a_function_that_stays_as_it_is_stays_too() -> None:
    selection = selected(plan(), declared(), declared("aws_lambda_function.other"))
    assert ALIAS not in selection.without((API,)).changes_by_call().get("", {})


def test_an_alias_of_a_function_whose_name_another_region_has_follows_its_own_function() -> None:
    made = PlanDocument()
    other = "aws_lambda_function.eu"
    for address in (API, other):
        made.managed(address, {"handler": "app.handler", "function_name": "orders"})
    made.managed(ALIAS, {"function_name": "orders"}, references={"function_name": [other]})
    made.managed("aws_lambda_alias.unclear", {"function_name": "orders"})

    mine, unclear = planned_aliases(made.evaluation(ROOT))

    assert mine.functions == (other,)
    assert unclear.functions == (API, other)
    selection = selected(made, declared(), declared(other)).without((other,))
    assert set(selection.changes_by_call()[""]) == {API}


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("orders", True),
        ("123456789012:function:orders", True),
        ("arn:aws:lambda:eu-west-1:123456789012:function:orders", True),
        ("arn:aws:lambda:us-east-1:123456789012:function:orders", False),
        ("123456789012:function:my-orders", False),
    ],
)
def test_an_alias_names_its_function_by_name_arn_or_the_end_of_it(
    named: str, *, expected: bool
) -> None:
    made = PlanDocument()
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
    made.managed(API, {"function_name": "orders", "arn": arn})
    made.managed(ALIAS, {"function_name": named})
    deployed = DeployedLambda(
        {API: DeployedFunction("orders", arn, handler=STUB_HANDLER)},
        {ALIAS: DeployedAlias(named, "$LATEST")},
    )

    (alias,) = planned_aliases(made.evaluation(ROOT))

    assert alias.is_of([API]) is expected
    assert (ALIAS in restore_targets(deployed)) is expected


def test_a_weighted_alias_and_one_with_provisioned_concurrency_stay() -> None:
    weighted = plan(routing_config=[{"additional_version_weights": {"2": 0.1}}])
    assert ALIAS not in selected(weighted).changes_by_call()[""]
    provisioned = plan()
    provisioned.managed(
        "aws_lambda_provisioned_concurrency_config.live",
        {},
        references={"qualifier": [f"{ALIAS}.name", ALIAS]},
    )
    assert ALIAS not in selected(provisioned).changes_by_call()[""]


@pytest.mark.parametrize("version", ["$LATEST", "3"])
def test_the_traffic_that_does_not_arrive_is_named(version: str) -> None:
    selection = selected(plan())
    warnings = list(version_warnings(selection.functions, selection.aliases, {ALIAS: version}))
    if version == "$LATEST":
        assert warnings == []
    else:
        (warning,) = warnings
        assert (warning.reference, warning.function) == ("alias-not-live", API)
        assert "alias live stays at version 3" in warning.message


def test_the_alias_of_a_function_whose_code_terraform_ignores_stays_and_is_named() -> None:
    selection = selected(plan(), replace(declared(), ignored=("filename",)))

    assert selection.functions == ()
    assert [function.address for function in selection.by_api] == [API]
    assert selection.changes_by_call() == {}
    (warning,) = version_warnings(selection.by_api, selection.aliases, {ALIAS: "3"})
    assert "alias live stays at version 3: Lambda's API makes its function live" in warning.message


def test_a_function_that_cloudfront_runs_at_the_edge_is_named() -> None:
    made = plan()
    made.managed("aws_cloudfront_distribution.site", {})
    evaluation = made.evaluation(ROOT)
    assert edge_functions(evaluation) == {}
    made.nested(
        "aws_cloudfront_distribution.site",
        "default_cache_behavior",
        {"lambda_function_association": [{"lambda_arn": [f"{API}.qualified_arn", API]}]},
    )
    edge = edge_functions(made.evaluation(ROOT))
    assert edge == {API: "aws_cloudfront_distribution.site"}
    refused = at_edge(edge)
    assert refused.keys() == {API}
    assert "it is for Lambda@Edge, as aws_cloudfront_distribution.site says" in refused[API].reason


@pytest.mark.parametrize(("publish", "found"), [(True, {API: "aws_iam_role.edge"}), (False, {})])
def test_a_published_function_whose_role_is_for_the_edge_is_named_without_its_distribution(
    *, publish: bool, found: dict[str, str]
) -> None:
    made = PlanDocument()
    made.managed(API, {"publish": publish}, references={"role": ["aws_iam_role.edge.arn"]})
    principals = {"Service": ["lambda.amazonaws.com", "edgelambda.amazonaws.com"]}
    trust = {"Statement": [{"Principal": principals, "Action": "sts:AssumeRole"}]}
    made.managed("aws_iam_role.edge", {"assume_role_policy": json.dumps(trust)})
    assert edge_functions(made.evaluation(ROOT)) == found


def moved(before: str, after: str, **more: Json) -> PlannedResource:
    return PlannedResource(
        ALIAS,
        "aws_lambda_alias",
        "update",
        before={"function_version": before, "description": ""},
        after={"function_version": after, "description": "", **more},
    )


@pytest.mark.parametrize(("before", "after"), [("3", "$LATEST"), ("$LATEST", "4")])
def test_an_alias_that_follows_its_function_is_no_other_change(before: str, after: str) -> None:
    assert other_changes(ShownPlan((moved(before, after),), is_first=False), live={API}) == ()


def test_any_other_change_of_an_alias_is_listed() -> None:
    changes = (moved("3", "4"), moved("3", "$LATEST", description="new"))
    listed = other_changes(ShownPlan(changes, is_first=False), live={API})
    assert [change.address for change in listed] == [ALIAS, ALIAS]

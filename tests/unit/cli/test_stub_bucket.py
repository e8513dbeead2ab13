"""The functions that get the stub from S3, and the objects that stay in the bucket."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from terralive_cli.app.stub_settings import Identity, functions_by_file
from terralive_cli.deploy.stub_bucket import StoredObject, outdated
from terralive_cli.functions.evaluated import EvaluatedApp
from terralive_terraform.artifacts import Artifact, StubObject
from terralive_terraform.discovery.providers import AwsProvider
from terralive_terraform.evaluation.evaluated_plan import EvaluatedPlan
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.missing_builds.placeholders import MissingBuilds
from terralive_terraform.output.plans import TerraformPlan
from terralive_terraform.output.shown_plan import ShownPlan
from terralive_terraform.output.state import DeployedFunction, DeployedLambda
from terralive_testing.fakes.plan_document import PlanDocument

FILE = Path("main.tf")
ADDRESS = 'module.m["a"].aws_lambda_function.f[0]'
BLOCK = "module.m.aws_lambda_function.f"
IDENTITY = Identity("eu-west-1", frozenset({"", "dev"}))
ROLE = "arn:aws:iam::123456789012:role/deploy"
PROVIDERS = (
    AwsProvider(FILE, alias="same", region="eu-west-1", profile="dev"),
    AwsProvider(FILE, alias="us", region="us-east-1"),
    AwsProvider(FILE, alias="role", role_arn=ROLE),
    AwsProvider(FILE, alias="computed_role", role_arn=None),
    AwsProvider(FILE, alias="profile", profile="prod"),
    AwsProvider(FILE, alias="computed_profile", profile=None),
    AwsProvider(FILE, alias="computed_region", region=None),
    AwsProvider(FILE, alias="keys", has_credentials=True),
)
NOW = dt.datetime(2026, 1, 2, 12, 0, tzinfo=dt.UTC)


def by_file(function: PlannedFunction, *, deployed_in: str = "") -> tuple[str, ...]:
    made = EvaluatedPlan(
        PlanDocument().evaluation(Path("/app")),
        TerraformPlan((), has_changes=False, file=Path("/plan")),
        ShownPlan((), is_first=False),
    )
    deployed: dict[str, DeployedFunction] = {}
    if deployed_in:
        arn = f"arn:aws:lambda:{deployed_in}:123456789012:function:f"
        deployed[function.address] = DeployedFunction("f", arn)
    builds = MissingBuilds((), Path("/app"), Path("/work"))
    app = EvaluatedApp(made, DeployedLambda(deployed, {}), (function,), builds)
    return functions_by_file(app, PROVIDERS, IDENTITY)


@pytest.mark.parametrize("provider", ["aws", "aws.same"])
def test_a_function_of_terralives_own_identity_and_region_gets_the_stub_from_s3(
    provider: str,
) -> None:
    assert by_file(PlannedFunction(ADDRESS, "", provider=provider)) == ()
    function = PlannedFunction(ADDRESS, "", provider=provider, region="eu-west-1")
    assert by_file(function, deployed_in="eu-west-1") == ()


@pytest.mark.parametrize(
    "provider",
    [
        "",
        "aws.us",
        "aws.role",
        "aws.computed_role",
        "aws.profile",
        "aws.computed_profile",
        "aws.computed_region",
        "aws.keys",
        "aws.not_declared",
        "module.m:aws",
        "awscc",
    ],
)
def test_where_lambda_might_not_read_the_bucket_a_function_gets_a_file(provider: str) -> None:
    assert by_file(PlannedFunction(ADDRESS, "", provider=provider)) == (BLOCK,)


def test_a_functions_own_region_counts_more_than_its_providers() -> None:
    assert by_file(PlannedFunction(ADDRESS, "", provider="aws", region="us-east-1")) == (BLOCK,)
    assert by_file(PlannedFunction(ADDRESS, "", provider="aws.us", region="eu-west-1")) == ()
    computed = PlannedFunction(ADDRESS, "", provider="aws.computed_region")
    assert by_file(computed, deployed_in="eu-west-1") == ()
    assert by_file(computed, deployed_in="us-east-1") == (BLOCK,)


def test_another_zip_is_another_object() -> None:
    first, second = (
        StubObject.of("bucket", Artifact(Path("stub.zip"), digest)) for digest in ("AAAA", "AAAB")
    )
    assert first == StubObject("bucket", "stub/000000.zip")
    assert second.key == "stub/000001.zip"


def test_an_object_stays_while_an_apply_may_need_it() -> None:
    hours_ago = {"stub/mine": 100, "stub/running": 23, "stub/new": 0, "stub/old": 25}
    objects = [
        StoredObject(key, NOW - dt.timedelta(hours=hours)) for key, hours in hours_ago.items()
    ]
    assert list(outdated(objects, "stub/mine", NOW)) == ["stub/old"]

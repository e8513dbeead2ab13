"""The IAM policies that terralive prints, and those of docs/PERMISSIONS.md."""

from __future__ import annotations

import importlib.resources
import json
import re
from pathlib import Path

import pytest

from terralive_cli.permissions.policies import PURPOSES, PolicyScope, documented, policy_of
from terralive_terraform.debug_stack.settings import DebugStackSettings

PAGE = Path(__file__).parents[3] / "docs" / "PERMISSIONS.md"


def resources(name: str, scope: PolicyScope) -> list[str]:
    found: list[str] = []
    statements = policy_of(name, scope)["Statement"]
    assert isinstance(statements, list)
    for statement in statements:
        assert isinstance(statement, dict)
        own = statement["Resource"]
        if isinstance(own, str):
            own = [own]
        assert isinstance(own, list)
        found += [str(item) for item in own]
    return found


def test_the_page_has_the_policies_that_terralive_prints() -> None:
    on_page = dict(re.findall(r"```json (\S+)\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
    assert list(on_page) == list(PURPOSES)
    for name, text in on_page.items():
        file = importlib.resources.files("terralive_cli.permissions").joinpath(f"{name}.json")
        assert file.read_text("utf-8") == text


@pytest.mark.parametrize("name", PURPOSES)
def test_without_knowledge_of_a_project_a_policy_is_the_documented_one(name: str) -> None:
    assert policy_of(name, PolicyScope()) == documented(name)


def test_account_region_app_and_stages_are_filled_in() -> None:
    scope = PolicyScope("123456789012", "eu-west-1", "Orders_api", "pr-*", role_path="/team/")
    assert set(resources("cleanup", scope)) == {
        "arn:aws:apigateway:eu-west-1::/apis",
        "arn:aws:apigateway:eu-west-1::/apis/*",
        "arn:aws:apigateway:eu-west-1::/tags/*",
        "arn:aws:dynamodb:eu-west-1:123456789012:table/terralive-Orders_api-pr-*",
        "arn:aws:lambda:eu-west-1:123456789012:function:terralive-Orders_api-pr-*",
        "arn:aws:iam::123456789012:role/team/terralive-Orders_api-pr-*",
        "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/terralive-Orders_api-pr-*",
        "*",
        "arn:aws:s3:::terralive-orders-api-pr-*",
        "arn:aws:s3:::terralive-orders-api-pr-*/stub/*",
    }


def test_the_partition_is_that_of_the_region() -> None:
    scope = PolicyScope(region="us-gov-west-1")
    found = set(resources("joiner", scope))
    assert all(arn.startswith("arn:aws-us-gov:") for arn in found)


def test_the_condition_of_a_statement_stays() -> None:
    scope = PolicyScope("123456789012", "eu-west-1", "orders", "dev-ana")
    statements = policy_of("developer", scope)["Statement"]
    assert isinstance(statements, list)
    assert [
        item["Condition"] for item in statements if isinstance(item, dict) and "Condition" in item
    ] == [{"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}]


@pytest.mark.parametrize(
    ("app", "stage"), [("orders", "dev-ana"), ("o" * 41, "pr-4"), ("o" * 63, "pr-4"), ("A_B", "x")]
)
@pytest.mark.parametrize("end", ["", "*"])
def test_the_names_of_a_debug_stack_are_those_of_its_policy(app: str, stage: str, end: str) -> None:
    stack = DebugStackSettings(
        app=app, stage=stage, region="eu-west-1", owner="ana", created="2026-11-30", version="1"
    )
    wanted = stage
    if end:
        wanted = f"{stage[:2]}*"
    (table, bucket) = [
        item.rpartition(":")[2].rpartition("table/")[2]
        for item in resources("cleanup", PolicyScope(app=app, stage=wanted))
        if ":table/" in item or (":s3:" in item and "/stub/" not in item)
    ]
    assert table.endswith("*")
    assert bucket.endswith("*")
    assert stack.name("connections").startswith(table[:-1])
    assert stack.stub_bucket().startswith(bucket[:-1])


def test_the_state_bucket_is_named_where_it_is_known() -> None:
    scope = PolicyScope(bucket="acme-states", keys="teams/orders/")
    assert resources("state-bucket", scope) == [
        "arn:aws:s3:::acme-states",
        "arn:aws:s3:::acme-states/teams/orders/*.tfstate",
        "arn:aws:s3:::acme-states/teams/orders/*.tfstate.tflock",
    ]
    text = json.dumps(policy_of("state-bucket", PolicyScope()))
    assert "acme-terraform-states" in text

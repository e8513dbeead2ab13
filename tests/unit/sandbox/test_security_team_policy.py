"""The service control policy of docs/SECURITY-TEAM.md stops terralive, and nothing of a team's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from terralive_sandbox.access.policy import AccessRequest, Decision, decide
from terralive_stub.shared.json_documents import Json
from terralive_terraform.artifacts import StubCoordinates
from terralive_terraform.debug_stack.settings import DebugStackSettings
from terralive_terraform.discovery.declared import declared_function
from terralive_terraform.image_stub import ImageStub
from terralive_terraform.substitution.rules import (
    LiveSettings,
    Substitution,
    substitute,
)
from terralive_testing.deployers.identities import actions, documented

PAGE = Path(__file__).parents[3] / "docs" / "SECURITY-TEAM.md"
ADDRESS = "aws_lambda_function.api"
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:"
SETTINGS = DebugStackSettings(
    app="orders",
    stage="dev-ana",
    region="eu-west-1",
    owner="ana",
    created="2026-01-01",
    version="0",
)
OTHER_PREFIX = DebugStackSettings(
    app="orders",
    stage="dev-ana",
    region="eu-west-1",
    owner="ana",
    created="2026-01-01",
    version="0",
    name_prefix="acme",
)
TAGS = {f"aws:RequestTag/{name}": value for name, value in SETTINGS.all_tags().items()}


def policy() -> str:
    found = re.search(r"```json\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


def creations(name: str, path: str = "/") -> list[AccessRequest]:
    """Return the requests that create a debug stack whose resources have this name."""
    return [
        AccessRequest("dynamodb:CreateTable", (f"arn:aws:dynamodb:eu-west-1:1:table/{name}",)),
        AccessRequest("iam:CreateRole", (f"arn:aws:iam::1:role{path}{name}",)),
        AccessRequest("lambda:CreateFunction", (f"arn:aws:lambda:eu-west-1:1:function:{name}",)),
        AccessRequest(
            "logs:CreateLogGroup", (f"arn:aws:logs:eu-west-1:1:log-group:/aws/lambda/{name}",)
        ),
    ]


def test_every_request_that_creates_a_debug_stack_is_denied_by_its_tags() -> None:
    api = AccessRequest("apigateway:POST", ("arn:aws:apigateway:eu-west-1::/apis",), context=TAGS)
    assert decide([policy()], api) is Decision.DENIED
    for request in creations(OTHER_PREFIX.name("broker")):
        tagged = AccessRequest(request.action, request.resources, context=TAGS)
        assert decide([policy()], tagged) is Decision.DENIED


@pytest.mark.parametrize("path", ["/", "/engineering/"])
def test_every_resource_with_terralives_prefix_is_denied_by_its_name(path: str) -> None:
    # The provider gives a bucket its tags after it has created it.
    bucket = AccessRequest("s3:CreateBucket", (f"arn:aws:s3:::{SETTINGS.stub_bucket()}",))
    for request in (*creations(SETTINGS.name("broker"), path), bucket):
        assert decide([policy()], request) is Decision.DENIED


def test_nobody_can_connect_as_a_relay() -> None:
    connect = AccessRequest(
        "execute-api:Invoke", ("arn:aws:execute-api:eu-west-1:1:a1b2c3/relay/$connect",)
    )
    assert decide([policy()], connect) is Decision.DENIED


def test_the_teams_own_requests_are_not_touched() -> None:
    own = [
        *creations("orders-api"),
        AccessRequest("s3:CreateBucket", ("arn:aws:s3:::orders-files",)),
        AccessRequest("apigateway:POST", ("arn:aws:apigateway:eu-west-1::/apis",)),
        AccessRequest(
            "execute-api:Invoke", ("arn:aws:execute-api:eu-west-1:1:a1b2c3/prod/GET/orders",)
        ),
        AccessRequest("lambda:UpdateFunctionCode", ("arn:aws:lambda:eu-west-1:1:function:orders",)),
    ]
    tags = {"aws:RequestTag/app": "orders"}
    for request in own:
        tagged = AccessRequest(request.action, request.resources, context=tags)
        assert decide([policy()], tagged) is Decision.NEUTRAL


def test_the_page_names_every_tag_of_a_debug_stack() -> None:
    assert [tag for tag in SETTINGS.all_tags() if f"`{tag}`" not in PAGE.read_text("utf-8")] == []


def test_the_page_names_every_attribute_that_changes_while_a_function_is_live() -> None:
    """Functions that have everything that terralive unsets or removes."""
    block: dict[str, Json] = {
        **dict.fromkeys(("s3_bucket", "s3_key", "s3_object_version", "layers"), "own"),
        **dict.fromkeys(("image_uri", "code_sha256", "image_config", "snap_start"), "own"),
    }
    stub = ImageStub({"x86_64": "stub:v2"}, StubCoordinates("wss://a", "a", "b", b"s"), ARN)
    live = LiveSettings(
        Path("stub.zip"), "hash", debug=("api",), image_stub=stub, description="Live"
    )
    changed: set[str] = set()
    for kind in ("Zip", "Image"):
        function = declared_function(
            ADDRESS, {**block, "function_name": "api", "package_type": kind}
        )
        decision = substitute(function, live)
        assert isinstance(decision, Substitution)
        changed |= {*decision.set, *decision.unset, *decision.removed_blocks, *decision.blocks}
    assert {"timeout", "layers", "image_config", "package_type"} <= changed
    page = PAGE.read_text("utf-8")
    assert [name for name in sorted(changed) if f"`{name}`" not in page] == []


def test_the_page_names_every_event_in_which_a_developer_creates_something() -> None:
    page = PAGE.read_text("utf-8")
    creating = re.compile(r"(dynamodb|iam|lambda|logs|s3):((?:Create|Put|Add)\w+|UpdateTimeToLive)")
    data_events = {"dynamodb:PutItem", "s3:PutObject"}
    # The event of S3 has the name of the operation, which is not the action's.
    named = {"PutEncryptionConfiguration": "PutBucketEncryption"}
    found = {
        named.get(match[2], match[2])
        for item in documented("developer")
        for action in actions(item)
        if (match := creating.fullmatch(action)) and action not in data_events
    }
    assert {"PutFunctionConcurrency", "PutBucketPolicy"} <= found
    # Events of Lambda have the version of the API in their names.
    assert [name for name in sorted(found) if not re.search(rf"`{name}(\d{{8}}\w*)?`", page)] == []


def test_the_policy_is_small_enough_for_an_organisation() -> None:
    """https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html."""
    assert len(json.dumps(json.loads(policy()))) < 5120

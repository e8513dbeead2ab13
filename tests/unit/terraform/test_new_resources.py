"""Resources that a plan creates, by their names, and `import` blocks for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_stub.shared.json_documents import Json
from terralive_terraform.debug_stack.adoption import Import
from terralive_terraform.discovery.providers import AwsProvider, provider_by_key
from terralive_terraform.output.failures import ResourceExistsError, failure
from terralive_terraform.output.new_resources import NewResource, import_text, new_resources
from terralive_terraform.output.progress import Diagnostic
from terralive_terraform.output.shown_plan import shown_plan

FUNCTION_ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"


def created(kind: str, *unknown: str, action: str = "create", **after: str | None) -> Json:
    return {
        "address": f"{kind}.it",
        "mode": "managed",
        "type": kind,
        "change": {
            "actions": [action],
            "after": dict(after),
            "after_unknown": dict.fromkeys(unknown, True),
        },
    }


def found(change: Json) -> list[NewResource]:
    return list(new_resources(shown_plan({"resource_changes": [change]})))


@pytest.mark.parametrize(
    ("change", "name", "outer", "optional"),
    [
        (created("aws_lambda_function", function_name="f"), "f", "", ""),
        (created("aws_iam_policy", name="p", path="/team/"), "p", "", "/team/"),
        (created("aws_iam_role_policy", name="p", role="r"), "p", "r", ""),
        (created("aws_lambda_alias", name="live", function_name="f"), "live", "f", ""),
        (
            created("aws_lambda_permission", statement_id="s", function_name=FUNCTION_ARN),
            "s",
            "orders",
            "",
        ),
        (created("aws_lambda_function_url", function_name="f", qualifier="live"), "", "f", "live"),
        (created("aws_lambda_function_url", function_name="f", qualifier=None), "", "f", ""),
        (created("aws_s3_bucket", bucket="b"), "b", "", ""),
    ],
)
def test_a_resource_is_known_by_its_names(
    change: Json, name: str, outer: str, optional: str
) -> None:
    (resource,) = found(change)
    assert (resource.name, resource.outer, resource.optional) == (name, outer, optional)


@pytest.mark.parametrize(
    "change",
    [
        created("aws_iam_role", "name", name_prefix="r-"),
        created("aws_lambda_alias", "function_name", name="live"),
        created("aws_iam_role_policy", "role", name="p"),
        created("aws_sqs_queue", action="update", name="q"),
        created("aws_vpc", name="v"),
    ],
    ids=["a name that AWS chooses", "a new function", "a new role", "no new one", "another type"],
)
def test_what_cannot_be_looked_for_by_name_is_left_out(change: Json) -> None:
    assert found(change) == []


def test_a_resource_has_the_provider_that_its_configuration_names() -> None:
    queue = created("aws_sqs_queue", name="q", region="eu-west-3")
    assert isinstance(queue, dict)
    queue["address"] = 'module.m["a.b"].aws_sqs_queue.it[0]'
    inner: Json = {"resources": [{"address": "aws_sqs_queue.it", "provider_config_key": "aws.us"}]}
    root: Json = {"resources": [], "module_calls": {"m": {"module": inner}}}
    plan = shown_plan({"resource_changes": [queue], "configuration": {"root_module": root}})
    (resource,) = new_resources(plan)
    assert (resource.provider, resource.region) == ("aws.us", "eu-west-3")


def test_a_provider_is_found_by_its_key() -> None:
    default, us = AwsProvider(Path("main.tf")), AwsProvider(Path("main.tf"), alias="us")
    assert provider_by_key([default, us], "aws") == default
    assert provider_by_key([default, us], "aws.us") == us
    assert provider_by_key([default, us], "module.m:aws") is None
    assert provider_by_key([default, us], "") is None
    assert provider_by_key([default], "") == default
    # Terraform's own, without a block.
    assert provider_by_key([us], "aws") == AwsProvider(Path())


def test_an_import_block_can_be_pasted_into_a_file() -> None:
    blocks = import_text([Import("aws_iam_role.it", "r"), Import('a.b["x"]', 'odd "${id}"')])
    assert blocks == (
        'import {\n  to = aws_iam_role.it\n  id = "r"\n}\n'
        'import {\n  to = a.b["x"]\n  id = "odd \\"$${id}\\""\n}'
    )


@pytest.mark.parametrize(
    "text",
    [
        (
            "creating IAM Role (r): operation error IAM: CreateRole, https response error "
            "StatusCode: 409, RequestID: 1, EntityAlreadyExists: Role with name r already exists."
        ),
        (
            "creating Lambda Function (f): operation error Lambda: CreateFunction, https response "
            "error StatusCode: 409, ResourceConflictException: Function already exist: f"
        ),
        (
            "adding Lambda Permission (f/s): operation error Lambda: AddPermission, "
            "ResourceConflictException: The statement id (s) provided already exists."
        ),
        (
            "creating CloudWatch Logs Log Group (/aws/lambda/f): operation error CloudWatch Logs: "
            "CreateLogGroup, ResourceAlreadyExistsException: The specified log group already exists"
        ),
        (
            "creating AWS DynamoDB Table (t): operation error DynamoDB: CreateTable, "
            "ResourceInUseException: Table already exists: t"
        ),
        "creating S3 Bucket (b): operation error S3: CreateBucket, BucketAlreadyOwnedByYou: ",
        (
            "creating SQS Queue (q): operation error SQS: CreateQueue, api error "
            "QueueAlreadyExists: A queue already exists with the same name"
        ),
        (
            "creating SNS Topic (t): operation error SNS: CreateTopic, InvalidParameter: Invalid "
            "parameter: Attributes Reason: Topic already exists with different attributes"
        ),
    ],
)
def test_an_apply_that_meets_an_existing_resource_says_so(text: str) -> None:
    item = Diagnostic("error", text, address="aws_iam_role.it")
    error = failure("apply", [item], "")
    assert isinstance(error, ResourceExistsError)
    assert error.reference == "resource-exists"
    assert [item.address for item in error.diagnostics] == ["aws_iam_role.it"]


@pytest.mark.parametrize(
    "text",
    [
        (
            "updating Lambda Function (f): operation error Lambda: UpdateFunctionCode, "
            "ResourceConflictException: The operation cannot be performed at this time. An update "
            "is in progress for resource"
        ),
        (
            "deleting DynamoDB Table (t): ResourceInUseException: Attempt to change a resource "
            "which is still in use"
        ),
    ],
)
def test_another_conflict_is_no_existing_resource(text: str) -> None:
    assert failure("apply", [Diagnostic("error", text)], "").reference == "terraform-failed"


def test_a_resource_that_was_created_half_way_is_tainted() -> None:
    change = created("aws_sqs_queue", action="update", name="q")
    assert isinstance(change, dict)
    for reason, is_tainted in (("replace_because_tainted", True), ("replace_by_request", False)):
        change["action_reason"] = reason
        (resource,) = shown_plan({"resource_changes": [change]}).resources
        assert resource.is_tainted is is_tainted

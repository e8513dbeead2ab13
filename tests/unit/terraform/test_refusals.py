from __future__ import annotations

import pytest

from terralive_terraform.output.failures import failure
from terralive_terraform.output.progress import Diagnostic
from terralive_terraform.output.refusals import describe_missing, missing_actions

# As AWS's services and the provider write it.
DYNAMODB = (
    "creating AWS DynamoDB Table (terralive-orders): operation error DynamoDB: CreateTable, https "
    "response error StatusCode: 400, api error AccessDeniedException: User: "
    "arn:aws:iam::123456789012:user/ana is not authorized to perform: dynamodb:CreateTable on "
    "resource: arn:aws:dynamodb:eu-west-1:123456789012:table/terralive-orders because no "
    "identity-based policy allows the dynamodb:CreateTable action"
)
BOUNDARY = (
    "User: arn:aws:sts::123456789012:assumed-role/dev/ana is not authorized to perform: "
    "iam:CreateServiceLinkedRole with an explicit deny in a service control policy"
)
S3 = "api error AccessDenied: Access Denied"
CODE_IN_S3 = (
    "operation error Lambda: UpdateFunctionCode, https response error StatusCode: 403, api error "
    "AccessDeniedException: Your access has been denied by S3, please make sure your request "
    "credentials have permission to GetObject for terralive-orders-stub-1/stub/6f.zip. S3 Error "
    "Code: AccessDenied. S3 Error Message: Access Denied"
)


def test_the_missing_permission_is_named() -> None:
    assert missing_actions(DYNAMODB) == ("dynamodb:CreateTable",)
    assert describe_missing(DYNAMODB) == "Your identity lacks the permission dynamodb:CreateTable."
    assert missing_actions(CODE_IN_S3) == ("s3:GetObject",)
    both = describe_missing(f"{DYNAMODB}\n{BOUNDARY}\n{DYNAMODB}")
    assert "permissions dynamodb:CreateTable, iam:CreateServiceLinkedRole." in both


@pytest.mark.parametrize("text", [S3, "", "not authorized"])
def test_a_refusal_without_an_action_names_none(text: str) -> None:
    assert describe_missing(text) == "Your identity lacks a permission."


def test_a_run_of_terraform_that_aws_refuses_says_what_to_ask_for() -> None:
    said = Diagnostic("error", "creating table", DYNAMODB, "aws_dynamodb_table.connections")
    error = failure("apply", [said], "")
    assert error.reference == "aws-permission"
    assert "dynamodb:CreateTable" in str(error.hint)
    assert "docs/PERMISSIONS.md" in str(error.hint)

"""Terraform with providers of several regions and of a second account."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from terralive_sandbox.info import SandboxInfo, attach
from terralive_testing.deployers.sandbox import Aws, code
from terralive_testing.deployers.terraform_account import (
    actions,
    aws_environment,
    plan,
    terraform_in,
)

pytestmark = pytest.mark.timeout(300)

OTHER = "222222222222"
CONFIGURATION = """
terraform {
  required_providers { aws = { source = "hashicorp/aws" } }
}
provider "aws" {
  region = "eu-west-1"
}
provider "aws" {
  alias  = "us"
  region = "us-east-1"
}
provider "aws" {
  alias  = "workload"
  region = "eu-west-1"
  assume_role {
    role_arn     = "arn:aws:iam::222222222222:role/OrganizationAccountAccessRole"
    session_name = "terraform"
  }
}
locals {
  trust = jsonencode({ Version = "2012-10-17", Statement = [{
    Effect    = "Allow"
    Action    = "sts:AssumeRole"
    Principal = { Service = "lambda.amazonaws.com" } }] })
}
resource "aws_iam_role" "own" {
  name               = "same"
  assume_role_policy = local.trust
}
resource "aws_iam_role" "workload" {
  provider           = aws.workload
  name               = "same"
  assume_role_policy = local.trust
}
resource "aws_lambda_function" "eu" {
  function_name = "same"
  role          = aws_iam_role.own.arn
  filename      = "${path.module}/f.zip"
  handler       = "app.handler"
  runtime       = "python3.12"
}
resource "aws_lambda_function" "us" {
  provider      = aws.us
  function_name = "same"
  role          = aws_iam_role.own.arn
  filename      = "${path.module}/f.zip"
  handler       = "app.handler"
  runtime       = "python3.12"
}
resource "aws_lambda_function" "workload" {
  provider      = aws.workload
  function_name = "same"
  role          = aws_iam_role.workload.arn
  filename      = "${path.module}/f.zip"
  handler       = "app.handler"
  runtime       = "python3.12"
}
data "aws_caller_identity" "workload" {
  provider = aws.workload
}
output "account" {
  value = data.aws_caller_identity.workload.account_id
}
"""


def test_one_configuration_deploys_to_two_regions_and_two_accounts(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(CONFIGURATION)
    source = "def handler(event, context):\n    return context.invoked_function_arn\n"
    (tmp_path / "f.zip").write_bytes(code(source))
    with aws_environment(tmp_path) as environment:
        terraform, _ = terraform_in(tmp_path, environment, None)
        terraform.apply(plan(terraform, tmp_path).file)
        assert terraform.state.outputs()["account"].value == OTHER
        assert actions(plan(terraform, tmp_path)) == []
        info = attach(tmp_path / "sandbox.json")
        assert isinstance(info, SandboxInfo)
        aws = Aws(info)
        own = info.account_id
        for place, clients in {
            f"eu-west-1:{own}": aws,
            f"us-east-1:{own}": aws.in_region("us-east-1"),
            f"eu-west-1:{OTHER}": aws.in_account(OTHER),
        }.items():
            answer = clients.lambda_.invoke(FunctionName="same")["Payload"].read()
            assert json.loads(answer) == f"arn:aws:lambda:{place}:function:same"
        terraform.apply(plan(terraform, tmp_path, destroy=True).file)
        for clients in (aws, aws.in_region("us-east-1"), aws.in_account(OTHER)):
            assert clients.lambda_.list_functions()["Functions"] == []

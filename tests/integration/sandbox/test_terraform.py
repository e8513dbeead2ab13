"""Terraform and the AWS provider against the sandbox: a plan after an apply has no changes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from terralive_sandbox.info import environment, local_url
from terralive_terraform.runs.environment import terraform_environment
from terralive_testing.deployers.rest_api import fetch
from terralive_testing.deployers.sandbox import Aws, code, running_sandbox

CONFIGURATION = """
terraform {
  required_providers { aws = { source = "hashicorp/aws" } }
}
provider "aws" {}
resource "aws_iam_role" "f" {
  name = "f"
  path = "/team/"
  tags = { a = "b" }
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{
    Effect    = "Allow"
    Action    = "sts:AssumeRole"
    Principal = { Service = "lambda.amazonaws.com" } }] })
}
resource "aws_iam_role_policy" "f" {
  name   = "f"
  role   = aws_iam_role.f.id
  policy = jsonencode({ Version = "2012-10-17", Statement = [{
    Effect = "Allow", Action = "sns:Publish", Resource = aws_sns_topic.t.arn }] })
}
resource "aws_iam_role_policy_attachment" "f" {
  role       = aws_iam_role.f.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}
resource "aws_cloudwatch_log_group" "f" {
  name              = "/aws/lambda/f"
  retention_in_days = 7
  tags              = { a = "b" }
}
resource "aws_lambda_function" "f" {
  function_name    = "f"
  role             = aws_iam_role.f.arn
  filename         = "${path.module}/f.zip"
  source_code_hash = filebase64sha256("${path.module}/f.zip")
  handler          = "app.handler"
  runtime          = "python3.12"
  architectures    = ["arm64"]
  memory_size      = 256
  timeout          = 29
  tags             = { "terralive:app" = "x" }
  environment { variables = { A = "b" } }
}
resource "aws_lambda_permission" "sns" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.f.function_name
  principal     = "sns.amazonaws.com"
  source_arn    = aws_sns_topic.t.arn
}
resource "aws_lambda_permission" "http" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.f.arn
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.http.execution_arn}/*/*"
}
resource "aws_sns_topic" "t" {
  name = "t"
  tags = { a = "b" }
}
resource "aws_sns_topic_subscription" "t" {
  topic_arn = aws_sns_topic.t.arn
  protocol  = "lambda"
  endpoint  = aws_lambda_function.f.arn
}
resource "aws_dynamodb_table" "t" {
  name         = "t"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "pk"
  range_key    = "sk"
  tags         = { a = "b" }
  attribute {
    name = "pk"
    type = "S"
  }
  attribute {
    name = "sk"
    type = "S"
  }
  ttl {
    attribute_name = "expires"
    enabled        = true
  }
}
resource "aws_apigatewayv2_api" "http" {
  name          = "http"
  protocol_type = "HTTP"
  tags          = { a = "b" }
}
resource "aws_apigatewayv2_integration" "http" {
  api_id                 = aws_apigatewayv2_api.http.id
  integration_type       = "AWS_PROXY"
  integration_uri        = aws_lambda_function.f.invoke_arn
  integration_method     = "POST"
  payload_format_version = "2.0"
}
resource "aws_apigatewayv2_route" "http" {
  api_id    = aws_apigatewayv2_api.http.id
  route_key = "GET /"
  target    = "integrations/${aws_apigatewayv2_integration.http.id}"
}
resource "aws_apigatewayv2_stage" "http" {
  api_id      = aws_apigatewayv2_api.http.id
  name        = "$default"
  auto_deploy = true
  tags        = { a = "b" }
}
resource "aws_apigatewayv2_api" "ws" {
  name                       = "ws"
  protocol_type              = "WEBSOCKET"
  route_selection_expression = "$request.body.action"
  tags                       = { a = "b" }
}
resource "aws_apigatewayv2_integration" "ws" {
  api_id           = aws_apigatewayv2_api.ws.id
  integration_type = "AWS_PROXY"
  integration_uri  = aws_lambda_function.f.invoke_arn
}
resource "aws_apigatewayv2_route" "ws" {
  for_each           = { "$connect" = "AWS_IAM", "$disconnect" = "NONE", "$default" = "NONE" }
  api_id             = aws_apigatewayv2_api.ws.id
  route_key          = each.key
  authorization_type = each.value
  target             = "integrations/${aws_apigatewayv2_integration.ws.id}"
}
resource "aws_apigatewayv2_stage" "ws" {
  for_each    = toset(["stub", "relay"])
  api_id      = aws_apigatewayv2_api.ws.id
  name        = each.key
  auto_deploy = true
  tags        = { a = "b" }
  default_route_settings {
    throttling_burst_limit = 500
    throttling_rate_limit  = 1000
  }
}
output "url" { value = aws_apigatewayv2_api.http.api_endpoint }
"""
# Changes of a substitution and of everyday edits.
CHANGES = {
    'handler          = "app.handler"': 'handler          = "other.handler"',
    'runtime          = "python3.12"': 'runtime          = "python3.13"',
    'architectures    = ["arm64"]': 'architectures    = ["x86_64"]',
    'environment { variables = { A = "b" } }': 'tracing_config { mode = "Active" }',
    "throttling_rate_limit  = 1000": "throttling_rate_limit  = 2000",
    '= { a = "b" }': '= { a = "c" }',
    "retention_in_days = 7": "retention_in_days = 14",
}
HELLO = "def handler(event, context):\n    return {'statusCode': 200, 'body': %r}\n"

pytestmark = [
    pytest.mark.skipif(shutil.which("terraform") is None, reason="Terraform is not on PATH"),
    pytest.mark.timeout(400),
]


def test_terraform_applies_changes_and_destroys_without_drift(tmp_path: Path) -> None:
    folder = tmp_path / "infra"
    folder.mkdir()
    with running_sandbox(tmp_path) as info:
        aws = Aws(info)
        environ = {**terraform_environment(os.environ, tmp_path), **environment(info)}
        environ = {
            k: v for k, v in environ.items() if k not in {"AWS_PROFILE", "AWS_SESSION_TOKEN"}
        }

        def terraform(*arguments: str, exit_code: int = 0) -> str:
            done = subprocess.run(
                ["terraform", f"-chdir={folder}", *arguments],
                env=environ,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == exit_code, (done.stdout + done.stderr)[-5000:]
            return done.stdout

        def deploy(configuration: str, archive: bytes) -> str:
            (folder / "main.tf").write_text(configuration)
            (folder / "f.zip").write_bytes(archive)
            terraform("apply", "-auto-approve", "-no-color")
            terraform("plan", "-detailed-exitcode", "-no-color", exit_code=0)
            return fetch("GET", local_url(info, terraform("output", "-raw", "url"))).text

        (folder / "main.tf").write_text(CONFIGURATION)
        terraform("init", "-no-color")
        assert deploy(CONFIGURATION, code(HELLO % "first")) == "first"
        changed = CONFIGURATION
        for before, after in CHANGES.items():
            assert before in changed
            changed = changed.replace(before, after)
        assert deploy(changed, code("", other=HELLO % "second")) == "second"
        terraform("destroy", "-auto-approve", "-no-color")
        left: list[Callable[[], object]] = [
            lambda: aws.lambda_.list_functions()["Functions"],
            lambda: aws.iam.list_roles()["Roles"],
            lambda: aws.apis.get_apis()["Items"],
            lambda: aws.dynamodb.list_tables()["TableNames"],
            lambda: aws.sns.list_topics()["Topics"],
        ]
        assert [list_all() for list_all in left] == [[]] * len(left)

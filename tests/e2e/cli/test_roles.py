"""Functions whose roles terralive could not change: they become live, and no role changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from terralive_testing.deployers.sandbox import Aws, running_sandbox
from terralive_testing.drivers.plain_app import add, plain_project, start
from terralive_testing.drivers.project import Live, Project

pytestmark = pytest.mark.timeout(300)

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": "lambda.amazonaws.com"},
        }
    ],
}
# Allows nothing of API Gateway.
BOUNDARY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "*"}],
}
ROLES = """
data "aws_iam_role" "platform" { name = "platform-team" }

resource "aws_iam_role" "bounded" {
  name                 = "plain-bounded"
  assume_role_policy   = aws_iam_role.greet.assume_role_policy
  permissions_boundary = "arn:aws:iam::123456789012:policy/boundary"
}

resource "aws_iam_role" "inline" {
  name               = "plain-inline"
  assume_role_policy = aws_iam_role.greet.assume_role_policy
  inline_policy {
    name   = "logs"
    policy = jsonencode({
      Version   = "2012-10-17"
      Statement = [{ Effect = "Allow", Action = "logs:*", Resource = "*" }]
    })
  }
}

resource "aws_iam_role" "exclusive" {
  name               = "plain-exclusive"
  assume_role_policy = aws_iam_role.greet.assume_role_policy
}

resource "aws_iam_role_policies_exclusive" "exclusive" {
  role_name    = aws_iam_role.exclusive.name
  policy_names = []
}

locals {
  roles = {
    platform  = data.aws_iam_role.platform.arn
    bounded   = aws_iam_role.bounded.arn
    inline    = aws_iam_role.inline.arn
    exclusive = aws_iam_role.exclusive.arn
  }
}

resource "aws_lambda_function" "each" {
  for_each      = local.roles
  function_name = "plain-${each.key}"
  role          = each.value
  runtime       = "python3.12"
  handler       = "app.handler"
  timeout       = 20
  filename      = "${path.module}/greet.zip"
}
"""
CONFIGURATION = """
[functions."aws_lambda_function.each"]
path = "functions/greet"
"""
NAMES = ("platform", "bounded", "inline", "exclusive")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = plain_project(tmp_path_factory.mktemp("roles"))
    add(project, ROLES)
    with (project.root / "terralive.toml").open("a", encoding="utf-8") as file:
        file.write(CONFIGURATION)
    project.write_handler(
        "greet",
        """
        import os

        def handler(event, context):
            return ["here", os.environ["AWS_LAMBDA_FUNCTION_NAME"]]
        """,
    )
    with running_sandbox(project.root / ".terralive") as info:
        project.sandbox = {
            "endpoint": info.endpoint,
            "region": info.region,
            "access_key_id": info.access_key_id,
            "secret_access_key": info.secret_access_key,
        }
        iam = Aws(info).iam
        iam.create_role(RoleName="platform-team", AssumeRolePolicyDocument=json.dumps(TRUST))
        iam.create_policy(PolicyName="boundary", PolicyDocument=json.dumps(BOUNDARY))
        yield project


@pytest.fixture(scope="module")
def live(project: Project) -> Iterator[Live]:
    with start(project) as command:
        yield Live(project, command, command.wait_for_type("ready", timeout_s=240))


def policies(project: Project, role: str) -> list[str]:
    """Return the names of a role's inline policies."""
    names = project.client("iam").list_role_policies(RoleName=role)["PolicyNames"]
    return [str(name) for name in names]


@pytest.mark.parametrize("name", NAMES)
def test_a_function_whose_role_terralive_could_not_change_runs_here(live: Live, name: str) -> None:
    answer = live.project.client("lambda").invoke(FunctionName=f"plain-{name}", Payload=b"{}")
    assert answer.get("FunctionError") is None
    assert json.loads(answer["Payload"].read()) == ["here", f"plain-{name}"]


def test_every_function_is_live_and_none_stays_as_it_is(live: Live) -> None:
    functions = {function["name"] for function in live.ready["functions"]}
    assert functions == {"plain-greet", *(f"plain-{name}" for name in NAMES)}
    assert [
        event for event in live.command.of_type("warning") if event["reference"] == "not-live"
    ] == []


def test_no_role_has_another_policy_than_its_configuration_says(live: Live) -> None:
    found = {
        role: policies(live.project, role)
        for role in ("plain-greet", "platform-team", *(f"plain-{name}" for name in NAMES[1:]))
    }
    assert found == {
        "plain-greet": [],
        "platform-team": [],
        "plain-bounded": [],
        "plain-inline": ["logs"],
        "plain-exclusive": [],
    }


def test_no_file_of_terralives_is_left_beside_the_teams(live: Live) -> None:
    names = {path.name for path in Path(live.project.root).glob("*.tf*")}
    assert names <= {"main.tf", "terralive.toml", "terraform.tfstate", "terraform.tfstate.backup"}

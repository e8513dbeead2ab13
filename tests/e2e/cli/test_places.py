"""Live functions in another region and in another account than the debug stack's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from terralive_sandbox.info import SandboxInfo, attach
from terralive_testing.deployers.sandbox import Aws, code
from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.plain_app import MAIN, plain_project, start
from terralive_testing.drivers.project import Project

pytestmark = pytest.mark.timeout(400)

OTHER = "222222222222"
PROVIDERS = """
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
    role_arn = "arn:aws:iam::222222222222:role/OrganizationAccountAccessRole"
  }
}
"""
# The app's function once more, for another provider.
RESOURCES = MAIN[MAIN.index('resource "aws_iam_role"') :]
HANDLER = """
import os
def handler(event, context):
    return ["local", os.environ["AWS_REGION"], context.invoked_function_arn]
"""
CONFIGURATION = """
app = "plain"
stub_check_seconds = 1

[functions."aws_lambda_function.*"]
path = "functions/greet"
"""


def copy_for(alias: str) -> str:
    """The role and the function for a provider. All functions have one name."""
    text = RESOURCES.replace('"greet" {', f'"{alias}" {{\n  provider = aws.{alias}')
    text = text.replace('  name = "plain-greet"', f'  name = "plain-greet-{alias}"')
    return re.sub(r"aws_iam_role\.greet\b", f"aws_iam_role.{alias}", text)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = plain_project(tmp_path_factory.mktemp("places") / "plain")
    main = MAIN.replace('provider "aws" {}', PROVIDERS)
    copies = [copy_for("us"), copy_for("workload")]
    (made.root / "main.tf").write_text("\n".join([main, *copies]), "utf-8")
    (made.root / "functions" / "greet" / "app.py").write_text(HANDLER, "utf-8")
    (made.root / "terralive.toml").write_text(CONFIGURATION, "utf-8")
    return made


@pytest.fixture(scope="module")
def sandbox(project: Project) -> Iterator[SandboxInfo]:
    with Command(["sandbox"], project.root) as command:
        project.sandbox = command.wait_for_type("ready")["sandbox"]
        info = attach(project.root / ".terralive" / "sandbox.json")
        assert info is not None
        yield info


def clients(info: SandboxInfo) -> dict[str, Aws]:
    """Clients that find the functions, by the functions' ARNs."""
    own = Aws(replace(info, region="eu-west-1"))
    arn = "arn:aws:lambda:{}:{}:function:plain-greet".format
    return {
        arn("eu-west-1", info.account_id): own,
        arn("us-east-1", info.account_id): own.in_region("us-east-1"),
        arn("eu-west-1", OTHER): own.in_account(OTHER),
    }


def in_s3(project: Project) -> dict[str, bool]:
    """Tell of each function in Terraform's state whether its code comes from S3."""
    (state,) = project.root.glob(".terralive/sandbox/*/*/app.tfstate")
    return {
        resource["name"]: bool(instance["attributes"]["s3_key"])
        for resource in json.loads(state.read_text("utf-8"))["resources"]
        for instance in resource["instances"]
        if resource["type"] == "aws_lambda_function"
    }


def test_functions_of_one_name_in_other_regions_and_accounts_run_here(
    project: Project, sandbox: SandboxInfo
) -> None:
    with start(project) as command:
        ready = command.wait_for_type("ready", timeout_s=200)
        assert ready["region"] == "eu-west-1"
        assert len(ready["functions"]) == 3
        for arn, aws in clients(sandbox).items():
            answer = aws.lambda_.invoke(FunctionName=arn)["Payload"].read()
            assert json.loads(answer) == ["local", arn.split(":")[3], arn], command.story()
        # The bucket is in eu-west-1, and only the developer may certainly read it.
        assert in_s3(project) == {"greet": True, "us": False, "workload": False}
        warned = {event["reference"] for event in command.of_type("warning")}
        assert warned <= {"runtime-differs"}, command.story()
        # terralive looks at the functions in each place, too.
        workload = clients(sandbox)[f"arn:aws:lambda:eu-west-1:{OTHER}:function:plain-greet"]
        replaced = code("def handler(event, context):\n    return 'a pipeline was here'\n")
        workload.lambda_.update_function_code(FunctionName="plain-greet", ZipFile=replaced)
        command.wait_for(lambda event: event.get("reference") == "stub-replaced", "`stub-replaced`")

    gone = run(["destroy", "--app", "--sandbox", "--yes"], project.root)
    assert gone.process.returncode == 0, gone.story()
    for aws in clients(sandbox).values():
        assert aws.lambda_.list_functions()["Functions"] == []

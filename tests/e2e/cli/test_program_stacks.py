"""A CDK for Terraform program that knows nothing of terralive becomes live with no setting.

It has two stacks. One of them needs an output of the other, and both have a function of one
address. The tests run in order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from terralive_sandbox.info import attach, environment
from terralive_terraform.runs.environment import terraform_environment
from terralive_testing.deployers.terraform_account import plan, terraform_in
from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.plain_app import left, start
from terralive_testing.drivers.project import Project
from terralive_testing.machine.waiting import eventually

pytestmark = pytest.mark.timeout(300)

PROGRAM = """
from pathlib import Path
import cdktf

def new_stack(name):
    stack = cdktf.TerraformStack(app, name)
    aws = cdktf.TerraformProvider(
        stack, "aws", terraform_resource_type="aws", terraform_provider_source="hashicorp/aws"
    )
    aws.add_override("region", "us-east-1")
    return stack

def block(kind, label, **values):
    made = cdktf.TerraformResource(stack, label, terraform_resource_type=kind)
    for key, value in values.items():
        made.add_override(key, value)
    return made

with open("runs", "a") as runs:
    print("run", file=runs)
app = cdktf.App()
stack = new_stack("orders")
zips = {
    name: cdktf.TerraformAsset(
        stack, f"{name}_code", path=f"code/{name}", type=cdktf.AssetType.ARCHIVE
    )
    for name in ("api", "jobs", "nightly")
}
lambda_service = {"Service": "lambda.amazonaws.com"}
trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": lambda_service}
role = block(
    "aws_iam_role", "role", name="assets",
    assume_role_policy=cdktf.Fn.jsonencode({"Version": "2012-10-17", "Statement": [trust]}),
)
common = {"role": "${aws_iam_role.role.arn}", "runtime": "python3.13", "timeout": 60}
block(
    "aws_lambda_function", "api", function_name="assets-api", handler="app.handler",
    filename=zips["api"].path, source_code_hash=zips["api"].asset_hash, **common,
)
block("aws_s3_bucket", "bucket", bucket="assets-code")
block(
    "aws_s3_object", "object", bucket="${aws_s3_bucket.bucket.id}",
    key=zips["jobs"].file_name, source=zips["jobs"].path,
)
block(
    "aws_lambda_function", "jobs", function_name="assets-jobs", handler="jobs.handler",
    s3_bucket="${aws_s3_bucket.bucket.id}", s3_key="${aws_s3_object.object.key}", **common,
)
cdktf.TerraformHclModule(
    stack, "job", source=str(Path("modules/job").resolve()),
    variables={"name": "assets-nightly", "role": common["role"], "zip": zips["nightly"].path},
)
cdktf.TerraformOutput(stack, "where", value="https://orders.example")

stack = new_stack("billing")
zipped = cdktf.TerraformAsset(stack, "code", path="code/billing", type=cdktf.AssetType.ARCHIVE)
block(
    "aws_lambda_function", "api", function_name="assets-billing", handler="bill.handler",
    filename=zipped.path, source_code_hash=zipped.asset_hash,
    **{**common, "role": role.get_string_attribute("arn")},
)
cdktf.TerraformOutput(stack, "where", value="https://billing.example")
app.synth()
"""
MODULE = """
variable "name" { type = string }
variable "role" { type = string }
variable "zip" { type = string }
resource "aws_lambda_function" "this" {
  count         = 1
  function_name = var.name
  role          = var.role
  runtime       = "python3.13"
  handler       = "app.handler"
  filename      = var.zip
  timeout       = 60
}
"""
# Function -> its stack, its code's folder, handler, and how its place was found.
EXPECTED = {
    "assets-api": ("orders", "code/api", "app.handler", "content of TerraformAsset api_code"),
    "assets-jobs": ("orders", "code/jobs", "jobs.handler", "content of TerraformAsset jobs_code"),
    "assets-nightly": (
        "orders",
        "code/nightly",
        "app.handler",
        "content of TerraformAsset nightly_code",
    ),
    "assets-billing": ("billing", "code/billing", "bill.handler", "terralive.toml"),
}
# Two functions have this address. The settings name one of them.
API = "aws_lambda_function.api"
CONFIGURATION = f"[functions.'billing/{API}']\npath = 'code/billing'\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with the program and the code of its functions."""
    root = tmp_path_factory.mktemp("project") / "orders"
    for _, folder, handler, _ in EXPECTED.values():
        module = handler.partition(".")[0]
        (root / folder).mkdir(parents=True)
        code = f'def handler(event, context):\n    return "{folder}"\n'
        (root / folder / f"{module}.py").write_text(code, "utf-8")
    (root / "modules" / "job").mkdir(parents=True)
    (root / "modules" / "job" / "main.tf").write_text(MODULE, "utf-8")
    (root / "main.py").write_text(PROGRAM, "utf-8")
    (root / "terralive.toml").write_text(CONFIGURATION, "utf-8")
    (root / "cdktf.json").write_text('{"language": "python", "app": "python main.py"}', "utf-8")
    return Project(root)


@pytest.fixture(scope="module")
def live(project: Project, sandbox: Command) -> Iterator[Command]:
    """`terralive start`, live with both stacks."""
    assert sandbox.process.poll() is None
    with start(project) as command:
        command.wait_for_type("ready", timeout_s=200)
        yield command


def runs(project: Project) -> int:
    return len((project.root / "runs").read_text("utf-8").splitlines())


def test_assets_in_files_buckets_and_modules_of_both_stacks_are_found_and_run_here(
    project: Project, live: Command
) -> None:
    (ready,) = live.of_type("ready")
    found = {
        item["name"]: (
            item["stack"],
            str(Path(item["path"]).relative_to(project.root)),
            item["handler"],
            item["found_by"],
        )
        for item in ready["functions"]
    }
    assert found == EXPECTED
    addresses = {item["address"] for item in ready["functions"]}
    assert {f"orders/{API}", f"billing/{API}"} < addresses
    assert ready["outputs"]["orders/where"] == "https://orders.example"
    assert ready["outputs"]["billing/where"] == "https://billing.example"
    for name, (_, folder, _, _) in EXPECTED.items():
        answer = project.client("lambda").invoke(FunctionName=name, Payload=b"{}")
        assert json.loads(answer["Payload"].read()) == folder
    eventually(lambda: len(live.of_type("invocation")) == len(EXPECTED), "they ran here")


def test_the_program_runs_once_for_both_stacks(project: Project, live: Command) -> None:
    assert live.of_type("ready")
    assert runs(project) == 1


def test_a_stack_that_reads_outputs_of_another_is_planned_when_that_one_is_deployed(
    live: Command,
) -> None:
    first, second = live.of_type("plan")
    # The first page has what is known of the second stack without a plan.
    assert {item["address"] for item in first["functions"]} == {
        f"orders/{API}",
        "orders/aws_lambda_function.jobs",
        "orders/module.job.aws_lambda_function.this[0]",
        f"billing/{API}",
    }
    assert [item["address"] for item in second["functions"]] == [f"billing/{API}"]
    notes = [event["message"] for event in live.of_type("note")]
    assert any(text.startswith("Terraform cannot plan these stacks before") for text in notes)


def test_both_stacks_are_one_page_and_one_question_when_they_are_deployed(
    project: Project, live: Command
) -> None:
    assert live.of_type("ready")
    planned = run(["plan", "--sandbox", "--detailed-exitcode"], project.root)
    assert planned.process.returncode == 0, planned.story()
    (page,) = planned.of_type("plan")
    assert {(item["stack"], item["found_by"]) for item in page["functions"]} == {
        (stack, found_by) for stack, _, _, found_by in EXPECTED.values()
    }


def test_a_restore_gives_the_functions_of_both_stacks_their_own_code(
    project: Project, live: Command
) -> None:
    live.interrupt()
    live.finish()
    restored = run(["restore", "--sandbox", "--yes"], project.root)
    assert restored.process.returncode == 0, restored.story()
    client = project.client("lambda")
    for name, (_, _, handler, _) in EXPECTED.items():
        assert client.get_function_configuration(FunctionName=name)["Handler"] == handler
    for stack in ("orders", "billing"):
        assert not changes(project, stack)


def changes(project: Project, stack: str) -> list[str]:
    """Return the addresses that a plain `terraform plan` of a stack would change."""
    info = attach(project.root / ".terralive" / "sandbox.json")
    assert info is not None
    (app,) = project.root.glob(f".terralive/sandbox/{info.id}/*/app")
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    variables = {**terraform_environment(own, app / "by-hand"), **environment(info)}
    folder = app / "cdktf.out" / "stacks" / stack
    terraform, _ = terraform_in(folder, variables, app / "terraform-data" / stack)
    return [change.address for change in plan(terraform, app / "by-hand").changes]


def test_a_destroy_removes_both_stacks_and_the_debug_stack(project: Project, live: Command) -> None:
    assert live.process.poll() is not None
    destroyed = run(["destroy", "--sandbox", "--app", "--yes"], project.root, timeout_s=300)
    assert destroyed.process.returncode == 0, destroyed.story()
    (listed,) = destroyed.of_type("changes")
    assert {item["stack"] for item in listed["changes"]} == {"orders", "billing"}
    assert left(project) == {}

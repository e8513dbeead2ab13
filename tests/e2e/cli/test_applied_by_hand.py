"""`terraform apply` by hand in the sandbox, and terralive in the same sandbox. In this order."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from terralive_sandbox.info import attach
from terralive_terraform.artifacts import STUB_HANDLER, write_zip
from terralive_terraform.runs.runner import Terraform
from terralive_terraform.substitution.marker import StageName, live_description
from terralive_testing.deployers.sandbox import code
from terralive_testing.deployers.terraform_account import actions, by_hand, plan
from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.plain_app import add, left, plain_project, start
from terralive_testing.drivers.project import Project
from terralive_testing.machine.waiting import eventually

pytestmark = pytest.mark.timeout(400)
# Its code comes from a pipeline, and Terraform ignores it.
SHIPPED = """
resource "aws_lambda_function" "shipped" {
  function_name    = "plain-shipped"
  role             = aws_iam_role.greet.arn
  runtime          = "python3.12"
  handler          = "app.handler"
  timeout          = 11
  filename         = "${path.module}/greet.zip"
  source_code_hash = filebase64sha256("${path.module}/greet.zip")
  lifecycle {
    ignore_changes = [filename, source_code_hash]
  }
}
"""
SETTINGS = """
[functions."aws_lambda_function.shipped"]
path = "functions/shipped"
"""
# Of another runtime, which Terraform does not ignore.
SCRIPT = """
resource "aws_lambda_function" "script" {
  function_name = "plain-script"
  role          = aws_iam_role.greet.arn
  runtime       = "nodejs22.x"
  handler       = "app.handler"
  timeout       = 11
  filename      = "${path.module}/script.zip"
  lifecycle {
    ignore_changes = [filename]
  }
}
"""
SCRIPT_SETTINGS = """
[functions."aws_lambda_function.script"]
path = "functions/script"
"""
IGNORED = ("plain-shipped", "plain-script")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with a running sandbox."""
    made = plain_project(tmp_path_factory.mktemp("by-hand") / "plain")
    with_shipped_function(made)
    with_script(made)
    with Command(["sandbox"], made.root) as command:
        made.sandbox = command.wait_for_type("ready")["sandbox"]
        yield made


@pytest.fixture(scope="module")
def terraform(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Terraform as the user runs it; it has applied the project in the sandbox."""
    folder = tmp_path_factory.mktemp("terraform")
    info = attach(project.root / ".terralive" / "sandbox.json")
    assert info is not None
    made = by_hand(project.root, info, folder)
    made.apply(plan(made, folder).file)
    return made


def with_shipped_function(project: Project) -> None:
    add(project, SHIPPED)
    with (project.root / "terralive.toml").open("a", encoding="utf-8") as file:
        file.write(SETTINGS)
    shutil.copytree(project.root / "functions" / "greet", project.root / "functions" / "shipped")


def with_script(project: Project) -> None:
    add(project, SCRIPT)
    with (project.root / "terralive.toml").open("a", encoding="utf-8") as file:
        file.write(SCRIPT_SETTINGS)
    write_script(project, "edited")
    write_zip({"app.js": script("deployed")}, project.root / "script.zip")


def write_script(project: Project, answer: str) -> None:
    folder = project.root / "functions" / "script"
    folder.mkdir(exist_ok=True)
    (folder / "app.js").write_bytes(script(answer))


def script(answer: str) -> bytes:
    return f'exports.handler = async () => "{answer}";\n'.encode()


def invoke(project: Project, function: str = "plain-greet") -> bytes:
    answer = project.client("lambda").invoke(FunctionName=function)
    payload: bytes = answer["Payload"].read()
    return payload


def configured(project: Project, name: str, function: str = "plain-greet") -> object:
    client = project.client("lambda")
    return client.get_function_configuration(FunctionName=function).get(name)


def deployed(project: Project, function: str) -> dict[str, object]:
    """Return what a function is, without what every change of it changes."""
    client = project.client("lambda")
    configuration = client.get_function(FunctionName=function)["Configuration"]
    changing = {"LastModified", "RevisionId"}
    return {name: item for name, item in configuration.items() if name not in changing}


def by_api(command: Command) -> list[str]:
    """Return the functions that a plan's page names as live by Lambda's API."""
    page = command.of_type("plan")[-1]
    return [item["address"] for item in page["functions"] if item["by_api"]]


def code_of(project: Project) -> bytes:
    """Download the deployed zip."""
    client = project.client("lambda")
    return httpx.get(client.get_function(FunctionName="plain-greet")["Code"]["Location"]).content


@pytest.mark.usefixtures("terraform")
def test_functions_of_another_checkout_are_named_before_anything_is_created(
    project: Project, tmp_path: Path
) -> None:
    before = left(project)
    other = plain_project(tmp_path / "checkout")
    (other.root / ".terralive").mkdir()
    shutil.copy(project.root / ".terralive" / "sandbox.json", other.root / ".terralive")

    for words in (["plan", "--sandbox"], ["start", "--sandbox", "--yes"]):
        command = run(words, other.root)
        errors = command.of_type("error")
        assert [error["reference"] for error in errors] == ["functions-exist"], command.story()
        assert command.process.returncode == 2
        assert "plain-greet (account 123456789012, us-east-1)" in errors[0]["message"]
        assert "terraform destroy" in errors[0]["hint"]
        assert left(project) == before
        assert invoke(project) == b'"deployed"'


@pytest.mark.usefixtures("terraform")
def test_a_state_that_is_left_from_another_sandbox_is_not_used(
    project: Project, tmp_path: Path
) -> None:
    state = (project.root / "terraform.tfstate").read_bytes()
    other = plain_project(tmp_path / "later")
    (other.root / "terraform.tfstate").write_bytes(state)
    with_shipped_function(other)
    other.write_handler("shipped", 'def handler(event, context):\n    return "local"\n')

    with start(other) as command:
        ready = command.wait_for_type("ready", timeout_s=200)
        other.sandbox = ready["sandbox"]
        assert invoke(other) == b'"deployed"'
        # Terraform has deployed its own code first.
        assert invoke(other, "plain-shipped") == b'"local"'
    assert (other.root / "terraform.tfstate").read_bytes() == state


def test_the_state_of_an_apply_by_hand_is_used_and_a_stub_that_it_does_not_know_is_found(
    project: Project, terraform: Terraform, tmp_path: Path
) -> None:
    before = left(project)
    edited = 'def handler(event, context):\n    return "edited"\n'
    for name in ("greet", "shipped"):
        (project.root / "functions" / name / "app.py").write_text(edited, "utf-8")
    pipeline = project.client("lambda")
    shipped = code('def handler(event, context): return "shipped"')
    pipeline.update_function_code(FunctionName="plain-shipped", ZipFile=shipped)
    own = {name: deployed(project, name) for name in IGNORED}

    with start(project) as command:
        ready = command.wait_for_type("ready", timeout_s=200)
        assert invoke(project) == b'"edited"'
        changes = actions(plan(terraform, tmp_path))
        # The state is the user's.
        updated = ["aws_lambda_function.greet", "aws_lambda_function.script"]
        assert sorted(changes) == [("update", address) for address in updated]

        # Terraform ignores the code of these functions, so Lambda's API has put the stub there.
        targets = ["aws_lambda_function.script", "aws_lambda_function.shipped"]
        assert sorted(by_api(command)) == targets
        for name in IGNORED:
            assert invoke(project, name) == b'"edited"'
        main = project.root / "main.tf"
        own_text = main.read_text("utf-8")
        main.write_text(own_text.replace("= 11", "= 12"), "utf-8")
        terraform.apply(terraform.plan(tmp_path / "ignored.tfplan", targets=targets).file)
        # Handler and code belong together, whatever the apply has changed.
        for name in IGNORED:
            assert configured(project, "Timeout", name) == 12
        assert invoke(project, "plain-shipped") == b'"edited"'
        assert configured(project, "Runtime", "plain-script") == "nodejs22.x"
        assert invoke(project, "plain-script") == b'"deployed"'
        main.write_text(own_text, "utf-8")
        terraform.apply(terraform.plan(tmp_path / "ignored.tfplan", targets=targets).file)

    # Nobody is connected.
    assert invoke(project) == b'"deployed"'
    assert invoke(project, "plain-shipped") == b'"shipped"'
    assert "terralive: app plain" in "".join(left(project)["versions"])
    stub = code_of(project)
    restored = run(["restore", "--sandbox", "--yes"], project.root)
    assert restored.process.returncode == 0, restored.story()
    assert restored.of_type("note")[-1]["message"] == "Every live function has its own code back."
    assert invoke(project) == b'"deployed"'
    assert invoke(project, "plain-shipped") == b'"shipped"'
    assert invoke(project, "plain-script") == b'"deployed"'
    assert {name: deployed(project, name) for name in IGNORED} == own
    assert actions(plan(terraform, tmp_path)) == []
    assert "versions" not in left(project)

    # A state that knows nothing of the stub: whoever put it there was killed, or has another state.
    client = project.client("lambda")
    description = live_description(StageName("plain", ready["stage"]))
    client.update_function_configuration(
        FunctionName="plain-greet", Handler=STUB_HANDLER, Description=description
    )
    client.update_function_code(FunctionName="plain-greet", ZipFile=stub)
    gone = run(["destroy", "--sandbox", "--yes"], project.root)
    assert gone.process.returncode == 0, gone.story()
    assert invoke(project) == b'"deployed"'
    assert configured(project, "Description") == ""
    assert actions(plan(terraform, tmp_path)) == []
    eventually(lambda: left(project) == before, "only what was applied by hand is left")

"""Settings of a user for Terraform, all at once, during the whole life of a stage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.plain_app import MAIN, left, plain_project
from terralive_testing.drivers.project import Project

pytestmark = pytest.mark.timeout(300)

SETTINGS = {
    "TF_CLI_ARGS_init": "-backend-config=region=eu-west-1",
    "TF_CLI_ARGS_plan": "-var-file=dev.tfvars",
    "TF_CLI_ARGS_apply": "-var-file=dev.tfvars -parallelism=4",
    "TF_WORKSPACE": "blue",
    "TF_DATA_DIR": ".tf",
    "TF_VAR_team": "orders",
    "TF_VAR_stage": "not the debug stack's",
    "TF_LOG": "info",
    "TF_INPUT": "1",
}
# Typed after `--`. The debug stack has no such variable, so its plan would fail with it.
TYPED = ["--", "-var", "colour=red", "-var=size=big", "-parallelism=3"]
# The backend does not exist: in the sandbox, the app has a state of its own.
BACKEND = """
terraform {
  backend "s3" {
    bucket = "states"
    key    = "orders"
    region = "eu-west-1"
  }
}
variable "size" {}
variable "team" {}
variable "colour" {}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = plain_project(tmp_path_factory.mktemp("settings") / "plain")
    name = '"plain-greet-${terraform.workspace}-${var.team}-${var.size}-${var.colour}"'
    main = MAIN.replace('function_name    = "plain-greet"', f"function_name    = {name}")
    (made.root / "main.tf").write_text(BACKEND + main, "utf-8")
    (made.root / "dev.tfvars").write_text('size = "small"\n', "utf-8")
    return made


@pytest.fixture(scope="module", autouse=True)
def sandbox(project: Project) -> Iterator[Command]:
    with Command(["sandbox"], project.root) as command:
        project.sandbox = command.wait_for_type("ready")["sandbox"]
        yield command


def test_the_app_has_them_and_the_debug_stack_has_not(project: Project) -> None:
    deployed = run(["apply", "--sandbox", "--yes", *TYPED], project.root, SETTINGS)
    assert deployed.process.returncode == 0, deployed.story()
    names = [
        item["FunctionName"] for item in project.client("lambda").list_functions()["Functions"]
    ]
    assert "plain-greet-blue-orders-big-red" in names
    assert any(name.endswith("-broker") for name in names)
    again = run(["plan", "--sandbox", "--detailed-exitcode", *TYPED], project.root, SETTINGS)
    assert again.process.returncode == 0, again.story()

    restored = run(["restore", "--sandbox", "--yes", *TYPED], project.root, SETTINGS)
    assert restored.process.returncode == 0, restored.story()
    answer = project.client("lambda").get_function(FunctionName="plain-greet-blue-orders-big-red")
    assert answer["Configuration"]["Handler"] == "app.handler"

    removed = run(["destroy", "--sandbox", "--yes", "--app", *TYPED], project.root, SETTINGS)
    assert removed.process.returncode == 0, removed.story()
    assert left(project) == {}
    assert not (project.root / ".terraform").exists()

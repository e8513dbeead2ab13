"""A stage is in one region: differences are named before anything is planned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.plain_app import MAIN, left, plain_project
from terralive_testing.drivers.project import Project

pytestmark = pytest.mark.timeout(300)

IRELAND = 'provider "aws" {\n  region = "eu-west-1"\n}'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return plain_project(tmp_path_factory.mktemp("regions") / "plain")


@pytest.fixture(scope="module")
def sandbox(project: Project) -> Iterator[Command]:
    """A sandbox in us-east-1, as nothing says otherwise."""
    with Command(["sandbox"], project.root) as command:
        project.sandbox = command.wait_for_type("ready")["sandbox"]
        yield command


def write(project: Project, provider: str, configuration: str = "") -> None:
    (project.root / "main.tf").write_text(MAIN.replace('provider "aws" {}', provider), "utf-8")
    file = project.root / "terralive.toml"
    own = file.read_text("utf-8").partition("app = ")[2]
    file.write_text(f"{configuration}\napp = {own}", "utf-8")


def message_of(command: Command) -> str:
    errors = command.of_type("error")
    assert [error["reference"] for error in errors] == ["region-differs"], command.story()
    assert command.process.returncode == 2
    assert command.of_type("stack") == [], "something was planned"
    assert errors[0]["hint"]
    return str(errors[0]["message"])


@pytest.mark.parametrize("name", ["plan", "start", "apply", "restore", "destroy"])
def test_a_provider_in_another_region_than_the_sandbox_is_named(
    project: Project, sandbox: Command, name: str
) -> None:
    write(project, IRELAND)
    words = [name, "--sandbox"] if name == "plan" else [name, "--sandbox", "--yes"]
    message = message_of(run(words, project.root))
    assert "\n  us-east-1: the running sandbox" in message
    assert '\n  eu-west-1: `provider "aws"` in main.tf' in message
    assert not any(left(project).values()), sandbox.story()


@pytest.mark.parametrize(
    ("words", "environment", "configuration", "listed"),
    [
        (["--region", "eu-west-1"], {}, "", "eu-west-1: --region"),
        ([], {"TERRALIVE_REGION": "eu-west-1"}, "", "eu-west-1: TERRALIVE_REGION"),
        ([], {"AWS_REGION": "eu-west-1"}, "", "eu-west-1: AWS_REGION"),
        ([], {"AWS_DEFAULT_REGION": "eu-west-1"}, "", "eu-west-1: AWS_DEFAULT_REGION"),
        ([], {}, 'region = "eu-west-1"', "eu-west-1: `region` in terralive.toml"),
    ],
    ids=["flag", "variable", "shell", "older variable of the shell", "file"],
)
@pytest.mark.usefixtures("sandbox")
def test_a_region_that_is_not_the_sandboxs_is_named_with_its_source(
    project: Project,
    words: list[str],
    environment: Mapping[str, str],
    configuration: str,
    listed: str,
) -> None:
    write(project, 'provider "aws" {}', configuration)
    message = message_of(run([*words, "plan", "--sandbox"], project.root, environment))
    assert "us-east-1: the running sandbox" in message
    assert listed in message


def test_on_aws_a_shell_in_another_region_is_named(project: Project, sandbox: Command) -> None:
    write(project, 'provider "aws" {}', 'region = "eu-west-1"')
    account = {
        "AWS_ENDPOINT_URL": project.sandbox["endpoint"],
        "AWS_ACCESS_KEY_ID": project.sandbox["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": project.sandbox["secret_access_key"],
        "AWS_REGION": "us-east-1",
    }
    message = message_of(run(["plan"], project.root, account))
    assert "eu-west-1: `region` in terralive.toml" in message, sandbox.story()
    assert "us-east-1: AWS_REGION" in message


def test_a_new_sandbox_is_in_the_region_of_the_provider(tmp_path: Path) -> None:
    project = plain_project(tmp_path / "plain")
    write(project, IRELAND)
    with Command(["start", "--sandbox", "--yes"], project.root) as command:
        ready = command.wait_for_type("ready", timeout_s=200)
        assert ready["region"] == ready["sandbox"]["region"] == "eu-west-1"
        project.sandbox = ready["sandbox"]
        answer = project.client("lambda").invoke(FunctionName="plain-greet")
        assert answer["Payload"].read() == b'"deployed"'

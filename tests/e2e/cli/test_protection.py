"""What terralive does not touch: accounts that nobody has allowed, and what looks like production.

Everything is refused before anything is created. For these tests, the sandbox is AWS: it answers
under AWS's host names, or as an endpoint that `--sandbox` does not name.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.sandbox import running_sandbox
from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.plain_app import left, plain_project
from terralive_testing.drivers.project import Project
from terralive_testing.drivers.terminal import answered
from terralive_testing.machine.aws_names import aws_environment, sandbox_environment

pytestmark = pytest.mark.timeout(600)

# moto's account: https://docs.getmoto.org/en/latest/docs/multi_account.html
ACCOUNT = "123456789012"
# The role that AWS Organizations makes in an account:
# https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_accounts_access.html
OTHER_ACCOUNT = "222222222222"
OTHER_PROVIDER = f"""
provider "aws" {{
  assume_role {{
    role_arn = "arn:aws:iam::{OTHER_ACCOUNT}:role/OrganizationAccountAccessRole"
  }}
}}
"""
TAGS = """
provider "aws" {
  default_tags {
    tags = { Environment = local.environment }
  }
}

locals {
  environment = "production"
}
"""


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxInfo]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as info:
        yield info


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def aws(info: SandboxInfo, home: Path) -> Iterator[Mapping[str, str]]:
    """The environment of a user for whom the sandbox is AWS itself."""
    with aws_environment(info) as environment:
        yield {**environment, "HOME": str(home)}


@pytest.fixture
def emulator(info: SandboxInfo, home: Path) -> Mapping[str, str]:
    """The environment of a user for whom the sandbox is some emulator."""
    return {**sandbox_environment(info), "HOME": str(home)}


@pytest.fixture
def project(tmp_path: Path, info: SandboxInfo) -> Project:
    made = plain_project(tmp_path / "repo" / "app")
    (tmp_path / "repo" / ".git").mkdir()
    made.sandbox = {
        "endpoint": info.endpoint,
        "region": info.region,
        "access_key_id": info.access_key_id,
        "secret_access_key": info.secret_access_key,
    }
    return made


def refused(command: Command, reference: str, project: Project) -> str:
    """Require that a command was refused and has created nothing. Return its words."""
    assert command.process.returncode == 2, command.story()
    (error,) = command.of_type("error")
    assert error["reference"] == reference, command.story()
    assert left(project) == {}
    # `.terraform/terraform.tfstate` is Terraform's note of the backend, and no state.
    states = project.root.rglob("*.tfstate")
    assert [path for path in states if path.parent.name != ".terraform"] == []
    return f"{error['message']}\n{error['hint']}"


@pytest.mark.parametrize("words", ["start", "apply", "restore", "destroy"])
def test_an_account_that_nobody_has_allowed_is_refused_with_the_line_to_add(
    project: Project, aws: Mapping[str, str], words: str
) -> None:
    said = refused(run([words, "--yes"], project.root, aws), "account-not-allowed", project)

    assert f'accounts = ["{ACCOUNT}"]' in said
    assert f"TERRALIVE_ACCOUNTS={ACCOUNT}" in said


def test_an_account_that_is_not_in_the_list_is_refused(
    project: Project, aws: Mapping[str, str]
) -> None:
    listed = {**aws, "TERRALIVE_ACCOUNTS": "999999999999"}

    said = refused(run(["start", "--yes"], project.root, listed), "account-not-allowed", project)

    assert "999999999999 only" in said


def test_an_account_is_confirmed_once_by_typing_its_id(
    project: Project, aws: Mapping[str, str]
) -> None:
    """`restore` of an app that is not deployed has nothing to do."""
    wrong = answered(["restore"], ["yes"], project.root, aws)
    assert (wrong.code, wrong.of_type("error")[0]["reference"]) == (2, "account-not-allowed")
    assert f"account {ACCOUNT}" in wrong.screen

    right = answered(["restore"], [ACCOUNT], project.root, aws)
    assert right.code == 0, right

    again = run(["restore", "--yes"], project.root, aws)
    assert again.process.returncode == 0, again.story()


def test_a_new_app_in_another_account_is_refused_before_it_is_created(
    project: Project, aws: Mapping[str, str]
) -> None:
    main = project.root / "main.tf"
    main.write_text(main.read_text("utf-8").replace('provider "aws" {}', OTHER_PROVIDER), "utf-8")
    listed = {**aws, "TERRALIVE_ACCOUNTS": ACCOUNT}

    said = refused(run(["apply", "--yes"], project.root, listed), "account-not-allowed", project)

    assert f"account {OTHER_ACCOUNT}" in said


@pytest.mark.parametrize("words", ["plan", "start", "apply", "restore", "destroy"])
def test_a_folder_that_looks_like_production_is_refused(
    project: Project, emulator: Mapping[str, str], words: str
) -> None:
    folder = project.root / "envs" / "prod"
    shutil.copytree(project.root, folder, ignore=shutil.ignore_patterns("envs"))

    said = refused(run([words, "--yes"], folder, emulator), "stage-protected", project)

    assert 'folder "prod"' in said
    assert "--allow-protected" in said


@pytest.mark.parametrize("words", ["plan", "start", "restore", "destroy"])
def test_a_protected_stage_is_refused_by_every_command_also_in_the_sandbox(
    project: Project, words: str
) -> None:
    arguments = ["--stage", "prod-eu", words, "--sandbox", "--yes"]
    said = refused(run(arguments, project.root), "stage-protected", project)
    assert '"prod-eu"' in said


def test_an_account_whose_alias_looks_like_production_is_refused(
    project: Project, emulator: Mapping[str, str]
) -> None:
    iam = project.client("iam")
    iam.create_account_alias(AccountAlias="acme-production")
    try:
        command = run(["start", "--yes"], project.root, emulator)
    finally:
        iam.delete_account_alias(AccountAlias="acme-production")

    assert 'account alias "acme-production"' in refused(command, "stage-protected", project)


def test_an_environment_tag_of_production_is_found_in_the_plan(
    project: Project, emulator: Mapping[str, str]
) -> None:
    """Only Terraform knows the value: it is a local."""
    main = project.root / "main.tf"
    main.write_text(main.read_text("utf-8").replace('provider "aws" {}', TAGS), "utf-8")

    said = refused(run(["start", "--yes"], project.root, emulator), "stage-protected", project)

    assert 'tag Environment = "production"' in said


def test_a_function_named_for_production_is_refused_and_may_be_allowed(
    project: Project, emulator: Mapping[str, str]
) -> None:
    main = project.root / "main.tf"
    main.write_text(main.read_text("utf-8").replace('"plain-greet"', '"greet-prod"'), "utf-8")

    said = refused(run(["plan"], project.root, emulator), "stage-protected", project)
    assert 'function "greet-prod"' in said

    allowed = run(["plan", "--allow-protected"], project.root, emulator)
    assert allowed.process.returncode == 0, allowed.story()
    assert left(project) == {}

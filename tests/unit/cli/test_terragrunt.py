"""Folders of Terragrunt are named, with what to do: terralive runs Terraform itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_cli.configuration.loading import load
from terralive_cli.main import main
from terralive_cli.protection.terragrunt import check_terragrunt
from terralive_relay.events import Warned
from terralive_stub.errors import ConfigurationError

UNIT = 'terraform {\n  source = "../modules//orders"\n}\n'
FUNCTION = 'resource "aws_lambda_function" "api" {}\n'
BACKEND = 'terraform {\n  backend "s3" {}\n}\n'


def checked(folder: Path, files: dict[str, str], **flags: str | bool) -> Warned | None:
    for name, content in files.items():
        (folder / name).write_text(content)
    return check_terragrunt(load(project=folder, flags=flags, environ={}, user="ana"))


@pytest.mark.parametrize(
    "name", ["terragrunt.hcl", "terragrunt.hcl.json", "root.hcl", "terragrunt.stack.hcl"]
)
@pytest.mark.parametrize("sandbox", [False, True])
def test_a_folder_without_terraform_files_is_refused(
    tmp_path: Path, name: str, *, sandbox: bool
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        checked(tmp_path, {name: UNIT}, sandbox=sandbox)
    assert caught.value.reference == "terragrunt-not-supported"
    assert name in caught.value.message
    assert "--inputs-debug" in caught.value.hint
    assert "var_files" in caught.value.hint


def test_without_a_backend_terraform_would_have_another_state(tmp_path: Path) -> None:
    files = {"terragrunt.hcl": UNIT, "main.tf": FUNCTION}
    with pytest.raises(ConfigurationError, match="no `backend` block") as caught:
        checked(tmp_path, files)
    assert 'backend "local" {}' in caught.value.hint
    # In the sandbox, nothing can be deployed twice.
    assert isinstance(checked(tmp_path, files, sandbox=True), Warned)


def test_beside_a_complete_configuration_it_is_a_warning(tmp_path: Path) -> None:
    files = {"terragrunt.hcl": UNIT, "main.tf": FUNCTION, "backend.tf": BACKEND}
    warning = checked(tmp_path, files)
    assert warning is not None
    assert warning.reference == "terragrunt-not-supported"
    assert warning.message.splitlines()[0].endswith("does not read terragrunt.hcl.")


@pytest.mark.parametrize(
    "files",
    [
        {"main.tf": FUNCTION},
        {"main.tf": FUNCTION, "root.hcl": ""},
        {"terragrunt.hcl": UNIT, "cdktf.json": '{"app": "python main.py"}'},
        {},
    ],
)
def test_nothing_is_said_where_terraform_needs_no_terragrunt(
    tmp_path: Path, files: dict[str, str]
) -> None:
    assert checked(tmp_path, files) is None


def test_the_command_line_says_so_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "terragrunt.hcl").write_text(UNIT)
    assert main(["start", "--output", "plain"]) == 2
    assert "terragrunt-not-supported" in capsys.readouterr().err


@pytest.mark.parametrize("binary", ["terragrunt", "/usr/local/bin/terragrunt"])
def test_terragrunt_is_no_terraform(tmp_path: Path, binary: str) -> None:
    with pytest.raises(ConfigurationError, match="and not Terragrunt"):
        checked(tmp_path, {"terralive.toml": f'[terraform]\nbinary = "{binary}"\n'})

"""Arguments for Terraform that a user types after `--`."""

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_stub.errors import ConfigurationError
from terralive_terraform.discovery.variables import GivenVariables
from terralive_terraform.runs.arguments import apply_arguments, shown_arguments, users_arguments


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "eu.tfvars").write_text('size = "file"\nteam = "orders"\n')
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "passed"),
    [
        (["-var", "a=b=c"], ["-var=a=b=c"]),
        (["-var=a=b", "--var", "c=-1"], ["-var=a=b", "-var=c=-1"]),
        (["-var", "-a=b"], ["-var=-a=b"]),
        (["-var=a="], ["-var=a="]),
        (["-parallelism", "3", "-lock-timeout=5m"], ["-parallelism=3", "-lock-timeout=5m"]),
        (["-lock=false", "-compact-warnings"], ["-lock=false", "-compact-warnings"]),
        ([], []),
    ],
)
def test_what_is_typed_after_the_dashes_is_passed_on(
    folder: Path, typed: list[str], passed: list[str]
) -> None:
    assert users_arguments(typed, folder) == tuple(passed)


@pytest.mark.parametrize("typed", [["-var-file=eu.tfvars"], ["--var-file", "./eu.tfvars"]])
def test_a_variables_file_is_relative_to_the_folder_of_the_command(
    folder: Path, typed: list[str]
) -> None:
    (argument,) = users_arguments(typed, folder)
    name, _, file = argument.partition("=")
    assert name == "-var-file"
    assert Path(file).is_absolute()
    assert Path(file).samefile(folder / "eu.tfvars")


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        (["-out=plan"], "-out"),
        (["-target", "module.a"], "-target"),
        (["--target=module.a"], "-target"),
        (["-destroy"], "-destroy"),
        (["-auto-approve"], "-auto-approve"),
        (["-replace=aws_x.y"], "-replace"),
        (["-refresh=false"], "-refresh"),
        (["-refresh-only"], "-refresh-only"),
        (["-state=other.tfstate"], "-state"),
        (["-backend-config=a=b"], "-backend-config"),
        (["-json"], "-json"),
        (["-no-such-option"], "-no-such-option"),
        (["-var=a=b", "plan.tfplan"], "plan.tfplan"),
        (["-compact-warnings", "a"], "pass a on"),
        (["-"], "-"),
        (["-var"], "-var"),
        (["-var-file=missing.tfvars"], "missing.tfvars"),
    ],
)
def test_what_contradicts_terralive_is_refused_by_name(
    folder: Path, typed: list[str], named: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        users_arguments(typed, folder)
    assert caught.value.reference == "terraform-argument"
    assert named in caught.value.message
    assert "-parallelism" in caught.value.hint


def test_an_apply_of_a_saved_plan_gets_no_variables() -> None:
    given = ("-var=a=b", "-parallelism=3", "-var-file=/x", "-lock=false", "-compact-warnings")
    assert apply_arguments(given) == ["-parallelism=3", "-lock=false", "-compact-warnings"]


def test_a_message_hides_the_values_of_variables() -> None:
    given = ("-var=password=secret", "-var=empty=", "-var-file=/x", "-lock=false")
    assert shown_arguments(given) == ["-var=password=…", *given[1:]]


@pytest.mark.parametrize(
    ("typed", "size"),
    [
        ([], "environment"),
        (["-var", "size=typed"], "typed"),
        (["-var-file=eu.tfvars"], "file"),
        (["-var=size=typed", "-var-file=eu.tfvars"], "file"),
        (["-var-file=eu.tfvars", "-var=size=typed"], "typed"),
    ],
)
def test_the_last_typed_value_wins_over_the_environment(
    folder: Path, typed: list[str], size: str
) -> None:
    environ = {"TF_CLI_ARGS_plan": "-var=size=environment -parallelism=2"}
    given = GivenVariables(users_arguments(typed, folder), environ)
    assert given.values(folder, {"size": {}})["size"] == size

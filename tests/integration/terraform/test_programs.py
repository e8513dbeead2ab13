"""A CDKTF program runs on the interpreter that the user's shell would use."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from terralive_stub.errors import TerraformError
from terralive_terraform.programs.program import run_program, search_path, words_of
from terralive_terraform.substitution.find_app import find_app

# An interpreter that writes its own name into the stack.
INTERPRETER = """#!/bin/sh
mkdir -p "$CDKTF_OUTDIR/stacks/orders"
echo '{"output": {"ran": "NAME '"$*"'"}}' >"$CDKTF_OUTDIR/stacks/orders/cdk.tf.json"
"""
OWN = str(Path(sys.prefix) / "bin")


def program_in(folder: Path, name: str, *programs: str) -> Path:
    """Return a folder `bin` whose programs say that they are `name`."""
    folder.mkdir(parents=True, exist_ok=True)
    for program in programs or ("python", "python3"):
        file = folder / program
        file.write_text(INTERPRETER.replace("NAME", name))
        file.chmod(0o755)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "repository" / "infra"
    folder.mkdir(parents=True)
    (tmp_path / "repository" / ".git").mkdir()
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v22.0.0\n")
    node.chmod(0o755)
    return folder


def ran(project: Path, command: str, **environment: str) -> str:
    """Return the name of the interpreter that has run a program of the project."""
    (project / "cdktf.json").write_text(json.dumps({"app": command}))
    users = {"JSII_NODE": str(project.parents[1] / "node"), **environment}
    with find_app(project).prepared(None, project.parents[1] / "work", users) as prepared:
        document = json.loads((prepared.directory / "cdk.tf.json").read_text())
    return str(document["output"]["ran"])


def test_terralives_own_python_does_not_run_a_program(project: Path, tmp_path: Path) -> None:
    """As after `pipx install terralive`: its virtual environment is not on PATH."""
    shell = program_in(tmp_path / "shell", "shell")
    path = f"{shell}:/usr/bin:/bin"
    assert ran(project, "python main.py", PATH=path) == "shell main.py"
    assert ran(project, "python3 main.py", PATH=path) == "shell main.py"


def test_uvx_puts_terralives_own_python_on_the_path_and_it_is_not_used(
    project: Path, tmp_path: Path
) -> None:
    shell = program_in(tmp_path / "shell", "shell")
    path = f"{OWN}:{shell}:/usr/bin:/bin"
    assert ran(project, "python main.py", PATH=path, UV="/usr/bin/uv") == "shell main.py"


def test_the_environment_of_a_repository_serves_all_of_its_projects(
    project: Path, tmp_path: Path
) -> None:
    (project / "terralive.toml").touch()
    program_in(project.parent / ".venv" / "bin", "repository")
    program_in(tmp_path / ".venv" / "bin", "outside")
    path = f"{program_in(tmp_path / 'shell', 'shell')}:/usr/bin:/bin"
    assert ran(project, "python main.py", PATH=path) == "repository main.py"
    (project.parent / ".git").rmdir()
    assert ran(project, "python main.py", PATH=path) == "shell main.py"


def test_the_active_environment_comes_before_the_projects(project: Path, tmp_path: Path) -> None:
    team = program_in(tmp_path / "team" / "bin", "team")
    program_in(project.parent / ".venv" / "bin", "project")
    path = f"{team}:/usr/bin:/bin"
    command = "python main.py"
    assert ran(project, command, PATH=path, VIRTUAL_ENV=str(team.parent)) == "team main.py"
    # Conda's `base` is active in every session of its users.
    conda = {"PATH": path, "CONDA_PREFIX": str(team.parent)}
    assert ran(project, command, **conda, CONDA_DEFAULT_ENV="team") == "team main.py"
    assert ran(project, command, **conda, CONDA_DEFAULT_ENV="base") == "project main.py"


def test_the_projects_environment_serves_where_none_or_terralives_own_is_active(
    project: Path, tmp_path: Path
) -> None:
    shell = program_in(tmp_path / "shell", "shell")
    program_in(project.parent / "venv" / "bin", "project")
    # Above the repository, nothing is the project's.
    program_in(tmp_path / ".venv" / "bin", "another")
    path = f"{shell}:/usr/bin:/bin"
    assert ran(project, "python main.py", PATH=path) == "project main.py"
    active = {"PATH": f"{OWN}:{path}", "VIRTUAL_ENV": sys.prefix}
    assert ran(project, "python main.py", **active) == "project main.py"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("pipenv run python main.py", "tools run python main.py"),
        ("poetry run python main.py", "tools run python main.py"),
        ("cd . && STAGE=dev poetry run $STAGE_PROGRAM", "tools run main.py"),
        ("STAGE=dev pipenv run 'main.py'", "tools run main.py"),
    ],
)
def test_a_command_is_run_as_it_is_written(
    project: Path, tmp_path: Path, command: str, name: str
) -> None:
    tools = program_in(tmp_path / "tools", "tools", "pipenv", "poetry")
    path = f"{tools}:/usr/bin:/bin"
    assert ran(project, command, PATH=path, STAGE_PROGRAM="main.py") == name


def test_a_python_without_the_programs_packages_is_named(project: Path, tmp_path: Path) -> None:
    shell = tmp_path / "shell"
    shell.mkdir()
    (shell / "python").symlink_to(sys.executable)
    (project / "main.py").write_text("import package_that_nobody_has\n")
    with pytest.raises(TerraformError, match="package_that_nobody_has") as caught:
        run_program("python main.py", project, {"PATH": str(shell)})
    assert caught.value.reference == "app-failed"
    assert f"{shell}/python lacks this package" in caught.value.hint


def test_a_shell_without_python_gets_terralives(project: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    path = search_path(project, {"PATH": str(tmp_path / "empty")}, Path(sys.prefix))
    assert path.split(os.pathsep) == [str(tmp_path / "empty"), OWN]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("python main.py", ["python", "main.py"]),
        ('python "a b.py"', ["python", "a b.py"]),
        ("python main.py --name=a", ["python", "main.py", "--name=a"]),
        ("A=1 python main.py", ["/bin/sh", "-c", "A=1 python main.py"]),
        ("python 'open", ["/bin/sh", "-c", "python 'open"]),
        ("make -s | cat", ["/bin/sh", "-c", "make -s | cat"]),
    ],
)
def test_a_shell_runs_what_only_a_shell_understands(command: str, words: list[str]) -> None:
    assert words_of(command) == words

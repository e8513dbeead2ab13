"""The Python of a function's deployed version, and packages of a workspace."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from terralive_cli.configuration.tables import FunctionSettings
from terralive_cli.functions import interpreters
from terralive_cli.functions.code_checks import with_programs
from terralive_cli.python.packages import editable_folders, with_packages
from terralive_cli.python.versions import deployed_python, imported_modules
from terralive_workers.function import LocalCode
from terralive_workers.interpreters.pythons import candidates

OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"
OTHER = "3.12"
if OWN == OTHER:
    OTHER = "3.13"


def code(folder: Path, version: str = OTHER, **values: object) -> LocalCode:
    return LocalCode(
        address="aws_lambda_function.api",
        runtime=f"python{version}",
        handler="app.handler",
        path=folder,
        python=Path(sys.executable),
        **values,  # type: ignore[arg-type]
    )


def interpreter(folder: Path, version: str, *, lacks: str = "") -> Path:
    """Make a program that stands for an interpreter of this version, which lacks a module."""
    program = folder / "bin" / f"python{version}"
    program.parent.mkdir(parents=True)
    missing = f'"{lacks}"' if lacks else ""
    program.write_text(f"#!/bin/sh\necho '[\"{version}\", [{missing}]]'\n")
    program.chmod(0o755)
    return program


def machine(folder: Path) -> Mapping[str, str]:
    """Return the environment of a machine on which nothing is installed."""
    return {"PATH": str(folder / "empty"), "HOME": str(folder)}


def test_the_deployed_version_is_looked_for_on_path_then_in_pyenv_then_in_uv(
    tmp_path: Path,
) -> None:
    uv = interpreter(tmp_path / ".local/share/uv/python/cpython-3.12.4-linux-x86_64-gnu", "3.12")
    older = interpreter(tmp_path / ".pyenv" / "versions" / "3.12.9", "3.12")
    newer = interpreter(tmp_path / ".pyenv" / "versions" / "3.12.10", "3.12")
    interpreter(tmp_path / ".pyenv" / "versions" / "3.11.9", "3.11")
    on_path = interpreter(tmp_path / "usr", "3.12")
    environ = {**machine(tmp_path), "PATH": str(tmp_path / "usr" / "bin")}
    assert list(candidates("3.12", environ)) == [on_path, newer, older, uv]
    elsewhere = {**environ, "PYENV_ROOT": str(tmp_path / "x"), "UV_PYTHON_INSTALL_DIR": "/x"}
    assert list(candidates("3.12", elsewhere)) == [on_path]


def test_an_interpreter_runs_a_handler_only_if_it_has_what_that_imports(tmp_path: Path) -> None:
    interpreter(tmp_path / "usr", OTHER, lacks="requests")
    other = interpreter(tmp_path / ".pyenv" / "versions" / f"{OTHER}.1", OTHER)
    environ = {**machine(tmp_path), "PATH": str(tmp_path / "usr" / "bin")}
    file = tmp_path / "app.py"
    file.write_text("import requests\n")
    assert deployed_python(code(tmp_path), file, environ) == other


def test_functions_that_need_the_same_modules_ask_an_interpreter_once(tmp_path: Path) -> None:
    """Python's own modules and the function's are no question to an interpreter."""
    program = interpreter(tmp_path / "usr", OTHER)
    asked = tmp_path / "asked"
    program.write_text(f'{program.read_text()}echo "$4" >> {asked}\n')
    environ = {**machine(tmp_path), "PATH": str(program.parent)}
    for name in ("orders", "mails"):
        folder = tmp_path / name
        (folder / "templates").mkdir(parents=True)
        (folder / f"{name}.py").touch()
        (folder / "app.py").write_text(f"import json, requests, templates, {name}\n")
        assert deployed_python(code(folder), folder / "app.py", environ) == program
    assert asked.read_text().splitlines() == ["[]", '["requests"]']


def test_nothing_is_looked_for_where_terralive_runs_the_deployed_version(tmp_path: Path) -> None:
    interpreter(tmp_path / "usr", OWN)
    environ = {**machine(tmp_path), "PATH": str(tmp_path / "usr" / "bin")}
    assert deployed_python(code(tmp_path, OWN), None, environ) is None


def test_a_real_interpreter_tells_its_version_and_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "usr").mkdir()
    # Of another version than its name says.
    program = tmp_path / "usr" / f"python{OTHER}"
    program.symlink_to(sys.executable)
    assert (
        deployed_python(code(tmp_path), None, {**machine(tmp_path), "PATH": str(program.parent)})
        is None
    )


def test_the_modules_that_a_file_imports_are_named() -> None:
    names = imported_modules(Path(__file__))
    assert {"json", "pathlib", "pytest", "terralive_cli"} <= set(names)
    assert imported_modules(Path(__file__).with_name("missing.py")) == ()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a virtual environment, and two packages that are installed from there."""
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    (tmp_path / ".git").mkdir()
    for name in ("packages/core/src/core", "packages/mail/mail", "services/api"):
        (tmp_path / name).mkdir(parents=True)
    environment = tmp_path / ".venv"
    site = environment / "lib" / f"python{OWN}" / "site-packages"
    (site / "mail-1.dist-info").mkdir(parents=True)
    (environment / "bin").mkdir()
    (environment / "bin" / "python").symlink_to(sys.executable)
    (environment / "pyvenv.cfg").touch()
    # uv and Poetry write the folder, setuptools and PDM also the URL of the project.
    pth = f"{tmp_path}/packages/core/src\nimport sys\n/usr/share\n{tmp_path}\n{tmp_path}/gone\n"
    (site / "_core.pth").write_text(pth)
    url = {"url": f"file://{tmp_path}/packages/mail", "dir_info": {"editable": True}}
    (site / "mail-1.dist-info" / "direct_url.json").write_text(json.dumps(url))
    return tmp_path


def test_an_edit_of_a_sibling_package_of_a_workspace_reloads(workspace: Path) -> None:
    api = workspace / "services" / "api"
    project = workspace / "infra"
    project.mkdir()
    python = interpreters.python_of(project, api)
    assert python == workspace / ".venv" / "bin" / "python"
    core, mail = workspace / "packages" / "core" / "src", workspace / "packages" / "mail"
    assert editable_folders(python, workspace, api) == (core, mail)
    roots = (workspace / "shared",)
    of_workspace = code(api, roots=roots)
    found = with_packages(replace(of_workspace, python=python), workspace)
    assert found.also_watched == (*roots, core, mail)


def test_a_copy_of_the_package_in_the_code_itself_needs_no_other_look(workspace: Path) -> None:
    python = workspace / ".venv" / "bin" / "python"
    inside = workspace / "packages"
    assert editable_folders(python, workspace, inside) == ()
    assert editable_folders(Path("/usr/bin/python3"), workspace, inside) == ()


def test_the_active_virtual_environment_is_the_projects_where_it_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    python = tmp_path / "poetry" / "api-1f" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setenv("VIRTUAL_ENV", str(python.parent.parent))
    assert interpreters.python_of(project, project) == python
    assert not interpreters.is_stand_in(python, project)


def test_a_python_that_terralive_toml_names_is_taken_whatever_else_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    deployed = interpreter(tmp_path / "usr", OTHER)
    monkeypatch.setenv("PATH", str(deployed.parent))
    assert interpreters.is_stand_in(Path(sys.executable), tmp_path)
    assert with_programs(code(tmp_path), FunctionSettings(""), tmp_path).python == deployed
    named = FunctionSettings("", python=Path(sys.executable))
    assert with_programs(code(tmp_path), named, tmp_path).python == Path(sys.executable)

"""Programs of this machine that run handlers, and their versions beside the deployed runtime.

It finds files and asks programs for their version. Callers decide what follows from that.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from terralive_cli.configuration.source import repository_top
from terralive_terraform.runs import node
from terralive_workers import node as workers_node
from terralive_workers.function import LocalCode

OLDEST_NODE: Final = 18
_ACTIVE: Final = "VIRTUAL_ENV"  # names the active virtual environment
NO_NODE: Final = Path("node")  # a name that PATH does not know
_FAMILIES: Final = ("python", "nodejs", "provided")
_LANGUAGES: Final = {"python": "Python", "nodejs": "Node.js"}


def runtime_family(runtime: str) -> str | None:
    """Return `python`, `nodejs` or `provided`; None for a runtime that terralive does not run."""
    for family in _FAMILIES:
        if runtime.startswith(family):
            return family
    return None


def handler_interpreter(code: LocalCode) -> Path | None:
    """Return the interpreter that runs a handler; None where another program does."""
    if code.command:
        return None
    match runtime_family(code.runtime):
        case "python":
            return code.python
        case "nodejs":
            return code.node
        case _:
            return None


def find(program: str, folders: Sequence[Path] = ()) -> Path | None:
    """Find a program; None where there is none.

    A bare name is looked for on PATH, a relative path below each of `folders` in turn.
    """
    if "/" not in program:
        on_path = shutil.which(program)
        if on_path is None:
            return None
        return Path(on_path)
    path = Path(program).expanduser()
    candidates = [folder / path for folder in folders] or [path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    return None


def python_of(project: Path, path: Path) -> Path:
    """Find the project's own Python.

    It is the virtual environment in the code's folder or above it, up to the top of the repository
    (a workspace has one for all of its packages), or else the active one. Without one, it is the
    Python that runs terralive.
    """
    top = repository_top(project) or project
    folders = [folder for folder in (path, *path.parents) if folder.is_relative_to(top)]
    above = [folder for folder in (project, *project.parents) if folder.is_relative_to(top)]
    environments: list[Path] = []
    for folder in [*(folders or [path]), *above]:
        environments += [folder / name for name in (".venv", "venv")]
    if os.environ.get(_ACTIVE):
        environments.append(Path(os.environ[_ACTIVE]))
    for environment in environments:
        candidate = environment / "bin" / "python"
        if candidate.exists():
            return candidate
    return Path(sys.executable)


def is_stand_in(python: Path, project: Path) -> bool:
    """Tell whether a Python only stands in for the project's own, of which there is none.

    The Python that runs terralive may be in a virtual environment of the project's.
    """
    if python != Path(sys.executable):
        return False
    prefix = Path(sys.prefix)
    is_active = os.environ.get(_ACTIVE) == str(prefix)
    return not is_active and not prefix.is_relative_to(repository_top(project) or project)


def default_node() -> Path | None:
    """Find the Node.js on PATH, or else the one that is installed for jsii (see `is_bundled`)."""
    found = find("node")
    if found is not None:
        return found
    bundled = node.from_pypi()
    return Path(bundled) if bundled else None


def is_bundled(program: Path) -> bool:
    """Tell whether a Node.js is the one that terralive's extra `node` installs."""
    return str(program) == node.from_pypi()


def version_of(program: Path) -> str | None:
    """Return an interpreter's version (`3.12.4`); None where it does not tell it."""
    if program == Path(sys.executable):
        # No process has to be started for the Python that runs terralive.
        return ".".join(str(part) for part in sys.version_info[:3])
    return workers_node.version_of(program)


def mismatch(runtime: str, program: Path, version: str | None) -> str | None:
    """Warn that a runtime (`python3.12`, `nodejs20.x`) and the local interpreter differ.

    None where they do not, or where that is not known.
    """
    match = re.fullmatch(r"(python|nodejs)(\d+(?:\.\d+)?)(?:\.x)?", runtime)
    if match is None or not version:
        return None
    family, deployed_version = match[1], match[2]
    if f"{version}.".startswith(f"{deployed_version}."):
        return None
    language = _LANGUAGES[family]
    setting = family.removesuffix("js")
    return (
        f"The runtime is {runtime} in Lambda, and {language} {version} ({program}) here. Code that "
        f"works here may fail in Lambda. To use another {language} here, set "
        f'`{setting} = "…"` in the function\'s table in terralive.toml.'
    )

"""One run of a CDK for Terraform program, as the user's shell would run it.

A command such as `python main.py` means the team's Python: that of the project's virtual
environment, or what the shell's PATH has. terralive may be installed anywhere else (`pipx`,
`uv tool`), and its own Python has none of the team's packages.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError, TerraformError

# Files that mark the top of a repository, or else of a project: a virtual environment is looked for
# up to there.
_TOPS: Final = (".git", "terralive.toml")
_VIRTUAL_ENVIRONMENTS: Final = (".venv", "venv")
# `uvx` sets it, and puts the folder of the program that it runs in front of PATH.
_UV: Final = "UV"
_TAIL_LINES: Final = 15  # of a failed program's output
# The cdktf CLI gives the command to a shell.
_FOR_A_SHELL: Final = frozenset("&|;<>()$`*?~\n")
_MISSING_PACKAGE: Final = "ModuleNotFoundError"


def run_program(command: str, project: Path, environment: Mapping[str, str]) -> None:
    """Run a program to its end.

    Args:
        command: its command, as cdktf.json has it.
        project: the folder that it runs in.
        environment: its whole environment. Its PATH is completed by `search_path`.

    Raises:
        ConfigurationError: `app-not-started`.
        TerraformError: `app-failed`.
    """
    path = search_path(project, environment, Path(sys.prefix))
    words = words_of(command)
    try:
        ended = subprocess.run(
            words,
            cwd=project,
            env={**environment, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except OSError as error:
        raise ConfigurationError(
            "app-not-started",
            f"The CDKTF program `{command}` of {project} does not start: {error}.",
            hint='Correct "app" in cdktf.json, or [terraform] app in terralive.toml.',
        ) from None
    if ended.returncode != 0:
        lines = ended.stdout.decode("utf-8", "replace").strip().splitlines()
        tail = "\n".join(lines[-_TAIL_LINES:])
        hint = f"Run `{command}` in {project} and correct what it says."
        python = _python_of(words, path)
        if python and _MISSING_PACKAGE in tail:
            hint = (
                f"{python} lacks this package. Activate the virtual environment that has the "
                "program's packages, or name its Python in terralive.toml: [terraform] app = "
                f'"/path/to/bin/{command}".'
            )
        raise TerraformError(
            "app-failed",
            f"The CDKTF program `{command}` of {project} failed "
            f"(exit code {ended.returncode}).\n{tail}",
            hint=hint,
        )


def words_of(command: str) -> Sequence[str]:
    """Return the words of a command; those of a shell where only a shell understands it."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if words and "=" not in words[0] and not _FOR_A_SHELL.intersection(command):
        return words
    return ["/bin/sh", "-c", command]


def search_path(project: Path, environment: Mapping[str, str], own: Path) -> str:
    """Return the PATH with which a program is found.

    It is the user's. A virtual environment that is active comes first, or else that of the
    project. terralive's own serves last, for a shell that has no `python` at all.

    Args:
        project: the folder that the program runs in.
        environment: the environment of the shell.
        own: the prefix of the Python that runs terralive.
    """
    own_folder = str(own / "bin")
    folders = environment.get("PATH", os.defpath).split(os.pathsep)
    active = _active_environment(environment)
    if _UV in environment and Path(active) != own:
        folders = [folder for folder in folders if folder != own_folder]
    first = _project_environment(project)
    if active and (first is None or Path(active) != own):
        first = Path(active)
    if first is not None and (first / "bin").is_dir():
        folders.insert(0, str(first / "bin"))
    if own_folder not in folders:
        folders.append(own_folder)
    return os.pathsep.join(folders)


def _active_environment(environment: Mapping[str, str]) -> str:
    """Return the folder of the environment that the user has activated; "" for none.

    Many shells activate conda's `base` in every session: nobody has chosen it for this program.
    """
    conda = environment.get("CONDA_PREFIX", "")
    if environment.get("CONDA_DEFAULT_ENV") == "base":
        conda = ""
    return environment.get("VIRTUAL_ENV") or conda


def _python_of(words: Sequence[str], path: str) -> str:
    """Return the Python that a command begins with; "" where it begins with something else."""
    if not words[0].startswith("python"):
        return ""
    return shutil.which(words[0], path=path) or ""


def _project_environment(project: Path) -> Path | None:
    """Return the virtual environment in the project's folder, or above it in the repository."""
    above = (project, *project.parents)
    searched = above[:1]
    for top in _TOPS:
        tops = [depth for depth, folder in enumerate(above) if (folder / top).exists()]
        if tops:
            searched = above[: tops[0] + 1]
            break
    for folder in searched:
        for name in _VIRTUAL_ENVIRONMENTS:
            if (folder / name / "bin").is_dir():
                return folder / name
    return None

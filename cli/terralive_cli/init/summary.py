"""Sentences about what was found, and about what comes next. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from terralive_cli.init.findings import CiSystem, FoundProject, Repository, relative
from terralive_cli.output.formats.words import plural

_CI: Final = {CiSystem.GITHUB: "GitHub Actions", CiSystem.GITLAB: "GitLab CI"}

NO_CI: Final = (
    "No CI system was found. For a cleanup job: `terralive init --ci github` or `--ci gitlab`."
)


def found_line(repository: Repository, projects: Sequence[FoundProject], base: Path) -> str:
    """Return a line about a repository and its projects.

    Args:
        repository: the repository.
        projects: the projects.
        base: the folder that paths are shown relative to.
    """
    found = [_project(project, base) for project in projects]
    if repository.makefile is not None:
        found.append(repository.makefile.name)
    if repository.justfile is not None:
        found.append(repository.justfile.name)
    if repository.ci in _CI:
        found.append(_CI[repository.ci])
    return f"Found: {', '.join(found)}."


def next_lines(projects: Sequence[FoundProject], left: int) -> list[str]:
    """Return what a person does next.

    Args:
        projects: the projects.
        left: how many existing files would change, where nobody could be asked.
    """
    lines: list[str] = []
    if left:
        lines.append(
            f"{plural(left, 'file')} would change and stayed as before. Run `terralive init` in a "
            "terminal to be asked about each, or with --yes to change all of them."
        )
    command = "terralive plan"
    if len(projects) > 1:
        command = "terralive --project DIR plan"
    lines.append(f"Next: `{command}` shows which functions would become live. It changes nothing.")
    return lines


def _project(project: FoundProject, base: Path) -> str:
    kind = "Terraform"
    if project.is_program:
        kind = "CDK for Terraform"
    place = relative(project.terraform_dir, base) or "this folder"
    details: list[str] = []
    if project.backend.type:
        details.append(f"state in {project.backend.type}")
    if project.unread:
        details.append(f"functions not known: {project.unread}")
    else:
        details.append(plural(len(project.functions), "function"))
        known = sum(1 for function in project.functions if function.path)
        if project.functions:
            details.append(f"code of {known} found")
    return f"{kind} in {place} ({', '.join(details)})"

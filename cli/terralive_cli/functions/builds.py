"""Builds that the repository describes for a folder that does not exist yet. It reads files."""

from __future__ import annotations

from pathlib import Path

from terralive_cli.configuration.source import repository_top
from terralive_terraform.evaluation.sources.builds import builder_of, lines
from terralive_terraform.evaluation.sources.repository import Repository
from terralive_terraform.substitution.rules import NotLive


def build_lines(project: Path, folder: Path) -> tuple[str, ...]:
    """Return the lines of terralive.toml that build a folder on this machine."""
    repository = _repository(project)
    builder = builder_of(repository, folder)
    if builder is None:
        return (f'path = "{repository.shown(folder)}"', 'build = "…"')
    return lines(repository, builder, folder, (), is_known=False)


def archive_missing(project: Path, address: str, folder: Path) -> NotLive:
    """Return the reason of a function whose archive is made of a folder that does not exist.

    Terraform cannot plan before somebody has built it, so no setting helps.
    """
    repository = _repository(project)
    reason = f"its archive is made of {repository.shown(folder)}, which does not exist"
    builder = builder_of(repository, folder)
    if builder is not None:
        reason += f": `{builder.command}` may build it"
    return NotLive(address, reason)


def _repository(project: Path) -> Repository:
    return Repository(repository_top(project) or project, project=project)

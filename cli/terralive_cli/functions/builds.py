"""Builds that the repository describes for a folder that does not exist yet. It reads files."""

from __future__ import annotations

from pathlib import Path

from terralive_cli.configuration.source import repository_top
from terralive_terraform.evaluation.sources import builds
from terralive_terraform.evaluation.sources.repository import Repository
from terralive_terraform.substitution.rules import NotLive


def build_lines(project: Path, folder: Path) -> tuple[str, ...]:
    """Return the lines of terralive.toml that build a folder on this machine."""
    return builds.build_lines(_repository(project), folder)


def archive_missing(project: Path, address: str, folder: Path) -> NotLive:
    """Return the reason of a function whose archive is made of a folder that does not exist."""
    repository = _repository(project)
    reason = f"its archive is made of {repository.shown(folder)}, which does not exist"
    builder = builds.builder_of(repository, folder)
    if builder is not None:
        reason += f": `{builder.command}` may build it"
    settings = builds.build_lines(repository, folder)
    return NotLive(address, reason, lines=(f"[functions.'{address}']", *settings))


def _repository(project: Path) -> Repository:
    return Repository(repository_top(project) or project, project=project)

"""`terralive init`: write the files with which a team uses terralive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.init.choosing import chosen_roots
from terralive_cli.init.contents.proposals import Proposal
from terralive_cli.init.contents.wanted import wanted_files
from terralive_cli.init.editors import (
    EditorFiles,
    debuggable,
    jetbrains_files,
    vscode_files,
)
from terralive_cli.init.findings import CiSystem, FoundProject, Repository
from terralive_cli.init.looking.projects import configs_of, look_at_project, other_configs
from terralive_cli.init.looking.repository import look_at
from terralive_cli.init.policies import list_policies
from terralive_cli.init.summary import NO_CI, found_line, next_lines
from terralive_cli.init.writing import Writer, read_text, write_text
from terralive_cli.output.events import Message
from terralive_cli.output.ui import Ui
from terralive_stub.errors import ConfigurationError, TerraliveError
from terralive_terraform.artifacts import STUB_IMAGE, STUB_IMAGE_TAG, write_stub_image

_BUILDING: Final = """\
  docker buildx build --platform linux/amd64 --provenance=false -t {image} {folder}
  docker push {image}
  [stub_image]
  x86_64 = "{image}"
Read more in docs/CONFIGURATION.md, "Functions that are container images"."""


def run(
    config: Config,
    ui: Ui,
    *,
    vscode: bool = False,
    jetbrains: bool = False,
    stub_image: Path | None = None,
    policy: str | None = None,
    ci: str | None = None,
    roots: Sequence[Path] = (),
) -> int:
    """Write the files of a repository, or those that an option names."""
    if policy is not None:
        list_policies(config, ui, policy)
        return 0
    if stub_image is not None:
        return _stub_image(stub_image, ui)
    if vscode or jetbrains:
        config.require_program()
        several = debuggable(config)
        if vscode:
            _write_editor(vscode_files(config, several), ui)
        if jetbrains:
            _write_editor(jetbrains_files(config, several), ui)
        return 0
    return _repository(config, ui, ci, roots)


def _repository(config: Config, ui: Ui, ci: str | None, roots: Sequence[Path]) -> int:
    chosen = chosen_roots(config, ui, roots)
    configs = configs_of(config, chosen.roots, alone=chosen.alone)
    repository = look_at(config.project)
    if ci is not None:
        repository = replace(repository, ci=CiSystem(ci))
    projects = [look_at_project(own) for own in configs]
    ui.emit(Message(message=found_line(repository, projects, config.project)))
    others = [look_at_project(own, reads_functions=False) for own in other_configs(config, configs)]
    wanted = wanted_files(repository, projects, version("terralive"), read_text, others)
    proposals = [*wanted.proposals, *_editors(repository, configs, projects, ui)]
    writer = Writer(ui, config.project, repository.top, agreed=config.yes)
    unasked = writer.write(proposals)
    advice = list(wanted.advice)
    if repository.ci is CiSystem.NONE and ci is None:
        advice.append(NO_CI)
    for text in (*advice, *next_lines(projects, unasked)):
        ui.emit(Message(message=text))
    return 0


def _editors(
    repository: Repository, configs: Sequence[Config], projects: Sequence[FoundProject], ui: Ui
) -> list[Proposal]:
    """Return files for the editors whose settings the repository has."""
    found: list[Proposal] = []
    for config, project in zip(configs, projects, strict=True):
        # A program that cannot be run tells no functions to an editor either.
        if project.unread or not (repository.vscode or repository.jetbrains):
            continue
        several = debuggable(config)
        if not several.items:
            continue
        if repository.vscode:
            try:
                found += vscode_files(config, several).proposals
            except TerraliveError as error:
                ui.emit(Message(message=f"{error.message} {error.hint}"))
        if repository.jetbrains:
            found += jetbrains_files(config, several).proposals
    return found


def _write_editor(files: EditorFiles, ui: Ui) -> None:
    """Write the files of an editor that an option has named; the entries of the team stay."""
    for proposal in files.proposals:
        if proposal.changes:
            write_text(proposal.file, proposal.after)
    ui.emit(Message(message=files.summary))


def _stub_image(folder: Path, ui: Ui) -> int:
    has_files = folder.is_dir() and any(folder.iterdir())
    if has_files and not (folder / "terralive_stub").is_dir():
        raise ConfigurationError(
            "folder-not-empty",
            f"{folder} holds other files.",
            hint="Name a folder for the stub's image only: "
            "`terralive init --stub-image stub-image`.",
        )
    is_new = write_stub_image(folder)
    kept = "" if is_new else " (its Dockerfile was not changed)"
    commands = _BUILDING.format(image=f"REGISTRY/{STUB_IMAGE}:{STUB_IMAGE_TAG}", folder=folder)
    text = f"{folder} is written{kept}. Build the image, push it, and name it in terralive.toml:"
    ui.emit(Message(message=f"{text}\n{commands}"))
    return 0

"""The projects of a repository: the chosen Terraform roots, and what is known of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from terralive_cli.configuration import rules
from terralive_cli.configuration.loading import load
from terralive_cli.configuration.source import (
    CONFIGURATION_FOLDERS,
    repository_top,
    source_of,
)
from terralive_cli.configuration.values import FILE, Config
from terralive_cli.deploy.target import aws_providers
from terralive_cli.init.findings import Backend, FoundFunction, FoundProject, relative
from terralive_cli.init.looking.functions import functions_without_a_plan
from terralive_cli.init.looking.roots import folders_below, is_program
from terralive_cli.protection.production import Name, signs_of_production
from terralive_stub.errors import TerraliveError
from terralive_stub.shared.json_documents import Json, as_object, read_object, section, text
from terralive_terraform.discovery.backends import declared_backend
from terralive_terraform.discovery.declared import literal
from terralive_terraform.discovery.hcl.folders import is_opentofu, read_folder
from terralive_terraform.discovery.providers import default_provider

# Terraform reads these by itself:
# https://developer.hashicorp.com/terraform/language/values/variables#assign-values-with-files
_READ_BY_TERRAFORM: Final = (".auto.tfvars", ".auto.tfvars.json")
_DEFAULT_FILES: Final = ("terraform.tfvars", "terraform.tfvars.json")


def configs_of(config: Config, roots: Sequence[Path], *, alone: bool) -> tuple[Config, ...]:
    """Return the configuration of each chosen root.

    A root that belongs to a project already stays there. Otherwise the only root is a project in
    the user's folder. Several roots are a project each, in the root's folder or in the one around
    `infra` or `terraform`, with a name of its own.

    Args:
        config: the configuration of the user's folder.
        roots: the chosen roots.
        alone: whether there is no other root.
    """
    top = repository_top(config.project) or config.project
    folders = [_project_folder(root, config.project, alone=alone) for root in roots]
    names = app_names(source_of(top).name, [relative(folder, top) for folder in folders])
    found: list[Config] = []
    for root, folder, app in zip(roots, folders, names, strict=True):
        if (folder / FILE).is_file():
            found.append(_loaded(config, folder))
        else:
            found.append(_with_root(replace(config, project=folder, app=app or config.app), root))
    return tuple(found)


def other_configs(config: Config, chosen: Sequence[Config]) -> tuple[Config, ...]:
    """Return the configurations of the other projects in the repository.

    Its makefile, its cleanup job and its AGENTS.md are for all of them.
    """
    top = repository_top(config.project) or config.project
    known = {own.project for own in chosen}
    found: list[Config] = []
    for folder in folders_below(top):
        if (folder / FILE).is_file() and folder not in known:
            found.append(_loaded(config, folder))
    return tuple(own for own in found if own.terraform.found)


def _project_folder(root: Path, project: Path, *, alone: bool) -> Path:
    """Return the folder of the terralive.toml for a root."""
    for folder in (root, *root.parents):
        if (folder / FILE).is_file():
            return folder
        if folder == project:
            break
    if alone:
        return project
    if root.name.lower() in CONFIGURATION_FOLDERS and root.parent != project:
        return root.parent
    return root


def _loaded(config: Config, folder: Path) -> Config:
    if folder == config.project:
        return config
    return load(project=folder, flags={}, environ=os.environ, user=config.user)


def app_names(repository: str, folders: Sequence[str]) -> list[str]:
    """Return a name for the app of each folder: the repository's and the folder's own.

    As many folders around it count as make the names differ. `infra` and the like do not count, and
    a folder without a name of its own gets "". A long name of a repository is left out, because a
    name has a limited length.
    """
    several = [_telling_parts(folder) for folder in folders]
    if several == [()]:
        return [""]
    for depth in range(1, max(map(len, several)) + 1):
        ends = ["-".join(parts[-depth:]) for parts in several]
        for beginning in (f"{repository}-", ""):
            names = _as_names([beginning + end for end in ends])
            if names:
                return names
    return [rules.sanitise(f"{number}-{end}") for number, end in enumerate(folders, 1)]


def _telling_parts(folder: str) -> tuple[str, ...]:
    """Return the names in a path that tell projects apart."""
    parts = Path(folder).parts
    return tuple(part for part in parts if part.lower() not in CONFIGURATION_FOLDERS)


def _as_names(wanted: Sequence[str]) -> list[str]:
    """Return texts as names of apps; [] if one is empty or too long, or if two are the same."""
    names = [rules.sanitise(text) for text in wanted]
    is_cut = any(len(text) > rules.NAME_CHARACTERS for text in wanted)
    if is_cut or not all(names) or len(set(names)) < len(names):
        return []
    return names


def look_at_project(config: Config, *, reads_functions: bool = True) -> FoundProject:
    """Return what is known of a project without a plan."""
    folder = config.terraform.dir
    functions: tuple[FoundFunction, ...] = ()
    unread = ""
    try:
        if reads_functions:
            functions = functions_without_a_plan(config).found(config)
    except OSError as error:  # the folder is read-only
        unread = str(error)
    except TerraliveError as error:
        unread = f"{error.message.splitlines()[0]} [{error.reference}]"
    provider = default_provider(aws_providers(config, folder))
    region = config.region
    if not region and provider is not None:
        region = provider.region
    return FoundProject(
        folder=config.project,
        terraform_dir=folder,
        app=config.app,
        is_program=config.terraform.app is not None,
        functions=functions,
        unread=unread,
        backend=_backend(config),
        region=region or "",
        accounts=config.accounts,
        name_prefix=config.debug_stack.name_prefix,
        role_path=config.debug_stack.role_path,
        var_files=_var_files(config),
        without_values=_without_values(folder, opentofu=is_opentofu(config.terraform.binary)),
    )


def _with_root(config: Config, root: Path) -> Config:
    command = None
    if is_program(root):
        command = text(read_object(root / "cdktf.json"), "app")
    return replace(config, terraform=replace(config.terraform, dir=root, app=command, found=True))


def _backend(config: Config) -> Backend:
    block = declared_backend(config.terraform.dir, opentofu=is_opentofu(config.terraform.binary))
    if block is None:
        return Backend()
    literals = {name: value for name, value in block.arguments.items() if _is_literal(value)}
    return Backend(block.type, literals)


def _is_literal(value: Json) -> bool:
    if isinstance(value, str):
        return literal(value) is not None
    return isinstance(value, bool)


def _without_values(folder: Path, *, opentofu: bool) -> tuple[str, ...]:
    """Return the variables of a root module that a command has to give a value.

    A file that Terraform reads by itself is taken to give all of them.
    """
    files = [path.name for path in folder.glob("*.tfvars*")]
    if any(name in _DEFAULT_FILES or name.endswith(_READ_BY_TERRAFORM) for name in files):
        return ()
    document = read_folder(folder, lambda kind, _: kind == "variable", opentofu=opentofu)
    declared = section(document.content, "variable")
    return tuple(
        sorted(name for name, block in declared.items() if "default" not in as_object(block))
    )


def _var_files(config: Config) -> tuple[str, ...]:
    """Return variables files that Terraform does not read by itself, without production's."""
    found: list[str] = []
    for path in sorted(config.terraform.dir.glob("**/*.tfvars")):
        hidden = any(part.startswith(".") for part in path.relative_to(config.project).parts)
        by_itself = path.name in _DEFAULT_FILES or path.name.endswith(_READ_BY_TERRAFORM)
        name = Name("variables file", path.name.partition(".")[0], is_environment=True)
        if hidden or by_itself or signs_of_production([name], config.production_words):
            continue
        found.append(relative(path, config.project))
    return tuple(found)

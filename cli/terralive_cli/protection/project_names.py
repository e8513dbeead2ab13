"""Names in a project and its environment that may look like production. It reads files only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from terralive_cli.configuration.source import repository_top
from terralive_cli.configuration.values import Config
from terralive_cli.protection.production import (
    Name,
    refuse_production,
    tag_names,
    variable_names,
)
from terralive_stub.shared.json_documents import Json, read_object, section, text
from terralive_terraform.data_folder import data_folder
from terralive_terraform.discovery.backends import backend_blocks, given_arguments
from terralive_terraform.discovery.hcl.folders import is_opentofu, nested_blocks
from terralive_terraform.discovery.providers import provider_blocks
from terralive_terraform.runs.environment import option_values

# Terraform reads these files by itself:
# https://developer.hashicorp.com/terraform/language/values/variables#variable-definitions-tfvars-files
_AUTOMATIC: Final = (
    "terraform.tfvars",
    "terraform.tfvars.json",
    "*.auto.tfvars",
    "*.auto.tfvars.json",
)
_COMMENT: Final = re.compile(r"^\s*(?:#|//).*$", re.MULTILINE)
_ASSIGNMENT: Final = re.compile(r'(?:^|[{,])\s*"?([\w-]+)"?\s*[=:]\s*"([^"\n]*)"', re.MULTILINE)
# Arguments of backends that are names; all others may hold secrets.
_BACKEND_ARGUMENTS: Final = frozenset(
    (
        *("bucket", "container_name", "key", "name", "organization", "path", "prefix", "profile"),
        *("namespace", "resource_group_name", "role_arn", "schema_name", "secret_suffix"),
        *("storage_account_name", "workspace_key_prefix"),
    )
)
# Without a repository, only the folder itself and the one around it say something.
_PARTS_WITHOUT_REPOSITORY: Final = 2


def refuse_project(config: Config, environ: Mapping[str, str]) -> None:
    """Refuse a stage that is protected, and a project that looks like production.

    Raises:
        ConfigurationError: `stage-protected`.
    """
    config.refuse_protected()
    # Nothing real is in the sandbox.
    if not config.sandbox:
        names = names_in_project(config, environ)
        refuse_production(names, config.production_words, allowed=config.allow_protected)


def names_in_project(config: Config, environ: Mapping[str, str]) -> Iterator[Name]:
    """Yield the names in a project.

    Args:
        config: its configuration.
        environ: the environment variables.
    """
    yield Name("stage", config.stage, is_environment=True)
    if config.workspace:
        yield Name("Terraform workspace", config.workspace, is_environment=True)
    top = repository_top(config.project)
    folders = (config.project, config.terraform.dir)
    for folder in dict.fromkeys(folders):
        yield from _folder_names(folder, top)
    for file in config.terraform.given_var_files:
        yield Name("variables file", _below(file, top))
    yield from _backend_names(config, top, environ)
    opentofu = is_opentofu(config.terraform.binary)
    yield from _provider_names(config.terraform.dir, opentofu=opentofu)
    yield from _variable_names(config, environ)
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        if environ.get(name):
            yield Name("AWS profile", environ[name])


def names_in_stack(directory: Path) -> Iterator[Name]:
    """Yield the names in a CDKTF program's synthesised stack.

    Args:
        directory: the stack's folder, which has the stack's name.
    """
    yield Name("stack", directory.name)
    for block in backend_blocks(directory):
        yield from _arguments(block)
    yield from _provider_names(directory, opentofu=False)


def _folder_names(folder: Path, top: Path | None) -> Iterator[Name]:
    for part in Path(_below(folder, top)).parts:
        yield Name("folder", part)


def _below(path: Path, top: Path | None) -> str:
    """Return the part of a path below the repository's top, or its last parts."""
    if top is not None and path.is_relative_to(top):
        return str(path.relative_to(top))
    return str(Path(*path.parts[-_PARTS_WITHOUT_REPOSITORY:]))


def _backend_names(config: Config, top: Path | None, environ: Mapping[str, str]) -> Iterator[Name]:
    """Yield the names in the app's backend: as declared, as given, and as initialised.

    https://developer.hashicorp.com/terraform/language/backend#partial-configuration
    """
    directory = config.terraform.dir
    opentofu = is_opentofu(config.terraform.binary)
    for block in backend_blocks(directory, opentofu=opentofu):
        yield from _arguments(block)
    initialised = read_object(data_folder(directory, environ) / "terraform.tfstate")
    yield from _arguments(section(section(initialised, "backend"), "config"))
    for given in given_arguments(directory, config.terraform.backend_config, environ):
        if given.file is not None:
            yield Name("backend's file", _below(given.file, top))
        yield from _arguments(given.arguments)
    # https://developer.hashicorp.com/terraform/language/backend/http
    yield from _address(environ.get("TF_HTTP_ADDRESS", ""))


def _arguments(block: Mapping[str, Json]) -> Iterator[Name]:
    for name, value in block.items():
        if isinstance(value, str) and name in _BACKEND_ARGUMENTS:
            yield Name(f"backend's {name}", value)
    # The address of an `http` backend ends in the state's name, and may begin with a password.
    yield from _address(text(block, "address"))
    for role in nested_blocks(block.get("assume_role")):
        yield Name("backend's role", text(role, "role_arn"))
    # `cloud` and `remote` have a block in the block.
    for workspaces in nested_blocks(block.get("workspaces")):
        for name in ("name", "prefix"):
            if text(workspaces, name):
                yield Name(f"backend's workspace {name}", text(workspaces, name))


def _address(address: str) -> Iterator[Name]:
    try:
        path = urlsplit(address).path
    except ValueError:
        return
    yield Name("backend's address", path)


def _provider_names(directory: Path, *, opentofu: bool) -> Iterator[Name]:
    """Yield what the AWS providers name: a profile, a role, tags of all resources."""
    for block in provider_blocks(directory, opentofu=opentofu):
        if text(block, "profile"):
            yield Name("provider's profile", text(block, "profile"))
        for role in nested_blocks(block.get("assume_role")):
            if text(role, "role_arn"):
                yield Name("provider's role", text(role, "role_arn"))
        for defaults in nested_blocks(block.get("default_tags")):
            tags = section(defaults, "tags")
            yield from tag_names({name: text(tags, name) for name in tags})


def _variable_names(config: Config, environ: Mapping[str, str]) -> Iterator[Name]:
    """Yield the variables that name an environment.

    https://developer.hashicorp.com/terraform/language/values/variables#variable-definition-precedence
    """
    for name, value in environ.items():
        if name.startswith("TF_VAR_"):
            yield from variable_names({name.removeprefix("TF_VAR_"): value})
    for option in option_values(environ, "-var", "plan"):
        name, _, value = option.partition("=")
        yield from variable_names({name: value})
    yield from variable_names(config.terraform.given_variables)
    files = list(config.terraform.given_var_files)
    for option in option_values(environ, "-var-file", "plan"):
        yield Name("variables file", option)
        files.append(config.terraform.dir / option)
    for pattern in _AUTOMATIC:
        files += sorted(config.terraform.dir.glob(pattern))
    for file in files:
        for name, value in _ASSIGNMENT.findall(_COMMENT.sub("", _text(file))):
            yield from variable_names({name: value})


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""

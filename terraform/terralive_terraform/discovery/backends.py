"""The backend of a configuration: its `backend` or `cloud` block, and the arguments of its init.

It reads files only.

https://developer.hashicorp.com/terraform/language/terraform#backend
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json
from terralive_terraform.discovery.hcl.folders import (
    configuration_files,
    nested_blocks,
    read_file,
)
from terralive_terraform.runs.environment import option_values

CLOUD: Final = "cloud"


@dataclass(frozen=True, slots=True)
class BackendBlock:
    """A `backend` or `cloud` block.

    Attributes:
        type: the backend's type (`s3`), or `cloud`.
        arguments: its arguments.
    """

    type: str
    arguments: Mapping[str, Json] = field(repr=False)


@dataclass(frozen=True, slots=True)
class GivenArguments:
    """The arguments of one option `-backend-config`.

    Attributes:
        arguments: the arguments. They may hold secrets.
        file: the file that they are in; None for a single argument.
    """

    arguments: Mapping[str, Json] = field(repr=False)
    file: Path | None = None


def declared_backend(directory: Path, *, opentofu: bool = False) -> BackendBlock | None:
    """Return the block that counts in a root module; None where it has none.

    The block of an override file replaces all others:
    https://developer.hashicorp.com/terraform/language/files/override#merging-terraform-blocks
    """
    found = None
    for found in _blocks(directory, opentofu=opentofu):  # noqa: B007  # the last one counts
        pass
    return found


def backend_blocks(directory: Path, *, opentofu: bool = False) -> Iterator[Mapping[str, Json]]:
    """Yield the arguments of each `backend` and `cloud` block of a root module.

    A file that cannot be read as Terraform is left out: Terraform itself reports it.
    """
    for block in _blocks(directory, opentofu=opentofu):
        yield block.arguments


def given_arguments(
    directory: Path, backend_config: Iterable[str], environ: Mapping[str, str]
) -> Iterator[GivenArguments]:
    """Yield the arguments that an init gets for the backend. A later one replaces earlier ones.

    https://developer.hashicorp.com/terraform/language/backend#partial-configuration

    Args:
        directory: the root module's folder.
        backend_config: arguments for `terraform init -backend-config`.
        environ: the environment of Terraform. It may have more in `TF_CLI_ARGS…`.
    """
    for option in (*option_values(environ, "-backend-config", "init"), *backend_config):
        name, is_argument, value = option.partition("=")
        if is_argument:
            yield GivenArguments({name.strip(): value.strip()})
            continue
        file = directory / option
        arguments: Mapping[str, Json] = {}
        if file.is_file():
            arguments = read_file(file).content
        yield GivenArguments(arguments, file)


def _blocks(directory: Path, *, opentofu: bool) -> Iterator[BackendBlock]:
    """Yield the blocks in the order in which Terraform reads them: override files come last."""
    for path in configuration_files(directory, opentofu=opentofu):
        document = read_file(path, _is_wanted)
        for settings in nested_blocks(document.content.get("terraform")):
            for arguments in nested_blocks(settings.get("cloud")):
                yield BackendBlock(CLOUD, arguments)
            for by_type in nested_blocks(settings.get("backend")):
                for kind, several in by_type.items():
                    for arguments in nested_blocks(several):
                        yield BackendBlock(kind, arguments)


def _is_wanted(kind: str, _labels: tuple[str, ...]) -> bool:
    return kind == "terraform"

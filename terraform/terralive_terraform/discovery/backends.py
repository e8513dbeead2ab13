"""The backend that a configuration declares: its `backend` or `cloud` block. It reads files only.

https://developer.hashicorp.com/terraform/language/terraform#backend
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import Json, parse_object
from terralive_terraform.discovery.files import is_team_file, parse_hcl

CLOUD: Final = "cloud"
_INTERESTING: Final = re.compile(rb'"?\bbackend\b"?\s*["{:\[]|"?\bcloud\b"?\s*[{:\[]')


@dataclass(frozen=True, slots=True)
class BackendBlock:
    """A `backend` or `cloud` block.

    Attributes:
        type: the backend's type (`s3`), or `cloud`.
        arguments: its arguments.
    """

    type: str
    arguments: Mapping[str, Json] = field(repr=False)


def declared_backend(directory: Path) -> BackendBlock | None:
    """Return the block that counts in a root module; None where it has none.

    The block of an override file replaces all others:
    https://developer.hashicorp.com/terraform/language/files/override#merging-terraform-blocks
    """
    found = None
    for found in _blocks(directory):  # noqa: B007  # the last one counts
        pass
    return found


def backend_blocks(directory: Path) -> Iterator[Mapping[str, Json]]:
    """Yield the arguments of each `backend` and `cloud` block of a root module.

    A file that cannot be read as Terraform is left out: Terraform itself reports it.
    """
    for block in _blocks(directory):
        yield block.arguments


def _blocks(directory: Path) -> Iterator[BackendBlock]:
    """Yield the blocks in the order in which Terraform reads them: override files come last."""
    if not directory.is_dir():
        return
    for path in sorted(directory.iterdir(), key=lambda path: (_is_override(path), path.name)):
        if not is_team_file(path):
            continue
        content = path.read_bytes()
        if not _INTERESTING.search(content):
            continue
        for settings in _objects(_document(path, content).get("terraform")):
            for arguments in _objects(settings.get("cloud")):
                yield BackendBlock(CLOUD, arguments)
            for by_type in _objects(settings.get("backend")):
                for kind, several in by_type.items():
                    for arguments in _objects(several):
                        yield BackendBlock(kind, arguments)


def _is_override(path: Path) -> bool:
    stem = path.name.partition(".")[0]
    return stem == "override" or stem.endswith("_override")


def _document(path: Path, content: bytes) -> Mapping[str, Json]:
    if path.suffix == ".json":
        return parse_object(content)
    try:
        return parse_hcl(path, content)
    except ConfigurationError:
        return {}


def _objects(value: Json) -> Iterator[Mapping[str, Json]]:
    """Yield the object, or each object of a list: Terraform's JSON syntax allows both."""
    several = value if isinstance(value, list) else [value]
    for item in several:
        if isinstance(item, dict):
            yield item

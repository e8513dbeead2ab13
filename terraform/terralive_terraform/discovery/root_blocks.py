"""The backend and the AWS providers that a root module declares. It reads files only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import Json, parse_object
from terralive_terraform.discovery.files import is_team_file, parse_hcl

# The name of a block, or of its key in JSON, and what may follow it.
_BACKEND: Final = re.compile(rb'\b(backend|cloud)\b"?\s*["{:\[]')
_PROVIDER: Final = re.compile(rb'\bprovider\b"?\s*["{:\[]')


def backend_blocks(directory: Path) -> Iterator[Mapping[str, Json]]:
    """Yield the arguments of each `backend` and `cloud` block of a root module.

    https://developer.hashicorp.com/terraform/language/terraform#backend
    """
    for document in _documents(directory, _BACKEND):
        for settings in _objects(document.get("terraform")):
            yield from _objects(settings.get("cloud"))
            for by_type in _objects(settings.get("backend")):
                for arguments in by_type.values():
                    yield from _objects(arguments)


def provider_blocks(directory: Path) -> Iterator[Mapping[str, Json]]:
    """Yield the arguments of each AWS provider of a root module.

    https://registry.terraform.io/providers/hashicorp/aws/latest/docs#argument-reference
    """
    for document in _documents(directory, _PROVIDER):
        for by_name in _objects(document.get("provider")):
            yield from _objects(by_name.get("aws"))


def _documents(directory: Path, interesting: re.Pattern[bytes]) -> Iterator[Mapping[str, Json]]:
    """Yield the files of a folder that may have a block.

    A file that cannot be read as Terraform is left out: Terraform itself reports it.
    """
    if not directory.is_dir():
        return
    for path in sorted(directory.iterdir()):
        if is_team_file(path):
            content = path.read_bytes()
            if interesting.search(content):
                yield _document(path, content)


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

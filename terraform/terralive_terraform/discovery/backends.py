"""The backend that a configuration declares: its `backend` or `cloud` block. It reads files only.

https://developer.hashicorp.com/terraform/language/terraform#backend
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import Json, parse_object
from terralive_terraform.discovery.files import is_team_file, parse_hcl

_INTERESTING: Final = re.compile(rb'"?\bbackend\b"?\s*["{:\[]|"?\bcloud\b"?\s*[{:\[]')


def backend_blocks(directory: Path) -> Iterator[Mapping[str, Json]]:
    """Yield the arguments of each `backend` and `cloud` block of a root module.

    A file that cannot be read as Terraform is left out: Terraform itself reports it.
    """
    if not directory.is_dir():
        return
    for path in sorted(directory.iterdir()):
        if not is_team_file(path):
            continue
        content = path.read_bytes()
        if not _INTERESTING.search(content):
            continue
        for settings in _objects(_document(path, content).get("terraform")):
            yield from _objects(settings.get("cloud"))
            for by_type in _objects(settings.get("backend")):
                for arguments in by_type.values():
                    yield from _objects(arguments)


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

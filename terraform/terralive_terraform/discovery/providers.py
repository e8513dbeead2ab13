"""The AWS providers that a root module declares. It reads files only.

https://registry.terraform.io/providers/hashicorp/aws/latest/docs#argument-reference
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import Json, parse_object
from terralive_terraform.discovery.files import is_team_file, parse_hcl

# The block, or its key in JSON.
_INTERESTING: Final = re.compile(rb'\bprovider\b"?\s*["{:\[]')


def provider_blocks(directory: Path) -> Iterator[Mapping[str, Json]]:
    """Yield the arguments of each AWS provider of a root module.

    A file that cannot be read as Terraform is left out: Terraform itself reports it.
    """
    if not directory.is_dir():
        return
    for path in sorted(directory.iterdir()):
        if not is_team_file(path):
            continue
        content = path.read_bytes()
        if _INTERESTING.search(content):
            for by_name in nested_blocks(_document(path, content).get("provider")):
                yield from nested_blocks(by_name.get("aws"))


def nested_blocks(value: Json) -> Iterator[Mapping[str, Json]]:
    """Yield nested blocks: Terraform's JSON syntax has an object or a list of objects."""
    several = value if isinstance(value, list) else [value]
    for item in several:
        if isinstance(item, dict):
            yield item


def _document(path: Path, content: bytes) -> Mapping[str, Json]:
    if path.suffix == ".json":
        return parse_object(content)
    try:
        return parse_hcl(path, content)
    except ConfigurationError:
        return {}

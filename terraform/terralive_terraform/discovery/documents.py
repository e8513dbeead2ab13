"""Files of a root module as documents in Terraform's JSON syntax.

A file that cannot be read as Terraform is empty here: Terraform itself reports it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import Json
from terralive_terraform.discovery.files import is_team_file, parse_file


def documents(
    directory: Path, interesting: re.Pattern[bytes]
) -> Iterator[tuple[Path, Mapping[str, Json]]]:
    """Yield the configuration files of a folder in which a pattern is found.

    They come in the order in which Terraform reads them, override files last:
    https://developer.hashicorp.com/terraform/language/files/override
    """
    if not directory.is_dir():
        return
    for path in sorted(directory.iterdir(), key=lambda path: (_is_override(path), path.name)):
        if not is_team_file(path):
            continue
        content = path.read_bytes()
        if interesting.search(content):
            yield path, document(path, content)


def document(path: Path, content: bytes) -> Mapping[str, Json]:
    """Return the content of a file of Terraform's language."""
    try:
        return parse_file(path, content)
    except ConfigurationError:
        return {}


def nested_blocks(value: Json) -> Iterator[Mapping[str, Json]]:
    """Yield nested blocks: Terraform's JSON syntax has an object or a list of objects."""
    several = value if isinstance(value, list) else [value]
    for item in several:
        if isinstance(item, dict):
            yield item


def _is_override(path: Path) -> bool:
    stem = path.name.partition(".")[0]
    return stem == "override" or stem.endswith("_override")

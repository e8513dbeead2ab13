"""A mirror of Terraform's provider plugins on this machine, where the registry does not answer.

`make` and the tests need the AWS provider. A machine without a network may have it in a mirror
folder somewhere. This program prints that folder, or nothing where Terraform needs no help:

    python -m terralive_testing.machine.provider_mirror

The product never searches the file system. Its users name a mirror by TERRALIVE_PROVIDER_MIRROR.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from terralive_terraform.runs.environment import REGISTRY, holds_provider

VARIABLE: Final = "TERRALIVE_PROVIDER_MIRROR"
_DISCOVERY: Final = f"https://{REGISTRY}/.well-known/terraform.json"
_ANSWER_SECONDS: Final = 3.0  # a registry that takes longer counts as unreachable
_SEARCH_SECONDS: Final = 5.0
_SEARCH_FOLDERS: Final = 20_000
_SEARCH_DEPTH: Final = 5
_ROOTS: Final = tuple(
    Path(root) for root in ("/opt", "/usr/local", "/usr/share", "/srv", "/mnt", "/var/lib", "/")
)
_SKIPPED: Final = frozenset(
    {"proc", "sys", "dev", "run", "node_modules", ".git", "__pycache__", "site-packages", "tmp"}
)


def use_mirror() -> None:
    """Set TERRALIVE_PROVIDER_MIRROR for this process where the tests need it."""
    if VARIABLE in os.environ or registry_answers():
        return
    found = find_mirror([Path.home(), *_ROOTS])
    if found is not None:
        os.environ[VARIABLE] = str(found)


def registry_answers() -> bool:
    """Return whether Terraform's registry answers with its list of services."""
    try:
        with urllib.request.urlopen(_DISCOVERY, timeout=_ANSWER_SECONDS) as response:
            return "providers.v1" in json.load(response)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def find_mirror(roots: Sequence[Path]) -> Path | None:
    """Search these folders for a mirror; None where a search bounded in time finds none."""
    ends = time.monotonic() + _SEARCH_SECONDS
    for number, folder in enumerate(_breadth_first(roots)):
        if number > _SEARCH_FOLDERS or time.monotonic() > ends:
            return None
        if folder.name == REGISTRY and holds_provider(folder.parent):
            return folder.parent
    return None


def _breadth_first(roots: Sequence[Path]) -> Iterator[Path]:
    for root in roots:
        level = [root]
        for _ in range(_SEARCH_DEPTH):
            below = [child for folder in level for child in _subfolders(folder)]
            yield from below
            level = below


def _subfolders(folder: Path) -> list[Path]:
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name not in _SKIPPED and entry.is_dir(follow_symlinks=False):
                    found.append(Path(entry.path))
    except OSError:
        return []
    return sorted(found)


if __name__ == "__main__":
    use_mirror()
    print(os.environ.get(VARIABLE, ""))

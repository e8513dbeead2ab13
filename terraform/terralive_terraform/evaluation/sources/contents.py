"""The folder of a repository whose files a zip contains.

A zip that a script has built, or that is committed, has the team's files in it, perhaps beside
installed packages. Equal contents are the strongest sign. A file that was edited since, or that
was bundled, still has most of the words.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.evaluation.sources.handlers import (
    handler_files,
    is_interpreted,
    renamed,
)
from terralive_terraform.evaluation.sources.layouts import Located
from terralive_terraform.evaluation.sources.repository import Repository

_WORD: Final = re.compile(rb"[A-Za-z_]\w{3,}")
_SIMILAR: Final = 0.7  # share of a file's words that a built file has
_MIN_WORDS: Final = 8  # a file with fewer words is like many others
_PLACEHOLDER: Final = re.compile(
    rb"placeholder|dummy|\bstub\b|replace me|not deployed|bootstrap code", re.IGNORECASE
)
_PLACEHOLDER_BYTES: Final = 600
_MAX_BYTES: Final = 20 * 1024 * 1024  # larger files of a zip are not compared


@dataclass(frozen=True, slots=True)
class Package:
    """The files of a zip or of a folder that a build has made.

    Attributes:
        members: size in bytes and CRC-32 of each file, by its name.
        handler_file: the name of the handler's file; None where it has none.
        content: the content of the handler's file.
    """

    members: Mapping[str, tuple[int, int]]
    handler_file: str | None
    content: bytes = field(default=b"", repr=False)

    def is_made_of(self, content: bytes) -> bool:
        """Tell whether the handler's file may be made of a file with another content."""
        words = set(_WORD.findall(content))
        if len(words) < _MIN_WORDS:
            return False
        kept = words.intersection(_WORD.findall(self.content))
        return len(kept) >= _SIMILAR * len(words)


def is_placeholder(shown: str, content: bytes) -> bool:
    """Tell whether code only stands in for code that a pipeline deploys.

    Args:
        shown: the name of its archive in messages.
        content: the content of the handler's file.
    """
    if len(content) > _PLACEHOLDER_BYTES:
        return False
    return _PLACEHOLDER.search(shown.encode() + b" " + content) is not None


def read_zip(file: Path, function: PlannedFunction) -> Package | None:
    """Return the content of a zip; None where it cannot be read."""
    try:
        with zipfile.ZipFile(file) as archive:
            infos = {
                item.filename.removeprefix("./"): item
                for item in archive.infolist()
                if not item.is_dir()
            }
            name = _first(handler_files(function.handler, function.runtime), infos)
            content = b""
            if name is not None and infos[name].file_size <= _MAX_BYTES:
                content = archive.read(infos[name])
    except (OSError, zipfile.BadZipFile, ValueError, RuntimeError, zlib.error):
        return None
    members = {path: (item.file_size, item.CRC) for path, item in infos.items()}
    return Package(members, name, content)


def copied_from(folder: Path, file: Path, repository: Repository) -> Path | None:
    """Return the one folder outside of builds that has the same file as a build's folder.

    Args:
        folder: a folder that a build has made.
        file: the handler's file in it.
        repository: the repository.
    """
    content = repository.content(file)
    name = file.relative_to(folder).as_posix()
    equal = repository.files_with(content)
    found = {path for path in _folders(name, repository) if path / name in equal}
    source = _source(found, repository)
    if len(source) != 1:
        return None
    return source.pop()


def sources_of(
    package: Package, function: PlannedFunction, repository: Repository
) -> tuple[Located, ...]:
    """Return the folders that a package may be made of: one is certain, several are not."""
    name = package.handler_file
    if name is None:
        return ()
    length, checksum = package.members[name]
    equal = repository.files_like(length, checksum)
    folders = _folders(name, repository)
    same = {folder for folder in folders if folder / name in equal}
    edited = {
        folder for folder in folders - same if package.is_made_of(repository.content(folder / name))
    }
    if is_interpreted(function.runtime):
        # What a build has copied is not what the team edits.
        same_source, edited_source = _source(same, repository), _source(edited, repository)
        best = same_source or edited_source or same or edited
    else:
        best = same or _source(edited, repository)
    if best:
        folders_left = _most_files(best, package, repository)
        return tuple(Located(folder, file=folder / name) for folder in folders_left)
    return tuple(_renamed(function, path) for path in equal)


def _first(names: Iterable[str], present: Mapping[str, object]) -> str | None:
    for name in names:
        if name in present:
            return name
    return None


def _folders(name: str, repository: Repository) -> set[Path]:
    """Return the folders in which a file has the same path as in the package."""
    parts = PurePosixPath(name).parts
    found: set[Path] = set()
    for path in repository.files_named(parts[-1]):
        if path.parts[-len(parts) :] == parts:
            found.add(path.parents[len(parts) - 1])
    return found


def _source(folders: set[Path], repository: Repository) -> set[Path]:
    return {folder for folder in folders if not repository.is_built(folder)}


def _most_files(folders: set[Path], package: Package, repository: Repository) -> tuple[Path, ...]:
    """Return the folders with the most files of the package: equal ones first, then names."""
    if len(folders) <= 1:
        return tuple(folders)
    scores: dict[tuple[int, int], list[Path]] = {}
    for folder in sorted(folders):
        equal = named = 0
        for name, (length, checksum) in package.members.items():
            path = folder / name
            if path.is_file():
                named += 1
                if path in repository.files_like(length, checksum):
                    equal += 1
        scores.setdefault((equal, named), []).append(folder)
    return tuple(scores[max(scores)])


def _renamed(function: PlannedFunction, path: Path) -> Located:
    """Return the place of a handler's file that has another name in the repository."""
    handler = renamed(function.handler or "", function.runtime, path.name)
    return Located(path.parent, handler, path)


def cdktf_asset(file: Path) -> str:
    """Return the name of a `TerraformAsset`, for messages; "" for another file.

    A program's output has it as `assets/NAME/HASH/archive.zip`:
    https://developer.hashicorp.com/terraform/cdktf/concepts/assets
    """
    match file.parts[-4:]:
        case ("assets", name, _, "archive.zip"):
            return f"TerraformAsset {name}"
        case _:
            return ""

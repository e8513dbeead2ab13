"""Files that a plan depended on, with a mark of each, and the first difference between two looks.

A file whose size, times and inode are the same is the same file. Otherwise its content counts: a
branch that was changed and changed back makes no difference.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from terralive_terraform.discovery.hcl.folders import OVERRIDE_FILE

_MOST_FILES: Final = 20_000
_MOST_BYTES: Final = 32 * 1024 * 1024  # of a file whose content is read
# Folders that hold what others make, and no input of a configuration.
_SKIPPED: Final = ("node_modules", "__pycache__")
_OF_VIRTUAL_ENVIRONMENT: Final = "pyvenv.cfg"
# A file that was written this shortly before a look may be written again at the same time.
_DOUBTFUL_NS: Final = 2_000_000_000
_GONE: Final = ""
_CONFIGURATION: Final = (".tf", ".tofu", ".tf.json", ".tofu.json", ".tfvars", ".tfvars.json")


@dataclass(frozen=True, slots=True)
class FileInputs:
    """Paths that a plan depends on. All are absolute.

    Attributes:
        files: single files. One that does not exist counts as such.
        modules: folders of which the configuration and variables files count.
        trees: folders of which all files count, without hidden ones and those of tools.
        names: folders of which only the names of the files count.
        left_out: files and folders of `trees` that do not count.
    """

    files: frozenset[Path] = frozenset()
    modules: frozenset[Path] = frozenset()
    trees: frozenset[Path] = frozenset()
    names: frozenset[Path] = frozenset()
    left_out: frozenset[Path] = frozenset()


@dataclass(frozen=True, slots=True)
class Mark:
    """A file as it was at a look.

    Attributes:
        sha256: SHA-256 of its content, in hexadecimal digits; of a large file, its size and time;
            "" for a file that does not exist.
        size: its bytes.
        modified_ns: the time of its last write.
        changed_ns: the time of the last change of its content, its name or its rights.
        inode: its number in the file system.
    """

    sha256: str
    size: int = 0
    modified_ns: int = 0
    changed_ns: int = 0
    inode: int = 0

    def is_untouched(self, other: Mark, taken_ns: int) -> bool:
        """Tell whether another look need not read the file.

        Args:
            other: the file as it is now, without its sum.
            taken_ns: the time of this look.
        """
        if not self.sha256 or self.changed_ns > taken_ns - _DOUBTFUL_NS:
            return False
        return (self.size, self.modified_ns, self.changed_ns, self.inode) == (
            other.size,
            other.modified_ns,
            other.changed_ns,
            other.inode,
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Files at one moment.

    Attributes:
        taken_ns: the moment, in nanoseconds since the Unix epoch.
        marks: the files by their paths.
        names: a hash of the names in each folder of `FileInputs.names`.
    """

    taken_ns: int = 0
    marks: Mapping[Path, Mark] = field(default_factory=dict)
    names: Mapping[Path, str] = field(default_factory=dict)


class TooManyFilesError(Exception):
    """A folder has more files than are looked at. Its text is the folder's path."""


def take(inputs: FileInputs, now_ns: int, known: Snapshot | None = None) -> Snapshot:
    """Look at files.

    Args:
        inputs: the files.
        now_ns: the time, in nanoseconds since the Unix epoch.
        known: an earlier look. What is untouched since then is not read again.

    Raises:
        TooManyFilesError: a folder has too many files.
    """
    paths = set(inputs.files)
    for module in inputs.modules:
        paths.update(_configuration_in(module))
    for tree in inputs.trees:
        paths.update(files_below(tree, inputs.left_out))
    marks: dict[Path, Mark] = {}
    for path in sorted(paths):
        earlier = None
        if known is not None:
            earlier = known.marks.get(path)
        taken_ns = known.taken_ns if known is not None else 0
        marks[path] = _mark(path, earlier, taken_ns)
    names = {folder: _names_below(folder) for folder in inputs.names}
    return Snapshot(now_ns, marks, names)


def first_difference(before: Snapshot, now: Snapshot) -> tuple[Path, str] | None:
    """Return a path that differs, with what has happened to it; None where nothing differs."""
    return next(differences(before, now), None)


def differences(before: Snapshot, now: Snapshot) -> Iterator[tuple[Path, str]]:
    """Yield the paths that differ, each with what has happened to it."""
    for path in sorted({*before.marks, *now.marks}):
        then = before.marks.get(path, Mark(_GONE)).sha256
        today = now.marks.get(path, Mark(_GONE)).sha256
        if then == today:
            continue
        if then == _GONE:
            yield path, "is new"
        elif today == _GONE:
            yield path, "is gone"
        else:
            yield path, "has changed"
    for path in sorted({*before.names, *now.names}):
        if before.names.get(path) != now.names.get(path):
            yield path, "has other files"


def touched_since(snapshot: Snapshot, since_ns: int) -> Path | None:
    """Return a file that was written at or after a moment; None for none."""
    return next(all_touched_since(snapshot, since_ns), None)


def all_touched_since(snapshot: Snapshot, since_ns: int) -> Iterator[Path]:
    """Yield the files that were written at or after a moment."""
    for path, mark in snapshot.marks.items():
        if max(mark.changed_ns, mark.modified_ns) >= since_ns:
            yield path


def _mark(path: Path, earlier: Mark | None, taken_ns: int) -> Mark:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            # The name of a folder says nothing about its files.
            return Mark("folder")
        now = Mark("", status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        if earlier is not None and earlier.is_untouched(now, taken_ns):
            return earlier
        if now.size > _MOST_BYTES:
            return replace(now, sha256=f"{now.size} bytes of {now.modified_ns}")
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return Mark(_GONE)
    return replace(now, sha256=digest)


def _configuration_in(folder: Path) -> Iterator[Path]:
    """Yield the configuration and variables files of a module's folder, without terralive's own."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name.endswith(_CONFIGURATION) and path.name != OVERRIDE_FILE:
            yield path


def _names_below(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(files_below(folder, frozenset())):
        digest.update(os.fsencode(path) + b"\0")
    return digest.hexdigest()


def files_below(top: Path, left_out: frozenset[Path]) -> Iterator[Path]:
    """Yield the files in a folder and in the folders below it; a file itself where it is one."""
    if top in left_out:
        return
    if top.is_file():
        yield top
        return
    count = 0
    for folder, folders, files in os.walk(top):
        at = Path(folder)
        # `os.walk` goes into the folders that stay in the list.
        folders[:] = [name for name in sorted(folders) if _counts(at / name, left_out)]
        for name in files:
            path = at / name
            if name.startswith(".") or path in left_out:
                continue
            count += 1
            if count > _MOST_FILES:
                raise TooManyFilesError(str(top))
            yield path


def _counts(folder: Path, left_out: frozenset[Path]) -> bool:
    """Tell whether the files of a folder count; see `FileInputs`."""
    if folder.name.startswith(".") or folder.name in _SKIPPED or folder in left_out:
        return False
    return not (folder / _OF_VIRTUAL_ENVIRONMENT).is_file()

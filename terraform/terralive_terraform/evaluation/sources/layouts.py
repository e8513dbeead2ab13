"""Layout of an archive: which local files and folders it is made of. It looks whether files exist.

The code's folder is the one that has the same layout as the archive: where the archive has
`src/app.py`, it is the folder that has `src/app.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from terralive_terraform.evaluation.sources.handlers import handler_files, renamed
from terralive_terraform.evaluation.sources.repository import is_below


@dataclass(frozen=True, slots=True)
class FoundCode:
    """Local code of one function.

    Attributes:
        path: the absolute folder that takes the place of `/var/task`.
        found_by: how it was found, as a user reads it: `archive_file data.archive_file.code`.
        handler: the handler, where the handler's file has another name or place in the archive.
        note: what the user should know; "" for nothing.
        settings: lines of terralive.toml that the note proposes, for the function's table.
    """

    path: Path
    found_by: str
    handler: str | None = None
    note: str = ""
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CodeNotFound:
    """A function whose local code was not found.

    Attributes:
        reason: why, in one sentence.
        settings: lines of terralive.toml that would make it live, for the function's table.
        typescript: its TypeScript, where that is certain. It is the code if something here runs it.
    """

    reason: str
    settings: tuple[str, ...] = ()
    typescript: FoundCode | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A local file or folder, and its place in an archive.

    Attributes:
        local: the file or folder, absolute.
        target: its path in the archive; "" for a folder whose content is at the top.
        is_folder: whether it is a folder.
    """

    local: Path
    target: str
    is_folder: bool

    @property
    def folder(self) -> Path:
        """The local folder that it is, or that it is in."""
        if self.is_folder:
            return self.local
        return self.local.parent

    def local_file(self, name: str) -> Path | None:
        """Return the local file of a name in the archive; None where it is not from here."""
        if not self.is_folder:
            if name == self.target:
                return self.local
            return None
        prefix = self.target.rstrip("/")
        if not prefix:
            return self.local / name
        if not name.startswith(f"{prefix}/"):
            return None
        return self.local / name.removeprefix(f"{prefix}/")

    def root(self) -> Path | None:
        """Return the folder with the archive's layout; None where the place differs locally."""
        parts = PurePosixPath(self.target).parts
        if not parts:
            return self.local
        if self.local.parts[-len(parts) :] != parts:
            return None
        return self.local.parents[len(parts) - 1]


def folder_entry(folder: Path, target: str = "") -> Entry:
    """Return the entry of a folder."""
    return Entry(folder, target, is_folder=True)


def file_entry(file: Path, target: str | None = None) -> Entry:
    """Return the entry of a file; without a target, it is at the archive's top."""
    return Entry(file, target or file.name, is_folder=False)


@dataclass(frozen=True, slots=True)
class Located:
    """Code in the entries of an archive.

    Attributes:
        path: the code's folder.
        handler: the handler, where it differs from the function's.
        file: the handler's file; None where the entries have none, or where none is known.
    """

    path: Path
    handler: str | None = None
    file: Path | None = None


def locate(entries: Sequence[Entry], handler: str | None, runtime: str | None) -> Located | None:
    """Find the code's folder of an archive.

    Returns:
        None where the entries have several folders, and the handler's file tells none of them.
    """
    for name in handler_files(handler, runtime):
        for entry in entries:
            local = entry.local_file(name)
            if local is not None and local.is_file():
                return _with_handler(entry, local, name, handler or "", runtime)
    roots = set(_roots(entries))
    if len(roots) == 1:
        return Located(roots.pop())
    return None


def elsewhere(entries: Sequence[Entry], folder: Path) -> tuple[Path, ...]:
    """Return the files and folders of an archive that are not in the code's folder."""
    return tuple(
        entry.local
        for entry in entries
        if not is_below(entry.local, folder) and entry.local.exists()
    )


def _roots(entries: Sequence[Entry]) -> Iterator[Path]:
    for entry in entries:
        root = entry.root()
        if root is None and not entry.is_folder:
            root = entry.local.parent
        elif root is None:
            root = entry.local
        yield root


def _with_handler(
    entry: Entry, local: Path, name: str, handler: str, runtime: str | None
) -> Located:
    """Return the folder in which a handler's file has the same path as in the archive."""
    parts = PurePosixPath(name).parts
    if local.parts[-len(parts) :] == parts:
        return Located(local.parents[len(parts) - 1], file=local)
    folder = local.parent
    if entry.is_folder:
        folder = entry.local
    own = renamed(handler, runtime, local.relative_to(folder).as_posix())
    return Located(folder, own, local)

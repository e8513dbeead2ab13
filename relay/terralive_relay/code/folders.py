"""Finds the folders that have to be watched for a function, through symbolic links.

The system reports a change under one real path only, but a function may see the folder under other
names: its code root may be a link, and links below it may lead elsewhere. So every watched folder
has two paths: the real one, which is compared with reported changes, and the one under which the
function sees it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from terralive_relay.code.changes import IGNORED_FOLDERS, leads_out, normalized_globs
from terralive_workers.function import LocalFunction


@dataclass(frozen=True, slots=True)
class SeenFolder:
    """One folder that a function sees.

    Attributes:
        real: its real path.
        seen_as: the path under which the function sees it.
    """

    real: str
    seen_as: str

    def seen_path(self, real_path: str) -> str | None:
        """Return the path under which the function sees `real_path`; None if it is elsewhere."""
        if real_path == self.real or real_path.startswith(f"{self.real}/"):
            return self.seen_as + real_path[len(self.real) :]
        return None


def seen_folders(
    function: LocalFunction, linked: Callable[[str], Sequence[SeenFolder]]
) -> tuple[SeenFolder, ...]:
    """Return the folders that a function sees.

    These are its code root, the folders to which its globs lead, those that are watched
    beside it, and every folder that is linked from there. Folders that do not exist are left out.

    Args:
        function: the function.
        linked: `linked_folders`, or a cache of it: functions often share a folder.
    """
    roots = [str(function.path)]
    for glob in normalized_globs(function):
        if leads_out(glob):
            roots.append(_folder_of_glob(function.path, glob))
    for path in function.also_watched:
        folder = path
        if path.is_file():
            folder = path.parent
        roots.append(str(folder))
    found: list[SeenFolder] = []
    for root in roots:
        real = os.path.realpath(root)
        if not os.path.isdir(real):  # noqa: PTH112  # paths are texts here: there may be thousands
            continue
        found.append(SeenFolder(real, root))
        for link in linked(real):
            found.append(SeenFolder(link.real, root + link.seen_as[len(real) :]))
    return tuple(dict.fromkeys(found))


def _folder_of_glob(root: Path, glob: str) -> str:
    """Return the folder that holds everything that a glob can match."""
    fixed: list[str] = []
    for part in glob.split("/"):
        if any(character in part for character in "*?["):
            break
        fixed.append(part)
    path = os.path.normpath(root.joinpath(*fixed))
    if os.path.isdir(path):  # noqa: PTH112  # see above
        return path
    return os.path.dirname(path)  # noqa: PTH120  # see above


def linked_folders(root: str) -> tuple[SeenFolder, ...]:
    """Return the folders to which links below a real folder lead, also links below those.

    Links that lead back to a folder above `root`, or to a folder that was found before, are left
    out.
    """
    found: list[SeenFolder] = []
    real_paths: set[str] = set()
    to_search = [root]
    while to_search:
        folder = to_search.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue  # it is gone, or not ours to read
        for entry in entries:
            if entry.name in IGNORED_FOLDERS or not os.path.isdir(entry.path):  # noqa: PTH112  # see above
                continue
            if entry.is_symlink():
                real = os.path.realpath(entry.path)
                is_above = f"{root}/".startswith(f"{real}/")
                if is_above or real in real_paths:
                    continue
                real_paths.add(real)
                found.append(SeenFolder(real, entry.path))
            to_search.append(entry.path)
    return tuple(found)


def outermost(folders: Iterable[Path]) -> list[Path]:
    """Return the folders that do not lie inside another one of them."""
    kept: list[Path] = []
    for folder in sorted(set(folders)):
        if not any(folder.is_relative_to(other) for other in kept):
            kept.append(folder)
    return kept

"""Decides which changed files count as changes of a function's code. Pure.

Files that tools write beside the code (caches, repositories, virtual environments, editors'
temporary files) do not count. The `watch` globs of a function narrow what counts below its code
root; globs that lead out of it (`../shared/**`) add to that.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from terralive_workers.function import LocalFunction

# Nothing in folders of these names counts, and they are not searched for links.
IGNORED_FOLDERS: Final = frozenset(
    {
        ".git",
        ".hg",
        ".hypothesis",
        ".idea",
        ".mypy_cache",
        ".nox",
        ".pytest_cache",
        ".ruff_cache",
        ".svn",
        ".terraform",
        ".terralive",
        ".tox",
        ".venv",
        ".vscode",
        "__pycache__",
        "cdktf.out",
        "node_modules",
        "venv",
    }
)
_IGNORED_FILES: Final = (
    "*.pyc",
    "*.pyo",
    # Editors: swap files, backups, locks, and vim's test for a writable folder (`4913`).
    "*.swp",
    "*.swo",
    "*.swx",
    "*~",
    "#*#",
    ".#*",
    "4913",
    "*.tmp",
    ".DS_Store",
    # Terraform, and terralive's own override.
    "*.tfstate",
    "*.tfstate.*",
    ".terraform.tfstate.lock.info",
    "~terralive_override.tf.json",
)


def changed_code(function: LocalFunction, paths: Iterable[Path]) -> tuple[str, ...]:
    """Return the changed paths that count, sorted and relative to the function's code root.

    Args:
        function: the function.
        paths: absolute paths that have changed, under the names by which the function sees them.
    """
    globs = normalized_globs(function)
    has_outside_globs = any(leads_out(glob) for glob in globs)
    counting: set[str] = set()
    for path in paths:
        if _is_ignored_file(path.name):
            continue
        relative = Path(os.path.relpath(path, function.path)).as_posix()
        if _is_watched_beside(function, path):
            counting.add(relative)
        elif has_outside_globs or path.is_relative_to(function.path):
            if _counts(relative, globs):
                counting.add(relative)
    return tuple(sorted(counting))


def is_named(function: LocalFunction, path: str) -> bool:
    """Return whether a glob in the function's `watch` names this path.

    Args:
        function: the function.
        path: a path relative to its code root.
    """
    return any(_matches(path, glob) for glob in normalized_globs(function))


def normalized_globs(function: LocalFunction) -> tuple[str, ...]:
    """Return the function's globs relative to its code root, without detours (`x/../y`)."""
    root = function.path
    return tuple(Path(os.path.relpath(root / glob, root)).as_posix() for glob in function.watch)


def leads_out(path: str) -> bool:
    """Return whether a relative path or glob leads out of the code root."""
    return path.startswith("../")


def _is_watched_beside(function: LocalFunction, path: Path) -> bool:
    """Return whether a path counts because of a folder that is watched beside the code root.

    In a layer, a folder `node_modules` has code of the team's as well.
    """
    layers = {part.local for part in function.layers}
    for folder in function.also_watched:
        if not path.is_relative_to(folder):
            continue
        ignored = IGNORED_FOLDERS
        if folder in layers:
            ignored -= {"node_modules"}
        if ignored.isdisjoint(path.relative_to(folder).parts):
            return True
    return False


def _is_ignored_file(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in _IGNORED_FILES)


def _counts(path: str, globs: Sequence[str]) -> bool:
    """Return whether a change of this path counts; `path` is relative to the code root."""
    if not IGNORED_FOLDERS.isdisjoint(path.split("/")):
        return False
    outside = leads_out(path)
    # Globs below the code root say nothing about paths outside it, and the other way round.
    relevant = [glob for glob in globs if leads_out(glob) == outside]
    if relevant:
        return any(_matches(path, glob) for glob in relevant)
    return not outside


def _matches(path: str, glob: str) -> bool:
    """Return whether a glob names a path.

    It matches generously: a folder stands for everything in it, `**/` also for no folder, and `*`
    crosses folders.
    """
    if fnmatch.fnmatch(path, glob) or path.startswith(f"{glob}/"):
        return True
    return "**/" in glob and _matches(path, glob.replace("**/", "", 1))

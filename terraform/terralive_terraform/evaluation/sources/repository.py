"""Files of a repository, by name and by content. It reads files, asks git, and changes nothing.

The repository is walked once, when the first file is asked for. Contents are read when they are
compared.
"""

from __future__ import annotations

import os
import subprocess
import zlib
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final

# Folders that hold no source of the team's: tools make them. Hidden folders are left out, too.
_SKIPPED: Final = frozenset(
    {"__pycache__", "bower_components", "cdktf.out", "node_modules", "site-packages", "venv"}
)
# Folders that builds write to.
BUILT: Final = frozenset(
    {
        ".build",
        ".dist",
        ".esbuild",
        ".out",
        ".package",
        ".webpack",
        "artifacts",
        "build",
        "builds",
        "bundle",
        "dist",
        "out",
        "output",
        "package",
        "target",
        "temp",
        "tmp",
    }
)
# Folders that hold no function's own code, usually.
_ASIDE: Final = frozenset(
    {"__tests__", "e2e", "layer", "layers", "mocks", "spec", "test", "testing", "tests"}
)
_CONFIGURATION_SUFFIXES: Final = (".tf", ".tofu", ".tf.json", ".tofu.json")
_GIT_SECONDS: Final = 10
_SKIPPED_SUFFIXES: Final = (".dist-info", ".egg-info")


class Repository:
    """The files below the top of a repository.

    Args:
        top: its topmost folder.
        excluded: folders that are left out with everything below them.
        project: the folder that commands run in and that paths are shown from; None for `top`.
    """

    def __init__(
        self, top: Path, excluded: Collection[Path] = (), project: Path | None = None
    ) -> None:
        self.top = top.resolve()
        self.project = (project or top).resolve()
        self._excluded = frozenset(str(folder.resolve()) for folder in excluded)
        # Whether paths are in folders that builds write to.
        self._built: dict[Path, bool] = {}
        # Contents of files that were compared, by path.
        self._contents: dict[Path, bytes] = {}

    def files_named(self, name: str) -> tuple[Path, ...]:
        """Return the files of one name, in the order of their paths."""
        return tuple(self._by_name.get(name, ()))

    def files_with(self, content: bytes) -> tuple[Path, ...]:
        """Return the files that have a content, in the order of their paths."""
        same_size = self._by_size.get(len(content), ())
        return tuple(path for path in same_size if self.content(path) == content)

    def content(self, path: Path) -> bytes:
        """Return a file's content; b"" where it cannot be read."""
        if path not in self._contents:
            self._contents[path] = read(path)
        return self._contents[path]

    def files_like(self, length: int, checksum: int) -> tuple[Path, ...]:
        """Return the files of a size in bytes and a CRC-32, in the order of their paths."""
        same_size = self._by_size.get(length, ())
        return tuple(path for path in same_size if zlib.crc32(self.content(path)) == checksum)

    def is_built(self, path: Path) -> bool:
        """Tell whether a path is in a folder that builds write to: by its name, or by git."""
        if path not in self._built:
            self._built[path] = self._is_built(path)
        return self._built[path]

    def _is_built(self, path: Path) -> bool:
        parts = self.parts(path)
        if not BUILT.isdisjoint(parts):
            return True
        return any(parts[:count] in self._ignored for count in range(1, len(parts) + 1))

    def is_aside(self, path: Path) -> bool:
        """Tell whether a path is in a folder of tests or layers, by its name."""
        return not _ASIDE.isdisjoint(self.parts(path))

    def has_configuration(self, folder: Path) -> bool:
        """Tell whether a folder has files of Terraform's or OpenTofu's language."""
        return folder in self._configurations

    def parts(self, path: Path) -> tuple[str, ...]:
        """Return the names in a path below the top; none for other paths."""
        if is_below(path, self.top):
            return path.parts[len(self.top.parts) :]
        return ()

    def shown(self, path: Path) -> str:
        """Return a path as messages show it: relative to the project where it is below the top."""
        if is_below(path, self.top):
            return Path(os.path.relpath(path, self.project)).as_posix()
        return str(path)

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in sorted(self._walk()):
            found.setdefault(path.name, []).append(path)
        return found

    @cached_property
    def _configurations(self) -> frozenset[Path]:
        found: set[Path] = set()
        for name, paths in self._by_name.items():
            if name.endswith(_CONFIGURATION_SUFFIXES):
                found.update(path.parent for path in paths)
        return frozenset(found)

    @cached_property
    def _by_size(self) -> dict[int, list[Path]]:
        found: dict[int, list[Path]] = {}
        for paths in self._by_name.values():
            for path in paths:
                found.setdefault(size(path), []).append(path)
        return found

    @cached_property
    def _ignored(self) -> frozenset[tuple[str, ...]]:
        """The paths, by their names, that git ignores and that are in no commit."""
        options = ["--others", "--ignored", "--exclude-standard", "--directory", "-z"]
        command = ["git", "-C", str(self.top), "ls-files", *options]
        try:
            listed = subprocess.run(command, capture_output=True, check=False, timeout=_GIT_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            return frozenset()
        names = listed.stdout.decode("utf-8", "replace").split("\0")
        return frozenset(PurePosixPath(name).parts for name in names if name)

    def _walk(self) -> Iterator[Path]:
        pending = [str(self.top)]
        while pending:
            folder = pending.pop()
            try:
                entries = list(os.scandir(folder))
            except OSError:
                # The user may not read it, or it was removed meanwhile.
                continue
            if folder != str(self.top) and _is_foreign(entries):
                continue
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if not self._is_skipped(entry):
                        pending.append(entry.path)
                elif entry.is_file():
                    yield Path(entry.path)

    def _is_skipped(self, entry: os.DirEntry[str]) -> bool:
        is_hidden = entry.name.startswith(".") and entry.name not in BUILT
        if is_hidden or entry.name in _SKIPPED or entry.name.endswith(_SKIPPED_SUFFIXES):
            return True
        return entry.path in self._excluded


def _is_foreign(entries: Iterable[os.DirEntry[str]]) -> bool:
    """Tell whether a folder is a virtual environment or another checkout of a repository.

    https://docs.python.org/3/library/venv.html, https://git-scm.com/docs/git-worktree
    """
    for entry in entries:
        if entry.name == "pyvenv.cfg":
            return True
        if entry.name == ".git" and entry.is_file(follow_symlinks=False):
            return b"/worktrees/" in read(Path(entry.path))
    return False


def read(path: Path) -> bytes:
    """Return a file's content; b"" where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def is_below(path: Path, folder: Path) -> bool:
    """Tell whether an absolute path is a folder or something in it.

    `Path.is_relative_to` is ten times slower.
    """
    return path.parts[: len(folder.parts)] == folder.parts


def size(path: Path) -> int:
    """Return a file's size in bytes; -1 where it cannot be read."""
    try:
        return path.stat().st_size
    except OSError:
        return -1

"""Tells when a function's local code has changed.

One thread watches the code roots of all functions together. What counts as a change is a pure
function, `affected()`: what tools write beside the code (caches, repositories, virtual
environments, editors' temporary files) does not. A function's `watch` globs narrow what counts
below its code root; those that lead out of it (`../shared/**`) add to it.

A folder may be reached by several links, and the system tells a change there under one name only.
So what is compared
are real paths, and each function has its views: real folders, by the names under which it sees
    them.

It must never read a file, and never let an error of the callback end the watching.
"""

from __future__ import annotations

import fnmatch
import functools
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from watchfiles import watch

from terralive_workers.function import LocalFunction

Trouble = Callable[[str], None]
"""Takes a sentence for the user."""
Source = Callable[[Sequence[Path], threading.Event, bool], Iterable[Iterable[Path]]]
"""Takes folders, what ends it, and whether to poll; gives bursts of changed paths, empty ones in between."""
Changed = Callable[[str, tuple[str, ...]], object]
"""Takes the function's name and what changed, relative to its code root, sorted."""

_log = logging.getLogger(__name__)
_FOLDERS: Final = frozenset(
    {
        ".git", ".hg", ".svn", ".terralive", ".terraform", "cdktf.out", "__pycache__", ".venv", "venv", "node_modules",
        ".mypy_cache", ".pytest_cache", ".ruff_cache", ".tox", ".nox", ".idea", ".vscode", ".hypothesis",
    }
)  # fmt: skip
_FILES: Final = (
    "*.pyc", "*.pyo", "*.swp", "*.swo", "*.swx", "*~", "#*#", ".#*", "4913", "*.tmp", ".DS_Store",
    "*.tfstate", "*.tfstate.*", ".terraform.tfstate.lock.info", "terralive_override.tf.json",
)  # fmt: skip
# One save is several events: wait for quiet this long, but never longer than so many milliseconds.
_QUIET_MS: Final = 40
_LONGEST_MS: Final = 400
_POLL_MS: Final = 500
_JOIN_SECONDS: Final = 5.0


def affected(
    functions: Iterable[LocalFunction], paths: Iterable[Path]
) -> tuple[tuple[LocalFunction, tuple[str, ...]], ...]:
    """Which functions these changed paths concern, each with its own paths relative to its code root."""
    changed = [
        path for path in paths if not any(fnmatch.fnmatch(path.name, pattern) for pattern in _FILES)
    ]
    found = []
    for function in functions:
        globs = _globs(function)
        here = (
            changed
            if any(map(_leads_out, globs))
            else [p for p in changed if p.is_relative_to(function.path)]
        )
        relative = {Path(os.path.relpath(path, function.path)).as_posix() for path in here}
        mine = sorted(path for path in relative if _counts(path, globs))
        if mine:
            found.append((function, tuple(mine)))
    return tuple(found)


def is_named(function: LocalFunction, path: str) -> bool:
    """Whether the function's `watch` names this path, relative to its code root."""
    return any(_matches(path, glob) for glob in _globs(function))


def _globs(function: LocalFunction) -> tuple[str, ...]:
    """The function's globs, relative to its code root and without detours."""
    here = function.path
    return tuple(Path(os.path.relpath(here / glob, here)).as_posix() for glob in function.watch)


def _leads_out(path: str) -> bool:
    return path.startswith("../")


def _counts(path: str, globs: Sequence[str]) -> bool:
    if any(part in _FOLDERS for part in path.split("/")):
        return False
    asked = [glob for glob in globs if _leads_out(glob) == _leads_out(path)]
    return any(_matches(path, glob) for glob in asked) if asked else not _leads_out(path)


def _matches(path: str, glob: str) -> bool:
    """Match generously.

    A folder stands for all in it, `**/` also for no folder, and `*` reaches across folders.
    """
    if fnmatch.fnmatch(path, glob) or path.startswith(f"{glob}/"):
        return True
    return "**/" in glob and _matches(path, glob.replace("**/", "", 1))


@dataclass(frozen=True, slots=True)
class _View:
    """A real folder, and the path by which a function sees it."""

    real: str
    seen: str

    def of(self, path: str) -> str | None:
        """A real path as the function sees it; None for one elsewhere."""
        if path == self.real or path.startswith(f"{self.real}/"):
            return self.seen + path[len(self.real) :]
        return None


def _views(function: LocalFunction, links: Callable[[str], Sequence[_View]]) -> tuple[_View, ...]:
    """What a function sees: its code root, where its globs lead, and what is linked from there."""
    seen = [str(function.path)]
    for glob in filter(_leads_out, _globs(function)):
        parts = glob.split("/")
        fixed = next(
            (n for n, part in enumerate(parts) if any(c in part for c in "*?[")), len(parts)
        )
        folder = os.path.normpath(function.path.joinpath(*parts[:fixed]))
        seen.append(folder if os.path.isdir(folder) else os.path.dirname(folder))  # noqa: PTH112, PTH120
    views = []
    for root in seen:
        real = os.path.realpath(root)
        if os.path.isdir(real):  # noqa: PTH112
            views += [
                _View(real, root),
                *(_View(v.real, root + v.seen[len(real) :]) for v in links(real)),
            ]
    return tuple(dict.fromkeys(views))


def _links(root: str) -> tuple[_View, ...]:
    """The folders that links lead to, from anywhere below a real folder.

    Not those that lead back above it.
    """
    found: list[_View] = []
    todo = [root]
    while todo:
        folder = todo.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            if entry.name in _FOLDERS or not os.path.isdir(entry.path):  # noqa: PTH112
                continue
            if entry.is_symlink():
                real = os.path.realpath(entry.path)
                if f"{root}/".startswith(f"{real}/") or any(view.real == real for view in found):
                    continue
                found.append(_View(real, entry.path))
            todo.append(entry.path)
    return tuple(found)


def follow(roots: Sequence[Path], stop: threading.Event, polling: bool) -> Iterator[Iterable[Path]]:
    """What the operating system tells, as a `Source`."""
    for burst in watch(
        *roots,
        watch_filter=None,
        debounce=_LONGEST_MS,
        step=_QUIET_MS,
        stop_event=stop,
        rust_timeout=200,
        yield_on_timeout=True,
        raise_interrupt=False,
        force_polling=True if polling else None,
        poll_delay_ms=_POLL_MS,
        ignore_permission_denied=True,
    ):
        yield [Path(path) for _, path in burst]


class Watcher:
    """Calls back, from its one thread, for every function whose code changed.

    Args:
        functions: whose code roots to watch; roots that do not exist are left out.
        changed: what to do; called once per function and burst of changes.
        trouble: told when the operating system does not let us watch; the code roots are polled
            from then on.
        source: where changes come from.
    """

    def __init__(
        self,
        functions: Sequence[LocalFunction],
        changed: Changed,
        *,
        trouble: Trouble = _log.warning,
        source: Source = follow,
    ) -> None:
        self._views: Mapping[LocalFunction, tuple[_View, ...]] = {}
        self._functions = tuple(functions)
        self._changed = changed
        self._trouble = trouble
        self._source = source
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Start to watch; a large tree takes a moment to be watched as a whole."""
        self._thread.start()

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until every change from now on will be seen."""
        return self._ready.wait(timeout_s)

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        for polling in (False, True):
            try:
                self._watch(polling=polling)
                break
            except (
                OSError,
                RuntimeError,
            ) as error:  # watchfiles: RuntimeError for what its core could not do
                then = (
                    "nothing is watched any more"
                    if polling
                    else "they are polled instead, which takes longer"
                )
                self._trouble(
                    f"The folders of the functions cannot be watched ({error}); {then}. On Linux "
                    "`sysctl fs.inotify.max_user_watches` is often too low; `watch` does not change how many it needs."
                )
        self._ready.set()

    def _watch(self, *, polling: bool) -> None:
        roots = self._look()
        while roots:
            for burst in self._source(roots, self._stop, polling):
                self._ready.set()
                changed = [str(path) for path in burst]
                self._tell(changed)
                if any(os.path.isdir(path) for path in changed):  # noqa: PTH112 - a link, or a folder with links in it
                    before, roots = roots, self._look()
                    if roots != before:
                        break
            else:
                return

    def _look(self) -> list[Path]:
        """Find what there is to watch: real folders without those that lie inside another."""
        links = functools.cache(_links)  # functions often share a root
        self._views = {function: _views(function, links) for function in self._functions}
        return _topmost(Path(view.real) for views in self._views.values() for view in views)

    def _tell(self, changed: Sequence[str]) -> None:
        # Only the folder's own name: what changed may be gone, or be a link itself.
        folder = functools.cache(os.path.realpath)
        real = []
        for path in changed:
            parent, name = os.path.split(path)
            real.append(os.path.join(folder(parent), name))  # noqa: PTH118  # paths are text here: thousands of them
        for function, views in self._views.items():
            here = (
                Path(seen) for view in views for path in real if (seen := view.of(path)) is not None
            )
            for _, mine in affected((function,), here):
                try:
                    self._changed(function.name, mine)
                except Exception:  # noqa: BLE001 - its own defect must not cost the next change
                    _log.exception("a change of %s could not be handled", function.name)


def _topmost(roots: Iterable[Path]) -> list[Path]:
    """Roots without those that lie inside another."""
    kept: list[Path] = []
    for root in sorted(set(roots)):
        if not any(root.is_relative_to(other) for other in kept):
            kept.append(root)
    return kept

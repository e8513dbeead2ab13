"""Tells when a function's local code has changed.

One thread watches the code roots of all functions together. What counts as a change is a pure function, `affected()`:
what tools write beside the code (caches, repositories, virtual environments, editors' temporary files) does not, and a
function's `watch` globs narrow it further.

It must never read a file, and never let an error of the callback end the watching.
"""

from __future__ import annotations

import fnmatch
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from watchfiles import watch

from terralive_relay.functions import LocalFunction

Trouble = Callable[[str], None]
"""Takes a sentence for the user."""
Source = Callable[[Sequence[Path], threading.Event, bool], Iterable[Iterable[Path]]]
"""Takes folders, what ends it, and whether to poll; gives bursts of changed paths, empty ones in between."""
Changed = Callable[[str, tuple[str, ...]], None]
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
_QUIET_MS: Final = 25
_LONGEST_MS: Final = 400
_POLL_MS: Final = 500
_JOIN_SECONDS: Final = 5.0


def affected(
    functions: Iterable[LocalFunction], paths: Iterable[Path]
) -> tuple[tuple[LocalFunction, tuple[str, ...]], ...]:
    """Which functions these changed paths concern, each with its own paths relative to its code root."""
    changed = [path for path in paths if not any(fnmatch.fnmatch(path.name, pattern) for pattern in _FILES)]
    found = []
    for function in functions:
        inside = (path.relative_to(function.path) for path in changed if path.is_relative_to(function.path))
        mine = sorted({path.as_posix() for path in inside if _counts(PurePosixPath(path), function.watch)})
        if mine:
            found.append((function, tuple(mine)))
    return tuple(found)


def _counts(path: PurePosixPath, globs: Sequence[str]) -> bool:
    if any(part in _FOLDERS for part in path.parts):
        return False
    return not globs or any(_matches(path.as_posix(), glob) for glob in globs)


def _matches(path: str, glob: str) -> bool:
    """`**/` stands for any number of folders, also none; `*` reaches across folders, so that `src/*.py` is generous."""
    return fnmatch.fnmatch(path, glob) or ("**/" in glob and _matches(path, glob.replace("**/", "", 1)))


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
        trouble: told when the operating system does not let us watch; the code roots are polled from then on.
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
        # macOS reports real paths, and so does Linux where a root is a link: compare like with like.
        self._roots = {function.name: function.path.resolve() for function in functions}
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
        roots = _topmost(root for root in self._roots.values() if root.is_dir())
        for polling in (False, True):
            try:
                if roots:
                    self._watch(roots, polling=polling)
                break
            except (OSError, RuntimeError) as error:  # watchfiles: RuntimeError for what its core could not do
                then = "nothing is watched any more" if polling else "they are polled instead, which takes longer"
                self._trouble(
                    f"The folders of the functions cannot be watched ({error}); {then}. On Linux "
                    "`sysctl fs.inotify.max_user_watches` is often too low; `watch` does not change how many it needs."
                )
        self._ready.set()

    def _watch(self, roots: Sequence[Path], *, polling: bool) -> None:
        for burst in self._source(roots, self._stop, polling):
            self._ready.set()
            self._tell(burst)

    def _tell(self, paths: Iterable[Path]) -> None:
        changed = tuple(paths)
        for function in self._functions:
            root = self._roots[function.name]
            here = (function.path / path.relative_to(root) for path in changed if path.is_relative_to(root))
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

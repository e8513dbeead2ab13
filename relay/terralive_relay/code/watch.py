"""Reports changes of functions' local code.

One thread watches the folders of all functions together. `changes` decides what counts as a change
and `folders` which folders there are to watch.

It must never read a file, and never let an error of the callback end the watching.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from watchfiles import Change, watch

from terralive_relay.code.changes import IGNORED_FOLDERS, changed_code
from terralive_relay.code.folders import SeenFolder, linked_folders, outermost, seen_folders
from terralive_relay.threads import ThreadFailed, guarded_thread
from terralive_workers.function import LocalFunction

# Takes a sentence for the user.
Trouble: TypeAlias = Callable[[str], None]
# Takes the folders to watch, an event that ends it, and True for polling. Returns bursts of changed
# paths, and empty ones in between.
Source: TypeAlias = Callable[[Sequence[Path], threading.Event, bool], Iterable[Iterable[Path]]]
# Takes a function and its changed paths, sorted and relative to its code root.
Changed: TypeAlias = Callable[[LocalFunction, tuple[str, ...]], object]

# One save is several events. A burst ends when nothing has changed for the first of these times,
# and at the latest after the second one. All are in milliseconds.
_QUIET_MS: Final = 40
_LONGEST_MS: Final = 400
# The time between two looks where the system does not report changes.
_POLL_MS: Final = 500
# The time after which the source returns an empty burst.
_EMPTY_BURST_MS: Final = 200
_JOIN_SECONDS: Final = 5.0
_log = logging.getLogger("terralive.relay")


def follow(roots: Sequence[Path], stop: threading.Event, polling: bool) -> Iterator[Iterable[Path]]:
    """Report changes as the operating system does; this is the `Source` outside of tests."""
    # None leaves the choice to watchfiles, which polls on file systems that report nothing.
    force_polling: bool | None = None
    if polling:
        force_polling = True
    for burst in watch(
        *roots,
        watch_filter=None,
        debounce=_LONGEST_MS,
        step=_QUIET_MS,
        stop_event=stop,
        rust_timeout=_EMPTY_BURST_MS,
        yield_on_timeout=True,
        raise_interrupt=False,
        force_polling=force_polling,
        poll_delay_ms=_POLL_MS,
        ignore_permission_denied=True,
    ):
        changed: list[Path] = []
        for kind, path in burst:
            changed.append(Path(path))
            if kind is Change.added:
                changed += _files_below(path)
        yield changed


def _files_below(path: str) -> list[Path]:
    """Return the files in a folder that is new; none if `path` is a file.

    The system reports nothing about files that were in it before it was watched: a folder that was
    moved here, or one that a build has filled at once.
    """
    files: list[Path] = []
    for folder, below, names in os.walk(path):
        below[:] = [name for name in below if name not in IGNORED_FOLDERS]
        files += [Path(folder, name) for name in names]
    return files


class Watcher:
    """Calls back, from its one thread, for every function whose code has changed.

    Args:
        functions: the functions whose folders are watched; folders that do not exist are left out.
        changed: called once for each function and burst of changes.
        trouble: called when the operating system cannot watch the folders; they are polled from
            then on.
        source: reports changes of folders.
        failed: takes an exception that has ended the thread.
    """

    def __init__(
        self,
        functions: Sequence[LocalFunction],
        changed: Changed,
        *,
        trouble: Trouble = _log.warning,
        source: Source = follow,
        failed: ThreadFailed | None = None,
    ) -> None:
        self._functions = tuple(functions)
        self._changed = changed
        self._trouble = trouble
        self._source = source
        # The folders that each function sees. Only the thread uses it.
        self._folders: Mapping[LocalFunction, tuple[SeenFolder, ...]] = {}
        # Ends the thread.
        self._stop = threading.Event()
        # Every change from now on is seen, or never will be.
        self._ready = threading.Event()
        self._thread = guarded_thread("watch", self._run, failed)

    def start(self) -> None:
        """Begin to watch. A large tree takes a moment until all of it is watched."""
        self._thread.start()

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until every change from now on is seen; return False if that takes too long."""
        return self._ready.wait(timeout_s)

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        for polling in (False, True):
            try:
                self._watch(polling=polling)
                break
            except (OSError, RuntimeError) as error:
                # watchfiles raises RuntimeError for failures of its native core.
                consequence = "they are polled instead, which takes longer"
                if polling:
                    consequence = "nothing is watched any more"
                self._trouble(
                    f"The folders of the functions cannot be watched ({error}); {consequence}. On"
                    " Linux `sysctl fs.inotify.max_user_watches` is often too low; `watch` does not"
                    " change how many it needs."
                )
        self._ready.set()

    def _watch(self, *, polling: bool) -> None:
        """Watch until the watcher is closed."""
        roots = self._find_folders()
        while roots:
            _log.debug("watching %s", [str(root) for root in roots])
            roots = self._watch_roots(roots, polling=polling)

    def _watch_roots(self, roots: list[Path], *, polling: bool) -> list[Path]:
        """Watch these folders until the watcher is closed, or others are to be watched.

        Returns:
            The folders to watch from now on; none if the watcher is closed.
        """
        for burst in self._source(roots, self._stop, polling):
            self._ready.set()
            changed = [str(path) for path in burst]
            self._report(changed)
            # A new link, or a new folder with links in it, may lead to other folders.
            if any(os.path.isdir(path) for path in changed):  # noqa: PTH112  # paths are texts here
                new_roots = self._find_folders()
                if new_roots != roots:
                    return new_roots
        return []

    def _find_folders(self) -> list[Path]:
        """Find the folders that every function sees; return the real ones to watch."""
        linked = functools.cache(linked_folders)
        self._folders = {function: seen_folders(function, linked) for function in self._functions}
        return outermost(
            Path(folder.real) for folders in self._folders.values() for folder in folders
        )

    def _report(self, changed: Sequence[str]) -> None:
        """Call back for every function that sees one of these changed paths."""
        real_paths = _with_real_folders(changed)
        for function, folders in self._folders.items():
            seen: list[Path] = []
            for folder in folders:
                for real_path in real_paths:
                    path = folder.seen_path(real_path)
                    if path is not None:
                        seen.append(Path(path))
            relative_paths = changed_code(function, seen)
            if relative_paths:
                name = function.shown_name
                _log.debug("code of %s has changed: %d paths", name, len(relative_paths))
                try:
                    self._changed(function, relative_paths)
                except Exception:  # noqa: BLE001  # a defect there must not cost the next change
                    _log.exception("a change of %s could not be handled", name)


def _with_real_folders(paths: Sequence[str]) -> list[str]:
    """Return paths whose folders are real paths.

    The last part of a path stays as it is: it may be gone, or be a link that has changed itself.
    """
    real_folder = functools.cache(os.path.realpath)
    real_paths: list[str] = []
    for path in paths:
        folder, name = os.path.split(path)
        real_paths.append(os.path.join(real_folder(folder), name))  # noqa: PTH118  # thousands of them
    return real_paths

"""Runs the build commands of functions: before the code is first used, and after changes.

Functions with the same command share its runs. While it runs, their invocations wait. When it
fails, they all get the end of its output, until a change makes it succeed.

A build writes files, and these may be watched. So a change counts by its time:

- A change before the build began is in the build.
- A change while it ran is taken for the build's output. But if `watch` names the path, it may have
  been a save: one more build follows. If it was an output after all, builds would follow each other
  forever, so only a few do.
- A change after the build asks for another build.

It has no threads of its own: the watcher's thread and the build process's thread call it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final, Protocol

from terralive_relay.code.changes import is_named
from terralive_relay.describe.errors import describe_error
from terralive_relay.events import LogLine, Sink, Warned
from terralive_stub.protocol.invocation import Outcome
from terralive_workers import outcomes
from terralive_workers.function import Build, LocalFunction
from terralive_workers.guardian import Guardian
from terralive_workers.process import Process

# The end of the command's output, for the error message.
_TAIL_LINES: Final = 20
_TAIL_CHARACTERS: Final = 400
# The number of builds in a row that may follow from changes during the build before.
_MOST_REPEATS: Final = 3
# The watcher reports the removal of a file this late at most.
_REMOVAL_REPORTED_SECONDS: Final = 1.0
_JOIN_SECONDS: Final = 5.0
_log = logging.getLogger("terralive.relay")


class Built(Protocol):
    """A pool, as far as a build uses it."""

    def hold(self) -> None: ...
    def built(self, failure: Outcome | None = None) -> None: ...


class _Change(IntEnum):
    """The meaning of a change for the build. Of several changes the largest counts."""

    KNOWN = 0  # the build has it, or has made it
    DURING_BUILD = 1  # a path that `watch` names changed while the build ran
    NEW = 2


def builds(
    functions: Iterable[tuple[LocalFunction, Built]], guardian: Guardian, sink: Sink
) -> tuple[Builder, ...]:
    """Return one builder for every build command of these functions and their pools."""
    found: dict[Build, list[tuple[LocalFunction, Built]]] = {}
    for function, pool in functions:
        if function.build is not None:
            found.setdefault(function.build, []).append((function, pool))
    return tuple(Builder(build, group, guardian, sink) for build, group in found.items())


class Builder:
    """One build command. Thread-safe; no method blocks but `close()`.

    Args:
        build: the command.
        functions: the functions that it makes code for, with their pools.
        guardian: ends the command's process if this process ends.
        sink: takes the command's output and warnings.
    """

    def __init__(
        self,
        build: Build,
        functions: Sequence[tuple[LocalFunction, Built]],
        guardian: Guardian,
        sink: Sink,
    ) -> None:
        self.functions: Final = {function.arn: function for function, _ in functions}
        self._build = build
        self._pools = tuple(pool for _, pool in functions)
        self._guardian = guardian
        self._sink = sink
        # The last lines of output. The process's thread adds them while the build runs.
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        # Guards every attribute below. Pools are called while it is held: they never call back.
        self._lock = threading.Lock()
        # The process of the build that runs; None while none does.
        self._process: Process | None = None
        # The times of the last build, on the wall clock, which file systems use.
        self._began = 0.0
        self._ended = 0.0
        # The largest change that was reported while the build ran.
        self._change_during_build = _Change.KNOWN
        # The number of builds in a row that followed from `DURING_BUILD`.
        self._repeats = 0
        self._closed = False

    def start(self) -> None:
        """Build for the first time."""
        with self._lock:
            self._run()

    def changed(self, function: str, paths: Iterable[str]) -> bool:
        """Build again if one of these changes asks for it.

        Args:
            function: the function's ARN.
            paths: changed paths, relative to its code root.

        Returns:
            True if a build follows.
        """
        with self._lock:
            change = max(self._judge(self.functions[function], path) for path in paths)
            if self._closed or change is _Change.KNOWN:
                return False
            if self._process is not None:
                self._change_during_build = max(self._change_during_build, change)
                return True
            return self._build_because_of(change)

    def close(self) -> None:
        """End the build that runs; no other one begins."""
        with self._lock:
            self._closed = True
            process = self._process
        if process is not None:
            process.kill()
            process.join(_JOIN_SECONDS)

    # Methods from here on expect the lock to be held, unless they say otherwise

    def _judge(self, function: LocalFunction, path: str) -> _Change:
        """Return the meaning of one changed path, by the time of its change."""
        running = self._process is not None
        try:
            # Not the time of the last modification, which tools set as they like.
            changed_at = (function.path / path).lstat().st_ctime
        except OSError:
            # It is gone, and there is no time. It may have gone during the build.
            changed_at = time.time() - _REMOVAL_REPORTED_SECONDS
            if running or changed_at <= self._ended:
                changed_at = self._began
        if changed_at < self._began:
            return _Change.KNOWN
        if not running and changed_at > self._ended:
            return _Change.NEW
        if is_named(function, path):
            return _Change.DURING_BUILD
        return _Change.KNOWN

    def _build_because_of(self, change: _Change) -> bool:
        """Build once more.

        Returns:
            False if there have been so many builds in a row that it would never end.
        """
        if change is _Change.DURING_BUILD:
            self._repeats += 1
        else:
            self._repeats = 0
        if self._repeats <= _MOST_REPEATS:
            self._run()
            return True
        is_first_time = self._repeats == _MOST_REPEATS + 1
        if is_first_time:
            self._warn(
                "build-triggers-itself",
                f"`{self._build.command}` changes files that `watch` names, so it is not run again"
                " until the next edit. Let `watch` name the sources only.",
            )
        return False

    def _run(self) -> None:
        _log.debug("build of %s begins", self._names())
        self._change_during_build = _Change.KNOWN
        self._tail.clear()
        for pool in self._pools:
            pool.hold()
        self._began = time.time()
        self._process = Process(
            ("sh", "-c", self._build.command),
            cwd=self._build.folder,
            # It is the developer's own command, so it gets their environment.
            environment=dict(os.environ),
            guardian=self._guardian,
            emit=self._emit,
            on_exit=self._exited,
        )
        self._process.start()

    # Calls from the process's threads: these take the lock themselves

    def _emit(self, _request_id: str, line: str, stream: str) -> None:
        self._tail.append(line[:_TAIL_CHARACTERS])
        # The output is shown once, with the first of the functions.
        first_function = self._names()[0]
        self._sink(LogLine("", first_function, line, stream))

    def _exited(self, status: int | OSError) -> None:
        _log.debug("build of %s has ended: %s", self._names(), status)
        failure: Outcome | None = None
        if status != 0:
            failure = outcomes.build_failed(self._build.command, status, self._tail)
        with self._lock:
            self._process = None
            self._ended = time.time()
            if self._closed:
                return
            change = self._change_during_build
            if change is not _Change.KNOWN and self._build_because_of(change):
                return
            for pool in self._pools:
                pool.built(failure)
        if failure is not None:
            reason = describe_error(failure).message
            self._warn(
                "build-failed",
                f"{reason}\nInvocations get this error until an edit makes it succeed.",
            )

    def _warn(self, reference: str, text: str) -> None:
        for name in self._names():
            self._sink(Warned(reference, text, name))

    def _names(self) -> list[str]:
        return [function.shown_name for function in self.functions.values()]

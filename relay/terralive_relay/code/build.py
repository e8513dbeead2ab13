"""Runs the build commands of functions: before their code is first used, and after a change of what it is made from.

Functions with the same command share its runs. While it runs their invocations wait; when it fails
they all get the end of its output, until a change makes it succeed. A build writes files, and what
it writes may be watched: so a change counts by its time. What happened before the build began is in
it. What happened while it ran is taken for its output,
unless `watch` names the path: then it was a save, and one more build follows (a few at most, should
    it be an output).

Threads: none of its own; it is called by the watcher's and by its process's.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Final, Protocol

from terralive_relay.code.watch import is_named
from terralive_relay.describe import describe_error
from terralive_relay.events import LogLine, Sink, Warned
from terralive_stub.protocol.invocation import Outcome
from terralive_workers import outcomes
from terralive_workers.function import Build, LocalFunction
from terralive_workers.guardian import Guardian
from terralive_workers.process import Process

_TAIL_LINES: Final = 20
_TAIL_CHARACTERS: Final = 400
# So many builds in a row that only changes during the one before have caused.
_MOST_ECHOES: Final = 3
# How late the watcher may tell that a file is gone.
_LATE_SECONDS: Final = 1.0
_JOIN_SECONDS: Final = 5.0


class Built(Protocol):
    """Whose invocations wait for a build: a pool."""

    def hold(self) -> None: ...
    def built(self, failure: Outcome | None = None) -> None: ...


class _Change(Enum):
    KNOWN = auto()  # the build has it, or has made it
    ECHO = auto()  # a path that `watch` names changed while the build ran
    NEW = auto()


def builds(
    functions: Iterable[tuple[LocalFunction, Built]], guardian: Guardian, sink: Sink
) -> tuple[Builder, ...]:
    """One builder for every command, however many functions it is for."""
    found: dict[Build, list[tuple[LocalFunction, Built]]] = {}
    for function, pool in functions:
        if function.build is not None:
            found.setdefault(function.build, []).append((function, pool))
    return tuple(Builder(build, group, guardian, sink) for build, group in found.items())


class Builder:
    """One build command. Thread-safe; no method blocks but `close()`."""

    def __init__(
        self,
        build: Build,
        functions: Sequence[tuple[LocalFunction, Built]],
        guardian: Guardian,
        sink: Sink,
    ) -> None:
        self.functions: Final = {function.name: function for function, _ in functions}
        self._build = build
        self._pools = tuple(pool for _, pool in functions)
        self._guardian = guardian
        self._sink = sink
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        # Guards every field below it. Pools are called with it held: they never call back.
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._again = _Change.KNOWN
        self._echoes = 0
        self._began = self._ended = 0.0  # on the clock of the file system
        self._closed = False

    def start(self) -> None:
        """Build for the first time."""
        with self._lock:
            self._run()

    def changed(self, function: str, paths: Iterable[str]) -> bool:
        """Build again if one of these paths, relative to the function's code root, asks for it.

        Says whether so.
        """
        with self._lock:
            change = max(
                (self._judge(self.functions[function], path) for path in paths),
                key=lambda c: c.value,
            )
            if self._closed or change is _Change.KNOWN:
                return False
            if self._process is not None:
                self._again = max(self._again, change, key=lambda c: c.value)
                return True
            return self._follow(change)

    def close(self) -> None:
        """End a build that runs; no other one begins."""
        with self._lock:
            self._closed = True
            process = self._process
        if process is not None:
            process.kill()
            process.join(_JOIN_SECONDS)

    def _judge(self, function: LocalFunction, path: str) -> _Change:
        full = function.path / path
        try:
            at = full.lstat().st_ctime  # not of the modification, which tools set as they like
        except OSError:
            at = time.time() - _LATE_SECONDS
            if self._process is not None or at <= self._ended:
                at = self._began
        if at < self._began:
            return _Change.KNOWN
        if self._process is None and at > self._ended:
            return _Change.NEW
        return _Change.ECHO if is_named(function, path) else _Change.KNOWN

    def _follow(self, change: _Change) -> bool:
        """Build once more because of a change.

        False if it has become clear that this would never end.
        """
        self._echoes = self._echoes + 1 if change is _Change.ECHO else 0
        if self._echoes <= _MOST_ECHOES:
            self._run()
            return True
        if self._echoes == _MOST_ECHOES + 1:
            self._warn(
                "build-triggers-itself",
                f"`{self._build.command}` changes files that `watch` names, so it is not run again until the next edit."
                " Let `watch` name the sources only.",
            )
        return False

    def _run(self) -> None:
        self._again = _Change.KNOWN
        self._tail.clear()
        for pool in self._pools:
            pool.hold()
        self._began = time.time()
        self._process = Process(
            ("sh", "-c", self._build.command),
            cwd=self._build.folder,
            environment=dict(os.environ),  # the developer's own: it is their command
            guardian=self._guardian,
            emit=self._emit,
            on_exit=self._exited,
        )
        self._process.start()

    def _emit(self, _request_id: str, line: str, stream: str) -> None:
        self._tail.append(line[:_TAIL_CHARACTERS])
        self._sink(LogLine("", next(iter(self.functions)), line, stream))

    def _exited(self, status: int | OSError) -> None:
        failure = (
            outcomes.build_failed(self._build.command, status, self._tail) if status != 0 else None
        )
        with self._lock:
            self._process = None
            self._ended = time.time()
            if self._closed or (self._again is not _Change.KNOWN and self._follow(self._again)):
                return
            for pool in self._pools:
                pool.built(failure)
        if failure is not None:
            text = f"{describe_error(failure).message}\nInvocations get this error until an edit makes it succeed."
            self._warn("build-failed", text)

    def _warn(self, reference: str, text: str) -> None:
        for function in self.functions:
            self._sink(Warned(reference, text, function))

"""Keeps the last event of each function of a session on disk, for `terralive invoke`.

    WORK/events/FUNCTION/REQUEST-ID.json

Events may hold personal data: only this user can read the files (0700, 0600), they are in the
stage's work folder, and `keep_events = false` turns this off. A session keeps the newest 64 MB
of the last 7 days, and `destroy` removes all of them.

One thread writes, so that a slow disk slows no invocation. Events that come while it writes replace
each other: only the last one of each function counts.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_cli.deploy import record
from terralive_stub.protocol.invocation import Invocation

_SUFFIX: Final = ".json"
_TOTAL_BYTES: Final = 64 * 1024 * 1024
_AGE_SECONDS: Final = 7 * 24 * 3600.0
_PAUSE_SECONDS: Final = 0.1
_CLOSE_SECONDS: Final = 5.0
# Names and ids come from the network: none may name a file elsewhere.
_UNSAFE: Final = re.compile(r"[^0-9A-Za-z_-]")
_NAME_CHARACTERS: Final = 128


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """An event that is kept.

    Attributes:
        function: name of the function, as in events on the screen.
        request_id: its request id.
        file: the file with its bytes.
        changed: time of the file (epoch, seconds).
    """

    function: str
    request_id: str
    file: Path
    changed: float


class EventKeeper:
    """Writes the last event of each function. `keep` never blocks and never raises.

    Args:
        work: the stage's work folder.
        is_on: whether events are kept at all. If not, earlier ones are removed.
        total_bytes: size of all files together.
    """

    def __init__(self, work: Path, *, is_on: bool = True, total_bytes: int = _TOTAL_BYTES) -> None:
        self._is_on = is_on
        self._folder = record.events(work)
        self._total_bytes = total_bytes
        # Guards `_waiting`, and wakes the writing thread.
        self._changed = threading.Condition()
        # The last request id and event of each function that are not written yet.
        self._waiting: dict[str, tuple[str, bytes]] = {}
        # Set by `close`.
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kept-events", daemon=True)
        self._thread.start()

    def keep(self, function: str, invocation: Invocation) -> None:
        """Keep an invocation's event in the place of the function's last one.

        Args:
            function: name of the function in events on the screen.
            invocation: the invocation.
        """
        if not self._is_on:
            return
        with self._changed:
            self._waiting[function] = (invocation.request_id, invocation.event)
            self._changed.notify_all()

    def close(self) -> None:
        """Write the rest and stop."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            if self._is_on:
                self._prune()
            else:
                shutil.rmtree(self._folder)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing.is_set())
            is_last = self._closing.wait(_PAUSE_SECONDS)
            with self._changed:
                events, self._waiting = self._waiting, {}
            # A full disk costs an event, and no more.
            with contextlib.suppress(OSError):
                for function, (request_id, event) in events.items():
                    self._write(function, request_id, event)
                self._prune()
            if is_last and not self._waiting:
                return

    def _write(self, function: str, request_id: str, event: bytes) -> None:
        folder = self._folder / _safe(function)
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        for path in (self._folder, folder):
            path.mkdir(mode=0o700, exist_ok=True)
        file = folder / f"{_safe(request_id)}{_SUFFIX}"
        new = folder / f".{file.name}"
        new.unlink(missing_ok=True)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(event)
        new.replace(file)
        for other in folder.iterdir():
            if other != file:
                other.unlink(missing_ok=True)

    def _prune(self) -> None:
        total = 0
        for kept in _newest_first(self._folder):
            total += kept.file.stat().st_size
            if total > self._total_bytes or time.time() - kept.changed > _AGE_SECONDS:
                kept.file.unlink(missing_ok=True)


def kept_events(work: Path) -> list[KeptEvent]:
    """Return the events that are kept of a stage, the newest first.

    Args:
        work: the stage's work folder.
    """
    return _newest_first(record.events(work))


def last_of(kept: list[KeptEvent], function: str) -> KeptEvent | None:
    """Return the last event of a function, by its name in events on the screen."""
    for event in kept:
        if event.function == _safe(function):
            return event
    return None


def with_id(kept: list[KeptEvent], request_id: str) -> list[KeptEvent]:
    """Return the events whose request id begins with a text."""
    return [event for event in kept if event.request_id.startswith(request_id.lower())]


def _newest_first(folder: Path) -> list[KeptEvent]:
    return sorted(_all(folder), key=lambda event: event.changed, reverse=True)


def _all(folder: Path) -> Iterator[KeptEvent]:
    for file in folder.glob(f"*/*{_SUFFIX}"):
        if file.name.startswith("."):
            continue
        with contextlib.suppress(FileNotFoundError):
            yield KeptEvent(file.parent.name, file.stem, file, file.stat().st_mtime)


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name)[:_NAME_CHARACTERS]

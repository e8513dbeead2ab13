"""Keeps the output of the live functions on disk, in the project's `.terralive/logs/`.

    FUNCTION.log              every line with its time and request id; follow it with `tail -F`
    FUNCTION/REQUEST-ID.log   the lines of one invocation, between its START and its REPORT

A file that has reached 16 MB is renamed to `….1.log`. Files older than 7 days are removed, and the
oldest files beyond 128 MB or 5,000 files. Only this user can read the files (0700, 0600).

One thread writes, a few times per second, so that a slow disk slows no invocation. It must not make
an invocation fail either. It writes the output of handlers and the ends of invocations, and by
itself never an event, an environment or a credential.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

from terralive_cli.output.formats.printable import coloured
from terralive_relay.events import InvocationFinished, InvocationStarted, LogLine, RelayEvent
from terralive_stub.shared.timestamps import format_datetime

_PAUSE_SECONDS: Final = 0.1
_CLOSE_SECONDS: Final = 5.0
_WAITING_CHARACTERS: Final = 64 * 1024 * 1024
_PRUNE_SECONDS: Final = 3600.0
# Old files are also removed whenever this share of a limit has been written.
_PRUNE_SHARE: Final = 1 / 8
# Request ids come from the network: no id may name a file elsewhere.
_UNSAFE: Final = re.compile(r"[^0-9A-Za-z_-]")
_NAME_CHARACTERS: Final = 128


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of what is kept.

    Attributes:
        file_bytes: size at which a file is renamed.
        total_bytes: size of all files together.
        files: number of files.
        age_s: age of a file, in seconds.
    """

    file_bytes: int = 16 * 1024 * 1024
    total_bytes: int = 128 * 1024 * 1024
    files: int = 5000
    age_s: float = 7 * 24 * 3600.0


_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class _Line:
    """One line to write. `request_id` is "" for a line outside an invocation."""

    at: datetime
    function: str
    request_id: str
    text: str


def file_of_invocation(folder: Path, function: str, request_id: str) -> Path:
    """Return the file with the lines of one invocation.

    Args:
        folder: folder of the log files.
        function: name of the function, as in events.
        request_id: request id of the invocation.
    """
    return folder / _safe(function) / f"{_safe(request_id)}.log"


class LogFiles:
    """Writes log files. Call it with every event of the relay: it never blocks and never raises.

    Args:
        folder: folder of the files; made with the first line.
        warn: called once, with a message, if the files cannot be written.
        limits: limits of what is kept.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None], limits: Limits = _LIMITS) -> None:
        self._folder = _LogFolder(folder, limits)
        self._warn = warn
        # True after the first warning. Only the writing thread uses it.
        self._warned = False
        # Guards the three attributes below it. It wakes the writing thread.
        self._changed = threading.Condition()
        # Lines that are not written yet.
        self._waiting: list[_Line] = []
        # Characters of the waiting lines.
        self._characters = 0
        # Lines that were dropped since the last writing, because too many were waiting.
        self._dropped = 0
        # Set by `close`.
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-files", daemon=True)
        self._thread.start()

    def __call__(self, event: RelayEvent) -> None:
        match event:
            case LogLine():
                self._put(_Line(event.at, event.function, event.request_id, event.line))
            case InvocationStarted():
                text = f"START RequestId: {event.request_id} Trigger: {event.trigger}"
                self._put(_Line(event.at, event.function, event.request_id, text))
            case InvocationFinished():
                self._put(_Line(event.at, event.function, event.request_id, _report(event)))
            case _:
                pass

    def close(self) -> None:
        """Write the rest and stop."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(_CLOSE_SECONDS)

    def _put(self, line: _Line) -> None:
        with self._changed:
            if self._characters > _WAITING_CHARACTERS:
                self._dropped += 1
                return
            self._characters += len(line.text)
            self._waiting.append(line)
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing.is_set())
            # Lines that arrive during this pause are written together.
            is_last = self._closing.wait(_PAUSE_SECONDS)
            with self._changed:
                lines = self._waiting
                dropped = self._dropped
                self._waiting = []
                self._characters = 0
                self._dropped = 0
            if dropped:
                lines += _dropped_lines(dropped, lines)
            self._write(lines)
            if is_last and not self._waiting:
                return

    def _write(self, lines: Sequence[_Line]) -> None:
        try:
            self._folder.write(lines)
            self._folder.prune()
        except OSError as error:
            if not self._warned:
                self._warned = True
                self._warn(f"Logs are not kept in {self._folder.path}: {error}")


class _LogFolder:
    """The files on disk. Only the writing thread uses it."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path = path
        self._limits = limits
        # Time of the last pruning (monotonic, seconds), and what was written since then.
        self._pruned_at = -_PRUNE_SECONDS
        self._bytes_since = 0
        self._files_since = 0

    def write(self, lines: Sequence[_Line]) -> None:
        """Append each line to its function's file and to its invocation's.

        Raises:
            OSError: a file cannot be written.
        """
        texts: defaultdict[Path, list[str]] = defaultdict(list)
        for line in lines:
            at = format_datetime(line.at)
            text = line.text
            if not text.isprintable():
                text = coloured(text)
            function = _safe(line.function)
            request_id = _safe(line.request_id)
            texts[self.path / f"{function}.log"].append(f"{at} {request_id or '-'} {text}\n")
            if request_id:
                own = file_of_invocation(self.path, line.function, line.request_id)
                texts[own].append(f"{at} {text}\n")
        for path, written in texts.items():
            self._append(path, "".join(written).encode("utf-8", "replace"))

    def prune(self) -> None:
        """Remove old files, if an hour has passed or much has been written.

        The sizes are read from the disk, because other processes may write here too.
        """
        limits = self._limits
        now = time.monotonic()
        is_early = now - self._pruned_at < _PRUNE_SECONDS
        few_bytes = self._bytes_since < limits.total_bytes * _PRUNE_SHARE
        few_files = self._files_since < limits.files * _PRUNE_SHARE
        if is_early and few_bytes and few_files:
            return
        self._pruned_at = now
        self._bytes_since = 0
        self._files_since = 0
        kept_bytes = 0
        for number, (changed, size, path) in enumerate(self._newest_first()):
            kept_bytes += size
            is_too_many = number >= limits.files or kept_bytes > limits.total_bytes
            is_too_old = time.time() - changed > limits.age_s
            if is_too_many or is_too_old:
                path.unlink(missing_ok=True)

    def _newest_first(self) -> list[tuple[float, int, Path]]:
        """Return time of change (epoch, seconds), size (bytes) and path of every file."""
        files = []
        for path in (*self.path.glob("*.log"), *self.path.glob("*/*.log")):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        return sorted(files, reverse=True)

    def _append(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "ab") as file:
            file.write(data)
            size = file.tell()
        self._bytes_since += len(data)
        if size == len(data):
            self._files_since += 1
        if size >= self._limits.file_bytes:
            path.replace(path.with_suffix(".1.log"))


def _dropped_lines(dropped: int, lines: Sequence[_Line]) -> list[_Line]:
    """Return a line for each function that says how many lines are missing."""
    text = (
        f"terralive: {dropped} lines of this project's functions are missing here, because the "
        "disk is too slow"
    )
    functions = {line.function for line in lines}
    return [_Line(datetime.now(UTC), function, "", text) for function in functions]


@lru_cache(maxsize=256)
def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name)[:_NAME_CHARACTERS]


def _report(event: InvocationFinished) -> str:
    status = "success"
    if not event.ok:
        status = f"error {event.error_type}"
        first_line = (event.error_message.splitlines() or [""])[0]
        if first_line:
            status += f": {first_line}"
    streamed = ""
    if event.streamed_bytes is not None:
        streamed = f"Streamed: {event.streamed_bytes} bytes "
    return (
        f"REPORT RequestId: {event.request_id} Duration: {event.handler_ms:.2f} ms "
        f"Waited: {event.waited_ms:.2f} ms {streamed}Status: {status}"
    )

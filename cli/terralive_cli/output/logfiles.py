"""Keeps on disk what the live functions print, in the project's `.terralive/logs/`.

    FUNCTION.log              every line, with its time and request id, to follow: `tail -F`
    FUNCTION/REQUEST-ID.log   one invocation's lines, between its START and its REPORT

A file that has reached 16 MB becomes `….1.log`. What is older than 7 days goes, and the oldest
files beyond 128 MB or 5,000 files. Everything is this user's alone (0700, 0600).

One thread writes, a few times a second: a slow disk slows no invocation. It must never fail one
either, and writes what handlers print and what invocations end in, never an event, an environment
or a credential of its own accord.
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

_PAUSE_SECONDS: Final = 0.1
_CLOSE_SECONDS: Final = 5.0
_WAITING_CHARACTERS: Final = 64 * 1024 * 1024
_LOOK_AGAIN_SECONDS: Final = 3600.0
_UNSAFE: Final = re.compile(
    r"[^0-9A-Za-z_-]"
)  # request ids come over the wire: none may lead anywhere else
_NAME_CHARACTERS: Final = 128


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept: of one file until it is turned, of all of them together, and for how long."""

    file_bytes: int = 16 * 1024 * 1024
    total_bytes: int = 128 * 1024 * 1024
    files: int = 5000
    age_s: float = 7 * 24 * 3600.0


_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class _Line:
    at: float
    function: str
    request_id: str
    text: str


class LogFiles:
    """See the module's docstring. Call it with every event of the relay; that never blocks and never raises.

    Args:
        folder: where the files go; made when the first line is written.
        warn: told once, where the files cannot be written.
        limits: see there.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None], limits: Limits = _LIMITS) -> None:
        self._folder = folder
        self._warn = warn
        self._limits = limits
        # Guards the three below it; the condition wakes the writer.
        self._changed = threading.Condition()
        self._waiting: list[_Line] = []
        self._characters = self._dropped = 0
        self._closing = threading.Event()
        self._warned = False
        self._pruned_at = -_LOOK_AGAIN_SECONDS
        self._since_pruned = 0  # bytes
        self._files_since_pruned = 0
        self._thread = threading.Thread(target=self._run, name="log-files", daemon=True)
        self._thread.start()

    def __call__(self, event: RelayEvent) -> None:
        match event:
            case LogLine(request_id=request_id, function=function, line=text):
                self._put(function, request_id, text)
            case InvocationStarted(request_id=request_id, function=function, trigger=trigger):
                self._put(function, request_id, f"START RequestId: {request_id} Trigger: {trigger}")
            case InvocationFinished(request_id=request_id, function=function):
                self._put(function, request_id, _report(event))
            case _:
                pass

    def close(self) -> None:
        """Write what is left and stop."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(_CLOSE_SECONDS)

    def _put(self, function: str, request_id: str, text: str) -> None:
        with self._changed:
            if self._characters > _WAITING_CHARACTERS:
                self._dropped += 1
                return
            self._characters += len(text)
            self._waiting.append(_Line(time.time(), function, request_id, text))
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing.is_set())
            ends = self._closing.wait(_PAUSE_SECONDS)  # what comes meanwhile is written with it
            with self._changed:
                lines, self._waiting = self._waiting, []
                dropped, self._characters, self._dropped = self._dropped, 0, 0
            if dropped:
                text = f"terralive: {dropped} lines of this project's functions are missing here: the disk is too slow"
                lines += [
                    _Line(time.time(), function, "", text)
                    for function in {line.function for line in lines}
                ]
            self._write(lines)
            if ends and not self._waiting:
                return

    def _write(self, lines: Sequence[_Line]) -> None:
        texts: defaultdict[Path, list[str]] = defaultdict(list)
        for line in lines:
            at = _time(int(line.at * 1000))
            text = line.text if line.text.isprintable() else coloured(line.text)
            function, request_id = _safe(line.function), _safe(line.request_id)
            texts[self._folder / f"{function}.log"].append(f"{at} {request_id or '-'} {text}\n")
            if request_id:
                texts[self._folder / function / f"{request_id}.log"].append(f"{at} {text}\n")
        try:
            for path, own in texts.items():
                self._append(path, "".join(own).encode("utf-8", "replace"))
            self._prune()
        except OSError as error:
            if not self._warned:
                self._warned = True
                self._warn(f"Logs are not kept in {self._folder}: {error}")

    def _append(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as file:
            file.write(data)
            size = file.tell()
        self._since_pruned += len(data)
        self._files_since_pruned += size == len(data)
        if size >= self._limits.file_bytes:
            path.replace(path.with_suffix(".1.log"))

    def _prune(self) -> None:
        """Let the oldest go, now and then.

        How much there is, only the disk knows, where others write there too.
        """
        limits, now = self._limits, time.monotonic()
        if (
            now - self._pruned_at < _LOOK_AGAIN_SECONDS
            and self._since_pruned < limits.total_bytes / 8
            and self._files_since_pruned < limits.files / 8
        ):
            return
        self._pruned_at, self._since_pruned, self._files_since_pruned = now, 0, 0
        files = []
        for path in (*self._folder.glob("*.log"), *self._folder.glob("*/*.log")):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        kept = 0
        for number, (changed, size, path) in enumerate(sorted(files, reverse=True)):
            kept += size
            if (
                number >= limits.files
                or kept > limits.total_bytes
                or time.time() - changed > limits.age_s
            ):
                path.unlink(missing_ok=True)


@lru_cache(maxsize=8)
def _time(at_ms: int) -> str:
    return (
        datetime.fromtimestamp(at_ms / 1000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


@lru_cache(maxsize=256)
def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name)[:_NAME_CHARACTERS]


def _report(event: InvocationFinished) -> str:
    said = (event.error_message.splitlines() or [""])[0]
    ending = "success" if event.ok else f"error {event.error_type}{f': {said}' if said else ''}"
    return (
        f"REPORT RequestId: {event.request_id} Duration: {event.handler_ms:.2f} ms Waited: {event.waited_ms:.2f} ms "
        f"Status: {ending}"
    )

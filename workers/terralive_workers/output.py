"""A worker's stdout and stderr, cut into lines and attributed to the invocation under way.

A worker runs one invocation at a time, so what it wrote before it answered belongs to that
invocation. What it wrote is in the kernel's pipe by then, at the latest: whoever is about to
publish an outcome calls `end()` first, which reads the pipes empty on the spot. The order is
therefore exact, without markers in the output and without waiting.

It must never lose a line, wait for a worker, or let one that writes without end hold up the caller.
"""

from __future__ import annotations

import os
import selectors
import threading
from collections.abc import Callable
from typing import Final

Emit = Callable[[str, str, str], None]
"""Takes the request id (or ""), one line without its newline, and `stdout` or `stderr`."""

_READ: Final = 64 * 1024
# A pipe holds 64 KiB, at most 1 MiB: whoever reads this much has read all that was there when they
# began.
_MOST_PER_DRAIN: Final = 1024 * 1024
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html: longer events
# do not exist.
_LONGEST_LINE: Final = 256 * 1024


class Output:
    """Owns the reading ends of both pipes and the thread that reads them; `close()` ends both."""

    def __init__(self, stdout: int, stderr: int, emit: Emit) -> None:
        # Guards the pipes' reading, the unfinished lines and the request id, so that lines keep
        # their order.
        self._lock = threading.Lock()
        self._emit = emit
        self._request_id = ""
        self._streams: dict[int, str] = {stdout: "stdout", stderr: "stderr"}
        self._ended: set[int] = set()
        self._rest: dict[str, bytes] = {"stdout": b"", "stderr": b""}
        self._wake_read, self._wake_write = os.pipe()
        for descriptor in (stdout, stderr):
            os.set_blocking(descriptor, False)
        self._thread = threading.Thread(target=self._read, name="worker-output", daemon=True)
        self._thread.start()

    def begin(self, request_id: str) -> None:
        """What comes from now on belongs to `request_id`."""
        with self._lock:
            self._drain()
            self._finish_lines()
            self._request_id = request_id

    def end(self) -> None:
        """Publish all that was written so far; what comes from now on belongs to no invocation."""
        self.begin("")

    def close(self) -> None:
        """Publish the rest and let the pipes go. Call when the process has ended."""
        os.write(self._wake_write, b"x")
        self._thread.join()
        with self._lock:
            self._drain()
            self._finish_lines()
            for descriptor in (*self._streams, self._wake_read, self._wake_write):
                os.close(descriptor)
            self._streams.clear()

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            for descriptor in tuple(self._streams):
                selector.register(descriptor, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if self._wake_read in ready:
                    return
                with self._lock:
                    self._drain()
                    for descriptor in ready & self._ended:
                        selector.unregister(descriptor)

    def _drain(self) -> None:
        """Read what is there."""
        for descriptor, stream in self._streams.items():
            taken = 0
            while descriptor not in self._ended and taken < _MOST_PER_DRAIN:
                try:
                    data = os.read(descriptor, _READ)
                except BlockingIOError:
                    break
                if not data:
                    self._ended.add(descriptor)
                    break
                taken += len(data)
                self._take(stream, data)

    def _take(self, stream: str, data: bytes) -> None:
        *lines, rest = (self._rest[stream] + data).split(b"\n")
        for line in lines:
            self._say(stream, line)
        while len(rest) > _LONGEST_LINE:
            cut = _LONGEST_LINE
            while cut > _LONGEST_LINE - 4 and rest[cut] & 0xC0 == 0x80:  # noqa: PLR2004  # within a UTF-8 character
                cut -= 1
            self._say(stream, rest[:cut])
            rest = rest[cut:]
        self._rest[stream] = rest

    def _finish_lines(self) -> None:
        for stream, rest in self._rest.items():
            if rest:
                self._say(stream, rest)
                self._rest[stream] = b""

    def _say(self, stream: str, line: bytes) -> None:
        self._emit(self._request_id, line.rstrip(b"\r").decode("utf-8", "replace"), stream)

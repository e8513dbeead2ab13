"""A worker's stdout and stderr, cut into lines, each assigned to an invocation.

A worker runs one invocation at a time, so what it wrote before it answered belongs to that
invocation. When it answers, its output is already in the kernel's pipe. The code that is about to
publish an outcome therefore calls `begin("")` first, which reads the pipes empty at once. The order
is exact, without markers in the output and without waiting.

It must never lose a line, and never wait for a worker: a worker that writes without end must not
hold up the caller.
"""

from __future__ import annotations

import os
import selectors
import threading
from collections.abc import Callable
from typing import Final

from terralive_stub.protocol.limits import LOG_EVENT_BYTES

Emit = Callable[[str, str, str], None]
"""Takes the request id (or ""), one line without its newline, and `stdout` or `stderr`."""

_READ_BYTES: Final = 64 * 1024
# A pipe holds 64 KiB by default, and 1 MiB at most. After this much, everything has been read that
# was in the pipe at the beginning.
_DRAIN_BYTES: Final = 1024 * 1024
# The longest line. CloudWatch Logs takes no longer events.
_MAX_LINE_BYTES: Final = LOG_EVENT_BYTES
# A UTF-8 character has at most four bytes. All of them but the first are 10xxxxxx.
_MAX_CHARACTER_BYTES: Final = 4
_CONTINUATION_MASK: Final = 0b1100_0000
_CONTINUATION: Final = 0b1000_0000


class Output:
    """Owns the reading ends of both pipes and the thread that reads them. `close()` ends both.

    Args:
        stdout: descriptor of the pipe of the worker's stdout.
        stderr: descriptor of the pipe of the worker's stderr.
        emit: takes the lines. It is called with the lock held, so that lines keep their order.
    """

    def __init__(self, stdout: int, stderr: int, emit: Emit) -> None:
        # Guards all attributes below it but the thread and the wake-up pipe, and the reading.
        self._lock = threading.Lock()
        self._emit = emit
        # The invocation that the output belongs to, or "".
        self._request_id = ""
        # The name of each descriptor's stream. Empty after `close`.
        self._streams: dict[int, str] = {stdout: "stdout", stderr: "stderr"}
        # The descriptors of the pipes that the worker has closed.
        self._ended: set[int] = set()
        # The bytes of each stream after its last newline.
        self._unfinished: dict[str, bytes] = {"stdout": b"", "stderr": b""}

        # A byte in this pipe ends the thread.
        self._wake_read, self._wake_write = os.pipe()
        for descriptor in (stdout, stderr):
            os.set_blocking(descriptor, False)
        self._thread = threading.Thread(target=self._read, name="worker-output", daemon=True)
        self._thread.start()

    def begin(self, request_id: str) -> None:
        """Publish all output so far. Later output belongs to `request_id` ("": to none)."""
        with self._lock:
            self._drain()
            self._finish_lines()
            self._request_id = request_id

    def close(self) -> None:
        """Publish the rest of the output and close the pipes. The process must have ended."""
        os.write(self._wake_write, b"x")
        self._thread.join()
        with self._lock:
            self._drain()
            self._finish_lines()
            for descriptor in (*self._streams, self._wake_read, self._wake_write):
                os.close(descriptor)
            self._streams.clear()

    def _read(self) -> None:
        """Read the pipes until `close` is called: the thread `worker-output`."""
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
        """Read what is in the pipes now, without waiting for more."""
        for descriptor, stream in self._streams.items():
            taken = 0
            while descriptor not in self._ended and taken < _DRAIN_BYTES:
                try:
                    data = os.read(descriptor, _READ_BYTES)
                except BlockingIOError:
                    break
                if not data:
                    self._ended.add(descriptor)
                    break
                taken += len(data)
                self._split_lines(stream, data)

    def _split_lines(self, stream: str, data: bytes) -> None:
        *lines, rest = (self._unfinished[stream] + data).split(b"\n")
        for line in lines:
            self._publish(stream, line)
        while len(rest) > _MAX_LINE_BYTES:
            cut = _line_cut(rest)
            self._publish(stream, rest[:cut])
            rest = rest[cut:]
        self._unfinished[stream] = rest

    def _finish_lines(self) -> None:
        """Publish what came after the last newline as a line of its own."""
        for stream, rest in self._unfinished.items():
            if rest:
                self._publish(stream, rest)
                self._unfinished[stream] = b""

    def _publish(self, stream: str, line: bytes) -> None:
        self._emit(self._request_id, line.rstrip(b"\r").decode("utf-8", "replace"), stream)


def _line_cut(text: bytes) -> int:
    """Return where to cut a line that is too long: not inside a UTF-8 character."""
    cut = _MAX_LINE_BYTES
    earliest = _MAX_LINE_BYTES - _MAX_CHARACTER_BYTES
    while cut > earliest and text[cut] & _CONTINUATION_MASK == _CONTINUATION:
        cut -= 1
    return cut

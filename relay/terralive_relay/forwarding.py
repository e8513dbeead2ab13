"""What of the handlers' output goes to the stubs that wait for them, so that CloudWatch has it (`--forward-logs`).

What is kept is bounded: of each invocation at most `BYTES_A_SECOND` between one `take` and the next, and what is left
out is counted and said in its place. It must never wait, and never cost an invocation its result.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final

from terralive_relay.events import LogLine

SECONDS: Final = 1.0
BYTES_A_SECOND: Final = 90_000  # one message, also where it does not compress


@dataclass(slots=True)
class _Lines:
    kept: list[bytes] = field(default_factory=list)
    size: int = 0
    dropped: int = 0
    dropped_bytes: int = 0

    def text(self) -> bytes:
        said = b""
        if self.dropped:
            said = (
                f"terralive: {self.dropped} lines ({self.dropped_bytes} bytes) are left out here: of one invocation "
                f"{BYTES_A_SECOND // 1000} KB a second are forwarded\n"
            ).encode()
        return b"".join(self.kept) + said


class Forwarding:
    """Lines on their way, by request id. Thread-safe."""

    def __init__(self) -> None:
        # Guards the lines.
        self._lock = threading.Lock()
        self._lines: dict[str, _Lines] = {}

    def add(self, line: LogLine) -> None:
        """Keep a line until it is taken; one outside an invocation has nobody who waits for it."""
        if not line.request_id:
            return
        data = line.line.encode("utf-8", "replace") + b"\n"
        with self._lock:
            lines = self._lines.setdefault(line.request_id, _Lines())
            if lines.dropped or lines.size + len(data) > BYTES_A_SECOND:  # from the first gap on: it is said there
                lines.dropped += 1
                lines.dropped_bytes += len(data)
            else:
                lines.kept.append(data)
                lines.size += len(data)

    def take(self, request_id: str) -> bytes:
        """Give what one invocation has printed since the last time, and forget it."""
        with self._lock:
            lines = self._lines.pop(request_id, None)
        return lines.text() if lines is not None else b""

    def take_all(self) -> dict[str, bytes]:
        """Do so for every invocation."""
        with self._lock:
            taken, self._lines = self._lines, {}
        return {request_id: lines.text() for request_id, lines in taken.items()}

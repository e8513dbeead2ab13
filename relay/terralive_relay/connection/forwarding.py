"""What of the handlers' output goes to the stubs that wait for them, so that CloudWatch has it (`--forward-logs`).

What is kept is bounded: of each invocation at most `BYTES_A_SECOND` between one message and the
next, and what is left out is counted and said in its place. Messages are not acknowledged, and one
may be overtaken by the result: the result repeats the last one, and the stub leaves out what it has
shown. It must never wait, and never cost an invocation its result.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final

from terralive_relay.events import LogLine
from terralive_stub.protocol.invocation import Printed

SECONDS: Final = 1.0
BYTES_A_SECOND: Final = 90_000  # one message, also where it does not compress


@dataclass(slots=True)
class _Lines:
    """One invocation's: those that wait, and the message that went last, which begins at `start`."""

    waiting: list[str] = field(default_factory=list)
    size: int = 0
    dropped: int = 0
    dropped_bytes: int = 0
    start: int = 0
    last: str = ""

    def add(self, line: str) -> None:
        data = line.encode("utf-8", "replace") + b"\n"
        if (
            self.dropped or self.size + len(data) > BYTES_A_SECOND
        ):  # from the first gap on: it is said there
            self.dropped += 1
            self.dropped_bytes += len(data)
        else:
            self.waiting.append(data.decode())
            self.size += len(data)

    def take(self) -> str:
        if self.dropped:
            self.waiting.append(
                f"terralive: {self.dropped} lines ({self.dropped_bytes} bytes) are left out here: of one invocation "
                f"{BYTES_A_SECOND // 1000} KB a second are forwarded\n"
            )
        text = "".join(self.waiting)
        self.waiting, self.size, self.dropped, self.dropped_bytes = [], 0, 0, 0
        return text


class Forwarding:
    """Lines on their way, by request id. Thread-safe."""

    def __init__(self) -> None:
        # Guards the lines.
        self._lock = threading.Lock()
        self._lines: dict[str, _Lines] = {}

    def add(self, line: LogLine) -> None:
        """Keep a line until it is taken; one outside an invocation has nobody who waits for it."""
        if line.request_id:
            with self._lock:
                self._lines.setdefault(line.request_id, _Lines()).add(line.line)

    def next_messages(self) -> dict[str, Printed]:
        """Give what each invocation has printed since the last time."""
        messages = {}
        with self._lock:
            for request_id, lines in self._lines.items():
                if text := lines.take():
                    lines.start, lines.last = lines.start + len(lines.last), text
                    messages[request_id] = Printed(lines.start, text)
        return messages

    def end(self, request_id: str) -> Printed:
        """Give what is to travel with an invocation's result, and forget the invocation."""
        with self._lock:
            lines = self._lines.pop(request_id, _Lines())
        return Printed(lines.start, lines.last + lines.take())

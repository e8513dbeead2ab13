"""Selects the lines of handlers that are sent to their stubs, for CloudWatch (`--forward-logs`).

Memory is bounded: of each invocation at most `BYTES_A_SECOND` are kept between one message and the
next. Lines that do not fit are left out; the message states how many. Messages are not
acknowledged, and one may be overtaken by the result. So the result repeats the last message, and
the stub leaves out the part that it has shown. This module must never wait, and never cost an
invocation its result.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final

from terralive_relay.events import LogLine
from terralive_stub.protocol.invocation import Printed

SECONDS: Final = 1.0
# One message, also where it does not compress.
BYTES_A_SECOND: Final = 90_000


@dataclass(slots=True)
class _Lines:
    """One invocation's lines.

    Attributes:
        waiting: lines for the next message.
        size: their size in bytes.
        dropped: the number of lines that were left out since the last message.
        dropped_bytes: their size.
        last: the text of the last message.
        start: the position of the last message in all text that was sent, in characters.
    """

    waiting: list[str] = field(default_factory=list)
    size: int = 0
    dropped: int = 0
    dropped_bytes: int = 0
    last: str = ""
    start: int = 0

    def add(self, line: str) -> None:
        data = line.encode("utf-8", "replace") + b"\n"
        # After the first line that was left out all others are, too: the gap is in one place.
        if self.dropped or self.size + len(data) > BYTES_A_SECOND:
            self.dropped += 1
            self.dropped_bytes += len(data)
        else:
            self.waiting.append(data.decode())
            self.size += len(data)

    def take(self) -> str:
        """Return the waiting text, and start anew."""
        if self.dropped:
            self.waiting.append(
                f"terralive: {self.dropped} lines ({self.dropped_bytes} bytes) are left out here:"
                f" of one invocation {BYTES_A_SECOND // 1000} KB a second are forwarded\n"
            )
        text = "".join(self.waiting)
        self.waiting = []
        self.size = 0
        self.dropped = 0
        self.dropped_bytes = 0
        return text


class Forwarding:
    """Lines on their way, by request id. Thread-safe."""

    def __init__(self) -> None:
        # Guards the lines.
        self._lock = threading.Lock()
        # By request id, of invocations that have printed something and have not ended.
        self._lines: dict[str, _Lines] = {}

    def add(self, line: LogLine) -> None:
        """Keep a line for the next message. No stub waits for lines outside an invocation."""
        if line.request_id:
            with self._lock:
                self._lines.setdefault(line.request_id, _Lines()).add(line.line)

    def next_messages(self) -> dict[str, Printed]:
        """Return the text that each invocation has printed since the last call."""
        messages: dict[str, Printed] = {}
        with self._lock:
            for request_id, lines in self._lines.items():
                text = lines.take()
                if text:
                    lines.start += len(lines.last)
                    lines.last = text
                    messages[request_id] = Printed(lines.start, text)
        return messages

    def end(self, request_id: str) -> Printed:
        """Return the text that travels with an invocation's result, and forget the invocation."""
        with self._lock:
            lines = self._lines.pop(request_id, _Lines())
        return Printed(lines.start, lines.last + lines.take())

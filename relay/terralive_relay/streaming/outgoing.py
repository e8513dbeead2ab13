"""A streamed response on its way to its stub. Pure.

It keeps the bytes that the stub has not consumed, and sends them again if the stub asks. The worker
is let on to write at most a window's size of them (`response.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from terralive_stub.protocol.chunks import CHUNK_BYTES
from terralive_stub.protocol.deadline import NEVER, Deadline

# Small pieces that are written within this time travel together, because each message is two runs
# of the broker. The first piece leaves at once.
GATHER_SECONDS: Final = 0.05
# All pieces are sent again to the same connection after this time at the earliest.
AGAIN_SECONDS: Final = 0.5


@dataclass(slots=True)
class OutgoingStream:
    """The stream of one attempt.

    Attributes:
        content_type: the response's content type.
        consumed: the number of bytes that the stub has given to Lambda; they are not kept.
        sent: the number of bytes that were sent.
        sent_at: when a piece was sent last.
        again_to: the connection to which all was sent again last.
        again_at: when that was.
        _kept: the bytes from `consumed` on.
    """

    content_type: str
    consumed: int = 0
    sent: int = 0
    sent_at: float = -math.inf
    again_to: str = ""
    again_at: float = -math.inf
    _kept: bytearray = field(default_factory=bytearray, repr=False)

    @property
    def size(self) -> int:
        """Return the number of bytes that the handler has written."""
        return self.consumed + len(self._kept)

    @property
    def kept_bytes(self) -> int:
        return len(self._kept)

    def add(self, data: bytes) -> None:
        self._kept += data

    def consume(self, offset: int) -> None:
        """Forget the bytes that the stub has given to Lambda."""
        if self.consumed < offset <= self.size:
            del self._kept[: offset - self.consumed]
            self.consumed = offset
            self.sent = max(self.sent, offset)

    def rewind(self, peer: str, now: float, *, at_once: bool) -> None:
        """Have all kept bytes sent again, unless that was done for this peer a moment ago."""
        just_done = self.again_to == peer and now - self.again_at < AGAIN_SECONDS
        if at_once or not just_done:
            self.again_to, self.again_at = peer, now
            self.sent = self.consumed

    def pieces(self, now: float, *, all_bytes: bool) -> list[tuple[int, bytes]]:
        """Return the pieces to be sent now, with their offsets, and count them as sent.

        Args:
            now: the time.
            all_bytes: do not wait for further bytes that would travel with the last ones.
        """
        found: list[tuple[int, bytes]] = []
        is_due = all_bytes or now >= self.sent_at + GATHER_SECONDS
        while self.sent < self.size:
            start = self.sent - self.consumed
            data = bytes(self._kept[start : start + CHUNK_BYTES])
            if len(data) < CHUNK_BYTES and not is_due:
                break
            found.append((self.sent, data))
            self.sent += len(data)
            self.sent_at = now
        return found

    def due(self) -> Deadline:
        """Return when bytes that were not sent are due."""
        if self.sent == self.size:
            return NEVER
        return Deadline(self.sent_at + GATHER_SECONDS)

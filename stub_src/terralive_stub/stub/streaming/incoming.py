"""A streamed response as it arrives, in pieces that may be lost, repeated or out of order. Pure.

Memory is bounded: pieces that arrive too early are kept up to a window's size, and a relay sends
those again that were not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from terralive_stub.protocol.chunks import CHUNK_BYTES, CONSUMED_BYTES, WINDOW_BYTES
from terralive_stub.protocol.deadline import NEVER, Deadline
from terralive_stub.protocol.invocation import Outcome
from terralive_stub.protocol.messages import Piece

# Each message is a run of the broker, so a piece may overtake another one by so much.
GAP_SECONDS: Final = 1.0
# A piece may have begun just before the window's end.
_MOST_EARLY_BYTES: Final = WINDOW_BYTES + CHUNK_BYTES


@dataclass(slots=True)
class IncomingStream:
    """One relay's stream.

    Attributes:
        relay: the relay that sends it. A piece of another one is of another handler's stream.
        content_type: the response's content type.
        received: the number of bytes that have arrived without a gap.
        consumed: the number of bytes that the relay was told to be consumed.
        end: the invocation's result; None until it has arrived.
        ask_at: when the relay is asked for the bytes that are missing.
        writing_since: when the bytes that arrived last were given to the shell.
        _early: pieces behind a gap, by their offsets.
    """

    relay: str
    content_type: str
    received: int = 0
    consumed: int = 0
    end: Outcome | None = None
    ask_at: Deadline = NEVER
    writing_since: float = 0.0
    _early: dict[int, bytes] = field(default_factory=dict)

    def take(self, piece: Piece, now: float) -> bytes:
        """Take a piece; return the bytes that follow those that were returned before."""
        if piece.offset > self.received:
            self._keep(piece)
        elif piece.offset + len(piece.data) > self.received:
            self._early[piece.offset] = piece.data
        data = self._without_gap()
        self.received += len(data)
        self.notice_gap(now)
        if data:
            self.writing_since = now
        return data

    def notice_gap(self, now: float) -> None:
        """Set the time at which missing bytes are asked for, or unset it if none are missing."""
        has_gap = bool(self._early)
        if self.end is not None:
            has_gap = not self.is_complete
        if not has_gap:
            self.ask_at = NEVER
        elif self.ask_at == NEVER:
            self.ask_at = Deadline.after(GAP_SECONDS, now=now)

    @property
    def is_complete(self) -> bool:
        """Tell whether the result and all bytes have arrived."""
        return (
            self.end is not None
            and self.end.streamed is not None
            and (self.received == self.end.streamed.size)
        )

    def newly_consumed(self) -> bool:
        """Tell whether the relay is to be told how much is consumed, and count it as told."""
        if self.received - self.consumed < CONSUMED_BYTES:
            return False
        self.consumed = self.received
        return True

    def _keep(self, piece: Piece) -> None:
        kept = sum(len(data) for data in self._early.values())
        is_near = piece.offset <= self.received + _MOST_EARLY_BYTES
        if is_near and kept + len(piece.data) <= _MOST_EARLY_BYTES:
            known = self._early.get(piece.offset, b"")
            if len(piece.data) > len(known):
                self._early[piece.offset] = piece.data

    def _without_gap(self) -> bytes:
        """Take the bytes out of `_early` that follow those that have arrived."""
        parts: list[bytes] = []
        received = self.received
        for offset in sorted(self._early):
            if offset > received:
                break
            data = self._early.pop(offset)[received - offset :]
            parts.append(data)
            received += len(data)
        return b"".join(parts)

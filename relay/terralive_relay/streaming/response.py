"""The streamed response of one invocation, between a worker's connection and the session's thread.

The worker's thread writes pieces into the session's inbox. It blocks while the stub has not
consumed a window's size of them: so a slow caller stops the handler, and memory is bounded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from terralive_stub.protocol.chunks import WINDOW_BYTES

_CONTENT_TYPE_CHARACTERS: Final = 256


@dataclass(frozen=True, slots=True)
class StreamBegan:
    """An attempt begins to stream its response."""

    attempt: str
    content_type: str


@dataclass(frozen=True, slots=True)
class PieceWritten:
    """An attempt has written a piece of its response."""

    attempt: str
    data: bytes = field(repr=False)


StreamItem: TypeAlias = StreamBegan | PieceWritten


class OutgoingResponse:
    """The bytes of one attempt's streamed response. Thread-safe.

    Args:
        attempt: the attempt.
        put: takes an item for the session's thread.
    """

    def __init__(self, attempt: str, put: Callable[[StreamItem], None]) -> None:
        self._attempt: Final = attempt
        self._put: Final = put
        # Guards the attributes below, and wakes a writer that waits.
        self._changed = threading.Condition()
        # The content type; None before the stream begins.
        self._content_type: str | None = None
        # The number of bytes that were written.
        self._written = 0
        # The number of bytes that the stub has consumed.
        self._consumed = 0
        # The caller is gone: the handler runs on, and its bytes are dropped.
        self._dropped = False
        # The attempt has ended, and its worker ends, too.
        self._closed = False
        # When the first piece was written, on the monotonic clock; 0 before.
        self._first_at = 0.0

    @property
    def content_type(self) -> str | None:
        """Return the content type; None if the response is not streamed."""
        with self._changed:
            return self._content_type

    @property
    def size(self) -> int:
        """Return the number of bytes that were written."""
        with self._changed:
            return self._written

    @property
    def first_at(self) -> float:
        """Return when the first piece was written, on the monotonic clock; 0 if none was."""
        with self._changed:
            return self._first_at

    def begin(self, content_type: str) -> bool:
        """Begin the stream; return False if it has begun already."""
        with self._changed:
            if self._content_type is not None:
                return False
            self._content_type = content_type[:_CONTENT_TYPE_CHARACTERS]
            self._put(StreamBegan(self._attempt, self._content_type))
            return True

    def write(self, data: bytes) -> bool:
        """Pass a piece on. Block while the stub has too much to consume.

        Returns:
            False if the worker is to end. True if only the caller is gone.
        """
        with self._changed:
            while not self._closed and not self._has_room(len(data)):
                self._changed.wait()
            if self._closed:
                return False
            self._written += len(data)
            if not self._first_at:
                self._first_at = time.monotonic()
            if not self._dropped:
                self._put(PieceWritten(self._attempt, data))
        return True

    def consume(self, offset: int) -> None:
        """Let the writer go on: the stub has consumed so many bytes."""
        with self._changed:
            self._consumed = max(self._consumed, offset)
            self._changed.notify_all()

    def drop(self) -> None:
        """Drop what follows: the caller is gone."""
        with self._changed:
            self._dropped = True
            self._changed.notify_all()

    def close(self) -> None:
        """Take no byte any more: the attempt has ended."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        waiting = self._written - self._consumed
        return self._dropped or not waiting or waiting + size <= WINDOW_BYTES

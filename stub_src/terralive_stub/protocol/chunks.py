"""Chunks: payloads are compressed if that helps, cut into messages, and assembled again. Pure.

Chunks may arrive in any order and more than once. `Assembler` holds a bounded amount of memory,
whatever a peer announces. Times are seconds of the caller's monotonic clock.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from terralive_stub.protocol.limits import SYNCHRONOUS_PAYLOAD_BYTES
from terralive_stub.protocol.messages import Chunk, Kind, ProtocolError

# In base64, 96,000 bytes are 128,000 characters. That leaves 3 KB of a 128 KB message for the other
# fields.
CHUNK_BYTES: Final = 96_000
# The largest payload: Lambda's limit, and 1 MB for the header (4 KB of environment variables,
# credentials, context).
PAYLOAD_BYTES: Final = SYNCHRONOUS_PAYLOAD_BYTES + 1024 * 1024
# A streamed response is sent up to so many bytes beyond what its stub has consumed. A stub tells
# this each time it has consumed so many bytes more.
WINDOW_BYTES: Final = 1024 * 1024
CONSUMED_BYTES: Final = WINDOW_BYTES // 4
RAW: Final = "raw"
ZLIB: Final = "zlib"
# Smaller payloads are not compressed, and larger ones only if that saves at least a tenth.
_WORTH_COMPRESSING: Final = 1024
_WORTHWHILE_RATIO: Final = 0.9
_SAMPLE_BYTES: Final = 16 * 1024
_MOST_PARTIALS: Final = 4096
# A payload to which nothing was added for this long gives its memory to another one.
_STANDS_STILL_SECONDS: Final = 5.0


def split(
    kind: Kind,
    request_id: str,
    function: str,
    payload: bytes,
    *,
    peer: str = "",
    attempt: str = "",
    sent_ms: int = 0,
) -> tuple[Chunk, ...]:
    """Cut a payload into chunks, each of which fits into a WebSocket message of API Gateway.

    Raises:
        ProtocolError: the payload is larger than any that Lambda accepts.
    """
    if len(payload) > PAYLOAD_BYTES:
        raise ProtocolError(f"a payload of {len(payload)} bytes; the most is {PAYLOAD_BYTES}")
    encoding, encoded = _compress(payload)
    parts = _parts(len(encoded))
    return tuple(
        Chunk(
            kind=kind,
            request_id=request_id,
            function=function,
            part=part,
            parts=parts,
            size=len(encoded),
            encoding=encoding,
            data=encoded[part * CHUNK_BYTES : (part + 1) * CHUNK_BYTES],
            peer=peer,
            attempt=attempt,
            sent_ms=sent_ms,
        )
        for part in range(parts)
    )


def _parts(size: int) -> int:
    """Return the number of chunks for so many bytes; an empty payload has one."""
    rounded_up = (size + CHUNK_BYTES - 1) // CHUNK_BYTES
    return max(1, rounded_up)


def _compress(payload: bytes) -> tuple[str, bytes]:
    """Return the encoding and the encoded payload.

    A sample is tried first, because compressing megabytes in vain costs a small CPU much time.
    """
    if len(payload) < _WORTH_COMPRESSING:
        return RAW, payload
    sample = payload[:_SAMPLE_BYTES]
    if len(zlib.compress(sample, 1)) > len(sample) * _WORTHWHILE_RATIO:
        return RAW, payload
    compressed = zlib.compress(payload, 1)
    if len(compressed) >= len(payload) * _WORTHWHILE_RATIO:
        return RAW, payload
    return ZLIB, compressed


@dataclass(frozen=True, slots=True)
class _Key:
    """The chunks of one payload have the same kind, request id, attempt and peer."""

    kind: Kind
    request_id: str
    attempt: str
    peer: str


@dataclass(slots=True)
class _Partial:
    """An unfinished payload.

    Attributes:
        first: the chunk that arrived first, without its data.
        touched: when a part arrived last.
        asked: when the sender was asked last for the missing parts.
        admitted: whether its parts are kept; False while there is no memory for it.
        data: the parts that have arrived, by their numbers.
    """

    first: Chunk
    touched: float
    asked: float
    admitted: bool = True
    data: dict[int, bytes] = field(default_factory=dict)

    def matches(self, chunk: Chunk) -> bool:
        """Tell whether a chunk is of the same packing as those that arrived before."""
        return (
            self.first.parts == chunk.parts
            and self.first.size == chunk.size
            and self.first.encoding == chunk.encoding
        )

    def missing(self) -> tuple[int, ...]:
        return tuple(part for part in range(self.first.parts) if part not in self.data)

    def joined(self) -> bytes:
        return b"".join(self.data[part] for part in range(self.first.parts))


@dataclass(frozen=True, slots=True)
class AssemblerStats:
    """The size of what is unfinished.

    Attributes:
        payloads: the number of unfinished payloads.
        announced_bytes: the announced size of those of which a part has arrived.
    """

    payloads: int
    announced_bytes: int


@dataclass(slots=True)
class Assembler:
    """Assembles payloads from their chunks.

    Invariants: a chunk's numbers are checked before anything of its payload is kept. The payloads
    that are kept have announced no more than `most_bytes` together. A payload for which there is no
    memory waits, and its sender is asked for all of it later: so many payloads at once finish one
    after the other. A payload that makes no progress gives way.

    Attributes:
        most_bytes: the limit of the payloads that are kept.
        _partials: the unfinished payloads, kept and waiting ones.
    """

    most_bytes: int = 16 * PAYLOAD_BYTES
    _partials: dict[_Key, _Partial] = field(default_factory=dict)

    def add(self, chunk: Chunk, now: float) -> bytes | None:
        """Add one chunk; return the payload if this was the last missing one.

        Raises:
            ProtocolError: the chunk contradicts its own numbers, or there are too many unfinished
                payloads.
        """
        _check(chunk)
        key = _Key(chunk.kind, chunk.request_id, chunk.attempt, chunk.peer)
        partial = self._partials.get(key)
        if partial is not None and not partial.matches(chunk):
            # A peer that had to reconnect has packed the same payload anew. The newer one counts.
            del self._partials[key]
            partial = None
        if partial is None:
            if chunk.parts == 1:
                return _decompress(chunk.encoding, chunk.data)
            partial = self._begin(key, chunk, now)
        if not partial.admitted:
            partial.touched = now
            return None
        if chunk.part not in partial.data:  # a repeated part is no progress
            partial.touched = now
            partial.data[chunk.part] = chunk.data
        if len(partial.data) < chunk.parts:
            return None
        del self._partials[key]
        return _decompress(chunk.encoding, partial.joined())

    def stats(self) -> AssemblerStats:
        """Return how much is unfinished."""
        kept = [partial.first.size for partial in self._partials.values() if partial.data]
        return AssemblerStats(len(self._partials), sum(kept))

    def stalled(self, now: float, *, after: float) -> Iterator[tuple[Chunk, tuple[int, ...]]]:
        """Find the payloads to which nothing was added for `after` seconds.

        Yields:
            One of the payload's chunks, and the numbers of its missing parts; no numbers if there
            is still no memory for the payload.
        """
        for partial in list(self._partials.values()):
            if now - partial.asked < after or now - partial.touched < after:
                continue
            partial.asked = now
            if not partial.admitted:
                partial.admitted = self._make_room(partial.first.size, now)
            if partial.admitted:
                yield partial.first, partial.missing()
            else:
                yield partial.first, ()

    def discard(self, request_id: str) -> None:
        """Forget all payloads of an invocation."""
        for key in list(self._partials):
            if key.request_id == request_id:
                del self._partials[key]

    def expire(self, now: float, *, after: float) -> tuple[str, ...]:
        """Forget payloads to which nothing was added for `after` seconds.

        Returns:
            Their request ids.
        """
        old = [key for key, partial in self._partials.items() if now - partial.touched >= after]
        for key in old:
            del self._partials[key]
        return tuple(key.request_id for key in old)

    def _begin(self, key: _Key, chunk: Chunk, now: float) -> _Partial:
        if len(self._partials) >= _MOST_PARTIALS:
            raise ProtocolError(f"{_MOST_PARTIALS} payloads are unfinished already")
        admitted = self._make_room(chunk.size, now)
        partial = _Partial(replace(chunk, data=b""), touched=now, asked=now, admitted=admitted)
        self._partials[key] = partial
        return partial

    def _make_room(self, size: int, now: float) -> bool:
        """Make room for so many bytes, if necessary by dropping payloads that make no progress.

        Returns:
            Whether there is room now.
        """
        kept = [key for key, partial in self._partials.items() if partial.admitted]
        kept.sort(key=lambda key: self._partials[key].touched)
        held = sum(self._partials[key].first.size for key in kept)
        for key in kept:
            is_in_progress = now - self._partials[key].touched < _STANDS_STILL_SECONDS
            if held + size <= self.most_bytes or is_in_progress:
                break
            held -= self._partials.pop(key).first.size
        return held + size <= self.most_bytes


def _check(chunk: Chunk) -> None:
    """Check that a chunk's numbers are possible and fit each other."""
    if chunk.encoding not in (RAW, ZLIB):
        raise ProtocolError(f"unknown encoding {chunk.encoding!r:.40}")
    if chunk.size > PAYLOAD_BYTES:
        raise ProtocolError(f"a payload of {chunk.size} bytes; the most is {PAYLOAD_BYTES}")
    if chunk.parts != _parts(chunk.size) or not 0 <= chunk.part < chunk.parts:
        raise ProtocolError(f"part {chunk.part} of {chunk.parts} for {chunk.size} bytes")
    if len(chunk.data) != min(CHUNK_BYTES, chunk.size - chunk.part * CHUNK_BYTES):
        raise ProtocolError(f"part {chunk.part} has {len(chunk.data)} bytes")


def _decompress(encoding: str, data: bytes) -> bytes:
    if encoding == RAW:
        return data
    unpacker = zlib.decompressobj()
    try:
        # One byte more than the limit: a payload of exactly the limit must reach its end.
        payload = unpacker.decompress(data, PAYLOAD_BYTES + 1)
    except zlib.error:
        raise ProtocolError("a payload does not decompress") from None
    if not unpacker.eof or unpacker.unused_data or len(payload) > PAYLOAD_BYTES:
        raise ProtocolError(
            "a payload is cut short, or decompresses to more than Lambda lets through"
        )
    return payload

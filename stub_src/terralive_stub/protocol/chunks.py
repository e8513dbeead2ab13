"""Payloads: invocations and outcomes as bytes, compressed where that helps, cut into chunks and put together again.

Pure: no clock (`now` is a parameter, in seconds), no I/O. A payload is one line of JSON (the
header) and the raw body behind it, so megabytes of event or response are never parsed. Chunks may
come in any order and more than once; `Assembler` holds a bounded amount of memory whatever a peer
announces.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import NOTHING_PRINTED, Invocation, Outcome, Printed
from terralive_stub.protocol.limits import SYNCHRONOUS_PAYLOAD_BYTES
from terralive_stub.protocol.wire import Chunk, Kind, ProtocolError

# 96,000 bytes are 128,000 characters of base64, which leaves 3 KB of a 128 KB message for the other
# fields.
CHUNK_BYTES: Final = 96_000
# A payload at Lambda's limit, its header (4 KB of environment variables, credentials, context), and
# room to spare.
PAYLOAD_BYTES: Final = SYNCHRONOUS_PAYLOAD_BYTES + 1024 * 1024
RAW: Final = "raw"
ZLIB: Final = "zlib"
_WORTH_COMPRESSING: Final = 1024
_SAMPLE_BYTES: Final = 16 * 1024
_MOST_PARTIALS: Final = 4096
_STANDS_STILL_SECONDS: Final = 5.0


def pack_invocation(invocation: Invocation, *, now: float) -> bytes:
    """Return the payload of an invocation. It carries the time that is left at `now`."""
    header = {
        "request_id": invocation.request_id,
        "function_name": invocation.function_name,
        "function_arn": invocation.function_arn,
        "remaining_ms": int(invocation.deadline.remaining(now) * 1000),
        "environment": dict(invocation.environment),
        "trace_id": invocation.trace_id,
        "client_context": invocation.client_context,
        "cognito_identity": invocation.cognito_identity,
    }
    return _pack(header, invocation.event)


def unpack_invocation(payload: bytes, *, now: float) -> Invocation:
    """Read an invocation's payload. Its deadline is the time left, counted from `now`.

    Raises:
        ProtocolError: the header is not what `pack_invocation` makes.
    """
    header, event = _unpack(payload)
    environment = header.get("environment")
    if not isinstance(environment, dict) or not all(
        isinstance(value, str) for value in environment.values()
    ):
        raise ProtocolError("invocation.environment must map texts to texts")
    remaining_ms = header.get("remaining_ms")
    if type(remaining_ms) is not int or not 0 <= remaining_ms <= 2**40:
        raise ProtocolError("invocation.remaining_ms must be a number of milliseconds")
    return Invocation(
        request_id=_text(header, "request_id"),
        function_name=_text(header, "function_name"),
        function_arn=_text(header, "function_arn"),
        deadline=Deadline.after(remaining_ms / 1000, now=now),
        event=event,
        environment=environment,
        trace_id=_text(header, "trace_id"),
        client_context=_text(header, "client_context"),
        cognito_identity=_text(header, "cognito_identity"),
    )


def pack_outcome(outcome: Outcome) -> bytes:
    logs = (
        {"logs": outcome.logs.text, "logs_start": outcome.logs.start} if outcome.logs.text else {}
    )
    return _pack({"error_type": outcome.error_type, **logs}, outcome.body)


def unpack_outcome(payload: bytes) -> Outcome:
    """Read an outcome's payload.

    Raises:
        ProtocolError: the header is not what `pack_outcome` makes.
    """
    header, body = _unpack(payload)
    return Outcome(
        body, _text(header, "error_type"), _printed(header.get("logs_start"), header.get("logs"))
    )


def pack_logs(printed: Printed) -> bytes:
    return _pack({"start": printed.start}, printed.text.encode())


def unpack_logs(payload: bytes) -> Printed:
    """Read a part of what a handler has printed.

    Raises:
        ProtocolError: there is no header.
    """
    header, text = _unpack(payload)
    return _printed(header.get("start"), text.decode("utf-8", "replace"))


def _printed(start: object, text: object) -> Printed:
    """What cannot be read is nothing: no result is lost for it."""
    return (
        Printed(start, text)
        if type(start) is int and start >= 0 and isinstance(text, str)
        else NOTHING_PRINTED
    )


def _pack(header: dict[str, object], body: bytes) -> bytes:
    return json.dumps(header, separators=(",", ":")).encode() + b"\n" + body


def _unpack(payload: bytes) -> tuple[dict[str, object], bytes]:
    line, newline, body = payload.partition(b"\n")
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError("a payload's header is not JSON") from None
    if not newline or not isinstance(header, dict):
        raise ProtocolError("a payload has no header")
    return header, body


def _text(header: dict[str, object], name: str) -> str:
    value = header.get(name)
    if not isinstance(value, str):
        raise ProtocolError(f"a payload's {name} must be a text")
    return value


def split(
    kind: Kind, request_id: str, function: str, payload: bytes, *, peer: str = ""
) -> tuple[Chunk, ...]:
    """Cut a payload into chunks that each fit a WebSocket message of API Gateway.

    Raises:
        ProtocolError: the payload is larger than anything Lambda lets through.
    """
    if len(payload) > PAYLOAD_BYTES:
        raise ProtocolError(f"a payload of {len(payload)} bytes; the most is {PAYLOAD_BYTES}")
    encoding, encoded = _compress(payload)
    parts = max(1, -(-len(encoded) // CHUNK_BYTES))
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
        )
        for part in range(parts)
    )


def _compress(payload: bytes) -> tuple[str, bytes]:
    """Compress if it makes the payload at least a tenth smaller.

    A sample spares a small CPU the attempt.
    """
    if len(payload) < _WORTH_COMPRESSING:
        return RAW, payload
    sample = payload[:_SAMPLE_BYTES]
    if len(zlib.compress(sample, 1)) > len(sample) * 0.9:
        return RAW, payload
    compressed = zlib.compress(payload, 1)
    return (ZLIB, compressed) if len(compressed) < len(payload) * 0.9 else (RAW, payload)


@dataclass(slots=True)
class _Partial:
    first: Chunk  # without its data
    touched: float  # when something of it came last
    asked: float  # when its peer was told last what is missing
    admitted: bool = True  # else it waits for room, and nothing of it is kept
    data: dict[int, bytes] = field(default_factory=dict)

    def matches(self, chunk: Chunk) -> bool:
        first = self.first
        return (first.parts, first.size, first.encoding) == (
            chunk.parts,
            chunk.size,
            chunk.encoding,
        )


Key = tuple[Kind, str, str]


@dataclass(frozen=True, slots=True)
class AssemblerStats:
    """Number of incomplete payloads, and the announced bytes of those with a chunk in memory."""

    payloads: int
    announced_bytes: int


@dataclass(slots=True)
class Assembler:
    """Puts payloads together from their chunks.

    Invariants: what a payload announces is checked before anything of it is kept; no more than
    `most_bytes` are announced by the payloads of which something is kept. A payload for which there
    is no room waits (its peer is asked for all of it later), so that many at once finish one after
    the other; one that makes no progress gives way.
    """

    most_bytes: int = 16 * PAYLOAD_BYTES
    _partials: dict[Key, _Partial] = field(default_factory=dict)

    def add(self, chunk: Chunk, now: float) -> bytes | None:
        """Take one chunk; give the payload when it was the last one missing.

        Raises:
            ProtocolError: the chunk contradicts its own numbers or the chunks that came before.
        """
        _check(chunk)
        key = (chunk.kind, chunk.request_id, chunk.peer)
        partial = self._partials.get(key)
        if partial is not None and not partial.matches(chunk):
            # The same payload, packed anew by a peer that had to reconnect: the newer one counts.
            del self._partials[key]
            partial = None
        if partial is None:
            if chunk.parts == 1:
                return _decompress(chunk.encoding, chunk.data)
            if len(self._partials) >= _MOST_PARTIALS:
                raise ProtocolError(f"{_MOST_PARTIALS} payloads are unfinished already")
            partial = self._partials[key] = _Partial(
                replace(chunk, data=b""), now, now, admitted=self._has_room(chunk.size, now)
            )
        if not partial.admitted:
            partial.touched = now
            return None
        if chunk.part not in partial.data:  # a repeated part is no progress
            partial.touched = now
            partial.data[chunk.part] = chunk.data
        if len(partial.data) < chunk.parts:
            return None
        del self._partials[key]
        return _decompress(
            chunk.encoding, b"".join(partial.data[part] for part in range(chunk.parts))
        )

    def stats(self) -> AssemblerStats:
        """Return how much is incomplete."""
        kept = [partial.first.size for partial in self._partials.values() if partial.data]
        return AssemblerStats(len(self._partials), sum(kept))

    def stalled(self, now: float, *, after: float) -> Iterator[tuple[Chunk, tuple[int, ...]]]:
        """Name the payloads to which nothing was added for `after` seconds: any chunk, and the parts that miss.

        One that still waits for room is named without parts.
        """
        for partial in list(self._partials.values()):
            if now - partial.asked >= after and now - partial.touched >= after:
                partial.asked = now
                if not partial.admitted:
                    partial.admitted = self._has_room(partial.first.size, now)
                missing = (part for part in range(partial.first.parts) if part not in partial.data)
                yield partial.first, tuple(missing) if partial.admitted else ()

    def discard(self, request_id: str) -> None:
        for key in [key for key in self._partials if key[1] == request_id]:
            del self._partials[key]

    def expire(self, now: float, *, after: float) -> tuple[str, ...]:
        """Forget payloads to which nothing was added for `after` seconds; give their request ids."""
        old = [key for key, partial in self._partials.items() if now - partial.touched >= after]
        for key in old:
            del self._partials[key]
        return tuple(key[1] for key in old)

    def _has_room(self, size: int, now: float) -> bool:
        """Make room among the payloads that stand still, if that is needed."""
        kept = [key for key, partial in self._partials.items() if partial.admitted]
        held = sum(self._partials[key].first.size for key in kept)
        for key in sorted(kept, key=lambda item: self._partials[item].touched):
            if (
                held + size <= self.most_bytes
                or now - self._partials[key].touched < _STANDS_STILL_SECONDS
            ):
                break
            held -= self._partials.pop(key).first.size
        return held + size <= self.most_bytes


def _check(chunk: Chunk) -> None:
    if chunk.encoding not in (RAW, ZLIB):
        raise ProtocolError(f"unknown encoding {chunk.encoding!r:.40}")
    if chunk.size > PAYLOAD_BYTES:
        raise ProtocolError(f"a payload of {chunk.size} bytes; the most is {PAYLOAD_BYTES}")
    if chunk.parts != max(1, -(-chunk.size // CHUNK_BYTES)) or not 0 <= chunk.part < chunk.parts:
        raise ProtocolError(f"part {chunk.part} of {chunk.parts} for {chunk.size} bytes")
    if len(chunk.data) != min(CHUNK_BYTES, chunk.size - chunk.part * CHUNK_BYTES):
        raise ProtocolError(f"part {chunk.part} has {len(chunk.data)} bytes")


def _decompress(encoding: str, data: bytes) -> bytes:
    if encoding == RAW:
        return data
    unpacker = zlib.decompressobj()
    try:
        payload = unpacker.decompress(
            data, PAYLOAD_BYTES + 1
        )  # one more: at the limit itself it ends
    except zlib.error:
        raise ProtocolError("a payload does not decompress") from None
    if not unpacker.eof or unpacker.unused_data or len(payload) > PAYLOAD_BYTES:
        raise ProtocolError(
            "a payload is cut short, or decompresses to more than Lambda lets through"
        )
    return payload

"""Just enough HTTP/1.1 for a Runtime API on loopback: one request in, one response out.

Written by hand because what Lambda's runtime clients send is outside what `http.server` takes:
header lines of up to a megabyte (the X-Ray cause of an error), chunked bodies with trailers,
`Expect: 100-continue`. It knows nothing of
Lambda and never opens a socket: it reads from a buffered stream and returns bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

MAX_LINE: Final = 2 * 1024 * 1024
MAX_FIELDS: Final = 200
_REASONS: Final = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Payload Too Large",
}


class BadRequestError(Exception):
    """The peer does not speak HTTP/1.1; its connection is to be closed."""


class Stream(Protocol):
    """What `socket.makefile("rb")` gives."""

    def readline(self, limit: int, /) -> bytes: ...
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request. Header names are in lower case; trailers are among the headers.

    `body` stops at the limit that the reader was given, `body_bytes` is what was really sent.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False, default=b"")
    body_bytes: int = 0

    @property
    def keep_alive(self) -> bool:
        return self.headers.get("connection", "").lower() != "close"


def read_request(
    stream: Stream, *, body_limit: int, send_continue: Callable[[], None]
) -> Request | None:
    """Read one request; None at a clean end of the connection.

    Raises:
        BadRequestError: it is not HTTP/1.1, or broken off.
    """
    start = stream.readline(MAX_LINE)
    if not start:
        return None
    parts = start.decode("latin-1").split()
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, target, version
        raise BadRequestError("not an HTTP/1.1 request line")
    headers = _fields(stream)
    if headers.get("expect", "").lower() == "100-continue":
        send_continue()
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body, size, trailers = _chunked(stream, body_limit)
        headers |= trailers
    else:
        body, size = _sized(stream, headers.get("content-length", "0"), body_limit)
    return Request(parts[0], parts[1], headers, body, size)


def response(
    status: int, headers: Mapping[str, str], body: bytes, *, keep_alive: bool = True
) -> bytes:
    """One response's bytes; header values lose line breaks, so that no value can become a header."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
    lines += [f"{name}: {' '.join(value.splitlines())}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    if not keep_alive:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace") + body


def _fields(stream: Stream) -> dict[str, str]:
    found: dict[str, str] = {}
    while True:
        line = stream.readline(MAX_LINE)
        if line in {b"\r\n", b"\n"}:
            return found
        name, colon, value = line.partition(b":")
        if not colon or not line.endswith(b"\n") or len(found) > MAX_FIELDS:
            raise BadRequestError("broken header")
        found[name.decode("latin-1").strip().lower()] = value.decode("utf-8", "replace").strip()


def _number(text: str, base: int) -> int:
    try:
        size = int(text, base)
    except ValueError as error:
        raise BadRequestError("a length that is no number") from error
    if size < 0:
        raise BadRequestError("a negative length")
    return size


def _sized(stream: Stream, length: str, limit: int) -> tuple[bytes, int]:
    size = _number(length, 10)
    body = stream.read(min(size, limit))
    _skip(stream, size - len(body))
    return body, size


def _chunked(stream: Stream, limit: int) -> tuple[bytes, int, dict[str, str]]:
    kept = bytearray()
    total = 0
    while True:
        size = _number(stream.readline(MAX_LINE).split(b";")[0].strip().decode("latin-1"), 16)
        if size == 0:
            return bytes(kept), total, _fields(stream)
        total += size
        wanted = min(size, max(0, limit - len(kept)))
        kept += stream.read(wanted)
        _skip(stream, size - wanted)
        stream.readline(MAX_LINE)


def _skip(stream: Stream, size: int) -> None:
    while size > 0:
        dropped = len(stream.read(min(size, 1 << 20)))
        if dropped == 0:
            raise BadRequestError("the connection ended inside a body")
        size -= dropped

"""The part of HTTP/1.1 that the Runtime API needs: read a request, format a response.

Why not `http.server`: Lambda's runtime clients send header lines of up to a megabyte (the X-Ray
cause of an error), chunked bodies and trailers. `http.server` rejects lines of more than 64 KiB and
reads neither chunks nor trailers.

Why not h11: it can read all of this. But it would be one more dependency of every installation, for
one small server on 127.0.0.1, and a request takes about ten times as long (50 instead of 5
microseconds) on the path of every warm invocation.

This module knows nothing of Lambda and never opens a socket: it reads from a buffered stream and
returns bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

# The longest line that is read, in bytes: twice an X-Ray cause of 1 MB.
_MAX_LINE: Final = 2 * 1024 * 1024
_MAX_HEADERS: Final = 200
# The most bytes of one piece of a body.
_PIECE_BYTES: Final = 64 * 1024
_HEADERS_OF_BROWSERS: Final = ("origin", "referer", "sec-fetch-site")
# A container reaches this machine by the second name:
# https://docs.docker.com/desktop/features/networking/
_LOCAL_HOSTS: Final = ("127.0.0.1", ".internal", ".localhost")
_REASONS: Final = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Payload Too Large",
    501: "Not Implemented",
    502: "Bad Gateway",
}


class BadRequestError(Exception):
    """The peer does not speak HTTP/1.1. Close its connection."""


class Stream(Protocol):
    """A buffered stream of bytes, as `socket.makefile("rb")` returns it."""

    def readline(self, limit: int, /) -> bytes: ...
    def read1(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Request:
    """A request without its body.

    Attributes:
        method: `GET`, `POST`, …
        path: the request's target as it was sent.
        headers: the headers, with their names in lower case.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)

    @property
    def keep_alive(self) -> bool:
        """True if the peer wants to send another request on this connection."""
        return self.headers.get("connection", "").lower() != "close"

    @property
    def waits_for_continue(self) -> bool:
        """True if the peer sends the body only after `100 Continue`."""
        return self.headers.get("expect", "").lower() == "100-continue"

    @property
    def is_of_web_page(self) -> bool:
        """True if a web page in this user's browser has sent the request.

        A page's script may reach any port of the machine. Browsers name the page's origin. A page
        whose own host name leads to 127.0.0.1 ("DNS rebinding") has no other origin, and is
        recognised by that name: https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Host
        """
        if any(name in self.headers for name in _HEADERS_OF_BROWSERS):
            return True
        host = self.headers.get("host", "").partition(":")[0]
        is_local = "." not in host or host.endswith(_LOCAL_HOSTS)
        return not is_local


class Body:
    """The body of one request, which is read as it arrives. Read it once: with one method.

    Args:
        stream: the connection, after the request's headers.
        request: the request.
    """

    def __init__(self, stream: Stream, request: Request) -> None:
        self._stream = stream
        self._headers = request.headers
        # The number of bytes that were read so far.
        self.size = 0
        # The trailers, with their names in lower case. Empty until all of the body is read.
        self.trailers: Mapping[str, str] = {}

    def pieces(self) -> Iterator[bytes]:
        """Return the pieces of the body, each as soon as it is there.

        Raises:
            BadRequestError: the body is not HTTP/1.1, or the connection ended in the middle of it.
        """
        if "chunked" not in self._headers.get("transfer-encoding", "").lower():
            size = _parse_length(self._headers.get("content-length", "0"), base=10)
            yield from self._read(size)
            return
        while True:
            # The length of a chunk may be followed by extensions, which are ignored.
            length = self._stream.readline(_MAX_LINE).split(b";")[0].strip()
            size = _parse_length(length.decode("latin-1"), base=16)
            if size == 0:
                self.trailers = _read_headers(self._stream)
                return
            yield from self._read(size)
            self._stream.readline(_MAX_LINE)  # the line break after the chunk

    def read(self, limit: int) -> bytes:
        """Return the body up to this number of bytes. The rest is read and dropped.

        Raises:
            BadRequestError: as `pieces` does.
        """
        kept = bytearray()
        for piece in self.pieces():
            kept += piece[: limit - len(kept)]
        return bytes(kept)

    def _read(self, size: int) -> Iterator[bytes]:
        left = size
        while left > 0:
            piece = self._stream.read1(min(left, _PIECE_BYTES))
            if not piece:
                raise BadRequestError("the connection ended inside a body")
            left -= len(piece)
            self.size += len(piece)
            yield piece


def read_head(stream: Stream) -> Request | None:
    """Read a request up to its body. Return None if the peer has closed the connection before it.

    Raises:
        BadRequestError: the request is not HTTP/1.1, or the connection ended in the middle of it.
    """
    start = stream.readline(_MAX_LINE)
    if not start:
        return None
    parts = start.decode("latin-1").split()
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, target, version
        raise BadRequestError("not an HTTP/1.1 request line")
    return Request(parts[0], parts[1], _read_headers(stream))


def format_response(
    status: int, headers: Mapping[str, str], body: bytes, *, keep_alive: bool = True
) -> bytes:
    """Return one response as bytes.

    Line breaks are removed from header values, so that no value can become a header of its own.
    """
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
    for name, value in headers.items():
        lines.append(f"{name}: {' '.join(value.splitlines())}")
    lines.append(f"Content-Length: {len(body)}")
    if not keep_alive:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace") + body


def _read_headers(stream: Stream) -> dict[str, str]:
    """Read headers, or trailers, up to the empty line."""
    found: dict[str, str] = {}
    while True:
        line = stream.readline(_MAX_LINE)
        if line in {b"\r\n", b"\n"}:
            return found
        name, colon, value = line.partition(b":")
        if not colon or not line.endswith(b"\n") or len(found) > _MAX_HEADERS:
            raise BadRequestError("broken header")
        found[name.decode("latin-1").strip().lower()] = value.decode("utf-8", "replace").strip()


def _parse_length(text: str, base: int) -> int:
    try:
        size = int(text, base)
    except ValueError as error:
        raise BadRequestError("a length that is no number") from error
    if size < 0:
        raise BadRequestError("a negative length")
    return size

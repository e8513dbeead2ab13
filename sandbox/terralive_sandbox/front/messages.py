"""Requests and responses as messages of ASGI, which is how uvicorn passes them on.

https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Final, TypeAlias, cast

from terralive_sandbox.access import sigv4
from terralive_sandbox.front.http_protocol import BREAK_OFF, HEADER_NAMES
from terralive_sandbox.responses import BrokenStreamError, Headers, StreamedResponse

Message: TypeAlias = MutableMapping[str, object]
Scope: TypeAlias = MutableMapping[str, object]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

# Larger requests are refused. The largest that AWS takes is a function's zip file in base64.
BODY_BYTES: Final = 80 * 1024 * 1024
_REQUEST_ID_HEADERS: Final = frozenset({"x-amzn-requestid", "apigw-requestid"})
_LENGTH_HEADERS: Final = frozenset({"content-length", "transfer-encoding"})
_WITHOUT_BODY: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


async def read_body(receive: Receive) -> bytes | None:
    """Return a request's body, None if the client has left; stop reading when it is too large."""
    body = bytearray()
    more = True
    while more and len(body) <= BODY_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += cast("bytes", message.get("body", b""))
        more = bool(message.get("more_body", False))
    return bytes(body)


def request_of(scope: Scope, body: bytes) -> sigv4.Request:
    """Return the request of an ASGI scope."""
    headers = cast("list[tuple[bytes, bytes]]", scope["headers"])
    return sigv4.Request(
        method=str(scope["method"]),
        path=cast("bytes", scope["raw_path"]).decode("latin-1"),
        query=cast("bytes", scope["query_string"]).decode("latin-1"),
        headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers),
        body=body,
        names=cast("tuple[str, ...]", scope.get(HEADER_NAMES, ())),
    )


async def send_response(
    send: Send, status: int, headers: Headers, body: bytes, *, is_head: bool = False
) -> None:
    """Send a response, with a request id if it has none.

    Args:
        send: sends messages of ASGI.
        status: the HTTP status.
        headers: the headers.
        body: the body.
        is_head: whether it answers a HEAD request. The length of such an answer is that of the
            body that a GET would get: https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2
    """
    length = str(len(body))
    headers = _with_request_id(headers)
    encoded: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if name.lower() == "content-length":
            if is_head and not body:
                length = value
        else:
            encoded.append((name.lower().encode("latin-1"), value.encode("latin-1", "replace")))
    if status in _WITHOUT_BODY:
        # These have no body, whatever a function returns: a client would take it for the next
        # response.
        body = b""
    else:
        encoded.append((b"content-length", length.encode()))
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


async def send_stream(
    scope: Scope,
    receive: Receive,
    send: Send,
    answer: StreamedResponse,
    *,
    is_head: bool,
) -> None:
    """Send a response piece by piece, as fast as the client reads.

    Args:
        scope: the request's scope.
        receive: receives messages of ASGI.
        send: sends them.
        answer: the response.
        is_head: whether it answers a HEAD request.
    """
    encoded = [
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in _with_request_id(answer.headers)
        if name.lower() not in _LENGTH_HEADERS
    ]
    has_body = not is_head and answer.status not in _WITHOUT_BODY
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
    try:
        async with aclosing(answer.pieces) as pieces:
            async for piece in pieces:
                if has_body:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
    except BrokenStreamError:
        cast("Callable[[], None]", scope[BREAK_OFF])()
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    await send({"type": "http.response.body", "body": b""})


def _with_request_id(headers: Headers) -> Headers:
    names = {name.lower() for name, _ in headers}
    if names & _REQUEST_ID_HEADERS:
        return headers
    return [*headers, ("x-amzn-requestid", secrets.token_hex(16))]

"""One WebSocket connection on the wire: frames in, frames out, and API Gateway's limits on both.

An asyncio protocol on the sans-I/O core of `websockets`, because the limit of 32 KB is on frames,
which servers that deliver whole messages do not show. uvicorn hands over the upgrade request;
everything else is decided by `Peer`.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
names the sizes, the times and close code 1009;
https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-binary-media-types.html
names 1003 for binary frames. No page names the code at the end of a time: 1001 `Going away` is what
AWS sends.
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import Coroutine
from typing import Protocol as Seam
from typing import cast

from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from terralive_sandbox.apigateway.http_messages import GatewayResponseError, HttpResponse
from terralive_stub.protocol.limits import (
    CONNECTION_SECONDS,
    FRAME_BYTES,
    IDLE_SECONDS,
    MESSAGE_BYTES,
)

_CLOSE_SECONDS = 5.0
_MESSAGES_AT_ONCE = 128
# What a client may leave unread: beyond the first its own messages wait, beyond the second there is
# no room for more.
_SLOW_BYTES = 1024 * 1024
_UNREAD_BYTES = 16 * 1024 * 1024
_GOING_AWAY = 1001
_ABNORMAL = 1006
_NO_CODE = 1005
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Peer(Seam):
    """What decides about a socket's connection; called on the event loop."""

    time_scale: float

    async def connect(self, socket: Socket, request: Request) -> str | None:
        """Let a connection in, with this `Sec-WebSocket-Protocol` if any, or raise GatewayResponseError (status 300 and up)."""
        ...

    async def message(self, socket: Socket, text: str) -> None: ...
    async def disconnected(self, socket: Socket, code: int, reason: str) -> None:
        """Called once for each connection that was let in."""
        ...


class Socket(asyncio.Protocol):
    """A client's connection, from its upgrade request to its end."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._loop = asyncio.get_running_loop()
        # Limits are held frame by frame below; the core's own bound is on what it must keep of one
        # frame.
        self._core = ServerProtocol(max_size=MESSAGE_BYTES)
        self._parts: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._lifetime: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._last_seen = self._loop.time()
        self._open = False
        self._slow = False
        self._reason: tuple[int, str] | None = None
        self.source_ip = "127.0.0.1"

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_SLOW_BYTES)
        peer_name = transport.get_extra_info("peername")
        if peer_name:
            self.source_ip = str(peer_name[0])

    def data_received(self, data: bytes) -> None:
        self._core.receive_data(data)
        self._handle()

    def eof_received(self) -> None:
        self._core.receive_eof()
        self._handle()

    def pause_writing(self) -> None:
        """A client that does not read is not read from either, so that answers to it cannot pile up."""
        self._slow = True
        self._regulate()

    def resume_writing(self) -> None:
        self._slow = False
        self._regulate()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._core.state is not State.CLOSED:
            self._core.receive_eof()
        for timer in (self._lifetime, self._idle, self._ending):
            if timer is not None:
                timer.cancel()
        if self._open:
            self._open = False
            code, reason = self._reason or self._how_it_ended()
            self._spawn(self._peer.disconnected(self, code, reason))

    # the gateway's side

    @property
    def is_open(self) -> bool:
        return self._open and self._core.state is State.OPEN

    @property
    def has_room(self) -> bool:
        """Whether the client has read enough of what it was sent."""
        return self._transport.get_write_buffer_size() <= _UNREAD_BYTES

    def send(self, text: bytes) -> None:
        """Send one message, in several frames where it is larger than one may be.

        Lost if the connection is.
        """
        if not self.is_open:
            return
        pieces = [text[at : at + FRAME_BYTES] for at in range(0, len(text), FRAME_BYTES)] or [b""]
        self._core.send_text(pieces[0], fin=len(pieces) == 1)
        for index, piece in enumerate(pieces[1:], start=2):
            self._core.send_continuation(piece, fin=index == len(pieces))
        self._last_seen = self._loop.time()
        self._flush()
        if self._transport.get_write_buffer_size() > 2 * _UNREAD_BYTES:
            self.drop()

    def close(self, code: int, reason: str) -> None:
        """Close with a handshake; `$disconnect` will carry this code."""
        if self._core.state is State.OPEN:
            self._reason = (code, reason)
            self._core.send_close(code, reason)
            self._flush()

    def expire(self) -> None:
        """Close as at the end of the connection's time."""
        self.close(_GOING_AWAY, "Going away")

    def drop(self) -> None:
        """Cut the connection without a word."""
        self._transport.abort()

    def shutdown(self) -> None:
        """The server stops."""
        if self.is_open:
            self.expire()
        else:
            self._transport.abort()

    # inside

    def _handle(self) -> None:
        for event in self._core.events_received():
            if isinstance(event, Request):
                self._spawn(self._accept_or_refuse(event))
            elif isinstance(event, Frame):
                self._frame(event)
        self._flush()

    async def _accept_or_refuse(self, request: Request) -> None:
        response = self._core.accept(request)
        if response.status_code == http.HTTPStatus.SWITCHING_PROTOCOLS:
            try:
                subprotocol = await self._peer.connect(self, request)
            except GatewayResponseError as refused:
                response = _refusal(refused.response)
            else:
                if subprotocol is not None:
                    response.headers["Sec-WebSocket-Protocol"] = subprotocol
                if self._transport.is_closing():
                    await self._peer.disconnected(self, _ABNORMAL, "Connection closed abnormally")
            if self._transport.is_closing():  # the client has left meanwhile
                return
        self._core.send_response(response)
        if self._core.state is State.OPEN:
            self._open = True
            self._last_seen = self._loop.time()
            self._lifetime = self._loop.call_later(
                CONNECTION_SECONDS * self._peer.time_scale, self.expire
            )
            self._watch_idle()
        self._flush()
        self._handle()

    def _watch_idle(self) -> None:
        left = self._last_seen + IDLE_SECONDS * self._peer.time_scale - self._loop.time()
        if left <= 0:
            self.expire()
        else:
            self._idle = self._loop.call_later(left, self._watch_idle)

    def _frame(self, frame: Frame) -> None:
        self._last_seen = self._loop.time()
        if self._core.state is not State.OPEN:
            return
        if frame.opcode is Opcode.BINARY:
            self._core.fail(1003, "Binary frames are not supported")
            return
        if frame.opcode not in {Opcode.TEXT, Opcode.CONT}:
            return
        if len(frame.data) > FRAME_BYTES:
            self._core.fail(1009, "Frame is too big")
            return
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return
        data = b"".join(self._parts)
        self._parts.clear()
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self._core.fail(1007, "Not UTF-8")
            return
        self._spawn(self._peer.message(self, text))
        self._regulate()

    def _regulate(self) -> None:
        if self._slow or len(self._tasks) >= _MESSAGES_AT_ONCE:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _flush(self) -> None:
        if self._transport.is_closing():
            return
        waiting = self._core.data_to_send()
        if (
            waiting == [b""] and self._core.state is State.CONNECTING
        ):  # it makes nothing of the request, and says so not
            waiting = [_BAD_REQUEST, b""]
        over = b"" in waiting
        # Nothing that is empty: from Python 3.12 on the event loop would try to send it for ever.
        self._transport.writelines([data for data in waiting if data])
        if over or self._core.state is State.CLOSED:
            self._transport.close()
        elif not self._core.close_expected():
            return
        # A client that neither reads nor answers would keep its connection for good.
        if self._ending is None:
            self._ending = self._loop.call_later(_CLOSE_SECONDS, self._transport.abort)

    def _how_it_ended(self) -> tuple[int, str]:
        received = self._core.close_rcvd
        sent = self._core.close_sent
        if received is not None and (sent is None or self._core.close_rcvd_then_sent):
            if received.code == _NO_CODE:
                return _NO_CODE, "Client-side close frame status not set"
            return int(received.code), received.reason
        if sent is not None:
            return int(sent.code), sent.reason
        return _ABNORMAL, "Connection closed abnormally"

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            if not self._open:
                self._transport.abort()  # nobody would answer the upgrade any more
            self._loop.call_exception_handler(
                {"message": "a WebSocket's task failed", "exception": task.exception()}
            )
        if not self._transport.is_closing():
            self._regulate()


def _refusal(answer: HttpResponse) -> Response:
    headers = Headers(
        [("Connection", "close"), ("Content-Length", str(len(answer.body))), *answer.headers]
    )
    known = {status.value: status.phrase for status in http.HTTPStatus}
    return Response(answer.status, known.get(answer.status, "Refused"), headers, answer.body)

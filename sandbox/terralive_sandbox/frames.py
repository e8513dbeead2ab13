"""One WebSocket connection on the wire: frames in, frames out, and API Gateway's limits on both.

An asyncio protocol on the sans-I/O core of `websockets`, because the limit of 32 KB is on frames, which servers that
deliver whole messages do not show. uvicorn hands over the upgrade request; everything else is decided by `Peer`.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Protocol as Seam
from typing import cast

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from terralive_stub.limits import CONNECTION_SECONDS, FRAME_BYTES, IDLE_SECONDS, MESSAGE_BYTES

_CLOSE_SECONDS = 5.0
_MESSAGES_AT_ONCE = 128
_UNSENT_BYTES = 16 * 1024 * 1024
_GOING_AWAY = 1001
_ABNORMAL = 1006
_NO_CODE = 1005


class Peer(Seam):
    """What decides about a socket's connection; called on the event loop."""

    time_scale: float

    async def connect(self, socket: Socket, request: Request) -> tuple[int, str] | None:
        """None accepts; else the HTTP status and body that refuse."""
        ...

    async def message(self, socket: Socket, text: str) -> None: ...
    async def disconnected(self, socket: Socket, code: int, reason: str) -> None: ...
    def opened(self, socket: Socket) -> None: ...
    def closed(self, socket: Socket) -> None: ...


class Socket(asyncio.Protocol):
    """A client's connection, from its upgrade request to its end."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._loop = asyncio.get_running_loop()
        # Limits are held frame by frame below; the core's own bound is on what it must keep of one frame.
        self._core = ServerProtocol(max_size=MESSAGE_BYTES)
        self._parts: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self._last_seen = self._loop.time()
        self._open = False
        self._reason: tuple[int, str] | None = None
        self.source_ip = "127.0.0.1"

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer_name = transport.get_extra_info("peername")
        if peer_name:
            self.source_ip = str(peer_name[0])
        self._peer.opened(self)

    def data_received(self, data: bytes) -> None:
        self._core.receive_data(data)
        self._handle()

    def eof_received(self) -> None:
        self._core.receive_eof()
        self._handle()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._core.state is not State.CLOSED:
            self._core.receive_eof()
        for timer in self._timers:
            timer.cancel()
        self._peer.closed(self)
        if self._open:
            self._open = False
            code, reason = self._reason or self._how_it_ended()
            self._spawn(self._peer.disconnected(self, code, reason))

    # the gateway's side

    @property
    def is_open(self) -> bool:
        return self._open and self._core.state is State.OPEN

    def send(self, text: bytes) -> None:
        """Send one message, in several frames where it is larger than one may be."""
        if not self.is_open:
            return
        pieces = [text[at : at + FRAME_BYTES] for at in range(0, len(text), FRAME_BYTES)] or [b""]
        self._core.send_text(pieces[0], fin=len(pieces) == 1)
        for index, piece in enumerate(pieces[1:], start=2):
            self._core.send_continuation(piece, fin=index == len(pieces))
        self._last_seen = self._loop.time()
        self._flush()
        if self._transport.get_write_buffer_size() > _UNSENT_BYTES:
            self.drop()

    def close(self, code: int, reason: str) -> None:
        """Close with a handshake; `$disconnect` will carry this code."""
        if self._core.state is State.OPEN:
            self._reason = (code, reason)
            self._core.send_close(code, reason)
            self._flush()
            self._timers.append(self._loop.call_later(_CLOSE_SECONDS, self._transport.abort))

    def drop(self) -> None:
        """Cut the connection without a word."""
        self._transport.abort()

    def shutdown(self) -> None:
        """The server stops."""
        if self.is_open:
            self.close(_GOING_AWAY, "Going away")
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
        if response.status_code == 101:  # noqa: PLR2004 - Switching Protocols
            refusal = await self._peer.connect(self, request)
            if refusal is not None:
                status, body = refusal
                response = self._core.reject(status, body)
                del response.headers["Content-Type"]
                response.headers["Content-Type"] = "application/json"
            elif self._transport.is_closing():
                self._reason = (_ABNORMAL, "")
                await self._peer.disconnected(self, _ABNORMAL, "")
                return
        self._core.send_response(response)
        if self._core.state is State.OPEN:
            self._open = True
            scale = self._peer.time_scale
            self._timers.append(
                self._loop.call_later(CONNECTION_SECONDS * scale, self.close, _GOING_AWAY, "Going away")
            )
            self._watch_idle()
        self._flush()
        self._handle()

    def _watch_idle(self) -> None:
        left = self._last_seen + IDLE_SECONDS * self._peer.time_scale - self._loop.time()
        if left <= 0:
            self.close(_GOING_AWAY, "Going away")
        else:
            self._timers = [t for t in self._timers if not t.cancelled() and t.when() > self._loop.time()]
            self._timers.append(self._loop.call_later(left, self._watch_idle))

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
        if len(self._tasks) >= _MESSAGES_AT_ONCE:
            self._transport.pause_reading()

    def _flush(self) -> None:
        if self._transport.is_closing():
            return
        for data in self._core.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()
                return
        if self._core.state is State.CLOSED or (self._core.close_expected() and self._core.eof_sent):
            self._transport.close()

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
            self._loop.call_exception_handler({"message": "a WebSocket's task failed", "exception": task.exception()})
        if len(self._tasks) < _MESSAGES_AT_ONCE and not self._transport.is_closing():
            self._transport.resume_reading()

"""One WebSocket connection on the wire: frames in, frames out, and API Gateway's limits on both.

An asyncio protocol on the sans-I/O core of `websockets`. uvicorn passes the upgrade request to it;
a `SocketHandler` decides everything else. It is a class of its own for four reasons: the answer to
an upgrade waits for `$connect`; a connection can be cut or can expire on demand; a sender has to
know whether the client reads; and API Gateway's close code and reason depend on single frames. (The
core can limit frames since version 16, but with a reason of its own, and before it knows whether a
frame is binary.)

The page
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
names the sizes, the times and close code 1009. The page
https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-binary-media-types.html
names 1003 for binary frames. No page names the code at the end of a time: AWS sends 1001
`Going away`.
"""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Final, Protocol, cast

from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame, Opcode
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

# How long a client may take to answer a close frame.
_CLOSE_SECONDS: Final = 5.0
# How many messages of one client are handled at once; the next ones wait in the network.
_MESSAGES_AT_ONCE: Final = 128
# How much the client may leave unread: beyond the first size its own messages wait, beyond the
# second one it cannot be sent more.
_SLOW_BYTES: Final = 1024 * 1024
_UNREAD_BYTES: Final = 16 * 1024 * 1024
_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class _End:
    """The close code and reason with which a connection has ended."""

    code: int
    reason: str


_CUT: Final = _End(CloseCode.ABNORMAL_CLOSURE, "Connection closed abnormally")


class SocketHandler(Protocol):
    """Decides about the connections of sockets. A socket calls it on the event loop.

    Attributes:
        time_scale: the factor of all times, below 1 in tests.
    """

    time_scale: float

    async def on_connect(self, socket: Socket, request: Request) -> str | None:
        """Accept a connection.

        Returns:
            The `Sec-WebSocket-Protocol` of the connection, if any.

        Raises:
            GatewayResponseError: it does not accept. The response's status is 300 or more.
        """
        ...

    async def on_message(self, socket: Socket, text: str) -> None:
        """Handle a message. The messages of a client are handled side by side."""
        ...

    async def on_disconnect(self, socket: Socket, code: int, reason: str) -> None:
        """Handle the end of a connection. Called once for each that was accepted."""
        ...


class Socket(asyncio.Protocol):
    """A client's connection, from its upgrade request to its end. It lives on the event loop.

    Attributes:
        source_ip: the client's address.
    """

    def __init__(self, handler: SocketHandler) -> None:
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        # Parses and makes frames. Its limit is on messages; `_receive_frame` limits frames.
        self._core = ServerProtocol(max_size=MESSAGE_BYTES)
        # The frames of a message that is not complete yet.
        self._parts: list[bytes] = []
        # What the handler is doing for this connection.
        self._tasks: set[asyncio.Task[None]] = set()
        # Timers, each None until it is needed: the end of the two hours, the next look whether the
        # connection is idle, and the end of the client's time to close.
        self._lifetime: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._ending: asyncio.TimerHandle | None = None
        # The time of the last frame in either direction, on the loop's clock.
        self._last_seen = self._loop.time()
        # True between the answer to the upgrade request and the end of the connection.
        self._open = False
        # True while the client leaves too much unread.
        self._slow = False
        # The end that `close` has asked for; it is also the one that `$disconnect` reports.
        self._requested_end: _End | None = None
        self.source_ip = "127.0.0.1"

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over from uvicorn."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_SLOW_BYTES)
        peer_name = transport.get_extra_info("peername")
        if peer_name:
            self.source_ip = str(peer_name[0])

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        self._core.receive_data(data)
        self._handle_events()

    def eof_received(self) -> None:
        """Take the end of the client's bytes."""
        self._core.receive_eof()
        self._handle_events()

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read, so that answers to it cannot pile up."""
        self._slow = True
        self._regulate()

    def resume_writing(self) -> None:
        """Read again from a client that reads again."""
        self._slow = False
        self._regulate()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up, and report the end of a connection that was open."""
        del exc
        if self._core.state is not State.CLOSED:
            self._core.receive_eof()
        for timer in (self._lifetime, self._idle, self._ending):
            if timer is not None:
                timer.cancel()
        if self._open:
            self._open = False
            end = self._requested_end or self._observed_end()
            self._spawn(self._handler.on_disconnect(self, end.code, end.reason))

    # Called by the gateway.

    @property
    def is_open(self) -> bool:
        """Tell whether messages can be sent."""
        return self._open and self._core.state is State.OPEN

    @property
    def has_room(self) -> bool:
        """Tell whether the client has read enough of what it was sent."""
        return self._transport.get_write_buffer_size() <= _UNREAD_BYTES

    def send(self, text: bytes) -> None:
        """Send one message, in several frames if it is larger than one frame may be.

        The message is lost if the connection is not open.
        """
        if not self.is_open:
            return
        starts = range(0, len(text), FRAME_BYTES)
        pieces = [text[start : start + FRAME_BYTES] for start in starts] or [b""]
        last = len(pieces) - 1
        self._core.send_text(pieces[0], fin=last == 0)
        for index, piece in enumerate(pieces[1:], start=1):
            self._core.send_continuation(piece, fin=index == last)
        self._last_seen = self._loop.time()
        self._flush()
        if self._transport.get_write_buffer_size() > 2 * _UNREAD_BYTES:
            self.drop()

    def close(self, code: int, reason: str) -> None:
        """Close with a handshake; `$disconnect` reports this code and reason."""
        if self._core.state is State.OPEN:
            self._requested_end = _End(code, reason)
            self._core.send_close(code, reason)
            self._flush()

    def expire(self) -> None:
        """Close as at the end of the connection's time."""
        self.close(CloseCode.GOING_AWAY, "Going away")

    def drop(self) -> None:
        """Cut the connection without a close frame."""
        self._transport.abort()

    def shutdown(self) -> None:
        """Close or cut the connection because the server stops. Called by uvicorn."""
        if self.is_open:
            self.expire()
        else:
            self._transport.abort()

    # Internal.

    def _handle_events(self) -> None:
        for event in self._core.events_received():
            if isinstance(event, Request):
                self._spawn(self._answer_upgrade(event))
            elif isinstance(event, Frame):
                self._receive_frame(event)
        self._flush()

    async def _answer_upgrade(self, request: Request) -> None:
        response = self._core.accept(request)
        if response.status_code == http.HTTPStatus.SWITCHING_PROTOCOLS:
            try:
                subprotocol = await self._handler.on_connect(self, request)
            except GatewayResponseError as error:
                response = _upgrade_response(error.response)
            else:
                if subprotocol is not None:
                    response.headers["Sec-WebSocket-Protocol"] = subprotocol
                if self._transport.is_closing():
                    await self._handler.on_disconnect(self, _CUT.code, _CUT.reason)
            if self._transport.is_closing():  # The client left in the meantime.
                return
        self._core.send_response(response)
        if self._core.state is State.OPEN:
            self._open = True
            self._last_seen = self._loop.time()
            self._lifetime = self._loop.call_later(
                CONNECTION_SECONDS * self._handler.time_scale, self.expire
            )
            self._watch_idle()
        self._flush()
        # The client may have sent frames before the answer.
        self._handle_events()

    def _watch_idle(self) -> None:
        idle_at = self._last_seen + IDLE_SECONDS * self._handler.time_scale
        left = idle_at - self._loop.time()
        if left <= 0:
            self.expire()
        else:
            self._idle = self._loop.call_later(left, self._watch_idle)

    def _receive_frame(self, frame: Frame) -> None:
        self._last_seen = self._loop.time()
        if self._core.state is not State.OPEN:
            return
        if frame.opcode is Opcode.BINARY:
            self._core.fail(CloseCode.UNSUPPORTED_DATA, "Binary frames are not supported")
            return
        if frame.opcode not in {Opcode.TEXT, Opcode.CONT}:
            return
        if len(frame.data) > FRAME_BYTES:
            self._core.fail(CloseCode.MESSAGE_TOO_BIG, "Frame is too big")
            return
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return
        data = b"".join(self._parts)
        self._parts.clear()
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self._core.fail(CloseCode.INVALID_DATA, "Not UTF-8")
            return
        self._spawn(self._handler.on_message(self, text))
        self._regulate()

    def _regulate(self) -> None:
        """Read from the client, unless it is slow or has too many messages in hand."""
        if self._slow or len(self._tasks) >= _MESSAGES_AT_ONCE:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _flush(self) -> None:
        """Send what the core wants to send, and close the transport if the core is done."""
        if self._transport.is_closing():
            return
        waiting = self._core.data_to_send()
        if waiting == [b""] and self._core.state is State.CONNECTING:
            # The core could not parse the request and has no answer to it.
            waiting = [_BAD_REQUEST, b""]
        # An empty piece is the core's mark for the end of the stream. It must not be written: from
        # Python 3.12 on the event loop would try to send it for ever.
        is_end = b"" in waiting
        self._transport.writelines([data for data in waiting if data])
        if is_end or self._core.state is State.CLOSED:
            self._transport.close()
        elif not self._core.close_expected():
            return
        # A client that neither reads nor answers would keep its connection for good.
        if self._ending is None:
            self._ending = self._loop.call_later(_CLOSE_SECONDS, self._transport.abort)

    def _observed_end(self) -> _End:
        """Return how the connection has ended, from the close frames of both sides."""
        received = self._core.close_rcvd
        sent = self._core.close_sent
        client_closed = received is not None and (sent is None or self._core.close_rcvd_then_sent)
        if received is not None and client_closed:
            if received.code == CloseCode.NO_STATUS_RCVD:
                return _End(int(received.code), "Client-side close frame status not set")
            return _End(int(received.code), received.reason)
        if sent is not None:
            return _End(int(sent.code), sent.reason)
        return _CUT

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            if not self._open:
                # No other task answers the upgrade request.
                self._transport.abort()
            self._loop.call_exception_handler(
                {"message": "a WebSocket's task failed", "exception": task.exception()}
            )
        if not self._transport.is_closing():
            self._regulate()


def _upgrade_response(answer: HttpResponse) -> Response:
    """Return API Gateway's answer to an upgrade request that it does not accept."""
    headers = Headers(
        [("Connection", "close"), ("Content-Length", str(len(answer.body))), *answer.headers]
    )
    # A function may answer with a status that has no phrase.
    phrase = http.client.responses.get(answer.status, "Refused")
    return Response(answer.status, phrase, headers, answer.body)

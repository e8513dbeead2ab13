"""uvicorn's HTTP/1.1 protocol, made fit for clients that mean no good, or dawdle.

It hands upgrade requests on with their header names as written, since `$connect`'s event shows them, and gives up on a
request that takes too long to arrive. It decides nothing about what a request asks for.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_REQUEST_SECONDS = 60.0
_SHORTEST_SECONDS = 1.0  # of a time scale's making: any client needs a moment


class Http1(H11Protocol):
    """One connection of the sandbox's port, until it is upgraded."""

    request_seconds = _REQUEST_SECONDS

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except h11.LocalProtocolError:  # what follows a request that is being answered is no request
            self.transport.close()
        self._watch()

    def on_response_complete(self) -> None:
        try:
            super().on_response_complete()
        except h11.LocalProtocolError:
            self.transport.close()
        if self._deadline is not None:  # the next request has its own time, from its first byte
            self._deadline.cancel()
            self._deadline = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self.headers = event.headers.raw_items()
        super().handle_websocket_upgrade(event)

    def _watch(self) -> None:
        """One time for all of a request: more bytes do not give it more."""
        waiting = self.conn.their_state in {h11.IDLE, h11.SEND_BODY} and self.transport.get_protocol() is self
        if waiting and self._deadline is None:
            self._deadline = self.loop.call_later(self.request_seconds, self._give_up)
        elif not waiting and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.our_state is h11.IDLE:
            self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            self.transport.close()
        else:
            self.transport.abort()


def protocol(time_scale: float) -> type[Http1]:
    """The class for uvicorn's `http`, with times scaled."""

    class Scaled(Http1):
        request_seconds = max(_SHORTEST_SECONDS, _REQUEST_SECONDS * time_scale)

    return Scaled

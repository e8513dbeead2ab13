"""uvicorn's HTTP/1.1 protocol, made fit for clients that mean no good, or dawdle.

It hands requests on with their header names as written, since the events of `$connect` and of REST
APIs show them, and gives up on a request that takes too long to arrive. It decides nothing about
what a request asks for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

NAMES = "terralive.header_names"
"""Where a request's scope has its headers' names as written, in their order."""

_REQUEST_SECONDS = 60.0
_SHORTEST_SECONDS = 1.0  # of a time scale's making: any client needs a moment
_Receive: TypeAlias = Callable[[], Awaitable[Any]]
_Send: TypeAlias = Callable[[Any], Awaitable[None]]


class Http1(H11Protocol):
    """One connection of the sandbox's port, until it is upgraded."""

    request_seconds = _REQUEST_SECONDS

    _deadline: asyncio.TimerHandle | None = None
    _half_closed = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args, **kwargs)
        names: tuple[str, ...] = ()
        next_event, app = self.conn.next_event, self.app

        def naming() -> Any:  # noqa: ANN401 - h11's own
            nonlocal names
            event = next_event()
            if isinstance(event, h11.Request):
                names = tuple(name.decode("latin-1") for name, _ in event.headers.raw_items())
            return event

        async def named(scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
            scope[NAMES] = names  # no later request is read before this one has its answer
            await app(scope, receive, send)

        self.conn.next_event = naming  # type: ignore[method-assign] # h11 asks nobody else
        self.app = named

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except (
            h11.LocalProtocolError
        ):  # what follows a request that is being answered is no request
            self.transport.close()
        self._watch()

    def eof_received(self) -> bool:  # type: ignore[override] # uvicorn's always closes
        """A client that has sent all it will send still reads its answer."""
        answering = self.cycle is not None and not self.cycle.response_complete
        self._half_closed = answering and self.conn.their_state is not h11.SEND_BODY
        return self._half_closed

    def on_response_complete(self) -> None:
        try:
            super().on_response_complete()
        except h11.LocalProtocolError:
            self.transport.close()
        if self._half_closed:
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
        waiting = (
            self.conn.their_state in {h11.IDLE, h11.SEND_BODY}
            and self.transport.get_protocol() is self
        )
        if waiting and self._deadline is None:
            self._deadline = self.loop.call_later(self.request_seconds, self._give_up)
        elif not waiting and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.our_state is h11.IDLE:
            self.transport.write(
                b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
            self.transport.close()
        else:
            self.transport.abort()


def protocol(time_scale: float) -> type[Http1]:
    """The class for uvicorn's `http`, with times scaled."""

    class Scaled(Http1):
        request_seconds = max(_SHORTEST_SECONDS, _REQUEST_SECONDS * time_scale)

    return Scaled

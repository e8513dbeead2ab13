"""uvicorn's HTTP/1.1 protocol, extended by the names of headers as the client wrote them.

The events of `$connect` and of REST APIs show these names; uvicorn converts them to lower case.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# The key of a request's scope that has the names of its headers as written, in their order.
HEADER_NAMES: Final = "terralive.header_names"
# The key that has a function which ends the connection after what was sent: the body is broken.
BREAK_OFF: Final = "terralive.break_off"

_Receive: TypeAlias = Callable[[], Awaitable[Any]]
_Send: TypeAlias = Callable[[Any], Awaitable[None]]


class HttpProtocol(H11Protocol):
    """One connection to the sandbox's port, until it is upgraded to a WebSocket connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's signature
        super().__init__(*args, **kwargs)
        # The header names of the request that was read last. uvicorn reads no other request of
        # this connection before this one is answered.
        self._header_names: tuple[str, ...] = ()
        # h11's method and the sandbox's application, each of which is wrapped below.
        self._h11_next_event = self.conn.next_event
        self._application = self.app
        self.conn.next_event = self._next_event  # type: ignore[method-assign] # h11 has no hook
        self.app = self._call_application

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection to the WebSocket protocol, with the names as written."""
        self.headers = event.headers.raw_items()
        super().handle_websocket_upgrade(event)

    def _next_event(self) -> Any:  # noqa: ANN401 - h11's signature
        event = self._h11_next_event()
        if isinstance(event, h11.Request):
            raw_items = event.headers.raw_items()
            self._header_names = tuple(name.decode("latin-1") for name, _ in raw_items)
        return event

    async def _call_application(
        self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send
    ) -> None:
        scope[HEADER_NAMES] = self._header_names
        scope[BREAK_OFF] = self.transport.close
        await self._application(scope, receive, send)

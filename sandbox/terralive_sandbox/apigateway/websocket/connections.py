"""The shell of WebSocket APIs: the open connections, and the routes of their messages.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-route-keys-connect-disconnect.html
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import time
import uuid
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from moto.apigatewayv2.models import Route
from websockets.http11 import Request as UpgradeRequest

from terralive_sandbox.access import sigv4
from terralive_sandbox.apigateway.failures import Failure, IntegrationError
from terralive_sandbox.apigateway.http_messages import GatewayResponseError
from terralive_sandbox.apigateway.integration import (
    DeployedStage,
    Gateway,
    new_connection_id,
    new_id,
)
from terralive_sandbox.apigateway.websocket import events as websocket_events
from terralive_sandbox.apigateway.websocket.authorization import ConnectAuthorization
from terralive_sandbox.apigateway.websocket.events import Connection
from terralive_sandbox.apigateway.websocket.fault_channel import FaultChannel
from terralive_sandbox.apigateway.websocket.socket import Socket
from terralive_sandbox.faults import NO_FAULT, ConnectionChoice, Direction, FaultRules

PATH: Final = re.compile(r"/_sandbox/websocket/(?P<api>[^/]+)/(?P<stage>[^/]+)/?")
# The statuses with which `$connect` accepts a connection.
_SUCCESS: Final = range(200, 300)
_log: Final = logging.getLogger("terralive.sandbox")


@dataclass(eq=False, slots=True)
class OpenConnection:
    """A connection that was accepted, until its `$disconnect`.

    Attributes:
        socket: its socket.
        connection: its fields in events.
        incoming: takes the client's messages that fault rules act on.
        outgoing: takes all messages to the client.
        last_active: the time of the last message in either direction, in seconds since the Unix
            epoch.
    """

    socket: Socket
    connection: Connection
    incoming: FaultChannel[str]
    outgoing: FaultChannel[bytes]
    last_active: float


class Connections:
    """The SocketHandler of every socket. It lives on the event loop.

    Attributes:
        time_scale: the factor of all times, below 1 in tests.
    """

    def __init__(self, gateway: Gateway, faults: FaultRules) -> None:
        self.time_scale = gateway.time_scale
        self._gateway = gateway
        self._faults = faults
        self._authorization = ConnectAuthorization(gateway)
        # The open connections, by socket and by connection id. Both always hold the same ones.
        self._by_socket: dict[Socket, OpenConnection] = {}
        self._by_id: dict[str, OpenConnection] = {}
        # Messages that a fault rule has delayed and that are handled now. The loop itself keeps
        # only weak references to tasks.
        self._handling: set[asyncio.Task[None]] = set()

    # Called by sockets.

    async def on_connect(self, socket: Socket, request: UpgradeRequest) -> str | None:
        """Authorize a client and run `$connect`; see SocketHandler."""
        path, _, query = request.path.partition("?")
        deployed = None
        found = PATH.fullmatch(path)
        if found is not None:
            deployed = self._gateway.find(found["api"], unquote(found["stage"]), "WEBSOCKET")
        if deployed is None:
            raise GatewayResponseError(403, "Forbidden")
        headers = [(name, _latin(value)) for name, value in request.headers.raw_items()]
        # A signature covers header names in lower case.
        lowered = tuple((name.lower(), value) for name, value in headers)
        received = sigv4.Request("GET", path, query, lowered)
        now = time.time()
        connection = Connection(
            id=new_connection_id(),
            api=deployed.api.api_id,
            stage=deployed.stage.name,
            domain=self._gateway.domain(deployed.api.api_id),
            source_ip=socket.source_ip,
            user_agent=received.header("user-agent") or "",
            connected_at=now,
            headers=tuple(headers),
            query=query,
            trace_id=f"Root=1-{int(now):08x}-{uuid.uuid4().hex[:24]}",
            stage_variables=deployed.variables,
        )
        route = deployed.routes.get("$connect")
        # Check the caller before the function of `$connect` learns of the connection.
        if route is not None:
            connection = await self._authorization.authorize(deployed, route, connection, received)
        subprotocol = None
        if route is not None and route.target:
            subprotocol = await self._run_connect(deployed, route, connection)
        # From here on messages can be posted to the connection; during `$connect` it is gone (410).
        opened = OpenConnection(
            socket=socket,
            connection=connection,
            incoming=FaultChannel(lambda text: self._handle_later(opened, text)),
            outgoing=FaultChannel(socket.send),
            last_active=time.time(),
        )
        self._by_socket[socket] = opened
        self._by_id[connection.id] = opened
        _log.debug("%s/%s opened connection %s", connection.api, connection.stage, connection.id)
        return subprotocol

    async def on_message(self, socket: Socket, text: str) -> None:
        """Run the route of a message, unless a fault rule acts on it; see SocketHandler."""
        opened = self._by_socket.get(socket)
        if opened is None:
            # The connection has ended while the message waited for its turn.
            return
        opened.last_active = time.time()
        connection = opened.connection
        fault = self._faults.on_message(Direction.IN, connection.api, connection.stage)
        if fault == NO_FAULT:
            await self._handle(opened, text)
        else:
            opened.incoming.send(text, fault)

    async def on_disconnect(self, socket: Socket, code: int, reason: str) -> None:
        """Run `$disconnect`; see SocketHandler."""
        connection = self._by_socket.pop(socket).connection
        del self._by_id[connection.id]
        # The reason is the client's own text, so it is not logged.
        _log.debug("connection %s ended with code %s", connection.id, code)
        deployed = self._gateway.find(connection.api, connection.stage, "WEBSOCKET")
        if deployed is None:
            # The API or its stage was deleted in the meantime.
            return
        route = deployed.routes.get("$disconnect")
        if route is None or not route.target:
            return
        event = websocket_events.disconnect_event(connection, code, reason, new_id(), time.time())
        try:
            await self._gateway.integrate(deployed, route, event, bytes)
        except IntegrationError as error:
            _write_log("$disconnect", connection, error)

    # Called by the `@connections` API.

    def find(self, connection_id: str) -> OpenConnection | None:
        """Return an open connection by its id, or None."""
        return self._by_id.get(connection_id)

    def post(self, opened: OpenConnection, data: bytes) -> bool:
        """Send a message to a client, unless it does not read what it was sent.

        Returns:
            False if the client leaves too much unread. botocore's model of the API says of this
            case: "… or the WebSocket client side buffer is full".
        """
        connection = opened.connection
        fault = self._faults.on_message(Direction.OUT, connection.api, connection.stage)
        if not opened.socket.has_room:
            return False
        opened.last_active = time.time()
        opened.outgoing.send(data, fault)
        return True

    # Faults on demand.

    def chosen(self, choice: ConnectionChoice) -> list[Socket]:
        """Return the sockets of the open connections that a choice includes."""
        chosen: list[Socket] = []
        for opened in self._by_id.values():
            connection = opened.connection
            is_chosen = choice.includes(connection.id, connection.api, connection.stage)
            if is_chosen and opened.socket.is_open:
                chosen.append(opened.socket)
        return chosen

    # Connecting.

    async def _run_connect(
        self, deployed: DeployedStage, route: Route, connection: Connection
    ) -> str | None:
        """Run `$connect`. Return the subprotocol with which its function accepts the connection.

        Raises:
            GatewayResponseError: the function does not accept, or gives no answer. No page names
                the statuses of its failures: these are AWS's.
        """
        event = websocket_events.connect_event(connection, new_id(), time.time())
        try:
            answer = await self._gateway.integrate(deployed, route, event, websocket_events.answer)
        except IntegrationError as error:
            _write_log("$connect", connection, error)
            match error.failure:
                case Failure.NOT_EMULATED:
                    raise GatewayResponseError(501, str(error)) from error
                case Failure.TIMED_OUT:
                    raise GatewayResponseError(504, "Gateway Timeout") from error
                case Failure.NOT_PERMITTED:
                    raise GatewayResponseError(500, "Internal server error") from error
                case _:
                    raise GatewayResponseError(502, "Internal server error") from error
        if answer.status in _SUCCESS:
            return answer.subprotocol
        if answer.status in {401, 403}:
            raise GatewayResponseError(answer.status, "Forbidden")
        raise GatewayResponseError(answer.status, "Internal server error")

    # Messages.

    def _handle_later(self, opened: OpenConnection, text: str) -> None:
        task = asyncio.get_running_loop().create_task(self._handle(opened, text))
        self._handling.add(task)
        task.add_done_callback(self._handling.discard)

    async def _handle(self, opened: OpenConnection, text: str) -> None:
        """Run the route of a message, and send its answer or error to the client."""
        connection = opened.connection
        deployed = self._gateway.find(connection.api, connection.stage, "WEBSOCKET")
        request_id = new_id()
        key = None
        if deployed is not None:
            expression = deployed.api.route_selection_expression
            key = websocket_events.route_of(expression, text, deployed.routes)
        if deployed is None or key is None:
            self._send_error(opened, "Forbidden", request_id)
            return
        route = deployed.routes[key]
        event = websocket_events.message_event(
            connection, key, text, request_id=request_id, message_id=new_id(), now=time.time()
        )
        try:
            answer = await self._gateway.integrate(deployed, route, event, websocket_events.answer)
        except IntegrationError as error:
            _write_log(key, connection, error)
            match error.failure:
                case Failure.NOT_EMULATED:
                    self._send_error(opened, str(error), request_id)
                case Failure.TIMED_OUT:
                    self._send_error(opened, "Endpoint request timed out", request_id)
                case _:
                    self._send_error(opened, "Internal server error", request_id)
            return
        # Only a route with a route response sends the answer back:
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-route-response.html
        has_response = route.route_response_selection_expression and route.route_responses
        if has_response and answer.body:
            self._send(opened, answer.body)

    def _send_error(self, opened: OpenConnection, problem: str, request_id: str) -> None:
        text = websocket_events.error_message(problem, opened.connection.id, request_id)
        self._send(opened, text.encode())

    def _send(self, opened: OpenConnection, data: bytes) -> None:
        if not opened.socket.is_open:
            return
        connection = opened.connection
        fault = self._faults.on_message(Direction.OUT, connection.api, connection.stage)
        opened.outgoing.send(data, fault)


def _latin(value: str) -> str:
    """Return a header's value with bytes beyond ASCII as HTTP has them (Latin-1).

    `websockets` 16 leaves surrogates, 17 does not.
    """
    return value.encode("latin-1", "surrogateescape").decode("latin-1")


def _write_log(route_key: str, connection: Connection, error: Exception) -> None:
    sys.stderr.write(f"{route_key} of {connection.api}/{connection.stage}: {error}\n")

"""WebSocket connections of all APIs, and the `@connections` API.

A connection belongs to one stage: under another stage's address it is gone (410), and so it is
during its `$connect`.
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-route-keys-connect-disconnect.html
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote

from moto.apigatewayv2.models import Route
from websockets.http11 import Request as Upgrade

from terralive_sandbox.access import sigv4
from terralive_sandbox.access.identity import Caller
from terralive_sandbox.answers import Answer, error_answer, json_answer
from terralive_sandbox.apigateway.http_messages import (
    GatewayResponseError,
    message_response,
    not_emulated,
)
from terralive_sandbox.apigateway.integration import (
    Failure,
    ForbiddenError,
    Gateway,
    IntegrationError,
    Target,
    left_out_of,
    new_connection_id,
    new_id,
)
from terralive_sandbox.apigateway.websocket import events as websocket_events
from terralive_sandbox.apigateway.websocket.events import Connection
from terralive_sandbox.apigateway.websocket.socket import Socket
from terralive_sandbox.apigateway.websocket.transit import Transit
from terralive_sandbox.faults import PASSES, ConnectionChoice, Direction, FaultRules
from terralive_stub.protocol.limits import MESSAGE_BYTES

PATH = re.compile(r"/_sandbox/websocket/(?P<api>[^/]+)/(?P<stage>[^/]+)/?")
_GONE = error_answer(410, "GoneException", "")


@dataclass(eq=False, slots=True)
class _Live:
    """A connection that was accepted, until its `$disconnect`."""

    socket: Socket
    connection: Connection
    incoming: Transit[str]
    outgoing: Transit[bytes]
    last_active: float


class Connections:
    """Lives on the event loop. It is the `Peer` of every socket."""

    def __init__(self, gateway: Gateway, faults: FaultRules) -> None:
        self._gateway = gateway
        self._faults = faults
        self.time_scale = gateway.time_scale
        self._live: dict[Socket, _Live] = {}
        self._by_id: dict[str, _Live] = {}
        self._handling: set[asyncio.Task[None]] = set()

    # a socket's peer

    async def connect(self, socket: Socket, request: Upgrade) -> str | None:
        path, _, query = request.path.partition("?")
        found = PATH.fullmatch(path)
        target = None
        if found is not None:
            target = self._gateway.find(found["api"], unquote(found["stage"]), "WEBSOCKET")
        if target is None:
            raise _refused(403, "Forbidden")
        received = tuple((name, _latin(value)) for name, value in request.headers.raw_items())
        lowered = tuple((name.lower(), value) for name, value in received)
        route = target.routes.get("$connect")
        caller = self._authorize(target, route, sigv4.Request("GET", path, query, lowered))
        connection = Connection(
            new_connection_id(), target.api.api_id, target.stage.name, self._gateway.domain(target.api.api_id),
            socket.source_ip, next((v for k, v in lowered if k == "user-agent"), ""), time.time(), _shown(received),
            query, caller, f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}", target.stage.stage_variables or {},
        )  # fmt: skip
        subprotocol = None
        if route is not None and route.target:
            subprotocol = await self._ask(target, route, connection)
        live = _Live(
            socket,
            connection,
            Transit(lambda text: self._handle_later(live, text)),
            Transit(socket.send),
            time.time(),
        )
        self._live[socket] = self._by_id[connection.id] = live
        return subprotocol

    async def message(self, socket: Socket, text: str) -> None:
        live = self._live.get(socket)
        if live is None:
            return
        live.last_active = time.time()
        fate = self._faults.on_message(Direction.IN, live.connection.api, live.connection.stage)
        if fate == PASSES:
            await self._handle(live, text)
        else:
            live.incoming.send(text, fate)

    async def disconnected(self, socket: Socket, code: int, reason: str) -> None:
        connection = self._live.pop(socket).connection
        del self._by_id[connection.id]
        target = self._target(connection)
        route = target.routes.get("$disconnect") if target is not None else None
        if target is None or route is None or not route.target:
            return
        event = websocket_events.disconnect_event(connection, code, reason, new_id(), time.time())
        try:
            await self._gateway.integrate(target, route, event, bytes)
        except IntegrationError as error:
            _log("$disconnect", connection, error)

    # the @connections API

    async def manage(
        self, api_id: str, stage: str | None, connection_id: str, request: sigv4.Request
    ) -> Answer:
        """POST, GET or DELETE of one connection.

        Without a stage (`AWS_ENDPOINT_URL` alone) the connection's own.
        """
        live = self._by_id.get(connection_id)
        if stage is None and live is not None:
            api_id, stage = live.connection.api, live.connection.stage
        target = self._gateway.find(api_id, stage, "WEBSOCKET") if stage is not None else None
        if target is None:
            return _GONE if stage is None else error_answer(403, "ForbiddenException", "Forbidden")
        arn = self._gateway.arn(api_id, f"{stage}/{request.method}/@connections/{connection_id}")
        try:
            await asyncio.to_thread(self._gateway.authorize, request, "ManageConnections", arn)
        except ForbiddenError as error:
            return error_answer(403, "ForbiddenException", str(error))
        live = self._by_id.get(connection_id)  # it may have ended meanwhile
        if (
            live is None
            or (live.connection.api, live.connection.stage) != (api_id, stage)
            or not live.socket.is_open
        ):
            return _GONE
        return self._act(live, request)

    def _act(self, live: _Live, request: sigv4.Request) -> Answer:
        match request.method:
            case "POST" if len(request.body) > MESSAGE_BYTES:
                return error_answer(413, "PayloadTooLargeException", "Message too long")
            case "POST":
                fate = self._faults.on_message(
                    Direction.OUT, live.connection.api, live.connection.stage
                )
                # "… or the WebSocket client side buffer is full", botocore's model of the API says
                if not live.socket.has_room:
                    return error_answer(429, "LimitExceededException", "Too Many Requests")
                live.last_active = time.time()
                live.outgoing.send(request.body, fate)
                return 200, [], b""
            case "DELETE":
                live.socket.close(1000, "Connection Closed Normally")
                return 204, [], b""
            case "GET":
                return json_answer(200, _described(live))
            case _:
                return error_answer(
                    403, "MissingAuthenticationTokenException", "Missing Authentication Token"
                )

    # faults

    def drop(self, choice: ConnectionChoice) -> int:
        """Cut connections without a word; how many."""
        chosen = self._chosen(choice)
        for live in chosen:
            live.socket.drop()
        return len(chosen)

    def expire(self, choice: ConnectionChoice) -> int:
        """Close connections as if their two hours were over; how many."""
        chosen = self._chosen(choice)
        for live in chosen:
            live.socket.expire()
        return len(chosen)

    def _chosen(self, choice: ConnectionChoice) -> list[_Live]:
        live = [one for one in self._by_id.values() if one.socket.is_open]
        return [
            one
            for one in live
            if choice.includes(one.connection.id, one.connection.api, one.connection.stage)
        ]

    # inside

    def _handle_later(self, live: _Live, text: str) -> None:
        task = asyncio.get_running_loop().create_task(self._handle(live, text))
        self._handling.add(task)
        task.add_done_callback(self._handling.discard)

    async def _handle(self, live: _Live, text: str) -> None:
        connection = live.connection
        target = self._target(connection)
        request_id = new_id()
        key = None
        if target is not None:
            key = websocket_events.route_of(
                target.api.route_selection_expression, text, target.routes
            )
        if target is None or key is None:
            self._tell(live, "Forbidden", request_id)
            return
        route = target.routes[key]
        event = websocket_events.message_event(
            connection, key, text, request_id=request_id, message_id=new_id(), now=time.time()
        )
        try:
            answer = await self._gateway.integrate(target, route, event, websocket_events.answer)
        except IntegrationError as error:
            _log(key, connection, error)
            if error.failure is Failure.NOT_EMULATED:
                self._tell(live, str(error), request_id)
            elif error.failure is Failure.TIMED_OUT:
                self._tell(live, "Endpoint request timed out", request_id)
            else:
                self._tell(live, "Internal server error", request_id)
            return
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-route-response.html
        if route.route_response_selection_expression and route.route_responses and answer.body:
            self._send(live, answer.body)

    def _authorize(
        self, target: Target, route: Route | None, signed: sigv4.Request
    ) -> Caller | None:
        """Who connects, where the route wants to know.

        https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-control-access-iam.html
        """
        if route is None:
            return None
        if missing := left_out_of(route):
            raise not_emulated(missing)
        if route.authorization_type != "AWS_IAM":
            return None
        try:
            return self._gateway.authorize(
                signed,
                "Invoke",
                self._gateway.arn(target.api.api_id, f"{target.stage.name}/$connect"),
            )
        except ForbiddenError as error:
            raise _refused(403, str(error)) from error

    async def _ask(self, target: Target, route: Route, connection: Connection) -> str | None:
        """The subprotocol that `$connect`'s function accepts the connection with.

        Raises:
            GatewayResponseError: it does not. No page names the statuses of its failures: these are AWS's.
        """
        event = websocket_events.connect_event(connection, new_id(), time.time())
        try:
            answer = await self._gateway.integrate(target, route, event, websocket_events.answer)
        except IntegrationError as error:
            _log("$connect", connection, error)
            match error.failure:
                case Failure.NOT_EMULATED:
                    raise _refused(501, str(error)) from error
                case Failure.TIMED_OUT:
                    raise _refused(504, "Gateway Timeout") from error
                case Failure.NOT_PERMITTED:
                    raise _refused(500, "Internal server error") from error
                case _:
                    raise _refused(502, "Internal server error") from error
        if not answer.is_success:
            raise _refused(
                answer.status,
                "Forbidden" if answer.status in {401, 403} else "Internal server error",
            )
        return answer.subprotocol

    def _tell(self, live: _Live, problem: str, request_id: str) -> None:
        self._send(live, websocket_events.failure(problem, live.connection.id, request_id).encode())

    def _send(self, live: _Live, data: bytes) -> None:
        if not live.socket.is_open:
            return
        fate = self._faults.on_message(Direction.OUT, live.connection.api, live.connection.stage)
        live.outgoing.send(data, fate)

    def _target(self, connection: Connection) -> Target | None:
        return self._gateway.find(connection.api, connection.stage, "WEBSOCKET")


def _shown(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    hidden = {"authorization", "connection", "upgrade", "x-amz-security-token"}
    return tuple((k, v) for k, v in headers if k.lower() not in hidden)


def _latin(value: str) -> str:
    """A header's value with bytes beyond ASCII as HTTP has them.

    Older releases of `websockets` leave surrogates.
    """
    return value.encode("latin-1", "surrogateescape").decode("latin-1")


def _described(live: _Live) -> dict[str, object]:
    def text(at: float) -> str:
        return (
            datetime.fromtimestamp(at, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z")
        )

    connection = live.connection
    return {
        "connectedAt": text(connection.connected_at),
        "identity": {"sourceIp": connection.source_ip, "userAgent": connection.user_agent},
        "lastActiveAt": text(live.last_active),
    }


def _refused(status: int, message: str) -> GatewayResponseError:
    return GatewayResponseError(message_response(status, message))


def _log(route_key: str, connection: Connection, error: Exception) -> None:
    sys.stderr.write(f"{route_key} of {connection.api}/{connection.stage}: {error}\n")

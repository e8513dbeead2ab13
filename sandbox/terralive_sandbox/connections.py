"""WebSocket connections of all APIs, and the `@connections` API.

A connection belongs to one stage: under another stage's address it is gone (410).
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

from websockets.http11 import Request as Upgrade

from terralive_stub.limits import MESSAGE_BYTES

from . import sigv4, websocketapi
from .frames import Socket
from .gateway import ForbiddenError, Gateway, IntegrationError, Target, new_connection_id, new_id
from .websocketapi import Connection

PATH = re.compile(r"/_sandbox/websocket/(?P<api>[^/]+)/(?P<stage>[^/]+)/?")
Answer = tuple[int, dict[str, str], bytes]
_GONE: Answer = (410, {"x-amzn-errortype": "GoneException"}, b'{"message": null}')


class Connections:
    """Lives on the event loop. It is the `Peer` of every socket."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.time_scale = gateway.time_scale
        self._sockets: set[Socket] = set()
        self._known: dict[Socket, Connection] = {}
        self._by_id: dict[str, Socket] = {}
        self._last_active: dict[str, float] = {}

    # a socket's peer

    def opened(self, socket: Socket) -> None:
        self._sockets.add(socket)

    def closed(self, socket: Socket) -> None:
        self._sockets.discard(socket)
        connection = self._known.get(socket)
        if connection is not None:
            self._by_id.pop(connection.id, None)
            self._last_active.pop(connection.id, None)

    async def connect(self, socket: Socket, request: Upgrade) -> tuple[int, str] | None:
        url = urlsplit(request.path)
        found = PATH.fullmatch(url.path)
        target = None
        if found is not None:
            target = self._gateway.find(found["api"], unquote(found["stage"]), "WEBSOCKET")
        if target is None:
            return 403, '{"message": "Forbidden"}'
        headers = tuple((name.lower(), value) for name, value in request.headers.raw_items())
        route = target.routes.get("$connect")
        caller = None
        if route is not None and route.authorization_type == "AWS_IAM":
            signed = sigv4.Request("GET", url.path, url.query, headers)
            arn = self._gateway.arn(target, "$connect")
            try:
                caller = self._gateway.authorize(signed, "Invoke", arn)
            except ForbiddenError as error:
                return 403, json.dumps({"message": str(error)})
        elif route is not None and route.authorization_type not in {None, "NONE"}:
            return 501, json.dumps({"message": f"NotEmulatedBySandbox: {route.authorization_type} authorizers"})
        connection = Connection(
            new_connection_id(), target.api.api_id, target.stage.name, self._gateway.domain(target.api.api_id),
            socket.source_ip, next((v for k, v in headers if k == "user-agent"), ""), time.time(),
            _shown(request.headers.raw_items()), url.query, caller,
        )  # fmt: skip
        # Known before its integration runs, as on AWS: a message posted from `$connect` itself is refused there (410).
        self._known[socket] = connection
        if route is not None and route.target:
            event = websocketapi.connect_event(connection, new_id(), time.time())
            try:
                result = await self._gateway.integrate(target, route, "$connect", event)
            except IntegrationError as error:
                sys.stderr.write(f"$connect of {connection.api}/{connection.stage}: {error}\n")
                del self._known[socket]
                return (504, '{"message": "Gateway Timeout"}') if error.timed_out else (502, _internal())
            status = _status(result.body)
            if not 200 <= status <= 299:  # noqa: PLR2004 - the range of success
                del self._known[socket]
                return status, '{"message": "Forbidden"}' if status in {401, 403} else _internal()
        self._by_id[connection.id] = socket
        self._last_active[connection.id] = time.time()
        return None

    async def message(self, socket: Socket, text: str) -> None:
        connection = self._known[socket]
        self._last_active[connection.id] = time.time()
        target = self._target(connection)
        request_id = new_id()
        key = None
        if target is not None:
            key = websocketapi.route_of(target.api.route_selection_expression, text, target.routes)
        if target is None or key is None:
            socket.send(websocketapi.failure("Forbidden", connection.id, request_id).encode())
            return
        route = target.routes[key]
        event = websocketapi.message_event(
            connection, key, text, request_id=request_id, message_id=new_id(), now=time.time()
        )
        try:
            result = await self._gateway.integrate(target, route, key, event)
        except IntegrationError as error:
            sys.stderr.write(f"{key} of {connection.api}/{connection.stage}: {error}\n")
            reason = "Endpoint request timed out" if error.timed_out else "Internal server error"
            socket.send(websocketapi.failure(reason, connection.id, request_id).encode())
            return
        if route.route_response_selection_expression and route.route_responses:
            socket.send(_body(result.body))

    async def disconnected(self, socket: Socket, code: int, reason: str) -> None:
        connection = self._known.pop(socket, None)
        if connection is None:
            return
        self._by_id.pop(connection.id, None)
        target = self._target(connection)
        route = target.routes.get("$disconnect") if target is not None else None
        if target is None or route is None or not route.target:
            return
        event = websocketapi.disconnect_event(connection, code, reason, new_id(), time.time())
        try:
            await self._gateway.integrate(target, route, "$disconnect", event)
        except IntegrationError as error:
            sys.stderr.write(f"$disconnect of {connection.api}/{connection.stage}: {error}\n")

    # the @connections API

    async def manage(self, api_id: str, stage: str | None, connection_id: str, request: sigv4.Request) -> Answer:
        """POST, GET or DELETE of one connection. Without a stage (`AWS_ENDPOINT_URL` alone) the connection's own."""
        socket = self._by_id.get(connection_id)
        connection = self._known.get(socket) if socket is not None else None
        if stage is None and connection is not None:
            api_id, stage = connection.api, connection.stage
        target = self._gateway.find(api_id, stage, "WEBSOCKET") if stage is not None else None
        if target is None:
            return _GONE if stage is None else (403, {"x-amzn-errortype": "ForbiddenException"}, _message("Forbidden"))
        arn = self._gateway.arn(target, f"{request.method}/@connections/{connection_id}")
        try:
            await asyncio.to_thread(self._gateway.authorize, request, "ManageConnections", arn)
        except ForbiddenError as error:
            return 403, {"x-amzn-errortype": "ForbiddenException"}, _message(str(error))
        here = connection is not None and (connection.api, connection.stage) == (api_id, stage)
        if socket is None or connection is None or not here or not socket.is_open:
            return _GONE
        return self._act(socket, connection, request)

    def _act(self, socket: Socket, connection: Connection, request: sigv4.Request) -> Answer:
        match request.method:
            case "POST" if len(request.body) > MESSAGE_BYTES:
                return 413, {"x-amzn-errortype": "PayloadTooLargeException"}, _message("Message too long")
            case "POST":
                socket.send(request.body)
                self._last_active[connection.id] = time.time()
                return 200, {}, b""
            case "DELETE":
                socket.close(1000, "Connection Closed Normally")
                return 204, {}, b""
            case "GET":
                return 200, {}, self._describe(connection)
            case _:
                return 403, {"x-amzn-errortype": "ForbiddenException"}, _message("Missing Authentication Token")

    def drop(self, ids: Collection[str] | None) -> int:
        """Cut connections without a word: all, or those named. How many."""
        sockets = list(self._sockets) if ids is None else [self._by_id[i] for i in ids if i in self._by_id]
        for socket in sockets:
            socket.drop()
        return len(sockets)

    def _target(self, connection: Connection) -> Target | None:
        return self._gateway.find(connection.api, connection.stage, "WEBSOCKET")

    def _describe(self, connection: Connection) -> bytes:
        def text(at: float) -> str:
            return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

        return json.dumps(
            {
                "connectedAt": text(connection.connected_at),
                "identity": {"sourceIp": connection.source_ip, "userAgent": connection.user_agent},
                "lastActiveAt": text(self._last_active.get(connection.id, connection.connected_at)),
            }
        ).encode()


def _shown(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    hidden = {"authorization", "connection", "upgrade", "x-amz-security-token"}
    return tuple((k, v) for k, v in headers if k.lower() not in hidden)


def _status(answer: bytes) -> int:
    try:
        value = json.loads(answer)
        return int(value["statusCode"])
    except (ValueError, KeyError, TypeError):
        return 502  # a malformed proxy response


def _body(answer: bytes) -> bytes:
    try:
        value = json.loads(answer)
    except ValueError:
        return b""
    return str(value.get("body", "")).encode() if isinstance(value, dict) else b""


def _internal() -> str:
    return '{"message": "Internal server error"}'


def _message(text: str) -> bytes:
    return json.dumps({"message": text}).encode()

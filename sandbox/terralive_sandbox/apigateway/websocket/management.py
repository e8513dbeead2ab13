"""The `@connections` API, through which a backend posts to its clients.

A connection belongs to one stage. Under the address of another stage it is gone (410), and so it is
during its `$connect`.
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
"""

from __future__ import annotations

import asyncio
from typing import Final

from websockets.frames import CloseCode

from terralive_sandbox.access import sigv4
from terralive_sandbox.apigateway.integration import ForbiddenError, Gateway
from terralive_sandbox.apigateway.websocket.connections import Connections, OpenConnection
from terralive_sandbox.responses import Response, error_response, json_response
from terralive_stub.protocol.limits import MESSAGE_BYTES
from terralive_stub.shared.timestamps import format_epoch_seconds

_GONE: Final = error_response(410, "GoneException", "")


class ManagementApi:
    """Answers POST, GET and DELETE of single connections."""

    def __init__(self, gateway: Gateway, connections: Connections) -> None:
        self._gateway = gateway
        self._connections = connections

    async def answer(
        self, api_id: str, stage: str | None, connection_id: str, request: sigv4.Request
    ) -> Response:
        """Answer a request.

        Args:
            api_id: the API's id.
            stage: the stage's name. Without one (`AWS_ENDPOINT_URL` alone) API and stage are those
                of the connection.
            connection_id: the connection's id.
            request: the request as it came.
        """
        opened = self._connections.find(connection_id)
        if stage is None:
            if opened is None:
                return _GONE
            api_id, stage = opened.connection.api, opened.connection.stage
        if self._gateway.find(api_id, stage, "WEBSOCKET") is None:
            return error_response(403, "ForbiddenException", "Forbidden")
        arn = self._gateway.arn(api_id, f"{stage}/{request.method}/@connections/{connection_id}")
        try:
            await asyncio.to_thread(self._gateway.authorize, request, "ManageConnections", arn)
        except ForbiddenError as error:
            where = f"{request.method} @connections of {api_id}/{stage}"
            self._gateway.refusals.add(f"{where}: {error}")
            return error_response(403, "ForbiddenException", str(error))
        # The connection may have ended in the meantime.
        opened = self._connections.find(connection_id)
        if opened is None or not opened.socket.is_open:
            return _GONE
        if opened.connection.api != api_id or opened.connection.stage != stage:
            return _GONE
        return self._act(opened, request)

    def _act(self, opened: OpenConnection, request: sigv4.Request) -> Response:
        match request.method:
            case "POST" if len(request.body) > MESSAGE_BYTES:
                return error_response(413, "PayloadTooLargeException", "Message too long")
            case "POST":
                if not self._connections.post(opened, request.body):
                    return error_response(429, "LimitExceededException", "Too Many Requests")
                return 200, [], b""
            case "DELETE":
                opened.socket.close(CloseCode.NORMAL_CLOSURE, "Connection Closed Normally")
                return 204, [], b""
            case "GET":
                connection = opened.connection
                identity = {"sourceIp": connection.source_ip, "userAgent": connection.user_agent}
                description = {
                    "connectedAt": format_epoch_seconds(connection.connected_at),
                    "identity": identity,
                    "lastActiveAt": format_epoch_seconds(opened.last_active),
                }
                return json_response(200, description)
            case _:
                return error_response(
                    403, "MissingAuthenticationTokenException", "Missing Authentication Token"
                )

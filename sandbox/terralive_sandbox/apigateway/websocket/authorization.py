"""The shell that decides who may connect to a WebSocket API: anyone, IAM, or a Lambda authorizer.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-control-access.html
"""

from __future__ import annotations

import dataclasses
import time
from typing import Final

from moto.apigatewayv2.models import Route

from terralive_sandbox.access import sigv4
from terralive_sandbox.apigateway.authorizers import lambda_authorizer
from terralive_sandbox.apigateway.authorizers.decisions import (
    Answer,
    AuthorizerError,
    AuthorizerFailure,
)
from terralive_sandbox.apigateway.authorizers.identity_sources import RequestParts
from terralive_sandbox.apigateway.authorizers.lambda_authorizer import (
    LambdaAuthorizer,
    LambdaAuthorizers,
)
from terralive_sandbox.apigateway.http_messages import GatewayResponseError
from terralive_sandbox.apigateway.integration import (
    DeployedStage,
    ForbiddenError,
    Gateway,
    check_api_key,
    new_id,
)
from terralive_sandbox.apigateway.websocket import events as websocket_events
from terralive_sandbox.apigateway.websocket.events import Connection
from terralive_stub.shared.json_documents import as_object

# The answers of API Gateway, instead of the connection. No page names their texts.
_ANSWERS: Final = {
    AuthorizerFailure.UNAUTHORIZED: (401, "Unauthorized"),
    AuthorizerFailure.NOT_ALLOWED: (403, "Forbidden"),
    AuthorizerFailure.DENIED: (403, "Forbidden"),
    AuthorizerFailure.BROKEN: (500, "Internal server error"),
}


class ConnectAuthorization:
    """Checks the access control of `$connect`. It lives on the event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._authorizers = LambdaAuthorizers(gateway)

    async def authorize(
        self, deployed: DeployedStage, route: Route, connection: Connection, request: sigv4.Request
    ) -> Connection:
        """Check the access control of `$connect`.

        Args:
            deployed: the API and stage.
            route: the route `$connect`.
            connection: the connection that the client asks for.
            request: the upgrade request.

        Returns:
            The connection with its caller, or with the answer of the route's authorizer.

        Raises:
            GatewayResponseError: the client may not connect.
        """
        if route.authorization_type == "CUSTOM":
            check_api_key(route)
            try:
                authorizer = lambda_authorizer.of_route(self._gateway, deployed, route)
                answer = await self._ask(authorizer, connection)
            except AuthorizerError as error:
                # The client gets API Gateway's own text.
                self._refuse(connection, error)
                status, message = _ANSWERS[error.failure]
                raise GatewayResponseError(status, message, str(error)) from error
            return dataclasses.replace(connection, authorizer=answer)
        try:
            caller = await self._gateway.authorize_route(deployed, route, request, "$connect")
        except ForbiddenError as error:
            self._refuse(connection, error)
            raise GatewayResponseError(403, str(error)) from error
        return dataclasses.replace(connection, caller=caller)

    def _refuse(self, connection: Connection, error: Exception) -> None:
        where = f"$connect of {connection.api}/{connection.stage}"
        self._gateway.refusals.add(f"{where}: {error}")

    async def _ask(self, authorizer: LambdaAuthorizer, connection: Connection) -> Answer:
        """Return the answer of an authorizer that lets the client connect.

        Raises:
            AuthorizerError: the authorizer does not let the client connect.
        """
        # Answers are kept only for HTTP and REST APIs.
        authorizer = dataclasses.replace(authorizer, ttl_seconds=0)
        arn = self._gateway.arn(connection.api, f"{connection.stage}/$connect")
        event = websocket_events.authorizer_event(connection, arn, new_id(), time.time())
        parts = RequestParts(
            headers=connection.headers,
            query=connection.query,
            stage_variables=connection.stage_variables,
            context=as_object(event["requestContext"]),
        )
        answer = await self._authorizers.ask(
            authorizer, parts, lambda _identity: event, websocket_events.authorizer_answer
        )
        answer.check(arn, connection.source_ip)
        return answer

"""The shell that decides who may connect to a WebSocket API: anyone, IAM, or a Lambda authorizer.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-control-access.html
"""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import Final

from moto.apigatewayv2.models import Route

from terralive_sandbox.access import sigv4
from terralive_sandbox.apigateway.authorizers import identity_sources, lambda_authorizer
from terralive_sandbox.apigateway.authorizers.decisions import (
    Authorization,
    Refusal,
    RefusedError,
)
from terralive_sandbox.apigateway.authorizers.identity_sources import RequestParts
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
    Refusal.UNAUTHORIZED: (401, "Unauthorized"),
    Refusal.NOT_ALLOWED: (403, "Forbidden"),
    Refusal.DENIED: (403, "Forbidden"),
    Refusal.FAILED: (500, "Internal server error"),
}


async def authorize(
    gateway: Gateway,
    deployed: DeployedStage,
    route: Route,
    connection: Connection,
    request: sigv4.Request,
) -> Connection:
    """Check the access control of `$connect`.

    Args:
        gateway: the API Gateway of this region.
        deployed: the API and stage.
        route: the route `$connect`.
        connection: the connection that the client asks for.
        request: the upgrade request.

    Returns:
        The connection with its caller, or with the fields that the authorizer has returned.

    Raises:
        GatewayResponseError: the client may not connect.
    """
    if route.authorization_type == "CUSTOM":
        check_api_key(route)
        try:
            authorization = await _ask_authorizer(gateway, deployed, route, connection)
        except RefusedError as error:
            # The log gets the reason; the client gets API Gateway's own text.
            sys.stderr.write(f"$connect of {connection.api}/{connection.stage}: {error}\n")
            status, message = _ANSWERS[error.refusal]
            raise GatewayResponseError(status, message, str(error)) from error
        return dataclasses.replace(connection, authorization=authorization)
    try:
        caller = await gateway.authorize_route(deployed, route, request, "$connect")
    except ForbiddenError as error:
        raise GatewayResponseError(403, str(error)) from error
    return dataclasses.replace(connection, caller=caller)


async def _ask_authorizer(
    gateway: Gateway, deployed: DeployedStage, route: Route, connection: Connection
) -> Authorization:
    """Return the fields that a route's authorizer adds to the connection's events.

    API Gateway keeps no answer of a WebSocket API's authorizer: every connection asks again.

    Raises:
        RefusedError: the authorizer does not let the client connect.
    """
    authorizer = lambda_authorizer.of_route(gateway, deployed, route.authorizer_id)
    arn = gateway.arn(connection.api, f"{connection.stage}/$connect")
    event = websocket_events.authorizer_event(connection, arn, new_id(), time.time())
    context = as_object(event["requestContext"])
    variables = connection.stage_variables
    parts = RequestParts(connection.headers, connection.query, variables, context)
    if identity_sources.values_of(authorizer.identity_sources, parts) is None:
        missing = ", ".join(authorizer.identity_sources)
        why = f"the request lacks an identity source of the authorizer: {missing}"
        raise RefusedError(Refusal.UNAUTHORIZED, why)
    started = time.monotonic()
    answer = await authorizer.ask(gateway, event, websocket_events.authorizer_answer)
    latency = int((time.monotonic() - started) * 1000)
    answer.check(arn, connection.source_ip)
    return Authorization(answer.principal_id, answer.context, latency)

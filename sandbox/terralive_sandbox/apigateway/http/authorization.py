"""The shell that decides who may call a route of an HTTP API.

Anyone, callers that IAM allows, or clients that a Lambda authorizer or a JWT authorizer lets pass.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-access-control.html
"""

from __future__ import annotations

import dataclasses
from typing import Final

from moto.apigatewayv2.models import Route

from terralive_sandbox.apigateway.authorizers import decisions, lambda_authorizer
from terralive_sandbox.apigateway.authorizers.decisions import (
    Answer,
    AuthorizerError,
    AuthorizerFailure,
)
from terralive_sandbox.apigateway.authorizers.identity_sources import RequestParts
from terralive_sandbox.apigateway.authorizers.jwt_authorizer import JwtAuthorizers
from terralive_sandbox.apigateway.authorizers.lambda_authorizer import (
    LambdaAuthorizer,
    LambdaAuthorizers,
)
from terralive_sandbox.apigateway.authorizers.tokens import Rules, Token
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.http import events as http_events
from terralive_sandbox.apigateway.http.events import RouteMatch
from terralive_sandbox.apigateway.http_messages import GatewayResponseError, HttpRequest
from terralive_sandbox.apigateway.integration import (
    DeployedStage,
    ForbiddenError,
    Gateway,
    check_api_key,
)
from terralive_stub.protocol.limits import HTTP_API_AUTHORIZER_SECONDS
from terralive_stub.shared.json_documents import as_object, items, text

# The answers of API Gateway, instead of the integration's.
_ANSWERS: Final = {
    AuthorizerFailure.UNAUTHORIZED: (401, "Unauthorized"),
    AuthorizerFailure.NOT_ALLOWED: (403, "Forbidden"),
    AuthorizerFailure.DENIED: (403, "Forbidden"),
    AuthorizerFailure.BROKEN: (500, "Internal Server Error"),
}


class RouteAuthorization:
    """Checks the access control of routes. It lives on the event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._authorizers = LambdaAuthorizers(gateway)
        self._tokens = JwtAuthorizers()

    async def authorize(
        self, deployed: DeployedStage, match: RouteMatch, request: HttpRequest, context: ApiContext
    ) -> ApiContext:
        """Check the access control of the route that a request takes.

        Returns:
            The context with the caller, the answer of the route's authorizer, or the token.

        Raises:
            GatewayResponseError: the client may not call the route.
        """
        route = deployed.routes[match.route_key]
        resource = f"{request.method}{request.path}"
        if route.authorization_type == "CUSTOM":
            check_api_key(route)
            arn = self._gateway.arn(context.id, f"{context.stage}/{resource}")
            try:
                authorizer = lambda_authorizer.of_route(self._gateway, deployed, route)
                answer = await self._ask(authorizer, match, request, context, arn)
                answer.check(arn, request.source_ip)
            except AuthorizerError as error:
                status, message = _ANSWERS[error.failure]
                raise GatewayResponseError(status, message, str(error)) from error
            return dataclasses.replace(context, authorizer=answer)
        if route.authorization_type == "JWT":
            check_api_key(route)
            token = await self._verify_token(deployed, route, match, request, context)
            return dataclasses.replace(context, token=token)
        try:
            caller = await self._gateway.authorize_route(
                deployed, route, request.received, resource
            )
        except ForbiddenError as error:
            raise GatewayResponseError(403, "Forbidden", str(error)) from error
        return dataclasses.replace(context, caller=caller)

    async def _ask(
        self,
        authorizer: LambdaAuthorizer,
        match: RouteMatch,
        request: HttpRequest,
        context: ApiContext,
        arn: str,
    ) -> Answer:
        """Return the answer of an authorizer. `arn` is the ARN of the route."""
        make_event, read = http_events.authorizer_event_v1, decisions.policy
        if authorizer.payload_format == "2.0":
            make_event = http_events.authorizer_event_v2
        if authorizer.has_simple_responses:
            read = decisions.simple_response
        return await self._authorizers.ask(
            dataclasses.replace(authorizer, limit=HTTP_API_AUTHORIZER_SECONDS),
            _parts(request, match, context),
            lambda identity: make_event(request, match, context, arn, identity),
            read,
        )

    async def _verify_token(
        self,
        deployed: DeployedStage,
        route: Route,
        match: RouteMatch,
        request: HttpRequest,
        context: ApiContext,
    ) -> Token:
        """Return the token of a request to a route with a JWT authorizer.

        Raises:
            GatewayResponseError: the client may not call the route.
        """
        found = deployed.api.authorizers.get(route.authorizer_id or "")
        if found is None:
            why = f"there is no authorizer {route.authorizer_id}"
            raise GatewayResponseError(500, "Internal Server Error", why)
        settings = as_object(found.jwt_config)
        rules = Rules(
            issuer=text(settings, "issuer"),
            audience=tuple(str(name) for name in items(settings, "audience")),
            scopes=tuple(route.authorization_scopes or ()),
        )
        sources = list(found.identity_source or ())
        source = sources[0] if sources else "$request.header.Authorization"
        return await self._tokens.verify(source, _parts(request, match, context), rules)


def _parts(request: HttpRequest, match: RouteMatch, context: ApiContext) -> RequestParts:
    """Return the parts of a request that identity sources can name."""
    return RequestParts(
        headers=request.headers,
        query=request.query,
        stage_variables=context.variables,
        context=http_events.selection_context(request, match, context),
    )

"""The shell of HTTP APIs, and the one address under which HTTP and REST APIs are reached.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api.html
"""

from __future__ import annotations

import asyncio
import sys
import time

from terralive_sandbox.access import sigv4
from terralive_sandbox.access.identity import ACCOUNT, Caller
from terralive_sandbox.answers import Answer
from terralive_sandbox.apigateway.cors import Cors
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.http import events as http_events
from terralive_sandbox.apigateway.http.events import RouteMatch
from terralive_sandbox.apigateway.http_messages import (
    GatewayResponseError,
    HttpRequest,
    HttpResponse,
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
    new_id,
)
from terralive_sandbox.apigateway.rest.gateway import RestGateway

_INTEGRATION_SECONDS = 30
_FAILURES = {
    Failure.TIMED_OUT: message_response(503, "Service Unavailable"),
    Failure.TOO_LARGE: message_response(413, "Request Entity Too Large"),
}


class HttpGateway:
    """Answers requests to HTTP APIs, and hands those to REST APIs on."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._rest = RestGateway(gateway)

    async def answer(
        self, api: str, stage: str, path: str, wire: sigv4.Request, source_ip: str
    ) -> Answer:
        """Answer a request.

        `wire` is the request as it came; stage `~` leaves open whether the path names one.
        """
        is_rest = self._rest.knows(api)
        if stage == "~":
            first, _, rest = path.lstrip("/").partition("/")
            if is_rest or self._gateway.find(api, first, "HTTP") is not None:
                stage, path = first, "/" + rest
            else:
                stage = "$default"
        request = HttpRequest(
            wire.method, path or "/", wire.query, wire.sent_headers(), wire.body, source_ip
        )
        if is_rest:
            response = await self._rest.answer(api, stage, request, wire)
        else:
            target = self._gateway.find(api, stage, "HTTP")
            response = (
                message_response(404, "Not Found")
                if target is None
                else await self._http(target, request, wire)
            )
        return response.status, list(response.headers), response.body

    async def _http(
        self, target: Target, request: HttpRequest, wire: sigv4.Request
    ) -> HttpResponse:
        request_id = new_id()
        try:
            answer = await self._route(target, request, wire, request_id)
        except GatewayResponseError as refused:
            answer = refused.response
            sys.stderr.write(
                f"{target.api.api_id} {request.method} {request.path}: {answer.status} {refused}\n"
            )
        return HttpResponse(
            answer.status, (*answer.headers, ("apigw-requestid", request_id)), answer.body
        )

    async def _route(
        self, target: Target, request: HttpRequest, wire: sigv4.Request, request_id: str
    ) -> HttpResponse:
        http_events.check_size(request)
        configured: object = (
            target.api.cors_configuration
        )  # a mapping, whatever moto's annotation says
        cors = Cors.of(configured) if isinstance(configured, dict) else None
        asked = (
            request.header("access-control-request-method") if request.method == "OPTIONS" else ""
        )
        found = http_events.match_route(target.routes, request.method, request.path)
        if found is None:
            if cors is not None and request.method == "OPTIONS":
                return HttpResponse(
                    204, tuple(cors.preflight(request.header("origin"), asked)), b""
                )
            raise GatewayResponseError(message_response(404, "Not Found"))
        caller = await self._admit(target, found, request, wire)
        response = await self._integrate(target, found, request, caller, request_id)
        if cors is None:
            return response
        # A route that takes OPTIONS takes preflights too, and gets the configured headers on top
        # (https://github.com/aws/serverless-application-model/issues/1603).
        headers = cors.response(request.header("origin"), response.headers, asked)
        return HttpResponse(response.status, tuple(headers), response.body)

    async def _admit(
        self, target: Target, found: RouteMatch, request: HttpRequest, wire: sigv4.Request
    ) -> Caller | None:
        """Authorize; the caller where the route asks who it is.

        Raises:
            GatewayResponseError: the caller may not.
        """
        route = target.routes[found.route_key]
        if missing := left_out_of(route):
            raise not_emulated(missing)
        if route.authorization_type != "AWS_IAM":
            return None
        arn = self._gateway.arn(
            target.api.api_id, f"{target.stage.name}/{request.method}{request.path}"
        )
        try:
            return await asyncio.to_thread(self._gateway.authorize, wire, "Invoke", arn)
        except ForbiddenError as error:
            raise GatewayResponseError(message_response(403, "Forbidden"), str(error)) from error

    async def _integrate(
        self,
        target: Target,
        found: RouteMatch,
        request: HttpRequest,
        caller: Caller | None,
        request_id: str,
    ) -> HttpResponse:
        gateway, route = self._gateway, target.routes[found.route_key]
        api = ApiContext(
            target.api.api_id, target.stage.name, gateway.domain(target.api.api_id), ACCOUNT,
            target.stage.stage_variables or {}, caller,
        )  # fmt: skip
        integration = target.api.integrations.get(
            (route.target or "").removeprefix("integrations/")
        )
        # The page: who uses no console must specify a version. Terraform's default is 1.0.
        version_2 = integration is not None and integration.payload_format_version == "2.0"
        make_event = http_events.event_v2 if version_2 else http_events.event_v1
        event = make_event(request, found, api, request_id, time.time())
        try:
            read = http_events.response_v2 if version_2 else http_events.response_v1
            return await gateway.integrate(target, route, event, read, _INTEGRATION_SECONDS)
        except IntegrationError as error:
            if error.failure is Failure.NOT_EMULATED:
                raise GatewayResponseError(message_response(501, str(error))) from error
            response = _FAILURES.get(error.failure) or message_response(
                500, "Internal Server Error"
            )
            raise GatewayResponseError(response, str(error)) from error

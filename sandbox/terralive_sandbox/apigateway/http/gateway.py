"""The shell of HTTP APIs, and the one address under which HTTP and REST APIs are reached.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api.html
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Final

from terralive_sandbox.access import sigv4
from terralive_sandbox.access.identity import ACCOUNT, Caller
from terralive_sandbox.apigateway.cors import Cors
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.http import events as http_events
from terralive_sandbox.apigateway.http.events import RouteMatch
from terralive_sandbox.apigateway.http_messages import (
    GatewayResponseError,
    HttpRequest,
    HttpResponse,
    message_response,
)
from terralive_sandbox.apigateway.integration import (
    DeployedStage,
    Failure,
    ForbiddenError,
    Gateway,
    IntegrationError,
    check_access_control,
    new_id,
)
from terralive_sandbox.apigateway.rest.gateway import RestGateway
from terralive_sandbox.responses import Response
from terralive_stub.protocol.limits import HTTP_API_INTEGRATION_SECONDS

# In an address of the sandbox: the path may begin with a stage's name, as on AWS.
_STAGE_IN_PATH: Final = "~"
_FAILURES: Final = {
    Failure.TIMED_OUT: message_response(503, "Service Unavailable"),
    Failure.TOO_LARGE: message_response(413, "Request Entity Too Large"),
}
_OTHER_FAILURE: Final = message_response(500, "Internal Server Error")


class HttpGateway:
    """Answers requests to HTTP APIs, and passes requests to REST APIs on."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._rest = RestGateway(gateway)

    async def answer(
        self, api_id: str, stage_name: str, path: str, received: sigv4.Request, source_ip: str
    ) -> Response:
        """Answer a request to an HTTP or REST API.

        Args:
            api_id: the API's id.
            stage_name: the stage's name, or `~` if the path may begin with it.
            path: the path below the stage, percent-encoded.
            received: the request as it came, for the check of its signature.
            source_ip: the client's address.
        """
        is_rest = self._rest.knows(api_id)
        # REST APIs always have a stage in the path, HTTP APIs only if theirs has a name.
        if stage_name == _STAGE_IN_PATH:
            first, _, rest = path.lstrip("/").partition("/")
            if is_rest or self._gateway.find(api_id, first, "HTTP") is not None:
                stage_name, path = first, "/" + rest
            else:
                stage_name = "$default"
        request = HttpRequest(
            method=received.method,
            path=path or "/",
            query=received.query,
            headers=received.sent_headers(),
            body=received.body,
            source_ip=source_ip,
        )
        if is_rest:
            response = await self._rest.answer(api_id, stage_name, request, received)
        else:
            response = await self._answer_http(api_id, stage_name, request, received)
        return response.status, list(response.headers), response.body

    async def _answer_http(
        self, api_id: str, stage_name: str, request: HttpRequest, received: sigv4.Request
    ) -> HttpResponse:
        deployed = self._gateway.find(api_id, stage_name, "HTTP")
        if deployed is None:
            return message_response(404, "Not Found")
        request_id = new_id()
        try:
            response = await self._run_route(deployed, request, received, request_id)
        except GatewayResponseError as error:
            response = error.response
            sys.stderr.write(
                f"{api_id} {request.method} {request.path}: {response.status} {error}\n"
            )
        headers = (*response.headers, ("apigw-requestid", request_id))
        return HttpResponse(response.status, headers, response.body)

    async def _run_route(
        self,
        deployed: DeployedStage,
        request: HttpRequest,
        received: sigv4.Request,
        request_id: str,
    ) -> HttpResponse:
        http_events.check_size(request)
        cors = _cors_of(deployed)
        origin = request.header("origin")
        preflight_method = ""
        if request.method == "OPTIONS":
            preflight_method = request.header("access-control-request-method")
        route = http_events.match_route(deployed.routes, request.method, request.path)
        if route is None:
            # API Gateway answers preflights of an API with a CORS configuration by itself.
            if cors is not None and request.method == "OPTIONS":
                return HttpResponse(204, tuple(cors.preflight(origin, preflight_method)), b"")
            raise GatewayResponseError(message_response(404, "Not Found"))
        caller = await self._authorize(deployed, route, request, received)
        response = await self._integrate(deployed, route, request, caller, request_id)
        # The configured CORS headers replace those of the function.
        if cors is None:
            return response
        # A route that takes OPTIONS takes preflights too, and its response gets the configured
        # headers (https://github.com/aws/serverless-application-model/issues/1603).
        headers = cors.response(origin, response.headers, preflight_method)
        return HttpResponse(response.status, tuple(headers), response.body)

    async def _authorize(
        self,
        deployed: DeployedStage,
        route_match: RouteMatch,
        request: HttpRequest,
        received: sigv4.Request,
    ) -> Caller | None:
        """Return the caller of a route with AWS_IAM authorization, None for a public route.

        Raises:
            GatewayResponseError: the caller has no permission.
        """
        route = deployed.routes[route_match.route_key]
        check_access_control(route)
        if route.authorization_type != "AWS_IAM":
            return None
        resource = f"{deployed.stage.name}/{request.method}{request.path}"
        arn = self._gateway.arn(deployed.api.api_id, resource)
        try:
            # In a thread, so that evaluating policies does not hold up the event loop.
            return await asyncio.to_thread(self._gateway.authorize, received, "Invoke", arn)
        except ForbiddenError as error:
            raise GatewayResponseError(message_response(403, "Forbidden"), str(error)) from error

    async def _integrate(
        self,
        deployed: DeployedStage,
        route_match: RouteMatch,
        request: HttpRequest,
        caller: Caller | None,
        request_id: str,
    ) -> HttpResponse:
        api_id = deployed.api.api_id
        context = ApiContext(
            id=api_id,
            stage=deployed.stage.name,
            domain=self._gateway.domain(api_id),
            account=ACCOUNT,
            variables=deployed.variables,
            caller=caller,
        )
        route = deployed.routes[route_match.route_key]
        integration = deployed.integration_of(route)
        # Outside the console a version has to be given, says the page. Terraform's default is 1.0.
        make_event = http_events.event_v1
        read_answer = http_events.response_v1
        if integration is not None and integration.payload_format_version == "2.0":
            make_event = http_events.event_v2
            read_answer = http_events.response_v2
        event = make_event(request, route_match, context, request_id, time.time())
        try:
            return await self._gateway.integrate(
                deployed, route, event, read_answer, HTTP_API_INTEGRATION_SECONDS
            )
        except IntegrationError as error:
            raise _response_to(error) from error


def _cors_of(deployed: DeployedStage) -> Cors | None:
    # This is a mapping, whatever moto's annotation says.
    configuration: object = deployed.api.cors_configuration
    if isinstance(configuration, dict):
        return Cors.of(configuration)
    return None


def _response_to(error: IntegrationError) -> GatewayResponseError:
    why = str(error)
    if error.failure is Failure.NOT_EMULATED:
        return GatewayResponseError(message_response(501, why))
    return GatewayResponseError(_FAILURES.get(error.failure, _OTHER_FAILURE), why)

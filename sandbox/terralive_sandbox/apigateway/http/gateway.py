"""The shell of HTTP APIs, and the one address under which HTTP and REST APIs are reached.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api.html
"""

from __future__ import annotations

import dataclasses
import sys
import time
import uuid
from typing import Final, cast

from moto.apigatewayv2.models import Route

from terralive_sandbox.access import sigv4
from terralive_sandbox.apigateway.cors import Cors
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.failures import Failure, IntegrationError
from terralive_sandbox.apigateway.http import events as http_events
from terralive_sandbox.apigateway.http.authorization import RouteAuthorization
from terralive_sandbox.apigateway.http.events import RouteMatch
from terralive_sandbox.apigateway.http.service_integrations import ServiceIntegrations
from terralive_sandbox.apigateway.http_messages import (
    GatewayResponseError,
    HttpRequest,
    HttpResponse,
)
from terralive_sandbox.apigateway.integration import DeployedStage, Gateway, new_id
from terralive_sandbox.apigateway.openapi.gaps import EMULATED_SUBTYPES
from terralive_sandbox.apigateway.rest.custom_integrations import CustomIntegrations
from terralive_sandbox.apigateway.rest.gateway import RestGateway
from terralive_sandbox.responses import Answer, StreamedResponse
from terralive_stub.protocol.limits import HTTP_API_INTEGRATION_SECONDS

# In an address of the sandbox: the path may begin with a stage's name, as on AWS.
_STAGE_IN_PATH: Final = "~"
# The statuses of requests without permission.
_REFUSED: Final = {401, 403}
# The status and message for the failures of an integration that do not get the 500.
_FAILURES: Final = {
    Failure.TIMED_OUT: (503, "Service Unavailable"),
    Failure.TOO_LARGE: (413, "Request Entity Too Large"),
}


class HttpGateway:
    """Answers requests to HTTP APIs, and passes requests to REST APIs on."""

    def __init__(
        self, gateway: Gateway, services: ServiceIntegrations, custom: CustomIntegrations
    ) -> None:
        self._gateway = gateway
        self._services = services
        self._authorization = RouteAuthorization(gateway)
        self._rest = RestGateway(gateway, custom)

    async def answer(
        self, api_id: str, stage_name: str, path: str, received: sigv4.Request, source_ip: str
    ) -> Answer:
        """Answer a request to an HTTP or REST API.

        Args:
            api_id: the API's id.
            stage_name: the stage's name, or `~` if the path may begin with it.
            path: the path below the stage, percent-encoded.
            received: the request as it came, for the check of its signature.
            source_ip: the client's address.
        """
        rest_api = self._rest.find(api_id)
        # REST APIs always have a stage in the path, HTTP APIs only if theirs has a name.
        if stage_name == _STAGE_IN_PATH:
            first, _, rest = path.lstrip("/").partition("/")
            if rest_api is not None or self._gateway.find(api_id, first, "HTTP") is not None:
                stage_name, path = first, "/" + rest
            else:
                stage_name = "$default"
        deployed = self._gateway.find(api_id, stage_name, "HTTP")
        place = self._gateway.place_of(api_id)
        if place is None or (rest_api is None and deployed is None):
            return GatewayResponseError(404, "Not Found").response
        request_id = extended_id = new_id()
        id_headers = [("apigw-requestid", request_id)]
        if rest_api is not None:
            # REST APIs give a request two ids.
            request_id = str(uuid.uuid4())
            id_headers = [("x-amzn-requestid", request_id), ("x-amz-apigw-id", extended_id)]
        domain = self._gateway.domain(api_id)
        context = ApiContext(
            id=api_id,
            stage=stage_name,
            domain=domain,
            request_id=request_id,
            extended_id=extended_id,
            now=time.time(),
            account=place.account,
        )
        request = HttpRequest.below(path, received, source_ip)
        response: HttpResponse | StreamedResponse
        try:
            if rest_api is not None:
                response = await self._rest.answer(rest_api, context, request)
            elif deployed is not None:
                response = await self._answer_http(deployed, context, request)
        except GatewayResponseError as error:
            response = error.response
            line = f"{api_id} {request.method} {path}: {response.status} {error}"
            if error.status in _REFUSED:
                self._gateway.refusals.add(line)
            else:
                sys.stderr.write(f"{line}\n")
        response.headers.extend(id_headers)
        return response

    async def _answer_http(
        self, deployed: DeployedStage, context: ApiContext, request: HttpRequest
    ) -> HttpResponse:
        http_events.check_size(request)
        # This is a mapping, whatever moto's annotation says.
        configuration = cast("dict[str, object] | None", deployed.api.cors_configuration)
        cors = Cors(configuration or {})
        origin = request.header("origin")
        preflight_method = ""
        if request.method == "OPTIONS":
            preflight_method = request.header("access-control-request-method")
        found = http_events.match_route(deployed.routes, request.method, request.path)
        if found is None:
            # API Gateway answers preflights of an API with a CORS configuration by itself.
            if configuration is not None and request.method == "OPTIONS":
                return HttpResponse(204, cors.preflight(origin, preflight_method), b"")
            raise GatewayResponseError(404, "Not Found")
        route = deployed.routes[found.route_key]
        context = dataclasses.replace(context, variables=deployed.variables)
        context = await self._authorization.authorize(deployed, found, request, context)
        response = await self._integrate(deployed, route, found, request, context)
        if configuration is None:
            return response
        # The configured CORS headers replace those of the function. A route that takes OPTIONS
        # takes preflights too, and its response gets the configured headers
        # (https://github.com/aws/serverless-application-model/issues/1603).
        headers = cors.response(origin, response.headers, preflight_method)
        return HttpResponse(response.status, headers, response.body)

    async def _integrate(
        self,
        deployed: DeployedStage,
        route: Route,
        found: RouteMatch,
        request: HttpRequest,
        context: ApiContext,
    ) -> HttpResponse:
        """Run the integration of a route.

        Raises:
            GatewayResponseError: the integration gave no answer.
        """
        integration = deployed.integration_of(route)
        if integration is not None and integration.integration_subtype in EMULATED_SUBTYPES:
            region = self._gateway.region(context.id)
            return await self._services.answer(integration, found, request, context, region)
        # Outside the console a version has to be given, says the page. Terraform's default is 1.0.
        make_event, read_answer = http_events.event_v1, http_events.response_v1
        if integration is not None and integration.payload_format_version == "2.0":
            make_event, read_answer = http_events.event_v2, http_events.response_v2
        event = make_event(request, found, context)
        try:
            return await self._gateway.integrate(
                deployed, route, event, read_answer, HTTP_API_INTEGRATION_SECONDS
            )
        except IntegrationError as error:
            status, message = _FAILURES.get(error.failure, (500, "Internal Server Error"))
            if error.failure is Failure.NOT_EMULATED:
                status, message = 501, str(error)
            raise GatewayResponseError(status, message, str(error)) from error

"""The shell of first-class integrations: it calls AWS's services with the credentials of a role."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from moto.apigatewayv2.models import Integration

from terralive_sandbox.access import identity, sigv4
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.http import events as http_events
from terralive_sandbox.apigateway.http import service_calls
from terralive_sandbox.apigateway.http.events import RouteMatch
from terralive_sandbox.apigateway.http.service_calls import Sources
from terralive_sandbox.apigateway.http_messages import (
    GatewayResponseError,
    HttpRequest,
    HttpResponse,
)
from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.responses import Response

# Answers a signed request to AWS.
CallAws: TypeAlias = Callable[[sigv4.Request], Awaitable[Response]]


class ServiceIntegrations:
    """Runs first-class integrations. It lives on the event loop.

    Args:
        control: makes the credentials of roles.
        call_aws: answers a signed request to AWS.
    """

    def __init__(self, control: ControlPlane, call_aws: CallAws) -> None:
        self._control = control
        self._call_aws = call_aws

    async def answer(
        self,
        integration: Integration,
        match: RouteMatch,
        request: HttpRequest,
        context: ApiContext,
        region: str,
    ) -> HttpResponse:
        """Call the service of an integration and return the service's own answer.

        Args:
            integration: an integration with a subtype that the sandbox emulates.
            match: the route that the request takes.
            request: the client's request.
            context: the API and stage that it came to.
            region: the region of the API.

        Raises:
            GatewayResponseError: the integration has no role.
        """
        role = integration.credentials_arn
        if not role:
            why = "a first-class integration needs credentials_arn, the ARN of a role"
            raise GatewayResponseError(500, "Internal Server Error", why)
        variables = http_events.selection_context(request, match, context)
        sources = Sources(
            request=request,
            path_parameters=match.parameters,
            context={**variables, "requestId": context.request_id},
            stage_variables=context.variables,
        )
        values = service_calls.parameters(integration.request_parameters or {}, sources)
        keys = await self._control.call_async(identity.assume, role, "apigateway", region)
        call = service_calls.signed_call(str(integration.integration_subtype), values, keys, region)
        status, headers, body = await self._call_aws(call)
        kept = [(name, value) for name, value in headers if name.lower() == "content-type"]
        return HttpResponse(status, kept, body)

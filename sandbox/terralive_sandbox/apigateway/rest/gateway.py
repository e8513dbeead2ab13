"""The shell of REST APIs: it finds them in moto and runs integrations.

A stage serves the snapshot that its deployment took (moto_gaps). A change shows after the next
deployment.

https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-deploy-api.html
"""

from __future__ import annotations

import dataclasses

from moto.apigateway.models import (
    APIGatewayBackend,
    Integration,
    Method,
    Resource,
    RestAPI,
    apigateway_backends,
)

from terralive_sandbox.apigateway import event_fields
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.failures import Failure, IntegrationError
from terralive_sandbox.apigateway.http_messages import (
    GatewayResponseError,
    HttpRequest,
    HttpResponse,
    not_emulated,
)
from terralive_sandbox.apigateway.integration import Gateway, with_stage_variables
from terralive_sandbox.apigateway.rest import (
    custom_requests,
    gateway_responses,
    streaming,
    validation,
)
from terralive_sandbox.apigateway.rest import events as rest_events
from terralive_sandbox.apigateway.rest.authorization import MethodAuthorization
from terralive_sandbox.apigateway.rest.custom_integrations import CustomIntegrations
from terralive_sandbox.apigateway.rest.gateway_responses import GatewayResponse
from terralive_sandbox.apigateway.rest.tenants import tenant_of
from terralive_sandbox.control.moto_gaps.api_gateway.apigateway import snapshot_of
from terralive_sandbox.responses import StreamedResponse
from terralive_stub.protocol.limits import INTEGRATION_SECONDS


class RestGateway:
    """Answers requests to REST APIs."""

    def __init__(self, gateway: Gateway, custom: CustomIntegrations) -> None:
        self._gateway = gateway
        self._custom = custom
        self._authorization = MethodAuthorization(gateway)

    def find(self, api_id: str) -> RestAPI | None:
        """Return moto's record of a REST API, or None."""
        place = self._gateway.place_of(api_id)
        if place is None:
            return None
        backend: APIGatewayBackend = apigateway_backends[place.account][place.region]
        return backend.apis.get(api_id)

    async def answer(
        self, current: RestAPI, context: ApiContext, request: HttpRequest
    ) -> HttpResponse | StreamedResponse:
        """Find the method of a request, check the caller, and run the method's integration.

        Args:
            current: the API, as it is now.
            context: the stage that the request came to.
            request: the request.

        Raises:
            GatewayResponseError: API Gateway answers, without the integration's response.
        """
        # The stage serves the API as it was when it was deployed.
        stage = current.stages.get(context.stage)
        deployment = None
        if stage is not None:
            deployment = current.deployments.get(stage.deployment_id or "")
        if stage is None or deployment is None:
            raise GatewayResponseError(403, "Forbidden", error_type="ForbiddenException")
        api: RestAPI = snapshot_of(deployment)
        context = dataclasses.replace(context, variables=stage.variables or {})
        try:
            return await self._answer_method(api, context, request)
        except GatewayResponseError as error:
            declared = _gateway_responses_of(api)
            error.response = gateway_responses.changed(error, declared, request, context)
            raise

    async def _answer_method(
        self, api: RestAPI, context: ApiContext, request: HttpRequest
    ) -> HttpResponse | StreamedResponse:
        """Answer a request to the API that a stage serves.

        Raises:
            GatewayResponseError: API Gateway answers, without the integration's response.
        """
        rest_events.check_size(request)
        match = rest_events.match_resource(_resources(api), request.method, request.path)
        # An unknown path gets the answer of an unsigned request, as on AWS.
        if match is None:
            raise rest_events.missing_token()
        context = await self._authorization.authorize(api, match, request, context)
        method = api.resources[match.resource.id].resource_methods[match.method]
        validation.check(request, match.parameters, _rules_of(api, method))
        integration = method.method_integration
        if integration is None:
            raise rest_events.integration_failed(500)
        if integration.integration_type == "MOCK":
            return _mock_response(integration)
        if integration.integration_type not in {"AWS", "AWS_PROXY"}:
            raise not_emulated(f"{integration.integration_type} integrations of REST APIs")
        response: HttpResponse | StreamedResponse
        try:
            if integration.integration_type == "AWS":
                response = await self._custom.answer(api, match, integration, request, context)
            else:
                response = await self._invoke_proxy(api, match, integration, request, context)
        except IntegrationError as error:
            raise _response_to(error) from error
        response.headers.append(("x-amzn-trace-id", event_fields.trace_id(context)))
        return response

    async def _invoke_proxy(
        self,
        api: RestAPI,
        match: rest_events.MethodMatch,
        integration: Integration,
        request: HttpRequest,
        context: ApiContext,
    ) -> HttpResponse | StreamedResponse:
        """Invoke the function of a Lambda proxy integration.

        Raises:
            IntegrationError: there is no answer.
        """
        # The source ARN has the method as it is declared: ANY stays ANY.
        method_path = f"{context.stage}/{match.method}{match.resource.path}"
        source_arn = self._gateway.arn(api.id, method_path)
        event = rest_events.event(request, match, context, api.binaryMediaTypes)
        uri = with_stage_variables(integration.uri, context.variables)
        credentials = with_stage_variables(integration.credentials or "", context.variables)
        scope = custom_requests.scope_of(request, match.parameters, event, context.variables)
        tenant_id = tenant_of(integration.request_parameters or {}, scope)
        if uri.endswith(streaming.PATH):
            invocation = self._gateway.begin_stream(
                event,
                uri=uri,
                credentials=credentials,
                source_arn=source_arn,
                tenant_id=tenant_id,
            )
            limits = _limits_of(integration, api, self._gateway.time_scale)
            return await streaming.response_of(invocation, uri, limits)
        accept = request.header("accept")
        return await self._gateway.invoke(
            event,
            lambda answer: rest_events.response(answer, accept, api.binaryMediaTypes),
            uri=uri,
            credentials=credentials,
            source_arn=source_arn,
            milliseconds=integration.timeout_in_millis,
            tenant_id=tenant_id,
        )


def _limits_of(integration: Integration, api: RestAPI, time_scale: float) -> streaming.Limits:
    milliseconds = int(integration.timeout_in_millis or INTEGRATION_SECONDS * 1000)
    endpoint_types = api.endpoint_configuration["types"]
    return streaming.Limits.of(milliseconds, endpoint_types, time_scale)


def _gateway_responses_of(api: RestAPI) -> dict[str, GatewayResponse]:
    """Return the gateway responses that an API declares, by type."""
    return {
        kind: GatewayResponse(
            status=int(declared.status_code or 0),
            headers=declared.response_parameters or {},
            templates=declared.response_templates or {},
        )
        for kind, declared in api.gateway_responses.items()
    }


def _rules_of(api: RestAPI, method: Method) -> validation.RequestRules:
    """Return what a method's validator, if it has one, asks of requests."""
    validator = api.request_validators.get(method.request_validator_id or "")
    if validator is None:
        return validation.RequestRules(api.id)
    required: tuple[str, ...] = ()
    if validator.validate_request_parameters:
        parameters = method.request_parameters or {}
        required = tuple(sorted(name for name, needed in parameters.items() if needed))
    own = {model.name: model.schema or "{}" for model in api.models.values()}
    return validation.RequestRules(
        api.id,
        required,
        checks_body=bool(validator.validate_request_body),
        models=method.request_models or {},
        schemas={**validation.BUILT_IN_MODELS, **own},
    )


def _response_to(error: IntegrationError) -> GatewayResponseError:
    why = str(error)
    match error.failure:
        case Failure.NOT_EMULATED:
            return GatewayResponseError(501, why)
        case Failure.TOO_LARGE:
            return GatewayResponseError(
                413, "Request Too Long", why, error_type="RequestTooLargeException"
            )
        case Failure.TIMED_OUT:
            return GatewayResponseError(
                504, "Endpoint request timed out", why, error_type="InternalServerErrorException"
            )
        case Failure.FUNCTION_FAILED | Failure.MALFORMED:
            return rest_events.integration_failed(502, why)
        case _:
            return rest_events.integration_failed(500, why)


def _resources(api: RestAPI) -> list[rest_events.Resource]:
    resources: list[rest_events.Resource] = []
    for resource in api.resources.values():
        # moto keeps the last part of the path only.
        path = ""
        part: Resource | None = resource
        while part is not None and part.parent_id:
            path = f"/{part.path_part}{path}"
            part = api.resources.get(part.parent_id)
        methods = frozenset(resource.resource_methods)
        resources.append(rest_events.Resource(resource.id, path or "/", methods))
    return resources


def _mock_response(integration: Integration) -> HttpResponse:
    template = (integration.request_templates or {}).get("application/json", "")
    for answer in (integration.integration_responses or {}).values():
        # The default response is the one without a selection pattern.
        if not answer.selection_pattern:
            body = (answer.response_templates or {}).get("application/json") or ""
            parameters = answer.response_parameters or {}
            return rest_events.mock_response(template, int(answer.status_code), parameters, body)
    raise rest_events.integration_failed(500, "the MOCK integration has no default response")

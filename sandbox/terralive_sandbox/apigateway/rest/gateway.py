"""The shell of REST APIs: it finds them in moto, checks callers and policies, runs integrations.

A stage serves the snapshot that its deployment took (moto_gaps). A change shows after the next
deployment.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-authorization-flow.html
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from dataclasses import dataclass

from moto.apigateway.models import (
    APIGatewayBackend,
    Integration,
    Method,
    RestAPI,
    Stage,
    apigateway_backends,
)

from terralive_sandbox.access import sigv4
from terralive_sandbox.access.denials import JSON_SIGNATURE_ERRORS
from terralive_sandbox.access.identity import ACCOUNT, Caller
from terralive_sandbox.access.policy import AccessRequest, Decision, decide
from terralive_sandbox.apigateway import event_fields
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.http_messages import (
    GatewayResponseError,
    HttpRequest,
    HttpResponse,
    message_response,
    not_emulated,
)
from terralive_sandbox.apigateway.integration import (
    Failure,
    FunctionIntegration,
    Gateway,
    IntegrationError,
    authenticate,
    check_access_control,
    is_allowed,
    new_id,
    with_stage_variables,
)
from terralive_sandbox.apigateway.rest import events as rest_events
from terralive_sandbox.apigateway.rest.events import MethodMatch
from terralive_sandbox.control.moto_gaps.apigateway import snapshot_of
from terralive_stub.protocol.limits import INTEGRATION_SECONDS


@dataclass(frozen=True, slots=True)
class _MethodCall:
    """A request and the method that it calls, in the API as it was deployed.

    Attributes:
        api: the deployment's snapshot of the API.
        stage: the stage.
        match: the resource and method, with the path parameters.
        method: moto's record of the method.
        request: the request.
        received: the request as it came, for the check of its signature.
        request_id: the id that API Gateway gives the request.
        extended_id: the second id that API Gateway gives it.
    """

    api: RestAPI
    stage: Stage
    match: MethodMatch
    method: Method
    request: HttpRequest
    received: sigv4.Request
    request_id: str
    extended_id: str


class RestGateway:
    """Answers requests to REST APIs."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def knows(self, api_id: str) -> bool:
        """Return whether there is a REST API with this id."""
        return api_id in self._backend().apis

    async def answer(
        self, api_id: str, stage_name: str, request: HttpRequest, received: sigv4.Request
    ) -> HttpResponse:
        """Answer a request below a stage. `received` is the request as it came."""
        request_id = str(uuid.uuid4())
        extended_id = new_id()
        try:
            api, stage = self._deployed(api_id, stage_name)
            rest_events.check_size(request)
            match = rest_events.match_resource(_resources(api), request.method, request.path)
            # An unknown path gets the answer of an unsigned request, as on AWS.
            if match is None:
                raise rest_events.missing_token()
            method = api.resources[match.resource.id].resource_methods[match.method]
            call = _MethodCall(
                api, stage, match, method, request, received, request_id, extended_id
            )
            response = await self._run(call)
        except GatewayResponseError as error:
            response = error.response
            sys.stderr.write(
                f"{api_id} {request.method} {request.path}: {response.status} {error}\n"
            )
        ids = (("x-amzn-requestid", request_id), ("x-amz-apigw-id", extended_id))
        return HttpResponse(response.status, (*response.headers, *ids), response.body)

    def _backend(self) -> APIGatewayBackend:
        backend: APIGatewayBackend = apigateway_backends[ACCOUNT][self._gateway.region]
        return backend

    def _deployed(self, api_id: str, stage_name: str) -> tuple[RestAPI, Stage]:
        """Return the snapshot of the API that a stage serves, and the stage.

        Raises:
            GatewayResponseError: there is no such stage, or it serves no deployment.
        """
        current: RestAPI = self._backend().apis[api_id]
        stage = current.stages.get(stage_name)
        deployment = None
        if stage is not None:
            deployment = current.deployments.get(stage.deployment_id or "")
        if stage is None or deployment is None:
            raise rest_events.gateway_error(403, "ForbiddenException", "Forbidden")
        return snapshot_of(deployment), stage

    async def _run(self, call: _MethodCall) -> HttpResponse:
        check_access_control(call.method)
        # In a thread, so that evaluating policies does not hold up the event loop.
        caller = await asyncio.to_thread(self._authorize, call)
        integration = call.method.method_integration
        if integration is None:
            raise rest_events.integration_failed(500)
        if integration.integration_type == "MOCK":
            return _mock_response(integration)
        if integration.integration_type != "AWS_PROXY":
            raise not_emulated(f"{integration.integration_type} integrations of REST APIs")
        return await self._invoke(call, integration, caller)

    def _authorize(self, call: _MethodCall) -> Caller | None:
        """Return the caller of a method with AWS_IAM authorization, None for a public method.

        A permission of either policy is enough: API and caller are in the same account.

        Raises:
            GatewayResponseError: the caller has no permission.
        """
        resource = f"{call.stage.name}/{call.request.method}{call.request.path}"
        arn = self._gateway.arn(call.api.id, resource)
        resource_policies = self._resource_policies(call.api)
        context = {"aws:SourceIp": call.request.source_ip}
        caller: Caller | None = None
        caller_arn = "anonymous"
        principals: tuple[str, ...] = ("anonymous",)
        by_identity = Decision.NEUTRAL
        if call.method.authorization_type == "AWS_IAM":
            # Resource policies may name the caller, its account's root, or its account.
            caller = _authenticated(call.received)
            caller_arn = caller.arn
            principals = (caller.arn, f"arn:aws:iam::{caller.account}:root", caller.account)
            asked = AccessRequest("execute-api:Invoke", (arn,), context=context)
            by_identity = decide(caller.documents, asked)
        # A public method of an API without a policy has nothing to decide.
        elif not resource_policies:
            return None
        asked = AccessRequest("execute-api:Invoke", (arn,), principals, context)
        by_resource = decide(resource_policies, asked)
        if not is_allowed(by_identity, by_resource):
            explicitly = Decision.DENIED in {by_identity, by_resource}
            raise rest_events.access_denied(caller_arn, arn, explicitly=explicitly)
        return caller

    def _resource_policies(self, api: RestAPI) -> list[str]:
        if not api.policy:
            return []
        whole_api = self._gateway.arn(api.id, "").removesuffix("/")
        return [rest_events.expand_policy(api.policy, whole_api)]

    async def _invoke(
        self, call: _MethodCall, integration: Integration, caller: Caller | None
    ) -> HttpResponse:
        api, stage = call.api, call.stage
        variables = stage.variables or {}
        context = ApiContext(
            id=api.id,
            stage=str(stage.name),
            domain=self._gateway.domain(api.id),
            account=ACCOUNT,
            variables=variables,
            caller=caller,
        )
        binary_types = api.binaryMediaTypes
        event = rest_events.event(
            call.request,
            call.match,
            context,
            binary_types,
            request_id=call.request_id,
            extended_id=call.extended_id,
            now=time.time(),
        )
        # The source ARN has the method as it is declared: ANY stays ANY.
        method_path = f"{stage.name}/{call.match.method}{call.match.resource.path}"
        # A configured timeout can shorten the wait, not lengthen it.
        milliseconds = int(integration.timeout_in_millis or INTEGRATION_SECONDS * 1000)
        function_integration = FunctionIntegration(
            uri=with_stage_variables(integration.uri, variables),
            credentials=with_stage_variables(integration.credentials or "", variables),
            source_arn=self._gateway.arn(api.id, method_path),
            seconds=min(INTEGRATION_SECONDS, milliseconds / 1000),
        )
        accept = call.request.header("accept")

        def read(answer: bytes) -> HttpResponse:
            return rest_events.response(answer, accept, binary_types)

        try:
            response = await self._gateway.invoke(function_integration, event, read)
        except IntegrationError as error:
            raise _response_to(error) from error
        trace = ("x-amzn-trace-id", event_fields.trace_id(call.request_id, time.time()))
        return HttpResponse(response.status, (*response.headers, trace), response.body)


def _authenticated(received: sigv4.Request) -> Caller:
    try:
        return authenticate(received, "execute-api")
    except sigv4.SignatureError as error:
        error_type = JSON_SIGNATURE_ERRORS.get(error.code, error.code)
        raise rest_events.gateway_error(403, error_type, error.message) from error


def _response_to(error: IntegrationError) -> GatewayResponseError:
    why = str(error)
    match error.failure:
        case Failure.NOT_EMULATED:
            return GatewayResponseError(message_response(501, why))
        case Failure.TOO_LARGE:
            return rest_events.gateway_error(
                413, "RequestTooLargeException", "Request Too Long", why
            )
        case Failure.TIMED_OUT:
            return rest_events.gateway_error(
                504, "InternalServerErrorException", "Endpoint request timed out", why
            )
        case Failure.FUNCTION_FAILED | Failure.MALFORMED:
            return rest_events.integration_failed(502, why)
        case _:
            return rest_events.integration_failed(500, why)


def _resources(api: RestAPI) -> list[rest_events.Resource]:
    resources: list[rest_events.Resource] = []
    for resource in api.resources.values():
        path = _path_of(api, resource.id) or "/"
        methods = frozenset(resource.resource_methods)
        resources.append(rest_events.Resource(resource.id, path, methods))
    return resources


def _path_of(api: RestAPI, resource_id: str | None) -> str:
    """Return a resource's full path, empty for the root; moto keeps the last part only."""
    resource = api.resources.get(resource_id or "")
    if resource is None or not resource.parent_id:
        return ""
    return f"{_path_of(api, resource.parent_id)}/{resource.path_part}"


def _mock_response(integration: Integration) -> HttpResponse:
    template = (integration.request_templates or {}).get("application/json", "")
    for answer in (integration.integration_responses or {}).values():
        # The default response is the one without a selection pattern.
        if not answer.selection_pattern:
            body = (answer.response_templates or {}).get("application/json") or ""
            parameters = answer.response_parameters or {}
            return rest_events.mock_response(template, int(answer.status_code), parameters, body)
    raise rest_events.integration_failed(500, "the MOCK integration has no default response")

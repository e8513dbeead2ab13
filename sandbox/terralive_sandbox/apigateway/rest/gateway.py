"""The shell of REST APIs: finds them in moto, checks callers and policies, runs integrations.

A stage serves the snapshot that its deployment took (moto_gaps), so that a change shows with the
next deployment.

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
from terralive_sandbox.access.actions import SIGNATURE_CODES
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
    Gateway,
    IntegrationError,
    authenticate,
    left_out_of,
    new_id,
    with_stage_variables,
)
from terralive_sandbox.apigateway.rest import events as rest_events
from terralive_sandbox.apigateway.rest.events import Found
from terralive_sandbox.control.moto_gaps.apigateway import snapshot_of

_INTEGRATION_SECONDS = 29


@dataclass(frozen=True, slots=True)
class _Called:
    """A request that has found its method in the API as it was deployed, with the ids that API Gateway gave it."""

    api: RestAPI
    stage: Stage
    found: Found
    method: Method
    request: HttpRequest
    request_id: str
    extended_id: str


class RestGateway:
    """Answers requests to REST APIs."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def knows(self, api_id: str) -> bool:
        return api_id in self._backend().apis

    async def answer(
        self, api_id: str, stage_name: str, request: HttpRequest, wire: sigv4.Request
    ) -> HttpResponse:
        """Answer a request below a stage. `wire` is the request as it came."""
        request_id, extended_id = str(uuid.uuid4()), new_id()
        try:
            called = self._find(api_id, stage_name, request, request_id, extended_id)
            response = await self._run(called, wire)
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

    def _find(
        self, api_id: str, stage_name: str, request: HttpRequest, request_id: str, extended_id: str
    ) -> _Called:
        now: RestAPI = self._backend().apis[api_id]
        stage = now.stages.get(stage_name)
        deployment = now.deployments.get(stage.deployment_id or "") if stage is not None else None
        if stage is None or deployment is None:
            raise rest_events.refused(403, "ForbiddenException", "Forbidden")
        api = snapshot_of(deployment)
        rest_events.check_size(request)
        found = rest_events.match_resource(_resources(api), request.method, request.path)
        if found is None:
            raise rest_events.missing_token()
        method = api.resources[found.resource.id].resource_methods[found.method]
        return _Called(api, stage, found, method, request, request_id, extended_id)

    async def _run(self, called: _Called, wire: sigv4.Request) -> HttpResponse:
        if missing := left_out_of(called.method):
            raise not_emulated(missing)
        caller = await asyncio.to_thread(self._authorize, called, wire)
        integration = called.method.method_integration
        if integration is None:
            raise rest_events.failed(500)
        if integration.integration_type == "MOCK":
            return _mock(integration)
        if integration.integration_type != "AWS_PROXY":
            raise not_emulated(f"{integration.integration_type} integrations of REST APIs")
        return await self._invoke(called, integration, caller)

    def _authorize(self, called: _Called, wire: sigv4.Request) -> Caller | None:
        """Who calls, with AWS_IAM authorization; in one account a permission of either policy is enough.

        Raises:
            GatewayResponseError: the caller may not.
        """
        api = called.api
        arn = self._gateway.arn(
            api.id, f"{called.stage.name}/{called.request.method}{called.request.path}"
        )
        whole_api = self._gateway.arn(api.id, "").removesuffix("/")
        documents = [rest_events.expand_policy(api.policy, whole_api)] if api.policy else []
        context = {"aws:SourceIp": called.request.source_ip}
        caller: Caller | None = None
        decisions = set()
        names: tuple[str, ...] = ("anonymous",)
        if called.method.authorization_type == "AWS_IAM":
            try:
                caller = authenticate(wire, "execute-api")
            except sigv4.SignatureError as error:
                raise rest_events.refused(
                    403, SIGNATURE_CODES.get(error.code, error.code), error.message
                ) from error
            names = (caller.arn, f"arn:aws:iam::{caller.account}:root", caller.account)
            decisions.add(
                decide(
                    caller.documents, AccessRequest("execute-api:Invoke", (arn,), context=context)
                )
            )
        elif not documents:
            return None
        decisions.add(
            decide(documents, AccessRequest("execute-api:Invoke", (arn,), names, context))
        )
        if Decision.DENIED in decisions or Decision.ALLOWED not in decisions:
            who = caller.arn if caller is not None else "anonymous"
            raise rest_events.denied(who, arn, explicitly=Decision.DENIED in decisions)
        return caller

    async def _invoke(
        self, called: _Called, integration: Integration, caller: Caller | None
    ) -> HttpResponse:
        api, stage, request = called.api, called.stage, called.request
        variables = stage.variables or {}
        about = ApiContext(
            api.id, str(stage.name), self._gateway.domain(api.id), ACCOUNT, variables, caller
        )
        event = rest_events.event(
            request, called.found, about, api.binaryMediaTypes,
            request_id=called.request_id, extended_id=called.extended_id, now=time.time(),
        )  # fmt: skip
        source = self._gateway.arn(
            api.id, f"{stage.name}/{called.found.method}{called.found.resource.path}"
        )
        uri = with_stage_variables(integration.uri, variables)
        credentials = with_stage_variables(integration.credentials or "", variables)
        seconds = min(_INTEGRATION_SECONDS, int(integration.timeout_in_millis or 29_000) / 1000)
        try:
            response = await self._gateway.invoke(
                uri, credentials, source, event,
                lambda answer: rest_events.response(answer, request.header("accept"), api.binaryMediaTypes), seconds,
            )  # fmt: skip
        except IntegrationError as error:
            raise _failed(error) from error
        trace = ("x-amzn-trace-id", event_fields.trace_id(called.request_id, time.time()))
        return HttpResponse(response.status, (*response.headers, trace), response.body)


def _failed(error: IntegrationError) -> GatewayResponseError:
    why = str(error)
    match error.failure:
        case Failure.NOT_EMULATED:
            return GatewayResponseError(message_response(501, why))
        case Failure.TOO_LARGE:
            return rest_events.refused(413, "RequestTooLargeException", "Request Too Long", why)
        case Failure.TIMED_OUT:
            return rest_events.refused(
                504, "InternalServerErrorException", "Endpoint request timed out", why
            )
        case Failure.FUNCTION_FAILED | Failure.MALFORMED:
            return rest_events.failed(502, why)
        case _:
            return rest_events.failed(500, why)


def _resources(api: RestAPI) -> list[rest_events.Resource]:
    def path(resource_id: str | None) -> str:
        resource = api.resources.get(resource_id or "")
        if resource is None or not resource.parent_id:
            return ""
        return f"{path(resource.parent_id)}/{resource.path_part}"

    return [
        rest_events.Resource(
            resource.id, path(resource.id) or "/", frozenset(resource.resource_methods)
        )
        for resource in api.resources.values()
    ]


def _mock(integration: Integration) -> HttpResponse:
    template = (integration.request_templates or {}).get("application/json", "")
    answers = (integration.integration_responses or {}).values()
    default = next((answer for answer in answers if not answer.selection_pattern), None)
    if default is None:
        raise rest_events.failed(500, "the MOCK integration has no default response")
    body = (default.response_templates or {}).get("application/json") or ""
    return rest_events.mock(
        template, int(default.status_code), default.response_parameters or {}, body
    )

"""The shell of integrations of REST APIs that are no proxies: functions and AWS's services.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-integration-types.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/handle-errors-in-lambda-integration.html
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from moto.apigateway.models import Integration, RestAPI

from terralive_sandbox.access import identity, sigv4
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.failures import Failure, IntegrationError
from terralive_sandbox.apigateway.http_messages import HttpRequest, HttpResponse
from terralive_sandbox.apigateway.integration import Gateway, with_stage_variables
from terralive_sandbox.apigateway.rest import custom_requests, mapping_templates
from terralive_sandbox.apigateway.rest import events as rest_events
from terralive_sandbox.apigateway.rest.custom_requests import MappedResponse, ServiceUri
from terralive_sandbox.apigateway.rest.events import MethodMatch
from terralive_sandbox.apigateway.rest.mapping_templates import Scope, TemplateError
from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.functions.invoke_api import InvokeError
from terralive_sandbox.responses import Response
from terralive_stub.shared.json_documents import parse_object, text

if TYPE_CHECKING:
    from terralive_sandbox.functions.asynchronous import AsynchronousInvocations

# Answers a signed request to AWS.
CallAws: TypeAlias = Callable[[sigv4.Request], Awaitable[Response]]
_INVOCATION_TYPE: Final = "x-amz-invocation-type"
_RESPONSE_HEADER: Final = "method.response.header."


class CustomIntegrations:
    """Runs integrations of the type AWS. It lives on the event loop.

    Args:
        gateway: invokes functions.
        control: makes the credentials of roles.
        call_aws: answers a signed request to AWS.
        asynchronous: invokes functions asynchronously.
    """

    def __init__(
        self,
        gateway: Gateway,
        control: ControlPlane,
        call_aws: CallAws,
        asynchronous: AsynchronousInvocations,
    ) -> None:
        self._gateway = gateway
        self._control = control
        self._call_aws = call_aws
        self._asynchronous = asynchronous

    async def answer(
        self,
        api: RestAPI,
        match: MethodMatch,
        integration: Integration,
        request: HttpRequest,
        context: ApiContext,
    ) -> HttpResponse:
        """Map a request to the integration, and its answer back.

        Raises:
            IntegrationError: there is no answer, or a template cannot be filled.
            GatewayResponseError: the integration does not take the request's content type.
        """
        event = rest_events.event(request, match, context, api.binaryMediaTypes)
        scope = custom_requests.scope_of(request, match.parameters, event, context.variables)
        body = scope.body
        template = custom_requests.template_for(
            integration.request_templates or {},
            request.header("content-type"),
            integration.passthrough_behaviour or "WHEN_NO_MATCH",
        )
        if template is not None:
            body = _fill(template, scope).text
        parameters = custom_requests.sent_parameters(integration.request_parameters or {}, scope)
        method_path = f"{context.stage}/{match.method}{match.resource.path}"
        source_arn = self._gateway.arn(api.id, method_path)
        uri = ServiceUri.parse(with_stage_variables(integration.uri, context.variables))
        if uri is None:
            raise IntegrationError(Failure.NOT_CONFIGURED, f"no service: {integration.uri}")
        if uri.service == "lambda":
            outcome, answer, headers = await self._invoke(
                integration, context, source_arn, body, parameters["header"]
            )
        else:
            outcome, answer, headers = await self._call(integration, uri, parameters, body)
        return _response(_responses_of(integration), outcome, answer, headers, scope)

    async def _invoke(
        self,
        integration: Integration,
        context: ApiContext,
        source_arn: str,
        body: str,
        headers: Mapping[str, str],
    ) -> tuple[str, str, dict[str, str]]:
        """Invoke a function. Return the message of its error, or "", its answer, and headers."""
        uri = with_stage_variables(integration.uri, context.variables)
        credentials = with_stage_variables(integration.credentials or "", context.variables)
        given = {name.lower(): value for name, value in headers.items()}
        try:
            payload = json.loads(body or "{}")
        except ValueError as error:
            # Lambda takes JSON only.
            why = f"Could not parse request body into json: {error}"
            raise IntegrationError(Failure.NOT_CONFIGURED, why) from error
        if given.get(_INVOCATION_TYPE) == "Event":
            arn = self._gateway.function_arn(uri, credentials, source_arn)
            try:
                self._asynchronous.accept(arn, body.encode())
            except InvokeError as error:
                raise IntegrationError(Failure.REFUSED, error.message) from error
            return "", "", {}
        try:
            answer = await self._gateway.invoke(
                payload,
                lambda response: response.decode("utf-8", "replace"),
                uri=uri,
                credentials=credentials,
                source_arn=source_arn,
                milliseconds=integration.timeout_in_millis,
                tenant_id=given.get("x-amz-tenant-id", ""),
            )
        except IntegrationError as error:
            if error.failure is not Failure.FUNCTION_FAILED:
                raise
            answer = error.answer.decode("utf-8", "replace")
            return text(parse_object(error.answer), "errorMessage") or "error", answer, {}
        return "", answer, {}

    async def _call(
        self,
        integration: Integration,
        uri: ServiceUri,
        parameters: Mapping[str, Mapping[str, str]],
        body: str,
    ) -> tuple[str, str, dict[str, str]]:
        """Call a service. Return its status as text, its answer, and its headers."""
        role = integration.credentials
        if not role:
            why = f"an integration with {uri.service} needs credentials, the ARN of a role"
            raise IntegrationError(Failure.NOT_CONFIGURED, why)
        keys = await self._control.call_async(identity.assume, role, "apigateway", uri.region)
        method = integration.http_method or "POST"
        call = custom_requests.signed(uri, method, parameters, body, keys)
        status, headers, answer = await self._call_aws(call)
        return str(status), answer.decode("utf-8", "replace"), dict(headers)


def _response(
    responses: list[MappedResponse],
    outcome: str,
    answer: str,
    headers: Mapping[str, str],
    scope: Scope,
) -> HttpResponse:
    """Return the client's response.

    Raises:
        IntegrationError: no response is for this outcome, or its template cannot be filled.
    """
    response = custom_requests.chosen(responses, outcome)
    if response is None:
        why = f"no integration response is for {outcome or 'a success'!r}"
        raise IntegrationError(Failure.NOT_CONFIGURED, why)
    mapped = replace(scope, body=answer)
    answered = replace(mapped, parameters={**scope.parameters, "header": headers})
    content_type, body = custom_requests.JSON, answer
    sent: dict[str, str] = {}
    status = response.status
    if response.templates:
        content_type, template = next(iter(response.templates.items()))
        filled = _fill(template, mapped)
        body = filled.text
        status = filled.status or status
        sent.update(filled.headers)
    for name, source in response.headers.items():
        value = custom_requests.value_of(source, answered)
        if value is not None:
            sent.setdefault(name.removeprefix(_RESPONSE_HEADER), value)
    lower = {name.lower(): value for name, value in sent.items()}
    named = {"content-type": content_type, **lower}
    return HttpResponse(status, list(named.items()), body.encode())


def _fill(template: str, scope: Scope) -> mapping_templates.Filled:
    try:
        return mapping_templates.filled(template, scope)
    except TemplateError as error:
        raise IntegrationError(Failure.NOT_CONFIGURED, f"mapping template: {error}") from error


def _responses_of(integration: Integration) -> list[MappedResponse]:
    return [
        MappedResponse(
            status=int(declared.status_code),
            pattern=declared.selection_pattern or "",
            headers=declared.response_parameters or {},
            templates={
                kind: template
                for kind, template in (declared.response_templates or {}).items()
                if template
            },
        )
        for declared in (integration.integration_responses or {}).values()
    ]

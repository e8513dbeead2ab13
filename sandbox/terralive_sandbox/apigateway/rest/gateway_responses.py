"""Gateway responses: API Gateway's own answers as a REST API changes them. Everything is pure.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-gatewayResponse-definition.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.http_messages import (
    GatewayResponseError,
    HttpRequest,
    HttpResponse,
)
from terralive_stub.shared.json_documents import parse_object

# The types of responses by the value of `x-amzn-ErrorType`.
_TYPES: Final = {
    "AccessDeniedException": "ACCESS_DENIED",
    "AuthorizerConfigurationException": "AUTHORIZER_CONFIGURATION_ERROR",
    "BadRequestException": "BAD_REQUEST_PARAMETERS",
    "ExpiredTokenException": "EXPIRED_TOKEN",
    "InvalidSignatureException": "INVALID_SIGNATURE",
    "MissingAuthenticationTokenException": "MISSING_AUTHENTICATION_TOKEN",
    "RequestTooLargeException": "REQUEST_TOO_LARGE",
    "UnauthorizedException": "UNAUTHORIZED",
}
# The types of API Gateway's own failures by status. No page tells the type of a 502.
_FAILURES: Final[Mapping[int, str]] = {
    HTTPStatus.INTERNAL_SERVER_ERROR: "API_CONFIGURATION_ERROR",
    HTTPStatus.BAD_GATEWAY: "INTEGRATION_FAILURE",
    HTTPStatus.GATEWAY_TIMEOUT: "INTEGRATION_TIMEOUT",
}
_HEADER: Final = "gatewayresponse.header."
_VARIABLE: Final = re.compile(r"\$(?P<name>(?:context|stageVariables|method\.request)\.[\w.-]+)")
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class GatewayResponse:
    """A gateway response that an API declares.

    Attributes:
        status: the status; 0 if it stays.
        headers: the headers' sources: literals in quotes, or names of parts of the request.
        templates: the templates of the body by content type.
    """

    status: int
    headers: Mapping[str, str]
    templates: Mapping[str, str]


def type_of(error: GatewayResponseError) -> str:
    """Return the type of a response; empty for what AWS does not have."""
    response = error.response
    name = dict(response.headers).get("x-amzn-errortype", "")
    if name == "BadRequestException" and b"body" in response.body:
        return "BAD_REQUEST_BODY"
    if name == "InternalServerErrorException":
        return _FAILURES.get(response.status, "")
    return _TYPES.get(name, "")


def changed(
    error: GatewayResponseError,
    declared: Mapping[str, GatewayResponse],
    request: HttpRequest,
    context: ApiContext,
) -> HttpResponse:
    """Return API Gateway's answer as the API's gateway responses change it.

    Args:
        error: the answer without them.
        declared: the API's gateway responses by type.
        request: the client's request.
        context: the stage that it came to.
    """
    kind = type_of(error)
    general = f"DEFAULT_{error.response.status // 100}XX"
    found = declared.get(kind) or declared.get(general)
    # What the sandbox does not emulate is never hidden.
    if not kind or found is None:
        return error.response
    values = _values(error, kind, request, context)
    headers = dict(error.response.headers)
    for parameter, source in found.headers.items():
        name = parameter.removeprefix(_HEADER).lower()
        headers[name] = _value_of_source(source, values)
    body = error.response.body
    if found.templates:
        content_type = _content_type(found.templates, request.header("accept"))
        template = found.templates[content_type]
        body = _VARIABLE.sub(lambda variable: values.get(variable["name"], ""), template).encode()
        headers["content-type"] = content_type
    return HttpResponse(found.status or error.response.status, list(headers.items()), body)


def _values(
    error: GatewayResponseError, kind: str, request: HttpRequest, context: ApiContext
) -> dict[str, str]:
    """Return the variables that headers and templates can name."""
    answered = parse_object(error.response.body)
    message = answered.get("message", answered.get("Message"))
    values = {
        "context.error.message": str(message or ""),
        "context.error.messageString": json.dumps(message),
        "context.error.responseType": kind,
        # The sandbox does not say which part of a body is wrong.
        "context.error.validationErrorString": str(message or ""),
        "context.apiId": context.id,
        "context.requestId": context.request_id,
        "context.extendedRequestId": context.extended_id,
        "context.stage": context.stage,
        "context.httpMethod": request.method,
        "context.path": f"/{context.stage}{request.path}",
        "context.identity.sourceIp": request.source_ip,
    }
    for name, value in context.variables.items():
        values[f"stageVariables.{name}"] = value
    for name, value in request.headers:
        values.setdefault(f"method.request.header.{name}", value)
    for name, value in parse_qsl(request.query):
        values.setdefault(f"method.request.querystring.{name}", value)
    return values


def _value_of_source(source: str, values: Mapping[str, str]) -> str:
    """Return the value of a header: a literal in quotes, or that of a variable."""
    if source.startswith("'") and source.endswith("'"):
        return source[1:-1]
    return values.get(source, "")


def _content_type(templates: Mapping[str, str], accept: str) -> str:
    """Return the content type that a client asks for, else JSON, else the first one."""
    for wanted in accept.split(","):
        media_type = wanted.partition(";")[0].strip()
        if media_type in templates:
            return media_type
    if _JSON in templates:
        return _JSON
    return next(iter(templates))

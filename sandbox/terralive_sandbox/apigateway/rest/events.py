"""REST APIs: the method of a request, the function's event, and the response to the client.

Everything here is pure: it takes values and returns values.

Events and answers (payload format 1.0):
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
Errors:
https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
Binary bodies:
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-payload-encodings-workflow.html
Headers: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from terralive_sandbox.apigateway import event_fields, proxy_responses
from terralive_sandbox.apigateway.authorizers.decisions import AuthorizerFailure
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.http_messages import (
    GatewayResponseError,
    HttpRequest,
    HttpResponse,
    not_emulated,
)
from terralive_sandbox.apigateway.paths import PathMatch, match_path
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError
from terralive_sandbox.responses import Headers
from terralive_stub.protocol.limits import BODY_BYTES, HEADER_BYTES

# Request headers that do not reach a function, beside those that API Gateway replaces.
_DROPPED: Final = {
    "content-md5",
    "expect",
    "max-forwards",
    "proxy-authenticate",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
}
# Request headers whose names API Gateway writes in its own way.
_CAPITALIZED: Final = {"authorization": "Authorization", "user-agent": "User-Agent"}
# Response headers that API Gateway renames to `x-amzn-remapped-…`.
_REMAPPED: Final = {
    "authorization",
    "connection",
    "content-length",
    "date",
    "server",
    "www-authenticate",
}
# A function's answer may have any of these fields, and no others.
_ANSWER_FIELDS: Final = {"isBase64Encoded", "statusCode", "headers", "multiValueHeaders", "body"}
_MOCK_TEMPLATE: Final = re.compile(
    r"""\s*\{\s*["']?statusCode["']?\s*:\s*["']?\d{3}["']?\s*\}\s*"""
)
_MOCK_HEADER: Final = re.compile(r"method\.response\.header\.([\w-]+)")
_MOCK_LITERAL: Final = re.compile(r"'(.*)'")


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource with its full path and its methods."""

    id: str
    path: str
    methods: frozenset[str]


@dataclass(frozen=True, slots=True)
class MethodMatch:
    """The method that a request calls.

    Attributes:
        resource: the resource.
        method: the request's method, or `ANY`.
        parameters: the values of the path parameters. They stay percent-encoded, as on AWS.
    """

    resource: Resource
    method: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def missing_token() -> GatewayResponseError:
    """Return the error for an unknown path or method, and for an unsigned request."""
    return GatewayResponseError(
        403, "Missing Authentication Token", error_type="MissingAuthenticationTokenException"
    )


def integration_failed(status: int, why: str = "") -> GatewayResponseError:
    """Return the error for a broken integration (500) or a malformed answer (502)."""
    return GatewayResponseError(
        status, "Internal server error", why, error_type="InternalServerErrorException"
    )


def access_denied(caller_arn: str, resource: str, *, explicitly: bool) -> GatewayResponseError:
    """Return the error for a request that IAM or the API's resource policy denies.

    API Gateway hides most digits of the account id in the resource's ARN.
    """
    parts = resource.split(":")
    account = parts[4]
    # The fifth part of an ARN is the account id.
    parts[4] = "*" * (len(account) - 4) + account[-4:]
    text = f"User: {caller_arn} is not authorized to perform: execute-api:Invoke on resource: "
    text += ":".join(parts)
    if explicitly:
        text += " with an explicit deny"
    return GatewayResponseError(403, text, error_type="AccessDeniedException", key="Message")


def authorizer_failed(failure: AuthorizerFailure, why: str) -> GatewayResponseError:
    """Return the error for a request that a Lambda authorizer does not let pass.

    The page gives the statuses. The texts and types are those that clients on AWS report; the
    message of a failed authorizer is null.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html

    Args:
        failure: the reason.
        why: the reason for the log.
    """
    match failure:
        case AuthorizerFailure.UNAUTHORIZED:
            error_type = "UnauthorizedException"
            return GatewayResponseError(401, "Unauthorized", why, error_type=error_type)
        case AuthorizerFailure.BROKEN:
            error_type = "AuthorizerConfigurationException"
            return GatewayResponseError(500, None, why, error_type=error_type)
        case AuthorizerFailure.DENIED | AuthorizerFailure.NOT_ALLOWED:
            text = "User is not authorized to access this resource"
            if failure is AuthorizerFailure.DENIED:
                text += " with an explicit deny in an identity-based policy"
            error_type = "AccessDeniedException"
            return GatewayResponseError(403, text, why, error_type=error_type, key="Message")


def check_size(request: HttpRequest) -> None:
    """Check a request against the limits of REST APIs.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html

    Raises:
        GatewayResponseError: the request is too large.
    """
    if len(request.body) > BODY_BYTES:
        text = f"HTTP content length exceeded {BODY_BYTES} bytes."
        raise GatewayResponseError(413, text, error_type="RequestTooLargeException")
    if sum(len(name) + len(value) for name, value in request.headers) > HEADER_BYTES:
        text = f"HTTP header is larger than {HEADER_BYTES} bytes."
        raise GatewayResponseError(413, text, error_type="RequestTooLargeException")


def match_resource(resources: Iterable[Resource], method: str, path: str) -> MethodMatch | None:
    """Find the most specific resource that has the method or `ANY`.

    A slash at the end of the path makes no difference.

    Returns:
        The method, or None if no resource takes the request.
    """
    segments: list[str] = []  # the root resource has none
    if path.strip("/"):
        segments = path.rstrip("/").removeprefix("/").split("/")
    best: MethodMatch | None = None
    best_path: PathMatch | None = None
    for resource in resources:
        name = method if method in resource.methods else "ANY"
        found = match_path([part for part in resource.path.split("/") if part], segments)
        if found is None or name not in resource.methods:
            continue
        if best_path is None or found.kinds < best_path.kinds:
            best_path = found
            best = MethodMatch(resource, name, found.parameters)
    return best


def event(
    request: HttpRequest, called: MethodMatch, api: ApiContext, binary_types: Sequence[str]
) -> dict[str, object]:
    """Return the event of a Lambda proxy integration.

    Header names stay as they were sent. The path is without the stage.
    """
    headers: list[tuple[str, str]] = []
    for name, value in event_fields.forwarded_headers(request, api, _DROPPED):
        headers.append((_CAPITALIZED.get(name.lower(), name), value))
    # API Gateway takes a body without a content type for JSON.
    content_type = request.header("content-type") or "application/json"
    body: str | None
    if _is_binary(content_type, binary_types):
        body, encoded = event_fields.body_fields(request.body, text=False)
    else:
        # The body is text for the function, so bytes that are not UTF-8 are lost.
        body, encoded = request.body.decode("utf-8", "replace") or None, False
    context: dict[str, object] = {
        "path": f"/{api.stage}{request.path}",
        "resourceId": called.resource.id,
        "resourcePath": called.resource.path,
    }
    if api.authorizer is not None:
        context["authorizer"] = api.authorizer.fields()
    return {
        **event_fields.format_1_event(request, api, headers, called.parameters, context),
        "resource": called.resource.path,
        "path": request.path,
        "body": body,
        "isBase64Encoded": encoded,
    }


def token_authorizer_event(token: str, arn: str) -> dict[str, object]:
    """Return the event of a TOKEN authorizer; `arn` is the ARN of the method.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html
    """
    return {"type": "TOKEN", "authorizationToken": token, "methodArn": arn}


def response(answer: bytes, accept: str, binary_types: Sequence[str]) -> HttpResponse:
    """Return the response for a function's answer.

    A base64 body is decoded only for a client whose `Accept` header starts with one of the API's
    binary media types.

    Raises:
        MalformedAnswerError: the answer does not have this format. API Gateway answers 502.
    """
    value = proxy_responses.parsed(answer)
    if not isinstance(value, dict) or not value.keys() <= _ANSWER_FIELDS:
        raise MalformedAnswerError(
            "not an object with isBase64Encoded, statusCode, headers and body only"
        )
    single = value.get("headers")
    if isinstance(single, dict) and not all(isinstance(v, str | bool) for v in single.values()):
        raise MalformedAnswerError("a header's value is no string")
    status = proxy_responses.status(value.get("statusCode", 200))
    headers = remapped(proxy_responses.merged_headers(value))
    if not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "application/json"))
    is_decoded = value.get("isBase64Encoded") and _is_binary(accept, binary_types)
    body = proxy_responses.body_bytes(value.get("body"), is_base64=is_decoded)
    return HttpResponse(status, headers, body)


def remapped(headers: Headers) -> Headers:
    """Return a function's headers as the client gets them.

    API Gateway sets some headers itself, and keeps the function's under another name.
    """
    kept: Headers = []
    for name, text in headers:
        if name in _REMAPPED:
            kept.append((f"x-amzn-remapped-{name}", text))
        elif name != "transfer-encoding":
            kept.append((name, text))
    return kept


def _is_binary(media_types: str, binary_types: Sequence[str]) -> bool:
    """Return whether the first of a header's media types is one of the API's binary types."""
    media_type = media_types.partition(",")[0].partition(";")[0].strip().lower()
    kind = media_type.partition("/")[0]
    return any(binary.lower() in {media_type, f"{kind}/*", "*/*"} for binary in binary_types)


def mock_response(
    template: str, status: int, parameters: Mapping[str, str], body: str
) -> HttpResponse:
    """Return the response of a MOCK integration that answers a preflight.

    Such an integration has literal header values and no body.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-mock-integration.html

    Args:
        template: the request template.
        status: the status of the default response.
        parameters: the header mappings of the default response.
        body: the response template.

    Raises:
        GatewayResponseError: the integration does more than that.
    """
    if _MOCK_TEMPLATE.fullmatch(template) is None or body:
        raise not_emulated("MOCK integrations that do more than answer a preflight")
    headers = {"content-type": "application/json"}
    for parameter, value in parameters.items():
        header = _MOCK_HEADER.fullmatch(parameter)
        literal = _MOCK_LITERAL.fullmatch(value)
        if header is None or literal is None:
            raise not_emulated(f"{parameter} = {value} of a MOCK integration")
        headers[header[1].lower()] = literal[1]
    return HttpResponse(status, list(headers.items()), b"")


def expand_policy(document: str, arn_prefix: str) -> str:
    """Write out the shorthand `execute-api:/…` in a resource policy.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-resource-policies-examples.html
    """
    return re.sub(r'"execute-api:/', f'"{arn_prefix}/', document)

"""REST APIs, pure: which method a request takes, the event a function gets, the response its answer becomes, refusals.

Events and answers (payload format 1.0):
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
Refusals:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
Binary bodies:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-payload-encodings-workflow.html
Headers: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from terralive_sandbox.apigateway import event_fields, proxy_responses
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.http_messages import (
    BODY_BYTES,
    HEADER_BYTES,
    GatewayResponseError,
    HttpRequest,
    HttpResponse,
    not_emulated,
)
from terralive_sandbox.apigateway.paths import SegmentKind, match_path
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError

_DROPPED = {
    "content-md5", "expect", "max-forwards", "proxy-authenticate", "server", "te",
    "trailer", "transfer-encoding", "upgrade", "www-authenticate",
}  # fmt: skip
_CAPITALIZED = {"authorization": "Authorization", "user-agent": "User-Agent"}
_REMAPPED = {"authorization", "connection", "content-length", "date", "server", "www-authenticate"}
# A function may leave any of these out, and may add nothing.
_ANSWER_FIELDS = {"isBase64Encoded", "statusCode", "headers", "multiValueHeaders", "body"}
_MOCK_TEMPLATE = re.compile(r"""\s*\{\s*["']?statusCode["']?\s*:\s*["']?\d{3}["']?\s*\}\s*""")
_MOCK_HEADER = re.compile(r"method\.response\.header\.(?P<name>[\w-]+) '(?P<value>.*)'")


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource with its whole path and the methods that it has."""

    id: str
    path: str
    methods: frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    """The resource and method (may be `ANY`) that a request takes.

    Parameters stay percent-encoded, as on AWS.
    """

    resource: Resource
    method: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def refused(
    status: int, error_type: str, message: str, why: str = "", *, key: str = "message"
) -> GatewayResponseError:
    """A refusal with its `x-amzn-ErrorType`.

    `why` is for the log, `key` is `Message` where IAM refuses.
    """
    headers = (("content-type", "application/json"), ("x-amzn-errortype", error_type))
    body = json.dumps({key: message}, separators=(",", ":")).encode()
    return GatewayResponseError(HttpResponse(status, headers, body), why)


def missing_token() -> GatewayResponseError:
    """What an unknown path or method gets, and an unsigned request."""
    return refused(403, "MissingAuthenticationTokenException", "Missing Authentication Token")


def failed(status: int, why: str = "") -> GatewayResponseError:
    """What a broken integration (500) or a broken answer of a function (502) gets."""
    return refused(status, "InternalServerErrorException", "Internal server error", why)


def denied(arn: str, resource: str, *, explicitly: bool) -> GatewayResponseError:
    """What IAM or the API's policy refuses; API Gateway hides most of the account's number."""
    parts = resource.split(":")
    parts[4] = "*" * (len(parts[4]) - 4) + parts[4][-4:]
    text = f"User: {arn} is not authorized to perform: execute-api:Invoke on resource: {':'.join(parts)}"
    text += " with an explicit deny" if explicitly else ""
    return refused(403, "AccessDeniedException", text, key="Message")


def check_size(request: HttpRequest) -> None:
    """Raise the refusal of a request beyond https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html."""
    if len(request.body) > BODY_BYTES:
        text = f"HTTP content length exceeded {BODY_BYTES} bytes."
        raise refused(413, "RequestTooLargeException", text)
    if sum(len(name) + len(value) for name, value in request.headers) > HEADER_BYTES:
        text = f"HTTP header is larger than {HEADER_BYTES} bytes."
        raise refused(413, "RequestTooLargeException", text)


def match_resource(resources: Iterable[Resource], method: str, path: str) -> Found | None:
    """The most specific resource that has the method or `ANY`; a slash at the end says nothing."""
    segments = path.rstrip("/").removeprefix("/").split("/") if path.strip("/") else []
    best: tuple[tuple[SegmentKind, ...], Found] | None = None
    for resource in resources:
        name = (
            method if method in resource.methods else "ANY" if "ANY" in resource.methods else None
        )
        found = match_path([part for part in resource.path.split("/") if part], segments)
        if name is None or found is None:
            continue
        kinds, parameters = found.kinds, found.parameters
        if best is None or kinds < best[0]:
            best = kinds, Found(resource, name, parameters)
    return None if best is None else best[1]


def event(
    request: HttpRequest, found: Found, api: ApiContext, binary_types: Sequence[str], *,
    request_id: str, extended_id: str, now: float,
) -> dict[str, object]:  # fmt: skip
    """The event of a Lambda proxy integration.

    Header names as they were sent, the path without its stage.
    """
    arriving = event_fields.forwarded_headers(request, api.domain, request_id, now, _DROPPED)
    headers = [(_CAPITALIZED.get(name.lower(), name), value) for name, value in arriving]
    content_type = request.header("content-type") or "application/json"
    if _is_binary(content_type, binary_types):
        body, encoded = event_fields.body_fields(request.body, text=False)
    else:
        body, encoded = request.body.decode("utf-8", "replace") or None, False
    return {
        **event_fields.format_1_fields(request, api, headers, found.parameters),
        "resource": found.resource.path,
        "path": request.path,
        "requestContext": {
            **event_fields.format_1_context(request, api, request_id, extended_id, now),
            "path": f"/{api.stage}{request.path}",
            "resourceId": found.resource.id,
            "resourcePath": found.resource.path,
        },
        "body": body,
        "isBase64Encoded": encoded,
    }


def response(answer: bytes, accept: str, binary_types: Sequence[str]) -> HttpResponse:
    """What a function's answer becomes. A base64 body is decoded for who accepts one of the binary types only.

    Raises:
        MalformedAnswerError: it is no response of this format, which API Gateway answers by 502.
    """
    value = proxy_responses.parsed(answer)
    if not isinstance(value, dict) or not value.keys() <= _ANSWER_FIELDS:
        raise MalformedAnswerError(
            "not an object with isBase64Encoded, statusCode, headers and body only"
        )
    for headers in (value.get("headers"), value.get("multiValueHeaders")):
        if isinstance(headers, dict) and not all(
            isinstance(item, str | bool | list) for item in headers.values()
        ):
            raise MalformedAnswerError("a header's value is no string")
    status = proxy_responses.status(value.get("statusCode", 200))
    pairs = proxy_responses.merged_headers(value)
    if not any(name == "content-type" for name, _ in pairs):
        pairs.append(("content-type", "application/json"))
    body = proxy_responses.encoded(value.get("body"))
    if value.get("isBase64Encoded") and _is_binary(accept, binary_types):
        body = proxy_responses.decoded(value.get("body"))
    remapped = [
        (f"x-amzn-remapped-{name}" if name in _REMAPPED else name, text)
        for name, text in pairs
        if name != "transfer-encoding"
    ]
    return HttpResponse(status, tuple(remapped), body)


def _is_binary(media_types: str, binary_types: Sequence[str]) -> bool:
    """Whether the first of a header's media types is one of the API's binary ones."""
    media_type = media_types.partition(",")[0].partition(";")[0].strip().lower()
    kind = media_type.partition("/")[0]
    return any(binary.lower() in {media_type, f"{kind}/*", "*/*"} for binary in binary_types)


def mock(template: str, status: int, parameters: Mapping[str, str], body: str) -> HttpResponse:
    """A MOCK integration's default response, as far as CORS needs it: literal header values and no body.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-mock-integration.html

    Raises:
        GatewayResponseError: there is more to it.
    """
    if _MOCK_TEMPLATE.fullmatch(template) is None or body:
        raise not_emulated("MOCK integrations that do more than answer a preflight")
    headers = {"content-type": "application/json"}
    for parameter in parameters.items():
        literal = _MOCK_HEADER.fullmatch(" ".join(parameter))
        if literal is None:
            raise not_emulated(f"{' = '.join(parameter)} of a MOCK integration")
        headers[literal["name"].lower()] = literal["value"]
    return HttpResponse(status, tuple(headers.items()), b"")


def expand_policy(document: str, arn_prefix: str) -> str:
    """A resource policy with its shorthand `execute-api:/…` written out.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-resource-policies-examples.html
    """
    return re.sub(r'"execute-api:/', f'"{arn_prefix}/', document)

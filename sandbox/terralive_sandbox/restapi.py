"""REST APIs, pure: which method a request takes, the event a function gets, the response its answer becomes, refusals.

Events and answers (payload format 1.0):
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
Refusals: https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
Binary bodies: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-payload-encodings-workflow.html
Headers: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from . import httpapi
from .httpapi import Api, HttpRequest, HttpResponse, MalformedResponseError

_DROPPED = {
    "connection", "content-length", "content-md5", "expect", "max-forwards", "proxy-authenticate", "server", "te",
    "trailer", "transfer-encoding", "upgrade", "www-authenticate",
}  # fmt: skip
_REPLACED = {"host", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"}
_REMAPPED = {"authorization", "connection", "content-length", "date", "server", "www-authenticate"}
# A function may leave any of these out, and may add nothing.
_ANSWER_FIELDS = {"isBase64Encoded", "statusCode", "headers", "multiValueHeaders", "body"}
_MOCK_STATUS = re.compile(r"""["']?statusCode["']?\s*:\s*["']?(\d{3})""")
_HEADER_PARAMETER = "method.response.header."


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource with its whole path and the methods that it has."""

    id: str
    path: str
    methods: frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    """The resource and method (may be `ANY`) that a request takes; parameters stay percent-encoded, as on AWS."""

    resource: Resource
    method: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GatewayResponse:
    """A refusal as the API has it configured; None and empty parts are API Gateway's own."""

    status: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    template: str | None = None


class RefusedError(Exception):
    """API Gateway answers instead of an integration.

    Attributes:
        kind: the gateway response type.
        status: its default status code.
        error_type: what stands in `x-amzn-ErrorType`.
        message: what stands in the body.
        key: `message` or, where IAM refuses, `Message`.
    """

    def __init__(self, kind: str, status: int, error_type: str, message: str, *, key: str = "message") -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.error_type = error_type
        self.message = message
        self.key = key


class LeftOutError(Exception):
    """The sandbox has no such thing; the text names it."""


def missing_token() -> RefusedError:
    """What an unknown path or method gets, and an unsigned request."""
    text = "Missing Authentication Token"
    return RefusedError("MISSING_AUTHENTICATION_TOKEN", 403, "MissingAuthenticationTokenException", text)


def forbidden() -> RefusedError:
    """What an unknown stage gets."""
    return RefusedError("DEFAULT_4XX", 403, "ForbiddenException", "Forbidden")


def throttled() -> RefusedError:
    return RefusedError("THROTTLED", 429, "TooManyRequestsException", "Too Many Requests")


def timed_out() -> RefusedError:
    text = "Endpoint request timed out"
    return RefusedError("INTEGRATION_TIMEOUT", 504, "InternalServerErrorException", text)


def failed(status: int) -> RefusedError:
    """What a broken integration (500) or a broken answer of a function (502) gets."""
    kind = "API_CONFIGURATION_ERROR" if status == 500 else "DEFAULT_5XX"  # noqa: PLR2004 - as the docstring says
    return RefusedError(kind, status, "InternalServerErrorException", "Internal server error")


def denied(arn: str, resource: str, *, explicitly: bool) -> RefusedError:
    """What IAM or the API's policy refuses; API Gateway hides most of the account's number."""
    parts = resource.split(":")
    parts[4] = "*" * (len(parts[4]) - 4) + parts[4][-4:]
    text = f"User: {arn} is not authorized to perform: execute-api:Invoke on resource: {':'.join(parts)}"
    text += " with an explicit deny" if explicitly else ""
    return RefusedError("ACCESS_DENIED", 403, "AccessDeniedException", text, key="Message")


def check_size(request: HttpRequest) -> None:
    """Raise the refusal of a request beyond https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html."""
    text = ""
    if len(request.body) > httpapi.BODY_BYTES:
        text = f"HTTP content length exceeded {httpapi.BODY_BYTES} bytes."
    elif sum(len(name) + len(value) for name, value in request.headers) > httpapi.HEADER_BYTES:
        text = f"HTTP header is larger than {httpapi.HEADER_BYTES} bytes."
    if text:
        raise RefusedError("REQUEST_TOO_LARGE", 413, "RequestTooLargeException", text)


def refusal(error: RefusedError, configured: Mapping[str, GatewayResponse]) -> HttpResponse:
    """The response to a refused request, as the API has it configured.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-gatewayResponse-definition.html
    """
    default = "DEFAULT_5XX" if error.status >= 500 else "DEFAULT_4XX"  # noqa: PLR2004 - the range of HTTP
    own = configured.get(error.kind) or configured.get(default) or GatewayResponse()
    headers = [("content-type", "application/json"), ("x-amzn-errortype", error.error_type)]
    for name, value in own.parameters.items():
        header = name.removeprefix("gatewayresponse.header.")
        if header != name and len(value) > 1 and value[0] == value[-1] == "'":
            headers.append((header.lower(), value[1:-1]))
    if own.template is None:
        body = json.dumps({error.key: error.message}, separators=(",", ":"))
    else:
        body = own.template
        for variable, text in (
            ("messageString", json.dumps(error.message)), ("message", error.message), ("responseType", error.kind),
        ):  # fmt: skip
            body = body.replace(f"$context.error.{variable}", text)
    return HttpResponse(own.status or error.status, tuple(headers), body.encode())


def match(resources: Iterable[Resource], method: str, path: str) -> Found | None:
    """The most specific resource that has the method or `ANY`; a slash at the end says nothing."""
    segments = [segment for segment in path.rstrip("/").removeprefix("/").split("/") if path.strip("/")]
    best: tuple[list[int], Found] | None = None
    for resource in resources:
        name = method if method in resource.methods else "ANY" if "ANY" in resource.methods else None
        found = _match_path([part for part in resource.path.split("/") if part], segments)
        if name is None or found is None:
            continue
        rank, parameters = found
        if best is None or rank < best[0]:
            best = rank, Found(resource, name, parameters)
    return None if best is None else best[1]


def _match_path(pattern: Sequence[str], segments: Sequence[str]) -> tuple[list[int], dict[str, str]] | None:
    parameters: dict[str, str] = {}
    rank: list[int] = []  # by segment: a literal before a parameter before a greedy one
    for index, part in enumerate(pattern):
        if index >= len(segments):
            return None
        if part.startswith("{") and part.endswith("+}"):
            parameters[part[1:-2]] = "/".join(segments[index:])
            return [*rank, 2], parameters
        if part.startswith("{") and part.endswith("}"):
            parameters[part[1:-1]] = segments[index]
            rank.append(1)
        elif part == unquote(segments[index]):
            rank.append(0)
        else:
            return None
    return (rank, parameters) if len(pattern) == len(segments) else None


def event(
    request: HttpRequest, found: Found, api: Api, binary_types: Sequence[str], *,
    request_id: str, extended_id: str, now: float,
) -> dict[str, object]:  # fmt: skip
    """The event of a Lambda proxy integration: header names as they were sent, the path without its stage."""
    headers = httpapi.multi_values(_arriving_headers(request, api.domain, request_id, now))
    query = httpapi.multi_values(parse_qsl(request.query, keep_blank_values=True))
    content_type = request.header("content-type") or "application/json"
    if _is_binary(content_type, binary_types):
        body, encoded = httpapi.body_fields(request.body, text=False)
    else:
        body, encoded = request.body.decode("utf-8", "replace") or None, False
    context: dict[str, object] = {
        "accountId": api.account,
        "apiId": api.id,
        "domainName": api.domain,
        "domainPrefix": api.id,
        "extendedRequestId": extended_id,
        "httpMethod": request.method,
        "identity": httpapi.identity_1(request, api.authorizer),
        "path": f"/{api.stage}{request.path}",
        "protocol": "HTTP/1.1",
        "requestId": request_id,
        "requestTime": httpapi.access_log_time(now),
        "requestTimeEpoch": int(now * 1000),
        "resourceId": found.resource.id,
        "resourcePath": found.resource.path,
        "stage": api.stage,
    }
    return {
        "resource": found.resource.path,
        "path": request.path,
        "httpMethod": request.method,
        "headers": httpapi.last_values(headers),
        "multiValueHeaders": headers,
        "queryStringParameters": httpapi.last_values(query) or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": dict(found.parameters) or None,
        "stageVariables": dict(api.variables) or None,
        "requestContext": context,
        "body": body,
        "isBase64Encoded": encoded,
    }


def _arriving_headers(request: HttpRequest, domain: str, request_id: str, now: float) -> list[tuple[str, str]]:
    capital = {"authorization": "Authorization", "user-agent": "User-Agent"}
    kept = [
        (capital.get(name.lower(), name), value)
        for name, value in request.headers
        if name.lower() not in _DROPPED | _REPLACED
    ]
    client = request.header("x-forwarded-for")
    kept += [
        ("Host", domain),
        ("X-Forwarded-For", f"{client}, {request.source_ip}" if client else request.source_ip),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Proto", "https"),
    ]
    if not request.header("x-amzn-trace-id"):
        kept.append(("X-Amzn-Trace-Id", httpapi.trace_id(request_id, now)))
    return kept


def response(answer: bytes, accept: str, binary_types: Sequence[str]) -> HttpResponse:
    """What a function's answer becomes. A base64 body is decoded for who accepts one of the binary types only.

    Raises:
        MalformedResponseError: it is no response of this format, which API Gateway answers by 502.
    """
    value = httpapi.parse_answer(answer)
    if not isinstance(value, dict) or not value.keys() <= _ANSWER_FIELDS:
        raise MalformedResponseError("not an object with isBase64Encoded, statusCode, headers and body only")
    for headers in (value.get("headers"), value.get("multiValueHeaders")):
        if isinstance(headers, dict) and not all(isinstance(item, str | bool | list) for item in headers.values()):
            raise MalformedResponseError("a header's value is no string")
    status = httpapi.status_code(value.get("statusCode", 200))
    pairs = httpapi.merged_headers(value)
    if not any(name == "content-type" for name, _ in pairs):
        pairs.append(("content-type", "application/json"))
    body = httpapi.encode(value.get("body"))
    if value.get("isBase64Encoded") and _is_binary(accept, binary_types):
        body = httpapi.decoded(value.get("body"))
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


@dataclass(frozen=True, slots=True)
class MockResponse:
    """One integration response of a MOCK integration; without a pattern it is the default."""

    status: int
    pattern: str | None
    parameters: Mapping[str, str]
    templates: Mapping[str, str | None]


def mock(
    request: HttpRequest, templates: Mapping[str, str], responses: Sequence[MockResponse], variables: Mapping[str, str]
) -> HttpResponse:
    """A MOCK integration's response: plain templates and literal header values, which is what CORS needs.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-mock-integration.html

    Raises:
        RefusedError: no template says which status it has, or there is no response for it.
        LeftOutError: a template has more in it than text.
    """
    media_type = (request.header("content-type") or "application/json").partition(";")[0].strip().lower()
    template = templates.get(media_type, "")
    _plain(template)
    status = _MOCK_STATUS.search(template)
    if status is None:
        raise failed(500)
    chosen = next((r for r in responses if r.pattern and re.fullmatch(r.pattern, status[1])), None)
    chosen = chosen or next((r for r in responses if not r.pattern), None)
    if chosen is None:
        raise failed(500)
    headers = [("content-type", "application/json")]
    for name, value in chosen.parameters.items():
        if not name.startswith(_HEADER_PARAMETER):
            raise LeftOutError(f"the parameter {name} of a MOCK integration")
        header = name.removeprefix(_HEADER_PARAMETER).lower()
        if value.startswith("stageVariables."):
            text = variables.get(value.removeprefix("stageVariables."), "")
        elif len(value) > 1 and value[0] == value[-1] == "'":
            text = value[1:-1]
        else:
            raise LeftOutError(f"{value} as a header of a MOCK integration")
        headers = [(n, v) for n, v in headers if n != header] + [(header, text)]
    body = chosen.templates.get(request.header("accept")) or chosen.templates.get("application/json") or ""
    _plain(body)
    return HttpResponse(chosen.status, tuple(headers), body.encode())


def _plain(template: str) -> None:
    if re.search(r"#(set|if|foreach|else|end|macro|parse|evaluate)\b|\$[!{\w]", template):
        raise LeftOutError("a mapping template with Velocity in it")


def validate(request: HttpRequest, found: Found, required: Iterable[str]) -> None:
    """Raise the refusal of a request that lacks parameters which its validator requires (`method.request.header.x`).

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-method-request-validation.html
    """
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    missing = []
    for parameter in required:
        place, _, name = parameter.removeprefix("method.request.").partition(".")
        value = {"querystring": query.get(name), "path": found.parameters.get(name)}.get(place)
        if not (request.header(name.lower()) if place == "header" else value):
            missing.append(name)
    if missing:
        text = f"Missing required request parameters: [{', '.join(missing)}]"
        raise RefusedError("BAD_REQUEST_PARAMETERS", 400, "BadRequestException", text)


def expand_policy(document: str, arn_prefix: str) -> str:
    """A resource policy with its shorthand `execute-api:/…` written out.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-resource-policies-examples.html
    """
    return re.sub(r'"execute-api:/', f'"{arn_prefix}/', document)

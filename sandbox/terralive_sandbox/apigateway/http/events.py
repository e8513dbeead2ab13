"""HTTP APIs, pure: which route a request takes, the event a function gets, the response its answer becomes.

What REST APIs do alike (headers, fields of payload format 1.0, parts of answers) they take from
here.

Payload formats 2.0 and 1.0:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
Routes: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
Limits: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from terralive_sandbox.access.identity import Caller
from terralive_sandbox.apigateway import proxy_responses as proxyanswers
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError

BODY_BYTES = 10 * 1024 * 1024
HEADER_BYTES = 10_240

# The page only says "binary"; which types those are was observed on AWS, forms among them:
# https://github.com/ministackorg/ministack/pull/766
_TEXT_TYPES = {"application/json", "application/xml", "application/javascript"}
_REPLACED = {
    "connection",
    "content-length",
    "host",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-forwarded-proto",
}
# What a segment of a route's path is; a smaller one is more specific.
_LITERAL, _PARAMETER, _GREEDY = 0, 1, 2


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to an API.

    `path` is percent-encoded and starts below the stage, header names are as they were sent.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source_ip: str

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Match:
    """A route and the values of its path parameters."""

    route_key: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Api:
    """What of an API and its stage shows in events; `caller` is known with AWS_IAM authorization."""

    id: str
    stage: str
    domain: str
    account: str
    variables: Mapping[str, str] = field(default_factory=dict)
    caller: Caller | None = None


class RefusedError(Exception):
    """API Gateway answers instead of an integration; the text is for the log."""

    def __init__(self, response: HttpResponse, why: str = "") -> None:
        super().__init__(why or response.body.decode())
        self.response = response


def error(status: int, message: str) -> HttpResponse:
    body = json.dumps({"message": message}, separators=(",", ":")).encode()
    return HttpResponse(status, (("content-type", "application/json"),), body)


def left_out(what: str) -> RefusedError:
    """What the sandbox does not emulate."""
    return RefusedError(error(501, f"NotEmulatedBySandbox: {what}"))


def check_size(request: HttpRequest) -> None:
    """Raise the refusal of a request beyond the limits.

    The page names the limits only, not the answers.
    """
    if len(request.body) > BODY_BYTES:
        raise RefusedError(error(413, "Request Entity Too Large"))
    line = len(request.method) + len(request.path) + len(request.query) + len(" ? HTTP/1.1")
    if line + sum(len(value) for _, value in request.headers) > HEADER_BYTES:
        raise RefusedError(error(431, "Request Header Fields Too Large"))


def match(route_keys: Iterable[str], method: str, path: str) -> Match | None:
    """The most specific route.

    Full matches before greedy ones, named methods before ANY, `$default` last.
    """
    segments = path.removeprefix("/").split("/")
    best: tuple[tuple[object, ...], Match] | None = None
    default = False
    for key in route_keys:
        if key == "$default":
            default = True
            continue
        route_method, _, route_path = key.partition(" ")
        found = match_path(route_path.removeprefix("/").split("/"), segments)
        if route_method not in {method, "ANY"} or found is None:
            continue
        kinds, parameters = found
        if kinds == (_GREEDY,) and not any(segments):  # `/` has to have a route of its own
            continue
        specificity = (_GREEDY in kinds, -len(kinds), kinds, route_method == "ANY")
        if best is None or specificity < best[0]:
            best = (
                specificity,
                Match(key, {name: unquote(value) for name, value in parameters.items()}),
            )
    if best is not None:
        return best[1]
    return Match("$default") if default else None


def match_path(
    pattern: Sequence[str], segments: Sequence[str]
) -> tuple[tuple[int, ...], dict[str, str]] | None:
    """What each of the pattern's segments is, and its parameters, percent-encoded.

    None if the path is another.
    """
    kinds: list[int] = []
    parameters: dict[str, str] = {}
    for index, part in enumerate(pattern):
        if index >= len(segments):
            return None
        if part.startswith("{") and part.endswith("+}"):
            parameters[part[1:-2]] = "/".join(segments[index:])
            return (*kinds, _GREEDY), parameters
        if part.startswith("{") and part.endswith("}") and segments[index]:
            parameters[part[1:-1]] = segments[index]
            kinds.append(_PARAMETER)
        elif unquote(part) == unquote(segments[index]):
            kinds.append(_LITERAL)
        else:
            return None
    return (tuple(kinds), parameters) if len(pattern) == len(segments) else None


def arriving_headers(
    request: HttpRequest,
    domain: str,
    request_id: str,
    now: float,
    dropped: Container[str] = frozenset(),
) -> list[tuple[str, str]]:
    """The headers of an event.

    What API Gateway's own front adds and replaces. Names as they were sent.
    """
    kept = [(name, value) for name, value in request.headers if name.lower() not in _REPLACED]
    kept = [(name, value) for name, value in kept if name.lower() not in dropped]
    client = request.header("x-forwarded-for")
    kept += [
        ("Host", domain),
        ("X-Forwarded-For", f"{client}, {request.source_ip}" if client else request.source_ip),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Proto", "https"),
    ]
    if not request.header("x-amzn-trace-id"):
        kept.append(("X-Amzn-Trace-Id", trace_id(request_id, now)))
    return kept


def _lowered_headers(
    request: HttpRequest, domain: str, request_id: str, now: float
) -> list[tuple[str, str]]:
    headers = arriving_headers(request, domain, request_id, now)
    lowered = [(name.lower(), value) for name, value in headers]
    return sorted([*lowered, ("content-length", str(len(request.body)))])


def trace_id(request_id: str, now: float) -> str:
    return f"Root=1-{int(now):08x}-{hashlib.sha256(request_id.encode()).hexdigest()[:24]}"


def event(
    request: HttpRequest, found: Match, api: Api, request_id: str, now: float
) -> dict[str, object]:
    """The event of payload format 2.0."""
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in _lowered_headers(request, api.domain, request_id, now):
        if name == "cookie":
            cookies += [c.strip() for c in value.split(";") if c.strip()]
        else:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    query = {name: ",".join(values) for name, values in query_values(request.query).items()}
    raw_path = full_path(request, api)
    body, encoded = body_fields(request.body, text=_is_text(request))
    context: dict[str, object] = {
        "accountId": api.account,
        "apiId": api.id,
        "domainName": api.domain,
        "domainPrefix": api.id,
        "http": {
            "method": request.method,
            "path": raw_path,
            "protocol": "HTTP/1.1",
            "sourceIp": request.source_ip,
            "userAgent": request.header("user-agent"),
        },
        "requestId": request_id,
        "routeKey": found.route_key,
        "stage": api.stage,
        "time": access_log_time(now),
        "timeEpoch": int(now * 1000),
    }
    if api.caller is not None:
        context["authorizer"] = {
            "iam": {
                "accessKey": api.caller.access_key_id,
                "accountId": api.caller.account,
                "callerId": api.caller.user_id,
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": api.caller.arn,
                "userId": api.caller.user_id,
            }
        }
    return what_is_there(
        {
            "version": "2.0",
            "routeKey": found.route_key,
            "rawPath": raw_path,
            "rawQueryString": request.query,
            "cookies": cookies,
            "headers": headers,
            "queryStringParameters": query,
            "requestContext": context,
            "pathParameters": dict(found.parameters),
            "stageVariables": dict(api.variables),
            "body": body,
            "isBase64Encoded": encoded,
        }
    )


def what_is_there(event: Mapping[str, object]) -> dict[str, object]:
    """An event without the parts that are empty."""
    return {name: value for name, value in event.items() if value not in ({}, [], None)}


def event_1(
    request: HttpRequest, found: Match, api: Api, request_id: str, now: float
) -> dict[str, object]:
    """The event of payload format 1.0, as HTTP APIs send it: what is absent is null."""
    headers = _lowered_headers(request, api.domain, request_id, now)
    path = full_path(request, api)
    resource = found.route_key.partition(" ")[2] or found.route_key
    body, encoded = body_fields(request.body, text=_is_text(request))
    return {
        **fields_1(request, api, headers, found.parameters),
        "version": "1.0",
        "resource": resource,
        "path": path,
        "requestContext": {
            **context_1(request, api, request_id, request_id, now),
            "authorizer": {"claims": None, "scopes": None},
            "path": path,
            "resourceId": found.route_key,
            "resourcePath": resource,
        },
        "body": body,
        "isBase64Encoded": encoded,
    }


def fields_1(
    request: HttpRequest,
    api: Api,
    headers: Iterable[tuple[str, str]],
    parameters: Mapping[str, str],
) -> dict[str, object]:
    """What events of payload format 1.0 have alike."""
    values, query = multi_values(headers), query_values(request.query)
    return {
        "httpMethod": request.method,
        "headers": last_values(values),
        "multiValueHeaders": values,
        "queryStringParameters": last_values(query) or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": dict(parameters) or None,
        "stageVariables": dict(api.variables) or None,
    }


def context_1(
    request: HttpRequest, api: Api, request_id: str, extended_id: str, now: float
) -> dict[str, object]:
    """What their `requestContext` has alike."""
    return {
        "accountId": api.account,
        "apiId": api.id,
        "domainName": api.domain,
        "domainPrefix": api.id,
        "extendedRequestId": extended_id,
        "httpMethod": request.method,
        "identity": identity_1(request.source_ip, request.header("user-agent"), api.caller),
        "protocol": "HTTP/1.1",
        "requestId": request_id,
        "requestTime": access_log_time(now),
        "requestTimeEpoch": int(now * 1000),
        "stage": api.stage,
    }


def identity_1(source_ip: str, user_agent: str, caller: Caller | None) -> dict[str, object]:
    """`requestContext.identity`.

    What of it names the caller is null without AWS_IAM authorization.
    """
    return {
        "accessKey": caller and caller.access_key_id,
        "accountId": caller and caller.account,
        "caller": caller and caller.user_id,
        "cognitoAuthenticationProvider": None,
        "cognitoAuthenticationType": None,
        "cognitoIdentityId": None,
        "cognitoIdentityPoolId": None,
        "principalOrgId": None,
        "sourceIp": source_ip,
        "user": caller and caller.user_id,
        "userAgent": user_agent,
        "userArn": caller and caller.arn,
    }


def full_path(request: HttpRequest, api: Api) -> str:
    """The decoded path with its stage, as both formats of HTTP APIs have it."""
    path = unquote(request.path)
    return path if api.stage == "$default" else f"/{api.stage}{path}"


def access_log_time(now: float) -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now))


def multi_values(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def query_values(query: str) -> dict[str, list[str]]:
    return multi_values(parse_qsl(query, keep_blank_values=True))


def last_values(values: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: given[-1] for name, given in values.items()}


def body_fields(body: bytes, *, text: bool) -> tuple[str | None, bool]:
    """`body` and `isBase64Encoded`; what is no UTF-8 is binary, whatever its content type says."""
    if not body:
        return None, False
    if text:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True


def _is_text(request: HttpRequest) -> bool:
    media_type = request.header("content-type").partition(";")[0].strip().lower()
    return media_type.startswith("text/") or media_type in _TEXT_TYPES


def response(answer: bytes) -> HttpResponse:
    """What an answer of format 2.0 becomes: with a `statusCode` the response it describes, else 200 and itself.

    Raises:
        MalformedAnswerError: it is not JSON, or a part of it has the wrong type.
    """
    value = proxyanswers.parsed(answer)
    if not isinstance(value, dict) or "statusCode" not in value:
        body = value if isinstance(value, str) else json.dumps(value)
        return HttpResponse(
            200, (("content-type", "application/json"),), proxyanswers.encoded(body)
        )
    cookies = value.get("cookies") or []
    if not isinstance(cookies, list):
        raise MalformedAnswerError("cookies are not a list")
    headers = [
        *proxyanswers.headers(value.get("headers")),
        *(("set-cookie", proxyanswers.header_value(cookie)) for cookie in cookies),
    ]
    return _full(value, headers)


def response_1(answer: bytes) -> HttpResponse:
    """What an answer of format 1.0 becomes.

    Raises:
        MalformedAnswerError: it is not JSON, has no `statusCode`, or a part of it has the wrong
            type.
    """
    value = proxyanswers.parsed(answer)
    if not isinstance(value, dict) or "statusCode" not in value:
        raise MalformedAnswerError("there is no statusCode")
    return _full(value, proxyanswers.merged_headers(value))


def _full(value: Mapping[str, object], headers: list[tuple[str, str]]) -> HttpResponse:
    if not any(name == "content-type" for name, _ in headers):
        headers.append(
            ("content-type", "text/plain; charset=utf-8")
        )  # no page says so; it is what AWS does
    body = value.get("body")
    raw = proxyanswers.decoded(body) if value.get("isBase64Encoded") else proxyanswers.encoded(body)
    return HttpResponse(proxyanswers.status(value["statusCode"]), tuple(headers), raw)

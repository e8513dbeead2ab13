"""HTTP APIs, pure: which route a request takes, the event a function gets, the response its answer becomes.

Payload formats 2.0 and 1.0:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
Routes: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
Limits: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

BODY_BYTES = 10 * 1024 * 1024
HEADER_BYTES = 10_240

# The page only says "binary"; which types those are was observed on AWS, forms among them:
# https://github.com/ministackorg/ministack/pull/766
_TEXT_TYPES = {"application/json", "application/xml", "application/javascript"}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to an API; `path` is percent-encoded and starts below the stage, header names are as they were sent."""

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
    """What of an API and its stage shows in events; `authorizer` is the caller with AWS_IAM authorization."""

    id: str
    stage: str
    domain: str
    account: str
    variables: Mapping[str, str] = field(default_factory=dict)
    authorizer: Mapping[str, object] | None = None


class MalformedResponseError(Exception):
    """A function's answer is no response (API Gateway says 500, for REST APIs 502)."""


def error(status: int, message: str) -> HttpResponse:
    body = json.dumps({"message": message}, separators=(",", ":")).encode()
    return HttpResponse(status, (("content-type", "application/json"),), body)


def too_large(request: HttpRequest) -> HttpResponse | None:
    """The refusal of a request beyond the limits. The page names the limits only, not the answers."""
    if len(request.body) > BODY_BYTES:
        return error(413, "Request Entity Too Large")
    return error(431, "Request Header Fields Too Large") if header_bytes(request) > HEADER_BYTES else None


def header_bytes(request: HttpRequest) -> int:
    """The size of request line and header values together."""
    line = len(request.method) + len(request.path) + len(request.query) + len(" ? HTTP/1.1")
    return line + sum(len(value) for _, value in request.headers)


def match(route_keys: Iterable[str], method: str, path: str) -> Match | None:
    """The most specific route: full matches before greedy ones, named methods before ANY, `$default` last."""
    segments = path.removeprefix("/").split("/")
    best: tuple[tuple[object, ...], Match] | None = None
    default = False
    for key in route_keys:
        if key == "$default":
            default = True
            continue
        route_method, _, route_path = key.partition(" ")
        if route_method not in {method, "ANY"}:
            continue
        found = _match_path(route_path.removeprefix("/").split("/"), segments)
        if found is None:
            continue
        rank, parameters = found
        specificity = (*rank, route_method == "ANY")
        if best is None or specificity < best[0]:
            best = specificity, Match(key, parameters)
    if best is not None:
        return best[1]
    return Match("$default") if default else None


def _match_path(pattern: list[str], segments: list[str]) -> tuple[tuple[object, ...], dict[str, str]] | None:
    parameters: dict[str, str] = {}
    kinds: list[int] = []  # 0 literal, 1 parameter: a literal earlier in the path is more specific
    for index, part in enumerate(pattern):
        if part.startswith("{") and part.endswith("+}"):
            rest = segments[index:]
            if not rest or (index == 0 and not any(rest)):  # `/` has to have a route of its own
                return None
            parameters[part[1:-2]] = unquote("/".join(rest))
            return (1, -len(kinds), tuple(kinds)), parameters
        if index >= len(segments):
            return None
        if part.startswith("{") and part.endswith("}") and segments[index]:
            parameters[part[1:-1]] = unquote(segments[index])
            kinds.append(1)
        elif unquote(part) == unquote(segments[index]):
            kinds.append(0)
        else:
            return None
    return ((0, 0, tuple(kinds)), parameters) if len(pattern) == len(segments) else None


def arriving_headers(request: HttpRequest, domain: str, request_id: str, now: float) -> list[tuple[str, str]]:
    """The headers of an event: what API Gateway's own front adds and replaces. Names in lower case."""
    mine = {"host", "connection", "content-length", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"}
    kept = [(name.lower(), value) for name, value in request.headers if name.lower() not in mine]
    client = request.header("x-forwarded-for")
    kept += [
        ("content-length", str(len(request.body))),
        ("host", domain),
        ("x-forwarded-for", f"{client}, {request.source_ip}" if client else request.source_ip),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
    ]
    if not request.header("x-amzn-trace-id"):
        kept.append(("x-amzn-trace-id", trace_id(request_id, now)))
    return kept


def trace_id(request_id: str, now: float) -> str:
    return f"Root=1-{int(now):08x}-{hashlib.sha256(request_id.encode()).hexdigest()[:24]}"


def event(request: HttpRequest, found: Match, api: Api, request_id: str, now: float) -> dict[str, object]:
    """The event of payload format 2.0."""
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in sorted(arriving_headers(request, api.domain, request_id, now)):
        if name == "cookie":
            cookies += [c.strip() for c in value.split(";") if c.strip()]
        else:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    query = {name: ",".join(values) for name, values in multi_values(_query(request)).items()}
    raw_path = full_path(request, api)
    result: dict[str, object] = {"version": "2.0", "routeKey": found.route_key, "rawPath": raw_path}
    result["rawQueryString"] = request.query
    if cookies:
        result["cookies"] = cookies
    result["headers"] = headers
    if query:
        result["queryStringParameters"] = query
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
    if api.authorizer is not None:
        context["authorizer"] = {"iam": api.authorizer}
    result["requestContext"] = context
    if found.parameters:
        result["pathParameters"] = dict(found.parameters)
    if api.variables:
        result["stageVariables"] = dict(api.variables)
    body, encoded = body_fields(request.body, text=_is_text(request))
    if body is not None:
        result["body"] = body
    result["isBase64Encoded"] = encoded
    return result


def event_1(request: HttpRequest, found: Match, api: Api, request_id: str, now: float) -> dict[str, object]:
    """The event of payload format 1.0, as HTTP APIs send it: what is absent is null."""
    headers = multi_values(sorted(arriving_headers(request, api.domain, request_id, now)))
    query = multi_values(_query(request))
    path = full_path(request, api)
    resource = found.route_key.partition(" ")[2] or found.route_key
    body, encoded = body_fields(request.body, text=_is_text(request))
    context = {
        "accountId": api.account,
        "apiId": api.id,
        "authorizer": {"claims": None, "scopes": None},
        "domainName": api.domain,
        "domainPrefix": api.id,
        "extendedRequestId": request_id,
        "httpMethod": request.method,
        "identity": identity_1(request, api.authorizer),
        "path": path,
        "protocol": "HTTP/1.1",
        "requestId": request_id,
        "requestTime": access_log_time(now),
        "requestTimeEpoch": int(now * 1000),
        "resourceId": found.route_key,
        "resourcePath": resource,
        "stage": api.stage,
    }
    return {
        "version": "1.0",
        "resource": resource,
        "path": path,
        "httpMethod": request.method,
        "headers": last_values(headers),
        "multiValueHeaders": headers,
        "queryStringParameters": last_values(query) or None,
        "multiValueQueryStringParameters": query or None,
        "requestContext": context,
        "pathParameters": dict(found.parameters) or None,
        "stageVariables": dict(api.variables) or None,
        "body": body,
        "isBase64Encoded": encoded,
    }


def identity_1(request: HttpRequest, authorizer: Mapping[str, object] | None) -> dict[str, object]:
    """`requestContext.identity` of payload format 1.0."""
    caller = authorizer or {}
    return {
        "accessKey": caller.get("accessKey"),
        "accountId": caller.get("accountId"),
        "caller": caller.get("callerId"),
        "cognitoAuthenticationProvider": None,
        "cognitoAuthenticationType": None,
        "cognitoIdentityId": None,
        "cognitoIdentityPoolId": None,
        "principalOrgId": None,
        "sourceIp": request.source_ip,
        "user": caller.get("userId"),
        "userAgent": request.header("user-agent"),
        "userArn": caller.get("userArn"),
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


def _query(request: HttpRequest) -> list[tuple[str, str]]:
    return parse_qsl(request.query, keep_blank_values=True)


def _is_text(request: HttpRequest) -> bool:
    media_type = request.header("content-type").partition(";")[0].strip().lower()
    return media_type.startswith("text/") or media_type in _TEXT_TYPES


def response(answer: bytes) -> HttpResponse:
    """What an answer of format 2.0 becomes: with a `statusCode` the response it describes, else 200 and itself.

    Raises:
        MalformedResponseError: it is not JSON, or a part of it has the wrong type.
    """
    value = parse_answer(answer)
    if not isinstance(value, dict) or "statusCode" not in value:
        body = value if isinstance(value, str) else json.dumps(value)
        return HttpResponse(200, (("content-type", "application/json"),), encode(body))
    cookies = value.get("cookies") or []
    if not isinstance(cookies, list):
        raise MalformedResponseError("cookies are not a list")
    headers = [*header_pairs(value.get("headers")), *(("set-cookie", header_value(cookie)) for cookie in cookies)]
    return _full(value, headers)


def response_1(answer: bytes) -> HttpResponse:
    """What an answer of format 1.0 becomes.

    Raises:
        MalformedResponseError: it is not JSON, has no `statusCode`, or a part of it has the wrong type.
    """
    value = parse_answer(answer)
    if not isinstance(value, dict) or "statusCode" not in value:
        raise MalformedResponseError("there is no statusCode")
    return _full(value, merged_headers(value))


def merged_headers(value: Mapping[str, object]) -> list[tuple[str, str]]:
    """`headers` and `multiValueHeaders` of an answer; a name in both has the values of the latter."""
    many = value.get("multiValueHeaders") or {}
    if not isinstance(many, dict) or not all(isinstance(values, list) for values in many.values()):
        raise MalformedResponseError("multiValueHeaders is no object of lists")
    pairs = [(header_name(name), header_value(one)) for name, values in many.items() for one in values]
    names = {name for name, _ in pairs}
    return [*((name, one) for name, one in header_pairs(value.get("headers")) if name not in names), *pairs]


def _full(value: Mapping[str, object], headers: list[tuple[str, str]]) -> HttpResponse:
    if not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain; charset=utf-8"))  # no page says so; it is what AWS does
    body = value.get("body")
    raw = decoded(body) if value.get("isBase64Encoded") else encode(body)
    return HttpResponse(status_code(value["statusCode"]), tuple(headers), raw)


def parse_answer(answer: bytes) -> object:
    try:
        return json.loads(answer)
    except (ValueError, RecursionError) as broken:
        raise MalformedResponseError("not JSON") from broken


def status_code(value: object) -> int:
    try:
        status = int(value) if isinstance(value, int | float | str) else 0
    except (ValueError, OverflowError):
        status = 0
    if not 200 <= status <= 599:  # noqa: PLR2004 - a 1xx is no final response
        raise MalformedResponseError(f"{str(value)[:100]} is no status code")
    return status


def encode(body: object) -> bytes:
    """A body as it stands.

    Raises:
        MalformedResponseError: it is no text.
    """
    if body is not None and not isinstance(body, str):
        raise MalformedResponseError("the body is not a string")
    return (body or "").encode("utf-8", "replace")


def decoded(body: object) -> bytes:
    """Raises MalformedResponseError unless the body is base64."""
    try:
        return base64.b64decode(encode(body), validate=True)
    except binascii.Error as broken:
        raise MalformedResponseError("the body is not base64") from broken


def header_pairs(headers: object) -> list[tuple[str, str]]:
    if headers is not None and not isinstance(headers, dict):
        raise MalformedResponseError("headers is no object")
    return [(header_name(name), header_value(value)) for name, value in (headers or {}).items()]


def header_name(name: object) -> str:
    """In lower case. Raises MalformedResponseError for what is no header's name."""
    if _TOKEN.fullmatch(str(name)) is None:
        raise MalformedResponseError(f"{str(name)[:100]!r} is no header")
    return str(name).lower()


def header_value(value: object) -> str:
    """Raises MalformedResponseError for what cannot be a header's value."""
    if isinstance(value, dict | list):
        raise MalformedResponseError("a header's value is no text")
    text = (str(value).lower() if isinstance(value, bool) else str(value)).strip(" \t")
    if _CONTROL.search(text) is not None:
        raise MalformedResponseError("a header has a line break or control character")
    return text

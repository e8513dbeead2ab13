"""HTTP APIs, pure: which route a request takes, the event a function gets, the response its answer becomes.

Payload format 2.0:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
Routes: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

_TEXT = ("text/", "application/json", "application/javascript", "application/xml")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to an API; `path` is percent-encoded and starts below the stage."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source_ip: str


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


class MalformedResponseError(Exception):
    """A function's answer is no response (API Gateway says 500)."""


def error(status: int, message: str) -> HttpResponse:
    return HttpResponse(status, (("content-type", "application/json"),), json.dumps({"message": message}).encode())


def match(route_keys: Iterable[str], method: str, path: str) -> Match | None:
    """The most specific route: full matches before greedy ones, named methods before ANY, `$default` last."""
    segments = path.strip("/").split("/")
    best: tuple[tuple[object, ...], Match] | None = None
    for key in route_keys:
        if key == "$default":
            continue
        route_method, _, route_path = key.partition(" ")
        if route_method not in {method, "ANY"}:
            continue
        found = _match_path(route_path.strip("/").split("/"), segments)
        if found is None:
            continue
        rank, parameters = found
        specificity = (*rank, route_method == "ANY")
        if best is None or specificity < best[0]:
            best = specificity, Match(key, parameters)
    if best is not None:
        return best[1]
    return Match("$default") if "$default" in route_keys else None


def _match_path(pattern: list[str], segments: list[str]) -> tuple[tuple[object, ...], dict[str, str]] | None:
    parameters: dict[str, str] = {}
    kinds: list[int] = []  # 0 literal, 1 parameter: a literal earlier in the path is more specific
    for index, part in enumerate(pattern):
        if part.startswith("{") and part.endswith("+}"):
            rest = segments[index:]
            if not any(rest):
                return None
            parameters[part[1:-2]] = unquote("/".join(rest))
            return (1, -len(kinds), tuple(kinds)), parameters
        if index >= len(segments):
            return None
        if part.startswith("{") and part.endswith("}"):
            if not segments[index]:
                return None
            parameters[part[1:-1]] = unquote(segments[index])
            kinds.append(1)
        elif part == unquote(segments[index]):
            kinds.append(0)
        else:
            return None
    return ((0, 0, tuple(kinds)), parameters) if len(pattern) == len(segments) else None


@dataclass(frozen=True, slots=True)
class Api:
    """What of an API and its stage shows in events."""

    id: str
    stage: str
    domain: str
    account: str
    variables: Mapping[str, str] = field(default_factory=dict)
    authorizer: Mapping[str, object] | None = None


def event(request: HttpRequest, found: Match, api: Api, request_id: str, now: float) -> dict[str, object]:
    """The event of payload format 2.0."""
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in request.headers:
        if name == "cookie":
            cookies += [c.strip() for c in value.split(";") if c.strip()]
        else:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    query: dict[str, str] = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        query[name] = f"{query[name]},{value}" if name in query else value
    raw_path = unquote(request.path) if api.stage == "$default" else f"/{api.stage}{unquote(request.path)}"
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
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": request_id,
        "routeKey": found.route_key,
        "stage": api.stage,
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "timeEpoch": int(now * 1000),
    }
    if api.authorizer is not None:
        context["authorizer"] = api.authorizer
    result["requestContext"] = context
    if found.parameters:
        result["pathParameters"] = dict(found.parameters)
    if api.variables:
        result["stageVariables"] = dict(api.variables)
    if request.body:
        text = _as_text(request.body, headers.get("content-type", ""))
        result["body"] = base64.b64encode(request.body).decode() if text is None else text
        result["isBase64Encoded"] = text is None
    else:
        result["isBase64Encoded"] = False
    return result


def _as_text(body: bytes, content_type: str) -> str | None:
    if not content_type.startswith(_TEXT):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def response(answer: bytes) -> HttpResponse:
    """What a function's answer becomes: with a `statusCode` the response it describes, else 200 and the answer itself.

    Raises:
        MalformedResponseError: it is not JSON, or a part of it has the wrong type.
    """
    try:
        value = json.loads(answer)
    except ValueError as broken:
        raise MalformedResponseError("not JSON") from broken
    if not isinstance(value, dict) or "statusCode" not in value:
        body = value if isinstance(value, str) else json.dumps(value)
        return HttpResponse(200, (("content-type", "application/json"),), body.encode())
    try:
        status = int(value["statusCode"])
        given = dict(value.get("headers") or {})
        given.update({k: ",".join(map(str, v)) for k, v in (value.get("multiValueHeaders") or {}).items()})
        headers = [(str(k).lower(), _header(v)) for k, v in given.items()]
        headers += [("set-cookie", str(cookie)) for cookie in value.get("cookies") or []]
        body = value.get("body") or ""
        if not isinstance(body, str):
            raise MalformedResponseError("the body is not a string")
        raw = base64.b64decode(body, validate=True) if value.get("isBase64Encoded") else body.encode()
    except (TypeError, ValueError, AttributeError, binascii.Error) as broken:
        raise MalformedResponseError(str(broken)) from broken
    if not 100 <= status <= 599:  # noqa: PLR2004 - the range of HTTP
        raise MalformedResponseError(f"{status} is no status code")
    if not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain; charset=utf-8"))
    return HttpResponse(status, tuple(headers), raw)


def _header(value: object) -> str:
    text = {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    if "\r" in text or "\n" in text:
        raise MalformedResponseError("a header has a line break")
    return text

"""HTTP APIs: the route of a request, the function's event, and the response to the client.

Everything here is pure: it takes values and returns values.

Payload formats 2.0 and 1.0:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
Routes: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
Limits: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, unquote

from terralive_sandbox.apigateway import event_fields, proxy_responses
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.http_messages import (
    GatewayResponseError,
    HttpRequest,
    HttpResponse,
)
from terralive_sandbox.apigateway.paths import SegmentKind, match_path
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError
from terralive_stub.protocol.limits import BODY_BYTES, HEADER_BYTES

# The page says only "binary". These types, and that forms are binary, were observed on AWS:
# https://github.com/ministackorg/ministack/pull/766
_TEXT_TYPES: Final = {"application/json", "application/xml", "application/javascript"}


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """The route that a request takes.

    Attributes:
        route_key: the route's key, for example `GET /pets/{id}` or `$default`.
        parameters: the decoded values of its path parameters.
    """

    route_key: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def check_size(request: HttpRequest) -> None:
    """Check a request against the limits of HTTP APIs.

    The page gives the limits, but not the answers beyond them.

    Raises:
        GatewayResponseError: the request is too large.
    """
    if len(request.body) > BODY_BYTES:
        raise GatewayResponseError(413, "Request Entity Too Large")
    size = len(request.method) + len(request.path) + len(request.query) + len(" ? HTTP/1.1")
    size += sum(len(value) for _, value in request.headers)
    if size > HEADER_BYTES:
        raise GatewayResponseError(431, "Request Header Fields Too Large")


def match_route(route_keys: Iterable[str], method: str, path: str) -> RouteMatch | None:
    """Find the most specific route of a request.

    It is None if no route takes the request; `$default` comes last. The path starts below the
    stage and is percent-encoded.
    """
    segments = path.removeprefix("/").split("/")
    best: RouteMatch | None = None
    best_rank: tuple[bool, int, tuple[SegmentKind, ...], bool] | None = None
    has_default = False
    for key in route_keys:
        if key == "$default":
            has_default = True
            continue
        # Does the route take this method and path at all?
        route_method, _, route_path = key.partition(" ")
        if route_method not in {method, "ANY"}:
            continue
        found = match_path(route_path.removeprefix("/").split("/"), segments)
        if found is None:
            continue
        # `/{proxy+}` does not take `/`: that path needs a route of its own.
        if found.kinds == (SegmentKind.GREEDY,) and not any(segments):
            continue
        # Is it more specific than the best route so far?
        # Full matches come before greedy ones, longer paths before shorter ones, literals before
        # parameters, and named methods before ANY.
        is_greedy = SegmentKind.GREEDY in found.kinds
        rank = (is_greedy, -len(found.kinds), found.kinds, route_method == "ANY")
        if best_rank is None or rank < best_rank:
            best_rank = rank
            decoded = {name: unquote(value) for name, value in found.parameters.items()}
            best = RouteMatch(key, decoded)
    if best is None and has_default:
        return RouteMatch("$default")
    return best


def event_v2(request: HttpRequest, route: RouteMatch, api: ApiContext) -> dict[str, object]:
    """Return the event of payload format 2.0. It leaves out what is empty."""
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in _lowered_headers(request, api):
        # Format 2.0 has cookies in a list of their own and joins the values of a header.
        if name == "cookie":
            cookies += [cookie.strip() for cookie in value.split(";") if cookie.strip()]
        elif name in headers:
            headers[name] += f",{value}"
        else:
            headers[name] = value
    query = parse_qs(request.query, keep_blank_values=True)
    raw_path = _path_with_stage(request, api)
    body, encoded = event_fields.body_fields(request.body, text=_is_text(request))
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
        "requestId": api.request_id,
        "routeKey": route.route_key,
        "stage": api.stage,
        "time": event_fields.access_log_time(api.now),
        "timeEpoch": int(api.now * 1000),
    }
    if api.authorizer is not None:
        # null without a context, as Powertools for AWS Lambda expects it
        context["authorizer"] = {"lambda": dict(api.authorizer.context) or None}
    elif api.token is not None:
        context["authorizer"] = {"jwt": api.token.fields()}
    elif api.caller is not None:
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
    event = {
        "version": "2.0",
        "routeKey": route.route_key,
        "rawPath": raw_path,
        "rawQueryString": request.query,
        "cookies": cookies,
        "headers": headers,
        "queryStringParameters": {name: ",".join(values) for name, values in query.items()},
        "requestContext": context,
        "pathParameters": dict(route.parameters),
        "stageVariables": dict(api.variables),
        "body": body,
        "isBase64Encoded": encoded,
    }
    return event_fields.without_empty(event)


def event_v1(request: HttpRequest, route: RouteMatch, api: ApiContext) -> dict[str, object]:
    """Return the event of payload format 1.0, as HTTP APIs send it. What is absent is null."""
    path = _path_with_stage(request, api)
    # The key without its method; `$default` has none.
    resource = route.route_key.partition(" ")[2] or route.route_key
    # No page shows this event with a Lambda authorizer. REST APIs have these fields.
    authorizer: dict[str, object] = {"claims": None, "scopes": None}
    if api.authorizer is not None:
        authorizer = api.authorizer.fields()
    elif api.token is not None:
        authorizer = api.token.fields()
    context = {
        "authorizer": authorizer,
        "path": path,
        "resourceId": route.route_key,
        "resourcePath": resource,
    }
    headers = _lowered_headers(request, api)
    body, encoded = event_fields.body_fields(request.body, text=_is_text(request))
    return {
        **event_fields.format_1_event(request, api, headers, route.parameters, context),
        "version": "1.0",
        "resource": resource,
        "path": path,
        "body": body,
        "isBase64Encoded": encoded,
    }


def authorizer_event_v2(
    request: HttpRequest, route: RouteMatch, api: ApiContext, arn: str, identity: tuple[str, ...]
) -> dict[str, object]:
    """Return the event of payload format 2.0 for a Lambda authorizer.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html

    Args:
        request: the request. The authorizer does not see its body.
        route: the route that the request takes.
        api: the API that it came to.
        arn: the ARN of the route.
        identity: the values of the authorizer's identity sources.
    """
    event = event_v2(request, route, api)
    event.pop("body", None)
    del event["isBase64Encoded"]
    return {**event, "type": "REQUEST", "routeArn": arn, "identitySource": list(identity) or None}


def authorizer_event_v1(
    request: HttpRequest, route: RouteMatch, api: ApiContext, arn: str, identity: tuple[str, ...]
) -> dict[str, object]:
    """Return the event of payload format 1.0 for a Lambda authorizer; see authorizer_event_v2."""
    event = event_fields.authorizer_event(event_v1(request, route, api), arn)
    joined = ",".join(identity) or None
    return {**event, "identitySource": joined, "authorizationToken": joined}


def selection_context(
    request: HttpRequest, route: RouteMatch, api: ApiContext
) -> dict[str, object]:
    """Return the variables that `$context` has in identity sources.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html
    """
    return {
        "accountId": api.account,
        "apiId": api.id,
        "domainName": api.domain,
        "domainPrefix": api.id,
        "httpMethod": request.method,
        "identity": {
            "sourceIp": request.source_ip,
            "userAgent": request.header("user-agent"),
        },
        "path": _path_with_stage(request, api),
        "protocol": "HTTP/1.1",
        "routeKey": route.route_key,
        "stage": api.stage,
    }


def _lowered_headers(request: HttpRequest, api: ApiContext) -> list[tuple[str, str]]:
    headers = event_fields.forwarded_headers(request, api)
    lowered = [(name.lower(), value) for name, value in headers]
    # Unlike REST APIs, HTTP APIs send the length of the body.
    lowered.append(("content-length", str(len(request.body))))
    # Sorted by name alone: the values of one header keep the order in which the client sent them
    # (RFC 9110, section 5.3).
    return sorted(lowered, key=lambda header: header[0])


def _path_with_stage(request: HttpRequest, api: ApiContext) -> str:
    """Return the decoded path with its stage, as both payload formats of HTTP APIs have it."""
    stage = "" if api.stage == "$default" else f"/{api.stage}"
    return stage + unquote(request.path)


def _is_text(request: HttpRequest) -> bool:
    media_type = request.header("content-type").partition(";")[0].strip().lower()
    return media_type.startswith("text/") or media_type in _TEXT_TYPES


def response_v2(answer: bytes) -> HttpResponse:
    """Return the response for a function's answer of payload format 2.0.

    An answer with a `statusCode` describes the response. Any other one is the body of a 200.

    Raises:
        MalformedAnswerError: the answer is not JSON, or a part of it has the wrong type.
    """
    value = proxy_responses.parsed(answer)
    if not isinstance(value, dict) or "statusCode" not in value:
        text = value if isinstance(value, str) else json.dumps(value)
        body = proxy_responses.body_bytes(text)
        return HttpResponse(200, [("content-type", "application/json")], body)
    # No page tells that cookies come before a `set-cookie` header; it was observed on AWS:
    # https://github.com/ministackorg/ministack/pull/758
    headers = proxy_responses.cookies(value.get("cookies"))
    headers += proxy_responses.headers(value.get("headers"))
    return _described_response(value, headers)


def response_v1(answer: bytes) -> HttpResponse:
    """Return the response for a function's answer of payload format 1.0.

    Raises:
        MalformedAnswerError: the answer is not JSON, has no `statusCode`, or a part of it has the
            wrong type.
    """
    value = proxy_responses.parsed(answer)
    if not isinstance(value, dict) or "statusCode" not in value:
        raise MalformedAnswerError("there is no statusCode")
    return _described_response(value, proxy_responses.merged_headers(value))


def _described_response(
    value: Mapping[str, object], headers: list[tuple[str, str]]
) -> HttpResponse:
    if not any(name == "content-type" for name, _ in headers):
        # No page names this default; it was observed on AWS.
        headers.append(("content-type", "text/plain; charset=utf-8"))
    body = proxy_responses.body_bytes(value.get("body"), is_base64=value.get("isBase64Encoded"))
    return HttpResponse(proxy_responses.status(value["statusCode"]), headers, body)

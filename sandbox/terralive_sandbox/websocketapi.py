"""WebSocket APIs, pure: which route a message takes and the events that a function gets.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-route-keys-connect-disconnect.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-routes.html
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Container
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from .identity import Caller

_EXPRESSION = re.compile(r"\$\{?request\.body\.([A-Za-z0-9_.\-]+)\}?")


@dataclass(frozen=True, slots=True)
class Connection:
    """What of a connection shows in its events. Times are in seconds since the Unix epoch."""

    id: str
    api: str
    stage: str
    domain: str
    source_ip: str
    user_agent: str
    connected_at: float
    headers: tuple[tuple[str, str], ...] = field(repr=False, default=())
    query: str = field(repr=False, default="")
    caller: Caller | None = None


def route_of(expression: str, body: str, routes: Container[str]) -> str | None:
    """The route key of a message: the expression's value if there is such a route, else `$default`, else None."""
    match = _EXPRESSION.fullmatch(expression)
    key: object = None
    if match is not None:
        try:
            key = json.loads(body)
        except (ValueError, RecursionError):
            key = None
        for name in match[1].split("."):
            key = key.get(name) if isinstance(key, dict) else None
    if isinstance(key, str) and not key.startswith("$") and key in routes:
        return key
    return "$default" if "$default" in routes else None


def connect_event(connection: Connection, request_id: str, now: float) -> dict[str, object]:
    """`$connect`: the only event with headers, query and, with IAM authorization, the caller."""
    headers: dict[str, list[str]] = {}
    for name, value in connection.headers:
        headers.setdefault(name, []).append(value)
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(connection.query, keep_blank_values=True):
        query.setdefault(name, []).append(value)
    event: dict[str, object] = {
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
    }
    if query:
        event["queryStringParameters"] = {name: values[-1] for name, values in query.items()}
        event["multiValueQueryStringParameters"] = query
    context = _context(connection, "$connect", "CONNECT", request_id, now)
    identity: dict[str, object] = {"userAgent": connection.user_agent, "sourceIp": connection.source_ip}
    if connection.caller is not None:
        caller = connection.caller
        identity |= {
            "accessKey": caller.access_key_id,
            "accountId": caller.account,
            "caller": caller.user_id,
            "user": caller.user_id,
            "userArn": caller.arn,
            "principalOrgId": None,
            "cognitoAuthenticationProvider": None,
            "cognitoAuthenticationType": None,
            "cognitoIdentityId": None,
            "cognitoIdentityPoolId": None,
        }
    context["identity"] = identity
    return event | {"requestContext": context, "isBase64Encoded": False}


def message_event(
    connection: Connection, route: str, body: str, *, request_id: str, message_id: str, now: float
) -> dict[str, object]:
    context = _context(connection, route, "MESSAGE", request_id, now)
    context["messageId"] = message_id
    return {"requestContext": context, "body": body, "isBase64Encoded": False}


def disconnect_event(connection: Connection, code: int, reason: str, request_id: str, now: float) -> dict[str, object]:
    headers = {"Host": connection.domain, "x-api-key": "", "x-restapi": ""}
    context = _context(connection, "$disconnect", "DISCONNECT", request_id, now)
    context |= {"disconnectStatusCode": code, "disconnectReason": reason}
    return {
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "requestContext": context,
        "isBase64Encoded": False,
    }


def failure(message: str, connection_id: str, request_id: str) -> str:
    """What a client gets when its message has no route or its integration failed."""
    return json.dumps({"message": message, "connectionId": connection_id, "requestId": request_id})


def _context(connection: Connection, route: str, kind: str, request_id: str, now: float) -> dict[str, object]:
    return {
        "routeKey": route,
        "eventType": kind,
        "extendedRequestId": request_id,
        "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "messageDirection": "IN",
        "stage": connection.stage,
        "connectedAt": int(connection.connected_at * 1000),
        "requestTimeEpoch": int(now * 1000),
        "identity": {"userAgent": connection.user_agent, "sourceIp": connection.source_ip},
        "requestId": request_id,
        "domainName": connection.domain,
        "connectionId": connection.id,
        "apiId": connection.api,
    }

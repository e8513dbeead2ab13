"""WebSocket APIs, pure: which route a message takes and the events that a function gets.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-route-keys-connect-disconnect.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-routes.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from terralive_sandbox.access.identity import Caller
from terralive_sandbox.apigateway import event_fields, proxy_responses
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError
from terralive_stub.protocol.limits import MESSAGE_BYTES

_VARIABLE = re.compile(r"\\\$|\$\{request\.body\.([^}]+)\}|\$request\.body\.([A-Za-z0-9_.\-]+)")
_SUBPROTOCOL = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SUCCESS = range(200, 300)


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
    trace_id: str = ""
    stage_variables: Mapping[str, str] = field(default_factory=dict)


def route_of(expression: str, body: str, routes: Container[str]) -> str | None:
    """The route key of a message.

    The expression's value if there is such a route, else `$default`, else None.
    """
    key = evaluate(expression, body)
    if key is not None and (key == "$default" or not key.startswith("$")) and key in routes:
        return key
    return "$default" if "$default" in routes else None


def evaluate(expression: str, body: str) -> str | None:
    r"""The value of a route selection expression; None where its variables meet a body that is no JSON.

    Text around variables stands for itself, a variable that leads nowhere is empty, any value is
    made text, and `\$` is a dollar sign. Paths are names with dots between them: no page shows
    another kind of JSON path for routes.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-routes.html
    """
    try:
        needs_json = any(match[0] != "\\$" for match in _VARIABLE.finditer(expression))
        value = json.loads(body) if needs_json else None
        return _VARIABLE.sub(
            lambda m: "$" if m[0] == "\\$" else _text(value, m[1] or m[2]), expression
        )
    except (ValueError, RecursionError):
        return None


def _text(value: object, path: str) -> str:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def connect_event(connection: Connection, request_id: str, now: float) -> dict[str, object]:
    """`$connect`: the only event with headers, query and, with IAM authorization, the caller."""
    context = _context(connection, "$connect", "CONNECT", request_id, now)
    if connection.caller is not None:
        named = event_fields.identity_fields(
            connection.source_ip, connection.user_agent, connection.caller
        )
        context["identity"] = {**named, **_identity(connection)}
    headers = event_fields.multi_values((*connection.headers, *_added(connection)))
    query = event_fields.query_values(connection.query)
    return _event(
        connection, context, headers=event_fields.last_values(headers), multiValueHeaders=headers,
        queryStringParameters=event_fields.last_values(query), multiValueQueryStringParameters=query,
    )  # fmt: skip


def message_event(
    connection: Connection, route: str, body: str, *, request_id: str, message_id: str, now: float
) -> dict[str, object]:
    context = _context(connection, route, "MESSAGE", request_id, now)
    return _event(connection, {**context, "messageId": message_id}, body=body)


def disconnect_event(
    connection: Connection, code: int, reason: str, request_id: str, now: float
) -> dict[str, object]:
    headers = {"Host": connection.domain, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""}
    context = _context(connection, "$disconnect", "DISCONNECT", request_id, now)
    context |= {"disconnectStatusCode": code, "disconnectReason": reason}
    return _event(
        connection,
        context,
        headers=headers,
        multiValueHeaders=event_fields.multi_values(headers.items()),
    )


def _event(
    connection: Connection, context: Mapping[str, object], **parts: object
) -> dict[str, object]:
    variables = dict(connection.stage_variables)
    event = {
        **parts,
        "requestContext": context,
        "stageVariables": variables,
        "isBase64Encoded": False,
    }
    return event_fields.without_empty(event)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function answered; `subprotocol` is the `Sec-WebSocket-Protocol` among its headers."""

    status: int
    body: bytes = b""
    subprotocol: str | None = None

    @property
    def is_success(self) -> bool:
        return self.status in _SUCCESS


def answer(body: bytes) -> Answer:
    """Read a proxy integration's answer.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-connect-route-subprotocol.html

    Raises:
        MalformedAnswerError: it has no status code, or a part of it has the wrong type; API Gateway
            answers 502.
    """
    value = proxy_responses.parsed(body)
    if not isinstance(value, dict) or "statusCode" not in value:
        raise MalformedAnswerError("a malformed proxy response: statusCode is missing")
    status = proxy_responses.status(value["statusCode"])
    headers = value.get("headers")
    named = headers.items() if isinstance(headers, dict) else ()
    subprotocol = next(
        (str(v) for k, v in named if str(k).lower() == "sec-websocket-protocol"), None
    )
    if subprotocol is not None and not _SUBPROTOCOL.fullmatch(subprotocol):
        raise MalformedAnswerError("a malformed proxy response: Sec-WebSocket-Protocol is no token")
    data = proxy_responses.encoded(value.get("body") or None)
    if len(data) > MESSAGE_BYTES:
        raise MalformedAnswerError("the answer's body is larger than a message may be")
    return Answer(status, data, subprotocol)


def failure(message: str, connection_id: str, request_id: str) -> str:
    """What a client gets when its message has no route or its integration failed."""
    return json.dumps({"message": message, "connectionId": connection_id, "requestId": request_id})


def _identity(connection: Connection) -> dict[str, object]:
    agent = {"userAgent": connection.user_agent} if connection.user_agent else {}
    return {**agent, "sourceIp": connection.source_ip}


def _added(connection: Connection) -> tuple[tuple[str, str], ...]:
    """What API Gateway adds to a client's headers.

    A client of the sandbox would come by TLS on AWS.
    """
    return (
        ("X-Amzn-Trace-Id", connection.trace_id),
        ("X-Forwarded-For", connection.source_ip),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Proto", "https"),
    )


def _context(
    connection: Connection, route: str, kind: str, request_id: str, now: float
) -> dict[str, object]:
    return {
        "routeKey": route,
        "eventType": kind,
        "extendedRequestId": request_id,
        "requestTime": event_fields.access_log_time(now),
        "messageDirection": "IN",
        "stage": connection.stage,
        "connectedAt": int(connection.connected_at * 1000),
        "requestTimeEpoch": int(now * 1000),
        "identity": _identity(connection),
        "requestId": request_id,
        "domainName": connection.domain,
        "connectionId": connection.id,
        "apiId": connection.api,
    }

"""WebSocket APIs: the route of a message, the function's events, and its answers.

Everything here is pure: it takes values and returns values.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-route-keys-connect-disconnect.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-routes.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs

from terralive_sandbox.access.identity import Caller
from terralive_sandbox.apigateway import event_fields, proxy_responses
from terralive_sandbox.apigateway.authorizers import decisions
from terralive_sandbox.apigateway.authorizers.decisions import Answer as AuthorizerAnswer
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError
from terralive_stub.protocol.limits import AUTHORIZER_RESULT_BYTES, MESSAGE_BYTES

# An escaped dollar sign, or a variable in one of its two forms.
_VARIABLE: Final = re.compile(
    r"\\\$|\$\{request\.body\.([^}]+)\}|\$request\.body\.([A-Za-z0-9_.\-]+)"
)
_ESCAPED_DOLLAR: Final = r"\$"
# Headers of an upgrade request that the function of `$connect` does not see.
_HIDDEN_HEADERS: Final = {"connection", "upgrade"}
# Headers with which a client proves its identity to IAM.
_IAM_HEADERS: Final = {"authorization", "x-amz-security-token"}
_SUBPROTOCOL: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection, as far as it appears in events. It never changes.

    Attributes:
        id: the connection's id.
        api: the API's id.
        stage: the stage's name.
        domain: the host name under which AWS would serve the API.
        source_ip: the client's address.
        user_agent: the client's `User-Agent`, empty if it sent none.
        connected_at: seconds since the Unix epoch.
        headers: the headers of the upgrade request.
        query: the query string of the upgrade request.
        caller: the caller, known only with AWS_IAM authorization.
        authorizer: the answer of the API's Lambda authorizer, if it has one.
        trace_id: the X-Ray trace id of the upgrade request.
        stage_variables: the stage variables at the time of the upgrade request.
    """

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
    authorizer: AuthorizerAnswer | None = None
    trace_id: str = ""
    stage_variables: Mapping[str, str] = field(default_factory=dict)


def route_of(expression: str, body: str, routes: Container[str]) -> str | None:
    """Return the route key of a message.

    It is the value of the route selection expression if there is such a route, else `$default` if
    there is one, else None. A message cannot select `$connect` or `$disconnect`.
    """
    key = evaluate(expression, body)
    # `$connect` and `$disconnect` are for API Gateway's own events.
    if key is not None and key in routes and not key.startswith("$"):
        return key
    if "$default" in routes:
        return "$default"
    return None


def evaluate(expression: str, body: str) -> str | None:
    r"""Return the value of a route selection expression.

    Text around variables stays as it is, a variable without a value is empty, a value of any type
    becomes text, and `\$` is a dollar sign. Paths are names with dots between them: no page shows
    another kind of JSON path for routes.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-routes.html

    Returns:
        The value, or None if the expression has variables and the body is not JSON.
    """
    variables = _VARIABLE.finditer(expression)
    needs_json = any(match[0] != _ESCAPED_DOLLAR for match in variables)
    try:
        value = json.loads(body) if needs_json else None
        return _VARIABLE.sub(lambda match: _value_of(match, value), expression)
    except (ValueError, RecursionError):
        return None


def _value_of(variable: re.Match[str], value: object) -> str:
    if variable[0] == _ESCAPED_DOLLAR:
        return "$"
    path: str = variable[1] or variable[2]
    for name in path.split("."):
        if not isinstance(value, dict):
            return ""
        value = value.get(name)
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value)


def connect_event(connection: Connection, request_id: str, now: float) -> dict[str, object]:
    """Return the event of `$connect`.

    It is the only event with headers and a query string and, with AWS_IAM authorization, the
    caller.
    """
    context = _context(connection, "$connect", "CONNECT", request_id, now)
    if connection.caller is not None:
        context["identity"] = event_fields.identity_fields(
            connection.source_ip, connection.user_agent, connection.caller
        )
    hidden = _HIDDEN_HEADERS
    if connection.caller is not None:
        hidden = hidden | _IAM_HEADERS
    shown = [pair for pair in connection.headers if pair[0].lower() not in hidden]
    return _event(connection, context, **_upgrade_fields(connection, shown))


def authorizer_event(
    connection: Connection, arn: str, request_id: str, now: float
) -> dict[str, object]:
    """Return the event of the Lambda authorizer of `$connect`; `arn` is the route's ARN.

    Unlike `$connect`, it has all headers of the upgrade request, and fields that are empty.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html
    """
    headers = [*connection.headers, ("content-length", "0")]
    return {
        "type": "REQUEST",
        "methodArn": arn,
        **_upgrade_fields(connection, headers),
        "stageVariables": dict(connection.stage_variables),
        "requestContext": _context(connection, "$connect", "CONNECT", request_id, now),
    }


def _upgrade_fields(
    connection: Connection, headers: Iterable[tuple[str, str]]
) -> dict[str, dict[str, object]]:
    """Return the headers and the query string of an upgrade request, as events have them."""
    # API Gateway adds these headers. A client of the sandbox would come by TLS on AWS.
    added = (
        ("X-Amzn-Trace-Id", connection.trace_id),
        ("X-Forwarded-For", connection.source_ip),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Proto", "https"),
    )
    header_values = event_fields.multi_values((*headers, *added))
    query = parse_qs(connection.query, keep_blank_values=True)
    return {
        "headers": {**event_fields.last_values(header_values)},
        "multiValueHeaders": {**header_values},
        "queryStringParameters": {**event_fields.last_values(query)},
        "multiValueQueryStringParameters": {**query},
    }


def message_event(
    connection: Connection, route: str, body: str, *, request_id: str, message_id: str, now: float
) -> dict[str, object]:
    """Return the event of a message (`body`) on the route with this key."""
    context = _context(connection, route, "MESSAGE", request_id, now)
    context["messageId"] = message_id
    return _event(connection, context, body=body)


def disconnect_event(
    connection: Connection, code: int, reason: str, request_id: str, now: float
) -> dict[str, object]:
    """Return the event of `$disconnect` with the close code and reason."""
    # The connection is over, so there is no request whose headers these could be.
    headers = {"Host": connection.domain, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""}
    context = _context(connection, "$disconnect", "DISCONNECT", request_id, now)
    context |= {"disconnectStatusCode": code, "disconnectReason": reason}
    multi_value_headers = event_fields.multi_values(headers.items())
    return _event(connection, context, headers=headers, multiValueHeaders=multi_value_headers)


def _event(
    connection: Connection, context: Mapping[str, object], **parts: object
) -> dict[str, object]:
    event = {
        **parts,
        "requestContext": context,
        "stageVariables": dict(connection.stage_variables),
        "isBase64Encoded": False,
    }
    return event_fields.without_empty(event)


def _context(
    connection: Connection, route: str, event_type: str, request_id: str, now: float
) -> dict[str, object]:
    identity = {"sourceIp": connection.source_ip}
    if connection.user_agent:
        identity["userAgent"] = connection.user_agent
    context: dict[str, object] = {
        "routeKey": route,
        "eventType": event_type,
        "extendedRequestId": request_id,
        "requestTime": event_fields.access_log_time(now),
        "messageDirection": "IN",
        "stage": connection.stage,
        "connectedAt": int(connection.connected_at * 1000),
        "requestTimeEpoch": int(now * 1000),
        "identity": identity,
        "requestId": request_id,
        "domainName": connection.domain,
        "connectionId": connection.id,
        "apiId": connection.api,
    }
    if connection.authorizer is not None:
        context["authorizer"] = connection.authorizer.fields()
    return context


@dataclass(frozen=True, slots=True)
class Answer:
    """A function's answer.

    Attributes:
        status: its `statusCode`.
        body: the message for the client, where the route has a response.
        subprotocol: the `Sec-WebSocket-Protocol` among its headers.
    """

    status: int
    body: bytes = b""
    subprotocol: str | None = None


def answer(body: bytes) -> Answer:
    """Read a function's answer.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-connect-route-subprotocol.html

    Raises:
        MalformedAnswerError: it has no status code, or a part of it has the wrong type. API Gateway
            answers 502.
    """
    value = proxy_responses.parsed(body)
    if not isinstance(value, dict) or "statusCode" not in value:
        raise MalformedAnswerError("a malformed proxy response: statusCode is missing")
    status = proxy_responses.status(value["statusCode"])
    subprotocol = _subprotocol(value.get("headers"))
    # The value becomes a header of the handshake, so it may not break out of it.
    if subprotocol is not None and not _SUBPROTOCOL.fullmatch(subprotocol):
        raise MalformedAnswerError("a malformed proxy response: Sec-WebSocket-Protocol is no token")
    data = proxy_responses.body_bytes(value.get("body") or None)
    if len(data) > MESSAGE_BYTES:
        raise MalformedAnswerError("the answer's body is larger than a message may be")
    return Answer(status, data, subprotocol)


def _subprotocol(headers: object) -> str | None:
    if not isinstance(headers, dict):
        return None
    for name, value in headers.items():
        if str(name).lower() == "sec-websocket-protocol":
            return str(value)
    return None


def authorizer_answer(body: bytes) -> AuthorizerAnswer:
    """Read the answer of an authorizer's function.

    Raises:
        MalformedAnswerError: it is no policy, or it is larger than API Gateway takes.
    """
    if len(body) > AUTHORIZER_RESULT_BYTES:
        raise MalformedAnswerError(f"it has more than {AUTHORIZER_RESULT_BYTES} bytes")
    return decisions.policy_with_texts(body)


def error_message(message: str, connection_id: str, request_id: str) -> str:
    """Return the answer to a message that has no route or whose integration failed."""
    return json.dumps({"message": message, "connectionId": connection_id, "requestId": request_id})

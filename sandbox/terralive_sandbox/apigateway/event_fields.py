"""Fields that the events of HTTP, REST and WebSocket APIs have in common.

Everything here is pure: it takes a request and returns parts of an event.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs

from terralive_sandbox.access.identity import ACCOUNT, Caller
from terralive_sandbox.apigateway.authorizers.decisions import Answer
from terralive_sandbox.apigateway.authorizers.tokens import Token
from terralive_sandbox.apigateway.http_messages import HttpRequest
from terralive_stub.shared.json_documents import as_object

# Fields of payload format 1.0 that are null in the event of an integration without them.
_PARAMETERS: Final = (
    "queryStringParameters",
    "multiValueQueryStringParameters",
    "pathParameters",
    "stageVariables",
)
# Headers that API Gateway replaces with its own, in lower case.
_REPLACED: Final = {
    "connection",
    "content-length",
    "host",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-forwarded-proto",
}


@dataclass(frozen=True, slots=True)
class ApiContext:
    """Fields of the API, its stage, the request and the caller that appear in events.

    Attributes:
        id: the API's id.
        stage: the stage's name.
        domain: the host name under which AWS would serve the API.
        request_id: the id that API Gateway gives the request.
        extended_id: the second id that it gives the request.
        now: the time of the request, in seconds since the Unix epoch.
        account: the id of the account.
        variables: the stage variables.
        caller: the caller, known only with AWS_IAM authorization.
        authorizer: the answer of the Lambda authorizer, if the route or method has one.
        token: the client's token, if the route has a JWT authorizer.
    """

    id: str
    stage: str
    domain: str
    request_id: str
    extended_id: str
    now: float
    account: str = ACCOUNT
    variables: Mapping[str, str] = field(default_factory=dict)
    caller: Caller | None = None
    authorizer: Answer | None = None
    token: Token | None = None


def forwarded_headers(
    request: HttpRequest, api: ApiContext, dropped: Container[str] = ()
) -> list[tuple[str, str]]:
    """Return the headers of an event: the client's, and those that API Gateway adds or replaces.

    Args:
        request: the request. Its header names stay as they were sent.
        api: the API that it came to. The trace id comes from it, if the client sent none.
        dropped: more header names, in lower case, that do not reach the function.
    """
    headers: list[tuple[str, str]] = []
    for name, value in request.headers:
        lowered = name.lower()
        if lowered not in _REPLACED and lowered not in dropped:
            headers.append((name, value))
    # The client's own list comes first: a proxy adds the address that it has seen.
    client = request.header("x-forwarded-for")
    forwarded_for = f"{client}, {request.source_ip}" if client else request.source_ip
    headers += [
        ("Host", api.domain),
        ("X-Forwarded-For", forwarded_for),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Proto", "https"),
    ]
    if not request.header("x-amzn-trace-id"):
        headers.append(("X-Amzn-Trace-Id", trace_id(api)))
    return headers


def trace_id(api: ApiContext) -> str:
    """Return an X-Ray trace id. One request always gets the same one."""
    # A digest, so that the event and the response's header agree without keeping the id.
    digest = hashlib.sha256(api.request_id.encode()).hexdigest()
    return f"Root=1-{int(api.now):08x}-{digest[:24]}"


def format_1_event(
    request: HttpRequest,
    api: ApiContext,
    headers: Iterable[tuple[str, str]],
    parameters: Mapping[str, str],
    context: Mapping[str, object],
) -> dict[str, object]:
    """Return the fields that events of payload format 1.0 have in HTTP and REST APIs.

    Args:
        request: the request.
        api: the API that it came to.
        headers: the headers that the function gets.
        parameters: the values of the path parameters.
        context: the fields of `requestContext` that differ between the two kinds of APIs.
    """
    header_values = multi_values(headers)
    query = parse_qs(request.query, keep_blank_values=True)
    return {
        "httpMethod": request.method,
        "headers": last_values(header_values),
        "multiValueHeaders": header_values,
        "queryStringParameters": last_values(query) or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": dict(parameters) or None,
        "stageVariables": dict(api.variables) or None,
        "requestContext": {
            "accountId": api.account,
            "apiId": api.id,
            "domainName": api.domain,
            "domainPrefix": api.id,
            "extendedRequestId": api.extended_id,
            "httpMethod": request.method,
            "identity": identity_fields(
                request.source_ip, request.header("user-agent"), api.caller
            ),
            "protocol": "HTTP/1.1",
            "requestId": api.request_id,
            "requestTime": access_log_time(api.now),
            "requestTimeEpoch": int(api.now * 1000),
            "stage": api.stage,
            **context,
        },
    }


def authorizer_event(event: Mapping[str, object], arn: str) -> dict[str, object]:
    """Return the event of payload format 1.0 for a REQUEST authorizer.

    It has no body, and empty objects instead of null.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html

    Args:
        event: the event of the integration.
        arn: the ARN of the method or route.
    """
    fields = {**event, "type": "REQUEST", "methodArn": arn}
    del fields["body"]
    del fields["isBase64Encoded"]
    for name in _PARAMETERS:
        fields[name] = fields[name] or {}
    context = {**as_object(fields["requestContext"])}
    context.pop("authorizer", None)
    fields["requestContext"] = context
    return fields


def identity_fields(source_ip: str, user_agent: str, caller: Caller | None) -> dict[str, object]:
    """Return `requestContext.identity` of payload format 1.0.

    The fields that name the caller are null without AWS_IAM authorization.
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


def access_log_time(now: float) -> str:
    """Return a time in the format of access logs; `now` is in seconds since the Unix epoch."""
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now))


def multi_values(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Collect the values of each name, in the order in which they come."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def last_values(values: Mapping[str, list[str]]) -> dict[str, str]:
    """Return the last value of each name."""
    return {name: given[-1] for name, given in values.items()}


def without_empty(event: Mapping[str, object]) -> dict[str, object]:
    """Return an event without the fields that are null, an empty object or an empty list."""
    return {name: value for name, value in event.items() if value not in ({}, [], None)}


def body_fields(body: bytes, *, text: bool) -> tuple[str | None, bool]:
    """Return `body` and `isBase64Encoded` of an event.

    A body that is not UTF-8 is encoded even if its content type names a text (`text`).
    """
    if not body:
        return None, False
    if text:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            # JSON has no place for such bytes, whatever the content type says.
            pass
    return base64.b64encode(body).decode(), True

"""The outcomes of invocations that no handler answered: named errors, and a 503 for HTTP callers.

Such an invocation must never look like a success. Its outcome is an error, so that queues and
streams retry and lose nothing. The one exception is an event of an HTTP caller: for an error, API
Gateway would show only `Internal Server Error`, so the outcome is a `503` with the text (a Lambda
proxy response:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html).
"""

from __future__ import annotations

import json
import time
from enum import StrEnum
from typing import Final

from terralive_stub.protocol.invocation import Invocation, Outcome, Streamed
from terralive_stub.protocol.messages import NoRelay
from terralive_stub.shared.json_documents import parse_object


class ErrorName(StrEnum):
    """The names of errors that no handler has caused, as `errorType` at the caller.

    `TOO_LARGE` is Lambda's own name. `Terralive.Stopped` is in `terralive_workers.outcomes`.
    """

    NO_RELAY = "Terralive.NoRelay"
    NOT_SERVED = "Terralive.NotServed"
    NOT_DELIVERED = "Terralive.NotDelivered"
    CANNOT_CONNECT = "Terralive.CannotConnect"
    RELAY_LOST = "Terralive.RelayLost"
    FALLBACK_THROTTLED = "Terralive.FallbackThrottled"
    FALLBACK_LOST = "Terralive.FallbackLost"
    PROTOCOL = "Terralive.Protocol"
    STUB_IMAGE = "Terralive.StubImage"
    TOO_LARGE = "Function.ResponseSizeTooLarge"


# The content type of a streamed response with status and headers, and what ends these.
HTTP_STREAM: Final = "application/vnd.awslambda.http-integration-response"
PRELUDE_END: Final = bytes(8)
# In the domain name of every function URL:
# https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html
_FUNCTION_URL: Final = ".lambda-url."
# Larger events are not parsed: an HTTP event is never larger than Lambda's limit of 6 MB.
_PARSE_AT_MOST: Final = 8 * 1024 * 1024


def outcome_for_caller(
    invocation: Invocation, name: ErrorName, message: str, *, streams: bool = False
) -> Outcome:
    """Return the outcome of an invocation that no handler answered.

    Args:
        invocation: the invocation.
        name: the error's name.
        message: its text.
        streams: whether the function has a function URL or a REST API with response streaming.
            These take an HTTP response as a stream only: a prelude with status and headers, and
            the body.
            https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
    """
    if not is_http(invocation.event):
        return error_outcome(name, message)
    response: dict[str, object] = {
        "statusCode": 503,
        "headers": {
            "content-type": "text/plain; charset=utf-8",
            "cache-control": "no-store",
            "retry-after": "5",
            # Without it, a browser shows a CORS error in the place of the text:
            # https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-cors.html
            "access-control-allow-origin": "*",
        },
    }
    body = f"{name}: {message}\n"
    if streams and _may_stream(invocation.event):
        stream = json.dumps(response).encode() + PRELUDE_END + body.encode()
        return Outcome(stream, streamed=Streamed(HTTP_STREAM, len(stream)))
    response["body"] = body
    response["isBase64Encoded"] = False
    return Outcome(json.dumps(response).encode())


def _may_stream(event: bytes) -> bool:
    """Tell whether an HTTP event is one of a function URL or a REST API.

    HTTP APIs and load balancers do not stream responses of Lambda functions.
    """
    document = parse_object(event)
    context = document.get("requestContext")
    if not isinstance(context, dict):
        return False
    if isinstance(context.get("http"), dict):
        return _FUNCTION_URL in str(context.get("domainName", ""))
    # The payload of an HTTP API in format 1.0 names its version, too.
    return "resourcePath" in context and "version" not in document


def error_outcome(name: ErrorName, message: str) -> Outcome:
    """Return an error in the shape of the Runtime API."""
    document = {"errorMessage": message, "errorType": str(name), "stackTrace": []}
    return Outcome(json.dumps(document).encode(), error_type=str(name))


def is_http(event: bytes) -> bool:
    """Tell whether an HTTP caller waits for the response.

    Such an event comes from API Gateway (payload 1.0 or 2.0), a function URL or a load balancer:
    https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway.html, urls-invocation.html,
    services-alb.html.
    """
    if len(event) > _PARSE_AT_MOST:
        return False
    # Parsing costs a small CPU much time, and all shapes have these texts: `http` or `httpMethod`.
    if b'"requestContext"' not in event or b"ttp" not in event:
        return False
    document = parse_object(event)
    context = document.get("requestContext")
    if not isinstance(context, dict):
        return False
    if "methodArn" in document or "routeArn" in document:
        # The request of a Lambda authorizer has an HTTP shape, but its response is a policy.
        return False
    if isinstance(context.get("http"), dict):
        return True  # payload 2.0, or a function URL
    is_http_method = isinstance(document.get("httpMethod"), str)
    return is_http_method and ("resourcePath" in context or "elb" in context)


def describe_no_relay(notice: NoRelay, *, app: str, stage: str) -> str:
    """Describe which relay was connected last, until when, and what to do."""
    start = (
        f"start one with `terralive start --stage {stage}`, or put the functions' own code back "
        f"with `terralive restore --stage {stage}`"
    )
    where = f"app {app!r}, stage {stage!r}"
    if notice.reason == "not-served":
        return (
            f"The relay of {notice.owner} on {notice.machine} is connected to {where}, but does "
            "not serve this function: restart it so that it reads the configuration again."
        )
    if not notice.owner:
        return f"No relay is connected to {where}, and none has been yet: {start}."
    since = _utc(notice.since_ms)
    until = _utc(notice.until_ms)
    return (
        f"No relay is connected to {where}: the last one was {notice.owner}'s on {notice.machine}, "
        f"from {since} to {until}; {start}."
    )


def _utc(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(milliseconds / 1000))

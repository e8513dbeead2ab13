"""What a stub answers when no handler could: named errors, and for HTTP callers a 503 that says what to do.

An invocation that no handler answered must never look like a success. Everything but an HTTP-shaped
event gets an error, so that queues and streams retry and lose nothing. An HTTP caller would see
only `Internal Server Error` of an error, so it gets a `503` with the text instead (a Lambda proxy
response:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html).
"""

from __future__ import annotations

import json
import time
from enum import StrEnum
from typing import Final

from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.protocol.wire import NoRelay
from terralive_stub.shared.json_documents import parse_object


class ErrorName(StrEnum):
    """The names of terralive's own errors, as `errorType` at the caller."""

    NO_RELAY = "Terralive.NoRelay"
    NOT_SERVED = "Terralive.NotServed"
    NOT_DELIVERED = "Terralive.NotDelivered"
    CANNOT_CONNECT = "Terralive.CannotConnect"
    RELAY_LOST = "Terralive.RelayLost"
    PROTOCOL = "Terralive.Protocol"
    TOO_LARGE = "Function.ResponseSizeTooLarge"


# The largest HTTP-shaped prefix worth looking at: the markers below stand anywhere in an event,
# which can be megabytes.
_PARSE_AT_MOST: Final = 8 * 1024 * 1024


def outcome_for_caller(invocation: Invocation, refusal: ErrorName, message: str) -> Outcome:
    """Give the outcome of an invocation that no handler answered."""
    if is_http(invocation.event):
        response = {
            "statusCode": 503,
            "headers": {
                "content-type": "text/plain; charset=utf-8",
                "cache-control": "no-store",
                "retry-after": "5",
            },
            "body": f"{refusal}: {message}\n",
            "isBase64Encoded": False,
        }
        return Outcome(json.dumps(response).encode())
    return error_outcome(refusal, message)


def error_outcome(refusal: ErrorName, message: str) -> Outcome:
    """Give an error in the shape of the Runtime API."""
    document = {"errorMessage": message, "errorType": str(refusal), "stackTrace": []}
    return Outcome(json.dumps(document).encode(), error_type=str(refusal))


def is_http(event: bytes) -> bool:
    """Tell whether an HTTP caller waits: API Gateway (payload 1.0 and 2.0), function URLs, load balancers.

    https://docs.aws.amazon.com/lambda/latest/dg/services-alb.html, services-apigateway.html,
    urls-invocation.html.
    """
    if len(event) > _PARSE_AT_MOST or not (b'"requestContext"' in event and b"ttp" in event):
        return False
    document = parse_object(event)
    context = document.get("requestContext")
    if not isinstance(context, dict) or "methodArn" in document or "routeArn" in document:
        return False  # a Lambda authorizer's request looks like HTTP, but its answer is a policy
    payload_2 = isinstance(context.get("http"), dict)
    payload_1 = isinstance(document.get("httpMethod"), str) and (
        "resourcePath" in context or "elb" in context
    )
    return payload_2 or payload_1


def describe_no_relay(notice: NoRelay, *, app: str, stage: str) -> str:
    """Say who was connected last, until when, and what to do."""
    start = f"start one with `terralive start --stage {stage}`, or put the deployed code back with `terralive restore`"
    where = f"app {app!r}, stage {stage!r}"
    if notice.reason == "not-served":
        return (
            f"The relay of {notice.owner} on {notice.machine} is connected to {where}, but does not serve this "
            "function: restart it so that it reads the configuration again."
        )
    if not notice.owner:
        return f"No relay is connected to {where}, and none has been yet: {start}."
    return (
        f"No relay is connected to {where}: the last one was {notice.owner}'s on {notice.machine}, "
        f"from {_clock(notice.since_ms)} to {_clock(notice.until_ms)}; {start}."
    )


def _clock(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(milliseconds / 1000))

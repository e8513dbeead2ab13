"""Describes an invocation's event and an error's document to a person.

Nothing here is used for a decision but `fifo_messages`: a message has one handler at a time.
Events and errors are bytes that other programs made, so nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from terralive_stub.protocol.invocation import Outcome
from terralive_stub.shared.json_documents import (
    Json,
    as_object,
    items,
    parse_object,
    section,
    text,
)

# Parsing more would cost the invocation time.
_MOST_BYTES: Final = 1024 * 1024
_SUMMARY_CHARACTERS: Final = 200
# Numbers of milliseconds and attempts that are larger are nonsense.
_LARGEST_NUMBER: Final = 2**53
# `File "/x/app.py", line 3`, also `File "/x/app.py" Line 3`; `at f (file:///x/app.mjs:3:7)`,
# `/x/app.js:3`.
_PLACE: Final = re.compile(r'(?:File "|file://|(?<![\w.:/]))(/[^":()\n]+)(?:",? [Ll]ine |:)(\d+)')
_TRACE_ROOT: Final = re.compile(r"Root=1-([0-9a-fA-F]{8})-")


@dataclass(frozen=True, slots=True)
class EventDescription:
    """The description of an invocation's event.

    Attributes:
        trigger: the service that invoked the function: `http`, `sns`, …; `invoke` if nothing is
            known.
        summary: a few words about the event (`GET /orders`), or "".
        attempt: attempt number, starting at 1, as far as the event contains it.
        sent_ms: the time at which it was first sent, in milliseconds since the Unix epoch; 0 if it
            is not known.
        first_ms: the time of its first attempt; 0 if the event does not contain it.
        fifo_messages: the ids of the messages of FIFO queues in it.
    """

    trigger: str
    summary: str
    attempt: int
    sent_ms: int
    first_ms: int = 0
    fifo_messages: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ErrorText:
    """An error's document: its type, its message, and the lines of its stack trace."""

    type: str = ""
    message: str = ""
    stack: tuple[str, ...] = ()


def describe_event(event: bytes, trace_id: str = "") -> EventDescription:
    """Describe an invocation's event. It is parsed once, because it may be large.

    Args:
        event: the event, as JSON.
        trace_id: the invocation's X-Ray trace header, or "".
    """
    document = _parse(event)
    trigger, summary = _trigger(document)
    delivery = _delivery(document, trace_id)
    return EventDescription(
        _shortened(trigger),
        _shortened(summary),
        delivery.attempt,
        delivery.sent_ms,
        delivery.first_ms,
        frozenset(delivery.fifo_messages),
    )


# Triggers


def _trigger(document: Mapping[str, Json]) -> tuple[str, str]:
    """Guess an invocation's trigger and summary from the shape of its event.

    AWS documents the shape of each service's events, and no event names its service.
    """
    request = _request(document)
    if request is not None:
        return request
    records = items(document, "Records")
    if records and isinstance(records[0], dict):
        return _records(records[0], len(records))
    if "detail-type" in document and "source" in document:
        return _eventbridge(document)
    return "invoke", ""


def _request(document: Mapping[str, Json]) -> tuple[str, str] | None:
    """Return the trigger and summary of an event of API Gateway, a URL or a load balancer."""
    arn = document.get("methodArn") or document.get("routeArn")
    if isinstance(arn, str):
        return "authorizer", _method_of(arn)
    context = section(document, "requestContext")
    http = section(context, "http")
    if http:
        # An HTTP API's event in format 2.0, or a function URL's.
        return "http", _joined(http.get("method", ""), http.get("path", ""))
    if "httpMethod" in document:
        # A REST API's event, an HTTP API's in format 1.0, or a load balancer's.
        return "http", _joined(document["httpMethod"], document.get("path", ""))
    if "connectionId" in context:
        return "websocket", _text(context.get("routeKey", ""))
    return None


def _method_of(arn: str) -> str:
    """Return the method and path, or the route, that an authorizer is asked about.

    The ARN ends with the API, the stage, the method and the path, or with `$connect`
    (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html).
    """
    method, slash, path = arn.partition("/")[2].partition("/")[2].partition("/")
    return _joined(method, slash + path)


def _records(first: Mapping[str, Json], count: int) -> tuple[str, str]:
    """SNS, SQS, S3, and the streams of DynamoDB and Kinesis."""
    source = _text(first.get("EventSource") or first.get("eventSource") or "")
    summary = ""
    if count > 1:
        summary = f"{count} records"
    return source.removeprefix("aws:") or "invoke", summary


def _eventbridge(document: Mapping[str, Json]) -> tuple[str, str]:
    detail_type = document["detail-type"]
    if document["source"] == "aws.events" and detail_type == "Scheduled Event":
        return "schedule", _text(detail_type)
    return "eventbridge", _text(detail_type)


# Deliveries


@dataclass(slots=True)
class _Delivery:
    """The fields of `EventDescription` that are about an event's way."""

    attempt: int = 1
    sent_ms: int = 0
    first_ms: int = 0
    fifo_messages: list[str] = field(default_factory=list)


def _delivery(document: Mapping[str, Json], trace_id: str) -> _Delivery:
    """Read an event's attempt number, which queues count, and the times that it contains.

    A trace begins when Lambda accepts an event, and its id contains the time
    (`Root=1-<seconds, in hex>-…`,
    https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html). All attempts are in
    the same trace (https://docs.aws.amazon.com/lambda/latest/dg/invocation-async.html). A message
    of SQS contains its times, its number of receives and its id
    (https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html), a record of a DynamoDB stream its
    time. The name of a FIFO queue ends in `.fifo`.
    """
    delivery = _Delivery()
    first_ms: list[int] = []
    times_ms: list[int] = []
    root = _TRACE_ROOT.search(trace_id)
    if root is not None:
        times_ms.append(int(root[1], 16) * 1000)
    for item in items(document, "Records"):
        record = as_object(item)
        attributes = section(record, "attributes")
        received = _number(attributes.get("ApproximateReceiveCount"))
        delivery.attempt = max(delivery.attempt, received)
        first_ms.append(_number(attributes.get("ApproximateFirstReceiveTimestamp")))
        message_id = text(record, "messageId")
        if message_id and text(record, "eventSourceARN").endswith(".fifo"):
            delivery.fifo_messages.append(message_id)
        times_ms.append(_number(attributes.get("SentTimestamp")))
        created_s = section(record, "dynamodb").get("ApproximateCreationDateTime")
        times_ms.append(_number(created_s) * 1000)
    delivery.sent_ms = min([time_ms for time_ms in times_ms if time_ms > 0], default=0)
    delivery.first_ms = min([time_ms for time_ms in first_ms if time_ms > 0], default=0)
    return delivery


# Errors


def describe_error(outcome: Outcome) -> ErrorText:
    """Read an error's document.

    Its shape differs from runtime to runtime: the stack trace is in `stackTrace`, in `trace`, or
    missing.
    """
    if outcome.ok:
        return ErrorText()
    document = _parse(outcome.body)
    lines = document.get("stackTrace") or document.get("trace")
    stack: list[str] = []
    if isinstance(lines, list):
        stack = [_text(line).rstrip("\n") for line in lines]
    return ErrorText(
        type=_text(document.get("errorType") or outcome.error_type),
        message=_text(document.get("errorMessage") or ""),
        stack=tuple(stack),
    )


def describe_place(outcome: Outcome, cause: str, root: Path) -> str:
    """Return the place in a function's code where its module failed to load (`app.py:3`).

    Args:
        outcome: the error that the runtime reported.
        cause: its X-Ray cause. It has frames where the document must not have them (a failed
            import).
        root: the function's code root. The innermost place below it is preferred to places
            elsewhere.

    Returns:
        The path, relative to `root` if it is below it, and the line; "" if no place is known.
    """
    found = _places_in_stack(describe_error(outcome).stack)
    if not found:
        found = _places_in_cause(cause)
    innermost = ""
    for file, line in found:
        if file.startswith("/") and "node_modules" not in file:
            innermost = innermost or f"{file}:{line}"
            if Path(file).is_relative_to(root) and "site-packages" not in file:
                return f"{Path(file).relative_to(root)}:{line}"
    return innermost


def _places_in_stack(stack: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the files and lines that a stack trace names, the innermost first."""
    found: list[tuple[str, str]] = []
    for frame in stack:
        found += _PLACE.findall(frame)
    # Python names the innermost frame last, Node.js first.
    if stack and stack[0].startswith("  File"):
        found.reverse()
    return found


def _places_in_cause(cause: str) -> list[tuple[str, str]]:
    """Return the files and lines of the frames in an X-Ray cause, the innermost first."""
    exceptions = items(_parse(cause.encode("utf-8", "replace")), "exceptions")
    if not exceptions:
        return []
    frames = [as_object(item) for item in items(as_object(exceptions[0]), "stack")]
    frames.reverse()
    return [(_text(frame.get("path")), _text(frame.get("line"))) for frame in frames]


# Values


def _parse(data: bytes) -> Mapping[str, Json]:
    if len(data) > _MOST_BYTES:
        return {}
    return parse_object(data)


def _text(value: object) -> str:
    try:
        return str(value)
    except RecursionError:  # lists within lists
        return ""


def _joined(method: object, path: object) -> str:
    return f"{_text(method)} {_text(path)}".strip()


def _number(value: object) -> int:
    """Read a number that may be written as a text; 0 for anything else."""
    if not isinstance(value, str | int | float):
        return 0
    try:
        number = int(float(value))
    except (ValueError, OverflowError):
        return 0
    return min(max(number, 0), _LARGEST_NUMBER)


def _shortened(text: str) -> str:
    if len(text) <= _SUMMARY_CHARACTERS:
        return text
    return f"{text[: _SUMMARY_CHARACTERS - 1]}…"

"""Describes the event of an invocation: its trigger, a few words, its age and its attempt."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from terralive_relay.describe.batches import batch, records_of
from terralive_relay.describe.large import describe_large
from terralive_relay.describe.requests import body_of, request
from terralive_relay.describe.services import resolvers, service
from terralive_relay.describe.values import MOST_BYTES, as_number, folded
from terralive_stub.shared.json_documents import Json, as_object, items, section, text

_SUMMARY_CHARACTERS: Final = 200
_REQUESTS: Final = frozenset({"http", "lattice", "websocket"})
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
        payload: the names of the payload's fields without their values (`{orderId, items}`), or "".
        payload_bytes: the size of the payload: of a request's body, or of the whole event.
    """

    trigger: str
    summary: str
    attempt: int
    sent_ms: int
    first_ms: int = 0
    fifo_messages: frozenset[str] = frozenset()
    payload: str = ""
    payload_bytes: int = 0


def describe_event(event: bytes, trace_id: str = "") -> EventDescription:
    """Describe an invocation's event. It is parsed once, because it may be large.

    Args:
        event: the event, as JSON.
        trace_id: the invocation's X-Ray trace header, or "".
    """
    value = _parse(event)
    document = as_object(value)
    if len(event) > MOST_BYTES:
        trigger, summary = describe_large(event)
    else:
        trigger, summary = _trigger(value, document)
    payload, payload_bytes = "", len(event)
    if trigger in _REQUESTS and document:
        payload, payload_bytes = body_of(document)
    elif trigger == "invoke":
        payload = folded(value)
    if isinstance(value, list):
        # EventBridge Pipes sends the records without an object around them.
        document = {"Records": value}
    delivery = _delivery(document, trace_id)
    return EventDescription(
        _shortened(trigger),
        _shortened(summary),
        delivery.attempt,
        delivery.sent_ms,
        delivery.first_ms,
        frozenset(delivery.fifo_messages),
        payload,
        payload_bytes,
    )


def _parse(event: bytes) -> Json:
    """Parse an event; None for a large one, and for one that is not JSON."""
    if len(event) > MOST_BYTES:
        return None
    try:
        value: Json = json.loads(event)
    except (ValueError, RecursionError):
        return None
    return value


def _trigger(value: Json, document: Mapping[str, Json]) -> tuple[str, str]:
    """Guess an invocation's trigger and summary from the shape of its event.

    AWS documents the shape of each service's events, and no event names its service.
    """
    if isinstance(value, list):
        return records_of(value) or resolvers(value) or ("invoke", "")
    if "actionGroup" in document:
        # An agent's event may have an HTTP method, too.
        return service(document) or ("invoke", "")
    return request(document) or batch(document) or service(document) or ("invoke", "")


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
        received = as_number(attributes.get("ApproximateReceiveCount"))
        delivery.attempt = max(delivery.attempt, received)
        first_ms.append(as_number(attributes.get("ApproximateFirstReceiveTimestamp")))
        message_id = text(record, "messageId")
        if message_id and text(record, "eventSourceARN").endswith(".fifo"):
            delivery.fifo_messages.append(message_id)
        times_ms.append(as_number(attributes.get("SentTimestamp")))
        created_s = section(record, "dynamodb").get("ApproximateCreationDateTime")
        times_ms.append(as_number(created_s) * 1000)
    delivery.sent_ms = min([time_ms for time_ms in times_ms if time_ms > 0], default=0)
    delivery.first_ms = min([time_ms for time_ms in first_ms if time_ms > 0], default=0)
    return delivery


def _shortened(text: str) -> str:
    if len(text) <= _SUMMARY_CHARACTERS:
        return text
    return f"{text[: _SUMMARY_CHARACTERS - 1]}…"

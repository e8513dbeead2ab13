"""Read moto's queues and DynamoDB streams, as Lambda does.

Everything here runs on the thread that owns moto's state, and decides nothing.
https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import time
from collections.abc import Iterable, Mapping
from typing import Final

from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import StreamRecord, StreamShard
from moto.dynamodb.models.utilities import dynamo_json_dump
from moto.sqs.exceptions import ReceiptHandleIsInvalid
from moto.sqs.models import Message, Queue, sqs_backends

from terralive_sandbox.control.moto_state import backend_of
from terralive_sandbox.places import Place
from terralive_sandbox.triggers.event_source_mappings.batches import Record

# In moto a message is visible only after its moment, which is in whole milliseconds.
_VISIBLE_AFTER_SECONDS: Final = 0.002


def find_queue(arn: str) -> Queue | None:
    """Return the queue, if it exists."""
    backend = backend_of(sqs_backends, Place.of(arn))
    if backend is None:
        return None
    found: Queue | None = backend.queues.get(arn.rpartition(":")[2])
    return found


def receive_messages(queue_arn: str, count: int) -> tuple[list[Record], float | None] | None:
    """Receive up to `count` messages, which are hidden for the queue's visibility timeout.

    Returns:
        The messages, and when the next hidden or delayed one becomes visible, in seconds since the
        Unix epoch, or None if there is none. None instead of both if there is no such queue.
    """
    queue = find_queue(queue_arn)
    if queue is None:
        return None
    timeout = int(queue.visibility_timeout)  # type: ignore[attr-defined] # moto sets it by name
    found = sqs_backends[queue.account_id][queue.region].receive_message(
        queue.name, count, 0, timeout, ["All"]
    )
    visible_again = time.time() + timeout
    records = [
        Record.of(message.id, _message_fields(message, queue_arn), visible_again)
        for message in found
    ]
    return records, _next_visible_at(queue)


def _next_visible_at(queue: Queue) -> float | None:
    moments = []
    for message in list(queue._messages):  # noqa: SLF001  # moto's own list filters hidden ones out
        if not message.visible or message.delayed:
            moments.append(max(message.visible_at, message.delayed_until))
    if not moments:
        return None
    return float(min(moments)) / 1000 + _VISIBLE_AFTER_SECONDS


def delete_messages(queue_arn: str, messages: Iterable[Record]) -> None:
    """Delete messages. Messages, or a queue, that no longer exist are left out."""
    queue = find_queue(queue_arn)
    if queue is None:
        return
    for message in messages:
        with contextlib.suppress(ReceiptHandleIsInvalid):
            queue.delete_message(str(message.fields["receiptHandle"]))


def _message_fields(message: Message, queue_arn: str) -> dict[str, object]:
    """Return a message as it stands in the event."""
    fields: dict[str, object] = {
        "messageId": message.id,
        "receiptHandle": str(message.receipt_handle),
        "body": message.body,
        "attributes": _system_attributes(message),
        "messageAttributes": {
            name: _attribute(value) for name, value in message.message_attributes.items()
        },
        "md5OfBody": message.body_md5,
    }
    if message.message_attributes:
        # AWS's event types have this field. AWS's sample events do not.
        fields["md5OfMessageAttributes"] = message.attribute_md5
    fields["eventSource"] = "aws:sqs"
    fields["eventSourceARN"] = queue_arn
    fields["awsRegion"] = queue_arn.split(":")[3]
    return fields


def _system_attributes(message: Message) -> dict[str, str]:
    trace_header = message.system_attributes.get("AWSTraceHeader") or {}
    values = {
        "ApproximateReceiveCount": message.approximate_receive_count,
        "AWSTraceHeader": trace_header.get("StringValue"),
        "SentTimestamp": message.sent_timestamp,
        "SequenceNumber": message.sequence_number,
        "MessageGroupId": message.group_id,
        "SenderId": message.sender_id,
        "MessageDeduplicationId": message.deduplication_id,
        "ApproximateFirstReceiveTimestamp": message.approximate_first_receive_timestamp,
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def _attribute(value: Mapping[str, object]) -> dict[str, object]:
    """Return a message attribute as it stands in the event."""
    binary = value.get("BinaryValue")
    if isinstance(binary, bytes):
        binary = base64.b64encode(binary).decode()
    content = {"binaryValue": binary}
    if binary is None:
        content = {"stringValue": value.get("StringValue")}
    return {
        **content,
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": value.get("DataType"),
    }


def find_shard(stream_arn: str) -> StreamShard | None:
    """Return the shard of a table's latest stream. In moto a stream has one shard."""
    backend = backend_of(dynamodb_backends, Place.of(stream_arn))
    if backend is None:
        return None
    table = backend.tables.get(stream_arn.split("/")[1])
    if table is None or stream_arn != f"{table.table_arn}/stream/{table.latest_stream_label}":
        return None
    shard: StreamShard | None = table.stream_shard
    return shard


def read_stream(stream_arn: str, start: int, count: int) -> list[Record] | None:
    """Return up to `count` records, beginning with the one at index `start`.

    Returns:
        None if there is no such stream.
    """
    shard = find_shard(stream_arn)
    if shard is None:
        return None
    items = shard.items[start : start + count]
    return [_stream_record(item, stream_arn) for item in items]


def _stream_record(item: StreamRecord, stream_arn: str) -> Record:
    """Return a change as it stands in the event.

    The page's sample has an older `eventVersion`; AWS sends 1.1.
    """
    change = dict(item.record["dynamodb"])
    created = change.pop("ApproximateCreationDateTime").replace(tzinfo=dt.UTC).timestamp()
    fields = {
        "eventID": item.record["eventID"],
        "eventName": item.record["eventName"],
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": stream_arn.split(":")[3],
        "dynamodb": {
            "ApproximateCreationDateTime": int(created),
            **json.loads(dynamo_json_dump(change)),
        },
        "eventSourceARN": stream_arn,
    }
    return Record.of(change["SequenceNumber"], fields, created)

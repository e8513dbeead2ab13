"""moto's queues and streams as Lambda reads them. Runs on the thread that owns moto's state; decides nothing.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html,
https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moto.awslambda.models import lambda_backends
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import StreamRecord, StreamShard
from moto.dynamodb.models.utilities import dynamo_json_dump
from moto.sqs.exceptions import ReceiptHandleIsInvalid
from moto.sqs.models import Message, Queue, sqs_backends

from terralive_sandbox.access import identity
from terralive_sandbox.triggers.queues.batches import Record


@dataclass(frozen=True, slots=True)
class Received:
    """What one look at a queue found.

    Attributes:
        next_at: when the next hidden or delayed message becomes visible (seconds since 1970), if
            there is one.
    """

    messages: tuple[Record, ...]
    next_at: float | None


def find_queue(arn: str) -> Queue | None:
    """The queue, if it exists in the sandbox's account."""
    _, _, _, region, account, name = arn.split(":", 5)
    if account != identity.ACCOUNT or region not in sqs_backends[account]:
        return None
    found: Queue | None = sqs_backends[account][region].queues.get(name)
    return found


def receive(queue_arn: str, count: int) -> Received | None:
    """Receive up to `count` messages.

    They stay, hidden for the queue's visibility timeout. None: no such queue.
    """
    queue = find_queue(queue_arn)
    if queue is None:
        return None
    hidden = int(queue.visibility_timeout)  # type: ignore[attr-defined] # set by name
    found = sqs_backends[queue.account_id][queue.region].receive_message(
        queue.name, count, 0, hidden, ["All"]
    )
    hidden_messages = [
        max(m.visible_at, m.delayed_until)
        for m in list(queue._messages)  # noqa: SLF001
        if not m.visible or m.delayed
    ]
    # A message is visible only after its moment.
    next_at = min(hidden_messages) / 1000 + 0.002 if hidden_messages else None
    visible_again = time.time() + hidden
    return Received(
        tuple(Record.of(m.id, _message(m, queue_arn), visible_again) for m in found), next_at
    )


def delete(queue_arn: str, messages: Iterable[Record]) -> None:
    """Delete messages; one that is gone already stays gone."""
    queue = find_queue(queue_arn)
    for message in messages if queue else ():
        with contextlib.suppress(ReceiptHandleIsInvalid):
            queue.delete_message(str(message.fields["receiptHandle"]))  # type: ignore[union-attr] # not reached without one


def _message(message: Message, queue_arn: str) -> dict[str, object]:
    """AWS's event types have the sum of the attributes, its samples do not."""
    system = {
        "ApproximateReceiveCount": message.approximate_receive_count,
        "AWSTraceHeader": (message.system_attributes.get("AWSTraceHeader") or {}).get(
            "StringValue"
        ),
        "SentTimestamp": message.sent_timestamp,
        "SequenceNumber": message.sequence_number,
        "MessageGroupId": message.group_id,
        "SenderId": message.sender_id,
        "MessageDeduplicationId": message.deduplication_id,
        "ApproximateFirstReceiveTimestamp": message.approximate_first_receive_timestamp,
    }
    return {
        "messageId": message.id,
        "receiptHandle": str(message.receipt_handle),
        "body": message.body,
        "attributes": {name: str(value) for name, value in system.items() if value is not None},
        "messageAttributes": {
            name: _attribute(value) for name, value in message.message_attributes.items()
        },
        "md5OfBody": message.body_md5,
        **({"md5OfMessageAttributes": message.attribute_md5} if message.message_attributes else {}),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": queue_arn.split(":")[3],
    }


def _attribute(value: Mapping[str, object]) -> dict[str, object]:
    binary = value.get("BinaryValue")
    if binary is None:
        held = {"stringValue": value.get("StringValue")}
    else:
        held = {
            "binaryValue": base64.b64encode(binary).decode()
            if isinstance(binary, bytes)
            else binary
        }
    return {
        **held,
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": value.get("DataType"),
    }


def find_shard(stream_arn: str) -> StreamShard | None:
    """The shard of a stream that is or was a table's latest; moto's streams have one."""
    _, _, _, region, account, resource = stream_arn.split(":", 5)
    if account != identity.ACCOUNT or region not in dynamodb_backends[account]:
        return None
    table = dynamodb_backends[account][region].tables.get(resource.split("/")[1])
    if table is None or stream_arn != f"{table.table_arn}/stream/{table.latest_stream_label}":
        return None
    shard: StreamShard | None = table.stream_shard
    return shard


def read(stream_arn: str, start: int, count: int) -> tuple[Record, ...] | None:
    """Up to `count` records from the one at `start` on. None: no such stream."""
    shard = find_shard(stream_arn)
    return (
        None
        if shard is None
        else tuple(_change(one, stream_arn) for one in shard.items[start : start + count])
    )


def _change(one: StreamRecord, stream_arn: str) -> Record:
    """The page's sample has an older `eventVersion`; AWS sends 1.1."""
    change = dict(one.record["dynamodb"])
    created = change.pop("ApproximateCreationDateTime").replace(tzinfo=dt.UTC).timestamp()
    fields = {
        "eventID": one.record["eventID"],
        "eventName": one.record["eventName"],
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


def report(function_arn: str, uuid: str, result: str) -> None:
    """Keep what a mapping's configuration says of its last batch."""
    _, _, _, region, account, _ = function_arn.split(":", 5)
    mapping = lambda_backends[account][region]._event_source_mappings.get(uuid)  # noqa: SLF001
    if mapping is not None:
        vars(mapping)["terralive_result"] = result

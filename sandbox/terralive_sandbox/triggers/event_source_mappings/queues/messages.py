"""Receive and delete the messages of moto's queues, as Lambda does.

Everything here runs on the thread that owns moto's state, and decides nothing.
https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moto.sqs.exceptions import ReceiptHandleIsInvalid
from moto.sqs.models import Message, Queue, sqs_backends

from terralive_sandbox.access import identity
from terralive_sandbox.triggers.event_source_mappings.batches import Record


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

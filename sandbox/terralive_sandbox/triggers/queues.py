"""Messages of a queue as a function's event, how many make a batch, and what the function's answer means. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from terralive_stub.limits import SYNCHRONOUS_PAYLOAD_BYTES

_FIRST_CONCURRENCY = 5
_MORE_A_SECOND = 300 / 60
_MOST_CONCURRENCY = 1000
_ENVELOPE_BYTES = len('{"Records":[]}')


@dataclass(frozen=True, slots=True)
class Message:
    """One message as received; `system` are its attributes (SentTimestamp, …), `attributes` the sender's own."""

    id: str
    receipt_handle: str
    body: str
    body_md5: str
    system: Mapping[str, str]
    attributes: Mapping[str, Mapping[str, object]]
    attributes_md5: str = ""


def record(message: Message, queue_arn: str) -> dict[str, object]:
    """A message as it stands in the event; AWS's event types have the sum of its attributes, the samples do not."""
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": dict(message.system),
        "messageAttributes": {name: _attribute(value) for name, value in message.attributes.items()},
        "md5OfBody": message.body_md5,
        **({"md5OfMessageAttributes": message.attributes_md5} if message.attributes else {}),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": queue_arn.split(":")[3],
    }


def _attribute(value: Mapping[str, object]) -> dict[str, object]:
    binary = value.get("BinaryValue")
    if isinstance(binary, bytes):
        held: dict[str, object] = {"binaryValue": base64.b64encode(binary).decode()}
    elif binary is not None:
        held = {"binaryValue": binary}
    else:
        held = {"stringValue": value.get("StringValue")}
    return {**held, "stringListValues": [], "binaryListValues": [], "dataType": value.get("DataType")}


def fitting(sizes: Sequence[int], batch_size: int) -> tuple[int, bool]:
    """How many of the first records, by their size in bytes, make one event; and whether no more would fit."""
    total = _ENVELOPE_BYTES
    for count, size in enumerate(sizes):
        total += size + 1
        if count == batch_size or (count and total > SYNCHRONOUS_PAYLOAD_BYTES):
            return count, True
    return len(sizes), len(sizes) >= batch_size


def event(records: Sequence[bytes]) -> bytes:
    """The event of records that are JSON text already."""
    return b'{"Records":[' + b",".join(records) + b"]}"


def failed(answer: bytes, ids: Sequence[str]) -> frozenset[str]:
    """The messages that failed, by the answer of a function that reports batch item failures.

    An answer that names anything but messages of the batch fails all of them.
    """
    every = frozenset(ids)
    named = item_failures(answer)
    if named is None or not named <= every:
        return every
    return frozenset(named)


def item_failures(answer: bytes) -> frozenset[str] | None:
    """The identifiers in `batchItemFailures`; nothing failed if empty, None if the answer is malformed.

    The pages do not say what an answer is that is JSON but neither null nor an object: malformed, here.
    """
    try:
        parsed = json.loads(answer or b"null")
    except ValueError:
        return None
    if parsed is None or parsed == "":
        return frozenset()
    if not isinstance(parsed, dict):
        return None
    failures = parsed.get("batchItemFailures")
    if failures is None:
        return frozenset()
    if not isinstance(failures, list):
        return None
    names = [item.get("itemIdentifier") if isinstance(item, dict) else None for item in failures]
    texts = frozenset(name for name in names if isinstance(name, str) and name)
    return texts if all(name in texts for name in names) else None


def concurrency(busy_seconds: float, maximum: int | None) -> int:
    """How many batches may run at once, so long after messages began to queue up (or after a batch last failed)."""
    allowed = _FIRST_CONCURRENCY + int(busy_seconds * _MORE_A_SECOND)
    return min(allowed, maximum or _MOST_CONCURRENCY, _MOST_CONCURRENCY)

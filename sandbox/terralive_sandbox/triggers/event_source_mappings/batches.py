"""Records that go to a function together: how many make an event, and which of them its answer says have failed. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html#invocation-eventsourcemapping-batching
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from terralive_stub.protocol.limits import SYNCHRONOUS_PAYLOAD_BYTES

_ENVELOPE_BYTES = len('{"Records":[]}')


@dataclass(frozen=True, slots=True)
class Record:
    """A message of a queue or a change of a table.

    Attributes:
        id: what a function names in `batchItemFailures`.
        fields: as they stand in the event.
        text: `fields` as JSON.
        moment: seconds since 1970: when a message is visible again, when a change was made.
    """

    id: str
    fields: Mapping[str, object]
    text: bytes
    moment: float

    @classmethod
    def of(cls, name: str, fields: Mapping[str, object], moment: float) -> Record:
        return cls(name, fields, json.dumps(fields, separators=(",", ":")).encode(), moment)


def fitting(sizes: Sequence[int], batch_size: int) -> tuple[int, bool]:
    """How many of the first records, by their size in bytes, make one event.

    And whether no more would fit.
    """
    total = _ENVELOPE_BYTES
    for count, size in enumerate(sizes):
        total += size + 1
        if count == batch_size or (count and total > SYNCHRONOUS_PAYLOAD_BYTES):
            return count, True
    return len(sizes), len(sizes) >= batch_size


def event(records: Sequence[Record]) -> bytes:
    return b'{"Records":[' + b",".join(record.text for record in records) + b"]}"


def failed(answer: bytes, ids: Sequence[str]) -> frozenset[str]:
    """The records that failed, by the answer of a function that reports batch item failures.

    An answer that is malformed or names anything but records of the batch fails all of them. The
    pages do not say what
    an answer is that is JSON but neither null nor an object: malformed, here.
    """
    every = frozenset(ids)
    try:
        parsed = json.loads(answer or b"null")
    except ValueError:
        return every
    if parsed is None or parsed == "":
        return frozenset()
    if not isinstance(parsed, dict):
        return every
    failures = parsed.get("batchItemFailures")
    if failures is None:
        return frozenset()
    if not isinstance(failures, list):
        return every
    names = [item.get("itemIdentifier") if isinstance(item, dict) else None for item in failures]
    texts = frozenset(name for name in names if isinstance(name, str))
    return texts if texts <= every and all(isinstance(name, str) for name in names) else every

"""Batches of records: how many records make an event, and which of them have failed. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html#invocation-eventsourcemapping-batching
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from terralive_stub.protocol.limits import SYNCHRONOUS_PAYLOAD_BYTES

# The size of an event without records. Each record adds its own size and a comma.
_ENVELOPE_BYTES: Final = len('{"Records":[]}')


@dataclass(frozen=True, slots=True)
class Record:
    """One message of a queue, or one change of a table.

    Attributes:
        id: the value that a function puts into `batchItemFailures`.
        fields: the record as it stands in the event.
        text: `fields` as JSON text.
        moment: a time in seconds since the Unix epoch: of a message when it is visible again, of a
            change when it was made.
    """

    id: str
    fields: Mapping[str, object]
    text: bytes
    moment: float

    @classmethod
    def of(cls, name: str, fields: Mapping[str, object], moment: float) -> Record:
        """Make a record whose id is `name`."""
        return cls(name, fields, json.dumps(fields, separators=(",", ":")).encode(), moment)


def fitting(sizes: Sequence[int], batch_size: int) -> tuple[int, bool]:
    """Return how many of the first records make one event, and true if no more would fit.

    Args:
        sizes: the records' sizes in bytes.
        batch_size: the most records of one event.
    """
    total = _ENVELOPE_BYTES
    for count, size in enumerate(sizes):
        total += size + 1
        too_large = count > 0 and total > SYNCHRONOUS_PAYLOAD_BYTES
        if count == batch_size or too_large:
            return count, True
    return len(sizes), len(sizes) >= batch_size


def event(records: Sequence[Record]) -> bytes:
    """Return the event of a batch, as JSON text."""
    return b'{"Records":[' + b",".join(record.text for record in records) + b"]}"


def failed(response: bytes, ids: Sequence[str]) -> frozenset[str]:
    """Return the ids of the records that failed, from the response of a function that reports them.

    A response that is malformed, or names anything but records of the batch, fails all of them.
    The pages do not cover a response that is JSON but neither null nor an object: here it is
    malformed.

    Args:
        response: the function's response, as JSON text.
        ids: the ids of all records of the batch.
    """
    every = frozenset(ids)
    try:
        named = _named_failures(response)
    except _MalformedResponseError:
        return every
    if named <= every:
        return named
    return every


class _MalformedResponseError(Exception):
    """The response is not one that reports batch item failures."""


def _named_failures(response: bytes) -> frozenset[str]:
    """Return the identifiers in a response. Raises _MalformedResponseError."""
    try:
        parsed = json.loads(response or b"null")
    except ValueError as error:
        raise _MalformedResponseError from error
    if parsed is None or parsed == "":
        return frozenset()
    if not isinstance(parsed, dict):
        raise _MalformedResponseError
    failures = parsed.get("batchItemFailures")
    if failures is None:
        return frozenset()
    if not isinstance(failures, list):
        raise _MalformedResponseError
    return frozenset(_identifier(failure) for failure in failures)


def _identifier(failure: object) -> str:
    if not isinstance(failure, dict):
        raise _MalformedResponseError
    identifier = failure.get("itemIdentifier")
    if not isinstance(identifier, str):
        raise _MalformedResponseError
    return identifier

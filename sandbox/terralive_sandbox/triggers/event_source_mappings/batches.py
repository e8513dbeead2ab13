"""Batches of records: what makes an event, what has failed, and how a stream's batch goes on. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html#invocation-eventsourcemapping-batching
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from terralive_stub.protocol.limits import SYNCHRONOUS_PAYLOAD_BYTES

# The size of an event without records. Each record adds its own size and a comma.
_ENVELOPE_BYTES: Final = len('{"Records":[]}')
# The pages say only that Lambda waits longer after each failure.
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0
# After so many doublings the pause is the longest anyway.
_MOST_DOUBLINGS: Final = 10


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
    except (ValueError, TypeError, KeyError):
        return every
    return every & named if named <= every else every


def _named_failures(response: bytes) -> frozenset[object]:
    """Return the identifiers in a response. Raises an error for a malformed one."""
    parsed = json.loads(response or b"null")
    if parsed is None or parsed == "":
        return frozenset()
    if not isinstance(parsed, dict):
        raise TypeError("not an object")
    failures = parsed.get("batchItemFailures")
    if failures is None:
        return frozenset()
    if not isinstance(failures, list):
        raise TypeError("not a list")
    return frozenset(failure["itemIdentifier"] for failure in failures)


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that go to the function together.

    Attributes:
        records: the records, in order.
        retries: how often the batch was tried again; it counts towards the mapping's limit.
    """

    records: tuple[Record, ...]
    retries: int = 0


def first_failed(batch: Batch, failed_ids: Collection[str]) -> int | None:
    """Return the index of the first record that failed, the checkpoint; None after a success."""
    for index, record in enumerate(batch.records):
        if record.id in failed_ids:
            return index
    return None


def after_failure(
    batch: Batch, first: int, maximum_retries: int | None, *, bisects: bool
) -> tuple[Batch, ...]:
    """Return the batches that follow after a failure; none if the records are given up.

    Splitting a batch does not count as a retry.

    Args:
        batch: the batch that failed.
        first: the index of its first record that failed; the records before it are done.
        maximum_retries: the mapping's limit; None for no limit.
        bisects: true if the mapping splits failed batches.
    """
    rest = replace(batch, records=batch.records[first:])
    if bisects and first:
        # The response has split the batch already.
        return (rest,)
    if bisects and len(rest.records) > 1:
        middle = len(rest.records) // 2
        first_half = replace(rest, records=rest.records[:middle])
        second_half = replace(rest, records=rest.records[middle:])
        return first_half, second_half
    if maximum_retries is not None and rest.retries >= maximum_retries:
        return ()
    return (replace(rest, retries=rest.retries + 1),)


def without_expired(
    batch: Batch, maximum_age: float | None, now: float, scale: float = 1.0
) -> Batch:
    """Return the batch without the records that are too old for another attempt.

    Args:
        batch: the batch.
        maximum_age: in seconds; None for no limit.
        now: the present time in seconds since the Unix epoch.
        scale: what the age is multiplied by.
    """
    if maximum_age is None:
        return batch
    oldest = now - maximum_age * scale
    return replace(batch, records=tuple(r for r in batch.records if r.moment >= oldest))


def pause(failures: int) -> float:
    """Return the seconds before the next attempt, after so many failures in a row."""
    doublings = min(failures - 1, _MOST_DOUBLINGS)
    return float(min(_FIRST_PAUSE_SECONDS * 2**doublings, _LONGEST_PAUSE_SECONDS))

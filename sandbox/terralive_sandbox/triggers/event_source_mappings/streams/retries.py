"""Decide how a DynamoDB stream's batch goes on after a failure. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from terralive_sandbox.triggers.event_source_mappings import batches
from terralive_sandbox.triggers.event_source_mappings.batches import Record

# The page says only that Lambda waits longer after each failure.
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0
# After so many doublings the pause is the longest anyway.
_MOST_DOUBLINGS: Final = 10


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that go to the function together.

    Attributes:
        records: the records, in order.
        retries: how often the batch was tried again; it counts towards the mapping's limit.
    """

    records: tuple[Record, ...]
    retries: int = 0


def first_failed(response: bytes, batch: Batch) -> int | None:
    """Return the index of the first record that failed; None after a success.

    The lowest sequence number in the response of a function that reports batch item failures is
    the checkpoint. A malformed response fails the batch from its beginning. A number that the batch
    does not have does the same here; the page does not cover it.
    """
    failed = batches.failed(response, [record.id for record in batch.records])
    for index, record in enumerate(batch.records):
        if record.id in failed:
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


def without_expired(batch: Batch, maximum_age: float | None, now: float) -> Batch:
    """Return the batch without the records that are too old for another attempt.

    Args:
        batch: the batch.
        maximum_age: in seconds; None for no limit.
        now: the present time in seconds since the Unix epoch.
    """
    if maximum_age is None:
        return batch
    oldest = now - maximum_age
    return replace(batch, records=tuple(r for r in batch.records if r.moment >= oldest))


def pause(failures: int) -> float:
    """Return the seconds before the next attempt, after so many failures in a row."""
    doublings = min(failures - 1, _MOST_DOUBLINGS)
    return float(min(_FIRST_PAUSE_SECONDS * 2**doublings, _LONGEST_PAUSE_SECONDS))

"""What becomes of a DynamoDB stream's batch that fails. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from terralive_sandbox.triggers.event_source_mappings import batches
from terralive_sandbox.triggers.event_source_mappings.batches import Record

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that go to the function together; `retries` counts towards the mapping's limit."""

    records: tuple[Record, ...]
    retries: int = 0


def first_failed(answer: bytes, batch: Batch) -> int | None:
    """Where to go on, by the answer of a function that reports batch item failures; None after success.

    The lowest sequence number is the checkpoint. Anything malformed fails the batch from its
    beginning; so does here a number that the batch does not have, of which the page says nothing.
    """
    failed = batches.failed(answer, [one.id for one in batch.records])
    return next((index for index, one in enumerate(batch.records) if one.id in failed), None)


def after_failure(
    batch: Batch, first: int, maximum_retries: int | None, *, bisects: bool
) -> tuple[Batch, ...]:
    """The batches that follow when the function failed, or reported that the record at `first` did.

    Splitting does not count as a retry. None follow when the records are given up.
    """
    rest = replace(batch, records=batch.records[first:])
    if bisects and first:
        return (rest,)
    if bisects and len(rest.records) > 1:
        middle = len(rest.records) // 2
        return replace(rest, records=rest.records[:middle]), replace(
            rest, records=rest.records[middle:]
        )
    if maximum_retries is not None and rest.retries >= maximum_retries:
        return ()
    return (replace(rest, retries=rest.retries + 1),)


def without_expired(batch: Batch, maximum_age: float | None, now: float) -> Batch:
    """Before each attempt: records that are too old go."""
    if maximum_age is None:
        return batch
    return replace(
        batch, records=tuple(one for one in batch.records if one.moment >= now - maximum_age)
    )


def pause(failures: int) -> float:
    """Seconds before the next attempt, after so many failures in a row.

    The page says only that Lambda backs off.
    """
    return float(min(_FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 10), _LONGEST_PAUSE_SECONDS))

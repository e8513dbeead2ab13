"""Records of a DynamoDB stream as a function's event, and what becomes of a batch that fails. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from .queues import item_failures

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Record:
    """One change of an item. `created` is when it happened (seconds since 1970), `change` the `dynamodb` part."""

    id: str
    name: str
    sequence_number: str
    created: float
    change: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that go to the function together; `retries` counts towards the limit, `invocations` all runs."""

    records: tuple[Record, ...]
    retries: int = 0
    invocations: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a mapping allows a failing batch; None is no limit."""

    maximum_retries: int | None
    maximum_age: float | None
    bisects: bool


class Condition(Enum):
    """Why records are discarded, in the words of the document that the on-failure destination gets."""

    RETRIES = "RetryAttemptsExhausted"
    AGE = "RecordAgeExceeded"


@dataclass(frozen=True, slots=True)
class Discarded:
    """Records that Lambda gives up."""

    batch: Batch
    condition: Condition


@dataclass(frozen=True, slots=True)
class Step:
    """What follows an attempt: these batches, in this order, and these records never again."""

    batches: tuple[Batch, ...] = ()
    discarded: Discarded | None = None


def record(one: Record, stream_arn: str) -> dict[str, object]:
    """A record as it stands in the event. The page's sample has an older `eventVersion`; AWS sends 1.1."""
    return {
        "eventID": one.id,
        "eventName": one.name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": stream_arn.split(":")[3],
        "dynamodb": {"ApproximateCreationDateTime": int(one.created), **one.change},
        "eventSourceARN": stream_arn,
    }


def first_failed(answer: bytes, batch: Batch) -> int | None:
    """Where to go on, by the answer of a function that reports batch item failures; None after success.

    The lowest sequence number is the checkpoint. Anything malformed fails the batch from its beginning; so does here
    a number that the batch does not have, of which the page says nothing.
    """
    named = item_failures(answer)
    if named is None:
        return 0
    numbers = [one.sequence_number for one in batch.records]
    if not named <= set(numbers):
        return 0
    return min((numbers.index(number) for number in named), default=None)


def after_failure(batch: Batch, first: int, limits: Limits) -> Step:
    """The function failed, or reported that the record at `first` did. Splitting does not count as a retry."""
    rest = replace(batch, records=batch.records[first:], invocations=batch.invocations + 1)
    if limits.bisects and first:
        return Step((rest,))
    if limits.bisects and len(rest.records) > 1:
        middle = len(rest.records) // 2
        return Step((replace(rest, records=rest.records[:middle]), replace(rest, records=rest.records[middle:])))
    if limits.maximum_retries is not None and rest.retries >= limits.maximum_retries:
        return Step((), Discarded(rest, Condition.RETRIES))
    return Step((replace(rest, retries=rest.retries + 1),))


def without_expired(batch: Batch, limits: Limits, now: float) -> Step:
    """Before each attempt: records that are too old go."""
    oldest = now - limits.maximum_age if limits.maximum_age is not None else None
    old = tuple(one for one in batch.records if oldest is not None and one.created < oldest)
    if not old:
        return Step((batch,))
    kept = batch.records[len(old) :]
    return Step((replace(batch, records=kept),) if kept else (), Discarded(replace(batch, records=old), Condition.AGE))


def pause(failures: int) -> float:
    """Seconds before the next attempt, after so many failures in a row. The page says only that Lambda backs off."""
    return float(min(_FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 10), _LONGEST_PAUSE_SECONDS))


@dataclass(frozen=True, slots=True)
class LastRun:
    """The invocation after which records were given up."""

    request_id: str
    version: str
    function_error: bool


def failure_document(
    gone: Discarded, *, function_arn: str, stream_arn: str, shard_id: str, last: LastRun | None, now: dt.datetime
) -> dict[str, object]:
    """What the on-failure destination gets: where the records are, not the records."""
    records = gone.batch.records
    context: dict[str, object] = {
        "requestId": last.request_id if last else "",
        "functionArn": function_arn,
        "condition": gone.condition.value,
        "approximateInvokeCount": gone.batch.invocations,
    }
    document: dict[str, object] = {"requestContext": context}
    if last:
        document["responseContext"] = {
            "statusCode": 200,
            "executedVersion": last.version,
            **({"functionError": "Unhandled"} if last.function_error else {}),
        }
    return {
        **document,
        "version": "1.0",
        "timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "DDBStreamBatchInfo": {
            "shardId": shard_id,
            "startSequenceNumber": records[0].sequence_number,
            "endSequenceNumber": records[-1].sequence_number,
            "approximateArrivalOfFirstRecord": _seconds(records[0].created),
            "approximateArrivalOfLastRecord": _seconds(records[-1].created),
            "batchSize": len(records),
            "streamArn": stream_arn,
        },
    }


def _seconds(moment: float) -> str:
    return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

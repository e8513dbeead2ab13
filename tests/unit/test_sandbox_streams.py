"""https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html and its siblings."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.samples import assert_same_shape, sample
from terralive_sandbox.triggers import streams
from terralive_sandbox.triggers.streams import Batch, Condition, Discarded, LastRun, Limits, Record, Step

STREAM = "arn:aws:dynamodb:us-west-2:111122223333:table/t/stream/2015-05-11T21:21:33.291"


def batch(*numbers: int, retries: int = 0, invocations: int = 0) -> Batch:
    records = tuple(Record(str(n), "INSERT", str(n), float(n), {"SequenceNumber": str(n)}) for n in numbers)
    return Batch(records, retries, invocations)


def limits(*, retries: int | None = None, age: float | None = None, bisects: bool = False) -> Limits:
    return Limits(retries, age, bisects)


def numbers(step: Step) -> list[list[int]]:
    return [[int(one.sequence_number) for one in found.records] for found in step.batches]


def test_a_failed_batch_is_tried_again_until_its_retries_are_used_up() -> None:
    step = streams.after_failure(batch(1, 2), 0, limits(retries=1))
    assert step == Step((batch(1, 2, retries=1, invocations=1),))
    step = streams.after_failure(step.batches[0], 0, limits(retries=1))
    assert step == Step((), Discarded(batch(1, 2, retries=1, invocations=2), Condition.RETRIES))


def test_without_a_limit_a_batch_is_never_given_up() -> None:
    assert streams.after_failure(batch(1, retries=10**6), 0, limits()).discarded is None


def test_splitting_keeps_the_order_and_does_not_count_as_a_retry() -> None:
    step = streams.after_failure(batch(1, 2, 3), 0, limits(retries=0, bisects=True))
    assert numbers(step) == [[1], [2, 3]]
    assert [b.retries for b in step.batches] == [0, 0]
    assert streams.after_failure(step.batches[0], 0, limits(retries=0, bisects=True)).discarded


def test_what_came_before_the_reported_record_is_done() -> None:
    assert numbers(streams.after_failure(batch(1, 2, 3), 1, limits())) == [[2, 3]]
    assert streams.after_failure(batch(1, 2, 3), 1, limits(retries=0)).discarded == Discarded(
        batch(2, 3, invocations=1), Condition.RETRIES
    )
    split = streams.after_failure(batch(1, 2, 3), 1, limits(retries=0, bisects=True))
    assert numbers(split) == [[2, 3]]


@given(st.sets(st.integers(0, 20), min_size=1), st.integers(0, 3), st.booleans(), st.integers(1, 12))
def test_every_record_is_done_or_given_up_in_order_whatever_fails(
    bad: set[int], retries: int, bisects: bool, size: int
) -> None:
    """A function that fails whenever a bad record is in the batch."""
    batches: tuple[Batch, ...] = (batch(*range(size)),)
    done: list[int] = []
    given_up: list[int] = []
    rules = limits(retries=retries, bisects=bisects)
    while batches:
        first = batches[0]
        got = [int(one.sequence_number) for one in first.records]
        if bad.isdisjoint(got):
            done += got
            batches = batches[1:]
            continue
        step = streams.after_failure(first, 0, rules)
        batches = step.batches + batches[1:]
        given_up += [int(one.sequence_number) for one in step.discarded.batch.records] if step.discarded else []
    assert sorted(done + given_up) == list(range(size))
    assert done == sorted(done)
    if bisects:
        assert set(given_up) == bad & set(range(size))


@pytest.mark.parametrize(
    ("answer", "first"),
    [
        (None, None),
        ({}, None),
        ({"batchItemFailures": None}, None),
        ({"batchItemFailures": []}, None),
        ({"batchItemFailures": [{"itemIdentifier": "3"}, {"itemIdentifier": "2"}]}, 1),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, 0),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, 0),
        ({"batchItemFailures": [{"number": "2"}]}, 0),
        ({"batchItemFailures": [{"itemIdentifier": "9"}]}, 0),
    ],
)
def test_the_lowest_reported_number_is_the_checkpoint(answer: object, first: int | None) -> None:
    assert streams.first_failed(json.dumps(answer).encode(), batch(1, 2, 3)) == first


def test_an_answer_that_is_no_json_fails_the_batch() -> None:
    assert streams.first_failed(b"ok", batch(1)) == 0


def test_records_that_are_too_old_go_before_an_attempt() -> None:
    step = streams.without_expired(batch(1, 2, 3), limits(age=10), now=12.5)
    assert (numbers(step), step.discarded) == ([[3]], Discarded(batch(1, 2), Condition.AGE))
    assert streams.without_expired(batch(1), limits(age=10), now=12).batches == ()
    assert streams.without_expired(batch(1), limits(), now=10**9) == Step((batch(1),))


def test_pauses_grow_and_stay_bounded() -> None:
    pauses = [streams.pause(failures) for failures in range(1, 30)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.5, 30.0)


def test_a_record_is_as_documented() -> None:
    published = sample("dynamodb-stream")
    records = published["Records"]
    assert isinstance(records, list)
    ours = [streams.record(Record("1", one["eventName"], "1", 1.5, one["dynamodb"]), STREAM) for one in records]
    created = "Records[].dynamodb.ApproximateCreationDateTime"
    assert_same_shape({"Records": ours}, published, extra={created: "AWS sends it; the page's sample has none"})


def test_a_failure_document_is_as_documented() -> None:
    document = streams.failure_document(
        Discarded(batch(1573689199, 1573689200, invocations=2), Condition.RETRIES), function_arn="f",
        stream_arn=STREAM, shard_id="s", last=LastRun("r", "$LATEST", function_error=True),
        now=dt.datetime(2019, 11, 14, 0, 13, 49, 717000, dt.UTC),
    )  # fmt: skip
    assert_same_shape(document, sample("dynamodb-stream-failure"))
    assert document["timestamp"] == "2019-11-14T00:13:49.717Z"
    info = document["DDBStreamBatchInfo"]
    assert isinstance(info, dict)
    assert info["approximateArrivalOfFirstRecord"] == "2019-11-13T23:53:19Z"
    assert (info["startSequenceNumber"], info["batchSize"]) == ("1573689199", 2)

"""Batches of a DynamoDB stream after a failure.

https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_sandbox.triggers.event_source_mappings.batches import (
    Batch,
    Record,
    after_failure,
    failed,
    first_failed,
    pause,
    without_expired,
)


def batch(*numbers: int, retries: int = 0) -> Batch:
    return Batch(tuple(Record(str(n), {}, b"", float(n)) for n in numbers), retries)


def numbers(*batches: Batch) -> list[list[int]]:
    return [[int(one.id) for one in found.records] for found in batches]


def test_a_failed_batch_is_tried_again_until_its_retries_are_used_up() -> None:
    following = after_failure(batch(1, 2), 0, 1, bisects=False)
    assert following == (batch(1, 2, retries=1),)
    assert after_failure(following[0], 0, 1, bisects=False) == ()


def test_without_a_limit_a_batch_is_never_given_up() -> None:
    assert after_failure(batch(1, retries=10**6), 0, None, bisects=False)


def test_splitting_keeps_the_order_and_does_not_count_as_a_retry() -> None:
    following = after_failure(batch(1, 2, 3), 0, 0, bisects=True)
    assert following == (batch(1), batch(2, 3))
    assert after_failure(following[0], 0, 0, bisects=True) == ()


def test_what_came_before_the_reported_record_is_done() -> None:
    assert numbers(*after_failure(batch(1, 2, 3), 1, None, bisects=False)) == [[2, 3]]
    assert after_failure(batch(1, 2, 3), 1, 0, bisects=False) == ()
    assert after_failure(batch(1, 2, 3), 1, 0, bisects=True) == (batch(2, 3),)


@given(
    st.sets(st.integers(0, 20), min_size=1), st.integers(0, 3), st.booleans(), st.integers(1, 12)
)
def test_every_record_is_done_or_given_up_in_order_whatever_fails(
    bad: set[int], retries: int, bisects: bool, size: int
) -> None:
    """A function that fails whenever a bad record is in the batch."""
    batches: tuple[Batch, ...] = (batch(*range(size)),)
    done: list[int] = []
    given_up: list[int] = []
    while batches:
        first = batches[0]
        got = numbers(first)[0]
        if bad.isdisjoint(got):
            done += got
            batches = batches[1:]
            continue
        following = after_failure(first, 0, retries, bisects=bisects)
        batches = following + batches[1:]
        given_up += [] if following else got
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
    failed_ids = failed(json.dumps(answer).encode(), ["1", "2", "3"])
    assert first_failed(batch(1, 2, 3), failed_ids) == first


def test_an_answer_that_is_no_json_fails_the_batch() -> None:
    assert first_failed(batch(1), failed(b"ok", ["1"])) == 0


def test_records_that_are_too_old_go_before_an_attempt() -> None:
    assert without_expired(batch(1, 2, 3), 10, now=12.5) == batch(3)
    assert without_expired(batch(1), 10, now=12).records == ()
    assert without_expired(batch(1), None, now=10**9) == batch(1)


def test_pauses_grow_and_stay_bounded() -> None:
    pauses = [pause(failures) for failures in range(1, 30)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.5, 30.0)

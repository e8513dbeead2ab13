"""Batches of records: their size, their failures, and the settings of mappings.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.core.exceptions import JsonRESTError

from terralive_sandbox.control.moto_gaps.lambda_.mapping_rules import check
from terralive_sandbox.triggers.event_source_mappings.batches import Record, event, failed, fitting
from terralive_sandbox.triggers.event_source_mappings.queue_poller import seconds_to_next_turn
from terralive_sandbox.triggers.event_source_mappings.settings import SourceKind
from terralive_stub.protocol.limits import SYNCHRONOUS_PAYLOAD_BYTES

IDS = ("id1", "id2", "id3")


@pytest.mark.parametrize(
    "answer",
    [b"", b"null", b"{}", b'""', b'{"batchItemFailures": null}', b'{"batchItemFailures": []}'],
)
def test_an_empty_answer_is_success(answer: bytes) -> None:
    assert failed(answer, IDS) == frozenset()


def test_only_the_named_messages_have_failed() -> None:
    answer = {"batchItemFailures": [{"itemIdentifier": "id2"}, {"itemIdentifier": "id3"}]}
    assert failed(json.dumps(answer).encode(), IDS) == {"id2", "id3"}


@pytest.mark.parametrize(
    "answer",
    [
        b"no JSON",
        b"[1]",
        b"42",
        b'{"batchItemFailures": "id1"}',
        b'{"batchItemFailures": ["id1"]}',
        b'{"batchItemFailures": [{"itemIdentifier": ""}]}',
        b'{"batchItemFailures": [{"itemIdentifier": null}]}',
        b'{"batchItemFailures": [{"itemIdentifier": 1}]}',
        b'{"batchItemFailures": [{"id": "id1"}]}',
        b'{"batchItemFailures": [{"itemIdentifier": "id1"}, {"itemIdentifier": "unknown"}]}',
        b'{"batchItemFailures": [{"itemIdentifier": "id1"}, {}]}',
    ],
)
def test_an_answer_that_names_anything_else_fails_the_whole_batch(answer: bytes) -> None:
    assert failed(answer, IDS) == set(IDS)


@given(st.lists(st.integers(1, 4_000_000)), st.integers(1, 10_000))
def test_a_batch_holds_no_more_than_its_size_and_a_payload_allow(
    sizes: list[int], batch_size: int
) -> None:
    count, full = fitting(sizes, batch_size)
    assert min(len(sizes), 1) <= count <= batch_size
    records = [Record("", {}, b"x" * size, 0) for size in sizes[:count]]
    assert count <= 1 or len(event(records)) <= SYNCHRONOUS_PAYLOAD_BYTES
    if not full:
        assert count == len(sizes) < batch_size


@pytest.mark.parametrize(
    ("spec", "kind", "error"),
    [
        ({"BatchSize": 0}, SourceKind.QUEUE, "greater than or equal to 1"),
        ({"BatchSize": 10_001}, SourceKind.QUEUE, "less than or equal to 10000"),
        ({"BatchSize": 11}, SourceKind.FIFO_QUEUE, "FIFO"),
        ({"MaximumBatchingWindowInSeconds": 301}, SourceKind.STREAM, "less than or equal to 300"),
        (
            {"ScalingConfig": {"MaximumConcurrency": 1}},
            SourceKind.QUEUE,
            "greater than or equal to 2",
        ),
        (
            {"ScalingConfig": {"MaximumConcurrency": 5}},
            SourceKind.STREAM,
            "Unsupported ScalingConfig",
        ),
        ({"BisectBatchOnFunctionError": True}, SourceKind.QUEUE, "Unsupported BisectBatch"),
        ({"MaximumRetryAttempts": 10_001}, SourceKind.STREAM, "less than or equal to 10000"),
        ({"ParallelizationFactor": 11}, SourceKind.STREAM, "less than or equal to 10"),
    ],
)
def test_settings_outside_of_their_bounds_are_refused(
    spec: dict[str, object], kind: SourceKind, error: str
) -> None:
    with pytest.raises(JsonRESTError, match=error):
        check(spec, kind, new=False)


def test_a_large_batch_needs_a_window() -> None:
    with pytest.raises(JsonRESTError, match="must be greater than 0"):
        check({"BatchSize": 11}, SourceKind.QUEUE, new=True)
    check({"BatchSize": 10_000, "MaximumBatchingWindowInSeconds": 1}, SourceKind.QUEUE, new=True)
    check({"BatchSize": 10_000, "StartingPosition": "LATEST"}, SourceKind.STREAM, new=True)


@pytest.mark.parametrize(
    ("next_visible_at", "seconds"),
    [(None, 20.0), (103.0, 3.0), (200.0, 20.0), (99.0, 0.0)],
    ids=["no message at all", "a hidden message", "hidden for long", "visible already"],
)
def test_a_poller_waits_for_its_window_or_the_next_hidden_message(
    next_visible_at: float | None, seconds: float
) -> None:
    assert seconds_to_next_turn(20.0, next_visible_at, now=100.0) == seconds

"""https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html and its siblings."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.samples import assert_same_shape, sample
from terralive_sandbox.triggers import queues, sources
from terralive_sandbox.triggers.queues import Message, failed, fitting
from terralive_sandbox.triggers.sources import RefusedError, SourceKind
from terralive_stub.limits import SYNCHRONOUS_PAYLOAD_BYTES

SUM = "the event types of AWS's own libraries (aws-lambda-go, aws-lambda-dotnet) have it"
IDS = ("id1", "id2", "id3")


@pytest.mark.parametrize(
    "answer", [b"", b"null", b"{}", b'""', b'{"batchItemFailures": null}', b'{"batchItemFailures": []}']
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
def test_a_batch_holds_no_more_than_its_size_and_a_payload_allow(sizes: list[int], batch_size: int) -> None:
    count, full = fitting(sizes, batch_size)
    assert min(len(sizes), 1) <= count <= batch_size
    event = queues.event([b"x" * size for size in sizes[:count]])
    assert count <= 1 or len(event) <= SYNCHRONOUS_PAYLOAD_BYTES
    if not full:
        assert count == len(sizes) < batch_size


def test_concurrency_begins_at_five_and_grows_by_300_a_minute() -> None:
    assert [queues.concurrency(s, None) for s in (0, 1, 60, 3600)] == [5, 10, 305, 1000]
    assert [queues.concurrency(s, 2) for s in (0, 60)] == [2, 2]


def test_a_message_is_a_record_as_documented() -> None:
    message = Message(
        "id", "handle", "Test message.", "e4e68fb7bd0e697a0ae8f1bb342846b3",
        {"ApproximateReceiveCount": "1", "SentTimestamp": "1", "SenderId": "A",
         "ApproximateFirstReceiveTimestamp": "2"},
        {"myAttribute": {"DataType": "String", "StringValue": "myValue"}},
    )  # fmt: skip
    record = queues.record(message, "arn:aws:sqs:us-east-2:123456789012:my-queue")
    assert_same_shape({"Records": [record]}, sample("sqs-standard"), extra={"Records[].md5OfMessageAttributes": SUM})
    assert record["awsRegion"] == "us-east-2"


@pytest.mark.parametrize(
    ("spec", "kind", "error"),
    [
        ({"BatchSize": 0}, SourceKind.QUEUE, "greater than or equal to 1"),
        ({"BatchSize": 10_001}, SourceKind.QUEUE, "less than or equal to 10000"),
        ({"BatchSize": 11}, SourceKind.FIFO_QUEUE, "FIFO"),
        ({"MaximumBatchingWindowInSeconds": 301}, SourceKind.STREAM, "less than or equal to 300"),
        ({"ScalingConfig": {"MaximumConcurrency": 1}}, SourceKind.QUEUE, "greater than or equal to 2"),
        ({"ScalingConfig": {"MaximumConcurrency": 5}}, SourceKind.STREAM, "Unsupported ScalingConfig"),
        ({"BisectBatchOnFunctionError": True}, SourceKind.QUEUE, "Unsupported BisectBatch"),
        ({"MaximumRetryAttempts": 10_001}, SourceKind.STREAM, "less than or equal to 10000"),
        ({"ParallelizationFactor": 11}, SourceKind.STREAM, "less than or equal to 10"),
    ],
)
def test_settings_outside_of_their_bounds_are_refused(spec: dict[str, object], kind: SourceKind, error: str) -> None:
    with pytest.raises(RefusedError, match=error):
        sources.check(spec, kind, new=False)


def test_a_large_batch_needs_a_window() -> None:
    with pytest.raises(RefusedError, match="must be greater than 0"):
        sources.check({"BatchSize": 11}, SourceKind.QUEUE, new=True)
    sources.check({"BatchSize": 10_000, "MaximumBatchingWindowInSeconds": 1}, SourceKind.QUEUE, new=True)
    sources.check({"BatchSize": 10_000, "StartingPosition": "LATEST"}, SourceKind.STREAM, new=True)

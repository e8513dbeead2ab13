"""Settings of an event source mapping, and the permissions that its source needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from terralive_sandbox.access.policy import AccessRequest, Decision, decide
from terralive_sandbox.triggers.event_source_mappings.filters import Filters

# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
_QUEUE_ACTIONS: Final = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
# https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
_STREAM_ACTIONS: Final = (
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:DescribeStream",
    "dynamodb:ListStreams",
)


class SourceKind(Enum):
    """Kinds of event sources."""

    QUEUE = "standard queue"
    FIFO_QUEUE = "FIFO queue"
    STREAM = "DynamoDB stream"


@dataclass(frozen=True, slots=True)
class MappingSettings:
    """The settings of one event source mapping, as its poller needs them.

    Attributes:
        uuid: the mapping's id.
        function_arn: the function, with its version or alias, if any.
        source_arn: the queue or stream.
        kind: the source's kind.
        enabled: false while the mapping reads nothing.
        batch_size: the most records of one event.
        window: for so many seconds the poller gathers records for one event.
        filters: the function gets only records that pass these.
        reports_failures: true if the response names the records that failed
            (`ReportBatchItemFailures`).
        maximum_concurrency: how many batches of a queue run at once; None for Lambda's own limit.
        maximum_retries: how often a failed batch of a stream is retried; None for no limit.
        maximum_age: a stream's record is discarded after so many seconds; None for no limit.
        bisects: true if a failed batch of a stream is split in two.
        start: the index of the first record that is read from a stream.
    """

    uuid: str
    function_arn: str
    source_arn: str
    kind: SourceKind
    enabled: bool
    batch_size: int
    window: int
    filters: Filters
    reports_failures: bool
    maximum_concurrency: int | None = None
    maximum_retries: int | None = None
    maximum_age: int | None = None
    bisects: bool = False
    start: int = 0


def kind_of(source_arn: str) -> SourceKind | None:
    """Return the kind of a source; None if the sandbox cannot read it."""
    service = source_arn.split(":")[2]
    if service == "sqs":
        return SourceKind.FIFO_QUEUE if source_arn.endswith(".fifo") else SourceKind.QUEUE
    if service == "dynamodb" and "/stream/" in source_arn:
        return SourceKind.STREAM
    return None


def missing_permission(documents: Iterable[str], source_arn: str, kind: SourceKind) -> str | None:
    """Return Lambda's message if the function's role may not read the source; None if it may.

    Args:
        documents: the policies of the role, as JSON text.
        source_arn: the queue or stream.
        kind: its kind.
    """
    documents = tuple(documents)
    actions = _STREAM_ACTIONS if kind is SourceKind.STREAM else _QUEUE_ACTIONS
    for action in actions:
        if decide(documents, AccessRequest(action, (source_arn,))) is Decision.ALLOWED:
            continue
        if kind is SourceKind.STREAM:
            return (
                f"Cannot access stream {source_arn}. Please ensure the role can perform the "
                "GetRecords, GetShardIterator, DescribeStream, and ListStreams Actions on your "
                "stream in IAM."
            )
        name = action.partition(":")[2]
        return f"The provided execution role does not have permissions to call {name} on SQS"
    return None

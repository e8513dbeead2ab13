"""What an event source mapping says, and whether its function may read the source. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from terralive_sandbox.access.policy import AccessRequest, Decision, decide
from terralive_sandbox.triggers.event_source_mappings.filters import Filters

_QUEUE_ACTIONS = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
_STREAM_ACTIONS = (
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:DescribeStream",
    "dynamodb:ListStreams",
)


class SourceKind(Enum):
    """What events come from."""

    QUEUE = "standard queue"
    FIFO_QUEUE = "FIFO queue"
    STREAM = "DynamoDB stream"


@dataclass(frozen=True, slots=True)
class MappingSettings:
    """One mapping, as its poller needs it.

    Attributes:
        window: seconds to gather records for.
        maximum_concurrency: of a queue's batches, None for Lambda's own limit.
        maximum_retries: of a stream's batch, None for no limit.
        maximum_age: seconds after which a stream's record is discarded, None for no limit.
        start: a stream's first record that is still to be read, counted from its beginning.
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
    """None for what the sandbox cannot read."""
    service = source_arn.split(":")[2]
    if service == "sqs":
        return SourceKind.FIFO_QUEUE if source_arn.endswith(".fifo") else SourceKind.QUEUE
    return SourceKind.STREAM if service == "dynamodb" and "/stream/" in source_arn else None


def missing_permission(documents: Iterable[str], source_arn: str, kind: SourceKind) -> str | None:
    """What Lambda says when a function's role may not read the source; None when it may.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html,
    https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
    """
    documents = tuple(documents)
    for action in _STREAM_ACTIONS if kind is SourceKind.STREAM else _QUEUE_ACTIONS:
        if decide(documents, AccessRequest(action, (source_arn,))) is Decision.ALLOWED:
            continue
        if kind is SourceKind.STREAM:
            return (
                f"Cannot access stream {source_arn}. Please ensure the role can perform the GetRecords, "
                "GetShardIterator, DescribeStream, and ListStreams Actions on your stream in IAM."
            )
        name = action.partition(":")[2]
        return f"The provided execution role does not have permissions to call {name} on SQS"
    return None

"""Settings of an event source mapping: its filters, and the permissions that it needs. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
https://docs.aws.amazon.com/lambda/latest/dg/with-sqs-filtering.html
https://docs.aws.amazon.com/lambda/latest/dg/with-ddb-filtering.html
https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis-filtering.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from terralive_sandbox.triggers.event_patterns import patterns
from terralive_stub.shared.json_documents import items, section

# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
_QUEUE_ACTIONS: Final[tuple[str, ...]] = (
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
)
# https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
_STREAM_ACTIONS: Final = (
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:DescribeStream",
    "dynamodb:ListStreams",
)
# https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html
_KINESIS_ACTIONS: Final = (
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:DescribeStream",
    "kinesis:ListShards",
)


class SourceKind(Enum):
    """Kinds of event sources."""

    QUEUE = "standard queue"
    FIFO_QUEUE = "FIFO queue"
    STREAM = "DynamoDB stream"
    KINESIS = "Kinesis stream"

    @property
    def is_stream(self) -> bool:
        """True if records are read in order, and stay in the source."""
        return self in {SourceKind.STREAM, SourceKind.KINESIS}


@dataclass(frozen=True, slots=True)
class Filters:
    """A mapping's filters.

    A record passes if it matches any of the patterns. Without patterns every record passes.
    """

    patterns: tuple[patterns.Pattern, ...] = ()

    @classmethod
    def parse(cls, criteria: Mapping[str, object]) -> Filters:
        """Read the API's FilterCriteria. Raises InvalidPatternError."""
        return cls(tuple(_parse_filter(one) for one in items(criteria, "Filters")))

    def passes(self, record: Mapping[str, object]) -> bool:
        """Return true if the function gets a record, which is given as it stands in the event.

        A message has a body, and a record of Kinesis has data. A pattern for them that has fields
        describes only a JSON object, and one that has values describes only plain text. The pages
        do not cover text that is JSON but not an object: here it passes for plain text.
        """
        if not self.patterns:
            return True
        readable = dict(record)
        text = ""
        if "body" in record:
            text = "body"
        elif "kinesis" in record:
            # Patterns name the fields of the record itself, and its data as it was put.
            text = "data"
            readable |= section(record, "kinesis")
            readable["data"] = base64.b64decode(str(readable["data"])).decode("utf-8", "replace")
        if not text:
            return any(patterns.matches(pattern, readable) for pattern in self.patterns)
        # A pattern may describe fields of JSON text.
        readable[text] = _json_object(readable[text])
        for pattern in self.patterns:
            if _may_describe(pattern, text, readable[text]) and patterns.matches(pattern, readable):
                return True
        return False


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
        shard: the shard of a Kinesis stream; each has a poller of its own. "" for other sources.
        start: the index of the first record that is read from a stream or shard.
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
    shard: str = ""
    start: int = 0


def kind_of(source_arn: str) -> SourceKind | None:
    """Return the kind of a source; None if the sandbox cannot read it."""
    service = source_arn.split(":")[2]
    if service == "sqs":
        return SourceKind.FIFO_QUEUE if source_arn.endswith(".fifo") else SourceKind.QUEUE
    if service == "dynamodb" and "/stream/" in source_arn:
        return SourceKind.STREAM
    if service == "kinesis" and "/consumer/" not in source_arn:
        return SourceKind.KINESIS
    return None


def missing_permission(may: Callable[[str], bool], source_arn: str, kind: SourceKind) -> str | None:
    """Return Lambda's message if the function's role may not read the source; None if it may.

    Args:
        may: tells whether the role may do an action with the source.
        source_arn: the queue or stream.
        kind: its kind.
    """
    actions = _QUEUE_ACTIONS
    if kind is SourceKind.STREAM:
        actions = _STREAM_ACTIONS
    elif kind is SourceKind.KINESIS:
        actions = _KINESIS_ACTIONS
    for action in actions:
        if may(action):
            continue
        if kind.is_stream:
            return (
                f"Cannot access stream {source_arn}. Please ensure the role can perform the "
                "GetRecords, GetShardIterator, DescribeStream, and ListStreams Actions on your "
                "stream in IAM."
            )
        name = action.partition(":")[2]
        return f"The provided execution role does not have permissions to call {name} on SQS"
    return None


def _parse_filter(given: object) -> patterns.Pattern:
    text = ""
    if isinstance(given, dict):
        if "Pattern" not in given:
            raise patterns.InvalidPatternError("the filter has no Pattern")
        text = str(given["Pattern"])
    return patterns.parse(text)


def _may_describe(pattern: patterns.Pattern, text: str, value: object) -> bool:
    """Return false if a pattern is for text and the value is an object, or the other way round.

    Args:
        pattern: the pattern.
        text: the name of the field that holds text or an object.
        value: the field's value.
    """
    is_object = isinstance(value, dict)
    for name, expected in pattern.fields:
        is_for_text = isinstance(expected, patterns.Values)
        if name == text and is_for_text == is_object:
            return False
    return True


def _json_object(body: object) -> object:
    """Return the JSON object that the body's text is, or the body itself."""
    try:
        parsed = json.loads(str(body))
    except ValueError:
        return body
    return parsed if isinstance(parsed, dict) else body

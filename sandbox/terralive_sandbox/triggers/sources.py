"""What an event source mapping says, and which ones Lambda refuses. Pure.

    https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html
    https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html

The pages give limits and few error texts; those here are what AWS answers according to bug reports and to localstack's
tests, which were run against AWS.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from terralive_sandbox.policy import AccessRequest, Decision, decide

from .filters import Filters, InvalidFilterError

_ARN = r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}(-gov)?(-iso([a-z])?)?-[a-z]+-\d{1})?:(\d{12})?:(.*)"
_INVALID = "InvalidParameterValueException"
_OTHER_SOURCES = {
    "kinesis": "Kinesis streams as event sources",
    "kafka": "Amazon MSK as an event source",
    "mq": "Amazon MQ as an event source",
    "rds": "DocumentDB as an event source",
}
# Field -> its bounds in the API reference.
_BOUNDS = {
    "BatchSize": (1, 10_000),
    "MaximumBatchingWindowInSeconds": (0, 300),
    "MaximumRecordAgeInSeconds": (-1, 604_800),
    "MaximumRetryAttempts": (-1, 10_000),
    "ParallelizationFactor": (1, 10),
}
_CONCURRENCY_BOUNDS = (2, 1000)
_STREAMS_ONLY = (
    "BisectBatchOnFunctionError", "DestinationConfig", "MaximumRecordAgeInSeconds", "MaximumRetryAttempts",
    "ParallelizationFactor", "TumblingWindowInSeconds",
)  # fmt: skip
_UNWINDOWED_BATCH = 10
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


class RefusedError(Exception):
    """Lambda refuses the mapping; `code` and the text are its API's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class NotEmulatedError(Exception):
    """The sandbox has no such thing; the text names it."""


@dataclass(frozen=True, slots=True)
class SourceMapping:
    """One mapping, as its poller needs it.

    Attributes:
        window: seconds to gather records for.
        maximum_concurrency: of a queue's batches, None for Lambda's own limit.
        maximum_retries: of a stream's batch, None for no limit.
        maximum_age: seconds after which a stream's record is discarded, None for no limit.
        on_failure: ARN of the queue or topic that hears of discarded records of a stream.
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
    on_failure: str | None = None
    start: int = 0


class Watcher(Protocol):
    """Whom the control plane tells; every method may be called from any thread and returns at once."""

    def changed(self, mappings: tuple[SourceMapping, ...]) -> None:
        """These are all mappings now."""

    def arrived(self, source_arn: str) -> None:
        """There may be something new to read."""


def kind_of(source_arn: str) -> SourceKind:
    """Raises NotEmulatedError, RefusedError."""
    if re.fullmatch(_ARN, source_arn) is None:
        raise RefusedError(
            "ValidationException",
            f"1 validation error detected: Value '{source_arn}' at 'eventSourceArn' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {_ARN}",
        )
    service = source_arn.split(":")[2]
    if service == "sqs":
        return SourceKind.FIFO_QUEUE if source_arn.endswith(".fifo") else SourceKind.QUEUE
    if service == "dynamodb" and "/stream/" in source_arn:
        return SourceKind.STREAM
    if service in _OTHER_SOURCES:
        raise NotEmulatedError(_OTHER_SOURCES[service])
    raise RefusedError(_INVALID, "Unrecognized event source.")


def check(spec: Mapping[str, object], kind: SourceKind, *, new: bool) -> None:
    """Check the settings of a request to create or update a mapping.

    Raises:
        RefusedError: as Lambda would.
        NotEmulatedError: a setting that the sandbox would have to ignore.
    """
    _within_bounds(spec)
    if new:
        _check_start(spec, kind)
    for name in _STREAMS_ONLY if kind is not SourceKind.STREAM else ("ScalingConfig",):
        if spec.get(name):
            raise RefusedError(_INVALID, f"Unsupported {name} parameter for given event source mapping type.")
    if spec.get("TumblingWindowInSeconds"):
        raise NotEmulatedError("tumbling windows")
    destination = _inner(_inner(spec, "DestinationConfig"), "OnFailure").get("Destination")
    if destination and str(destination).split(":")[2:3] not in (["sqs"], ["sns"]):
        raise NotEmulatedError(f"the on-failure destination {destination} (only queues and topics)")
    try:
        Filters.parse(_inner(spec, "FilterCriteria"))
    except InvalidFilterError as error:
        raise RefusedError(_INVALID, "Invalid filter pattern definition.") from error
    if kind is not SourceKind.STREAM:
        _check_batch(spec, kind)


def _within_bounds(spec: Mapping[str, object]) -> None:
    named = [(name[0].lower() + name[1:], spec.get(name), bounds) for name, bounds in _BOUNDS.items()]
    concurrency = _inner(spec, "ScalingConfig").get("MaximumConcurrency")
    for name, value, (least, most) in [*named, ("scalingConfig.maximumConcurrency", concurrency, _CONCURRENCY_BOUNDS)]:
        if not isinstance(value, int) or least <= value <= most:
            continue
        bound = f"less than or equal to {most}" if value > most else f"greater than or equal to {least}"
        raise RefusedError(
            "ValidationException",
            f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: Member must have "
            f"value {bound}",
        )


def _check_start(spec: Mapping[str, object], kind: SourceKind) -> None:
    start = spec.get("StartingPosition")
    if kind is not SourceKind.STREAM:
        if start:
            raise RefusedError(_INVALID, "StartingPosition is not valid for SQS event sources.")
    elif not start:
        raise RefusedError(
            _INVALID,
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must "
            "not be null.",
        )
    elif start not in {"TRIM_HORIZON", "LATEST"}:
        raise RefusedError(_INVALID, f"Unsupported starting position for arn type: {spec.get('EventSourceArn')}")


def _check_batch(spec: Mapping[str, object], kind: SourceKind) -> None:
    size, window = spec.get("BatchSize") or _UNWINDOWED_BATCH, spec.get("MaximumBatchingWindowInSeconds") or 0
    large = isinstance(size, int) and size > _UNWINDOWED_BATCH
    if kind is SourceKind.FIFO_QUEUE and (large or window):
        # The page has both limits and no error's text.
        what = "Batching window is not supported" if window else "Batch size must not exceed 10"
        raise RefusedError(_INVALID, f"{what} for FIFO queues")
    if large and not window:
        raise RefusedError(
            _INVALID, "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
        )


def lacking(documents: Iterable[str], source_arn: str, kind: SourceKind) -> str | None:
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


def existing(source_arn: str, kind: SourceKind, function_name: str, uuid: str) -> str:
    """What Lambda says of a second mapping of the same source to the same function."""
    advice = f"Please update or delete the existing mapping with UUID {uuid}"
    if kind is SourceKind.STREAM:
        return (
            f'The event source arn (" {source_arn} ") and function (" {function_name} ") provided mapping already '
            f"exists. {advice}"
        )
    return (
        f'An event source mapping with SQS arn (" {source_arn} ") and function (" {function_name} ") already exists. '
        f"{advice}"
    )


def _inner(spec: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = spec.get(name)
    return value if isinstance(value, dict) else {}

"""Event source mappings that Lambda refuses, and those that the sandbox leaves out.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html

The pages give limits but few error messages. The messages here are AWS's according to bug reports
and to LocalStack's tests, which were run against AWS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from moto.core.exceptions import JsonRESTError

from terralive_sandbox.control.moto_gaps.errors import Bounds, not_emulated
from terralive_sandbox.triggers.event_patterns.patterns import InvalidPatternError
from terralive_sandbox.triggers.event_source_mappings import settings
from terralive_sandbox.triggers.event_source_mappings.settings import Filters, SourceKind

_ARN: Final = (
    r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}(-gov)?(-iso([a-z])?)?-[a-z]+-\d{1})?"
    r":(\d{12})?:(.*)"
)
_INVALID: Final = "InvalidParameterValueException"
_OTHER_SOURCES: Final = {
    "kinesis": "consumers of Kinesis streams (enhanced fan-out) as event sources",
    "kafka": "Amazon MSK as an event source",
    "mq": "Amazon MQ as an event source",
    "rds": "DocumentDB as an event source",
}


# The bounds of the API reference.
_BOUNDS: Final = {
    "BatchSize": Bounds(1, 10_000),
    "MaximumBatchingWindowInSeconds": Bounds(0, 300),
    "MaximumRecordAgeInSeconds": Bounds(-1, 604_800),
    "MaximumRetryAttempts": Bounds(-1, 10_000),
    "ParallelizationFactor": Bounds(1, 10),
}
_CONCURRENCY_BOUNDS: Final = Bounds(2, 1000)
_STREAMS_ONLY: Final[tuple[str, ...]] = (
    "BisectBatchOnFunctionError",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "ParallelizationFactor",
    "TumblingWindowInSeconds",
)
_QUEUES_ONLY: Final = ("ScalingConfig",)
_BATCH_WITHOUT_WINDOW: Final = 10


def kind_of(source_arn: str) -> SourceKind:
    """Return the kind of an event source. Raises JsonRESTError if the sandbox has no such kind."""
    if re.fullmatch(_ARN, source_arn) is None:
        raise JsonRESTError(
            "ValidationException",
            f"1 validation error detected: Value '{source_arn}' at 'eventSourceArn' failed to "
            f"satisfy constraint: Member must satisfy regular expression pattern: {_ARN}",
        )
    kind = settings.kind_of(source_arn)
    if kind:
        return kind
    service = source_arn.split(":")[2]
    if service in _OTHER_SOURCES:
        raise not_emulated(_OTHER_SOURCES[service])
    raise JsonRESTError(_INVALID, "Unrecognized event source.")


def check(spec: Mapping[str, Any], kind: SourceKind, *, new: bool) -> None:
    """Check the settings of a request that creates (`new`) or changes a mapping.

    Raises:
        JsonRESTError: Lambda refuses them, or the sandbox leaves them out.
    """
    _check_bounds(spec)
    if new:
        _check_start(spec, kind)
    unsupported = _STREAMS_ONLY
    if kind.is_stream:
        unsupported = _QUEUES_ONLY
    for name in unsupported:
        if spec.get(name):
            message = f"Unsupported {name} parameter for given event source mapping type."
            raise JsonRESTError(_INVALID, message)
    if spec.get("TumblingWindowInSeconds"):
        raise not_emulated("tumbling windows")
    destinations = spec.get("DestinationConfig") or {}
    if (destinations.get("OnFailure") or {}).get("Destination"):
        raise not_emulated("on-failure destinations of event source mappings")
    try:
        Filters.parse(spec.get("FilterCriteria") or {})
    except InvalidPatternError as error:
        raise JsonRESTError(_INVALID, "Invalid filter pattern definition.") from error
    if not kind.is_stream:
        _check_batch(spec, kind)


def _check_bounds(spec: Mapping[str, Any]) -> None:
    for name, bounds in _BOUNDS.items():
        bounds.check(name[0].lower() + name[1:], spec.get(name))
    concurrency = (spec.get("ScalingConfig") or {}).get("MaximumConcurrency")
    _CONCURRENCY_BOUNDS.check("scalingConfig.maximumConcurrency", concurrency)


def _check_start(spec: Mapping[str, Any], kind: SourceKind) -> None:
    start = spec.get("StartingPosition")
    if not kind.is_stream:
        if start:
            raise JsonRESTError(_INVALID, "StartingPosition is not valid for SQS event sources.")
    elif not start:
        raise JsonRESTError(
            _INVALID,
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy "
            "constraint: Member must not be null.",
        )
    elif start == "AT_TIMESTAMP" and kind is SourceKind.KINESIS:
        if spec.get("StartingPositionTimestamp") is None:
            message = "StartingPositionTimestamp is required with AT_TIMESTAMP."
            raise JsonRESTError(_INVALID, message)
    elif start not in {"TRIM_HORIZON", "LATEST"}:
        message = f"Unsupported starting position for arn type: {spec.get('EventSourceArn')}"
        raise JsonRESTError(_INVALID, message)


def _check_batch(spec: Mapping[str, Any], kind: SourceKind) -> None:
    size = spec.get("BatchSize") or _BATCH_WITHOUT_WINDOW
    window = spec.get("MaximumBatchingWindowInSeconds") or 0
    large = isinstance(size, int) and size > _BATCH_WITHOUT_WINDOW
    if kind is SourceKind.FIFO_QUEUE:
        # The page has both limits, but no error messages.
        if window:
            raise JsonRESTError(_INVALID, "Batching window is not supported for FIFO queues")
        if large:
            raise JsonRESTError(_INVALID, "Batch size must not exceed 10 for FIFO queues")
    if large and not window:
        raise JsonRESTError(
            _INVALID,
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is "
            "greater than 10",
        )

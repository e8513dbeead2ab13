"""Which event source mappings Lambda refuses, and which the sandbox does.

    https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html
    https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html

The pages give limits and few error texts; those here are what AWS answers according to bug reports
and to localstack's tests, which were run against AWS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from moto.core.exceptions import JsonRESTError

from terralive_sandbox.control.moto_gaps.errors import not_emulated
from terralive_sandbox.triggers.event_source_mappings import settings
from terralive_sandbox.triggers.event_source_mappings.filters import Filters, InvalidFilterError
from terralive_sandbox.triggers.event_source_mappings.settings import SourceKind

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
    "BisectBatchOnFunctionError", "MaximumRecordAgeInSeconds", "MaximumRetryAttempts", "ParallelizationFactor",
    "TumblingWindowInSeconds",
)  # fmt: skip
_UNWINDOWED_BATCH = 10


def kind_of(source_arn: str) -> SourceKind:
    """Raises JsonRESTError."""
    if re.fullmatch(_ARN, source_arn) is None:
        raise JsonRESTError(
            "ValidationException",
            f"1 validation error detected: Value '{source_arn}' at 'eventSourceArn' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {_ARN}",
        )
    if kind := settings.kind_of(source_arn):
        return kind
    service = source_arn.split(":")[2]
    if service in _OTHER_SOURCES:
        raise not_emulated(_OTHER_SOURCES[service])
    raise JsonRESTError(_INVALID, "Unrecognized event source.")


def check(spec: Mapping[str, Any], kind: SourceKind, *, new: bool) -> None:
    """Check the settings of a request to create or update a mapping. Raises JsonRESTError."""
    _within_bounds(spec)
    if new:
        _check_start(spec, kind)
    for name in _STREAMS_ONLY if kind is not SourceKind.STREAM else ("ScalingConfig",):
        if spec.get(name):
            raise JsonRESTError(
                _INVALID, f"Unsupported {name} parameter for given event source mapping type."
            )
    if spec.get("TumblingWindowInSeconds"):
        raise not_emulated("tumbling windows")
    if ((spec.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination"):
        raise not_emulated("on-failure destinations of event source mappings")
    try:
        Filters.parse(spec.get("FilterCriteria") or {})
    except InvalidFilterError as error:
        raise JsonRESTError(_INVALID, "Invalid filter pattern definition.") from error
    if kind is not SourceKind.STREAM:
        _check_batch(spec, kind)


def _within_bounds(spec: Mapping[str, Any]) -> None:
    named = [
        (name[0].lower() + name[1:], spec.get(name), bounds) for name, bounds in _BOUNDS.items()
    ]
    concurrency = (spec.get("ScalingConfig") or {}).get("MaximumConcurrency")
    for name, value, (least, most) in [
        *named,
        ("scalingConfig.maximumConcurrency", concurrency, _CONCURRENCY_BOUNDS),
    ]:
        if not isinstance(value, int) or least <= value <= most:
            continue
        bound = (
            f"less than or equal to {most}" if value > most else f"greater than or equal to {least}"
        )
        raise JsonRESTError(
            "ValidationException",
            f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: Member must have "
            f"value {bound}",
        )


def _check_start(spec: Mapping[str, Any], kind: SourceKind) -> None:
    start = spec.get("StartingPosition")
    if kind is not SourceKind.STREAM:
        if start:
            raise JsonRESTError(_INVALID, "StartingPosition is not valid for SQS event sources.")
    elif not start:
        raise JsonRESTError(
            _INVALID,
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must "
            "not be null.",
        )
    elif start not in {"TRIM_HORIZON", "LATEST"}:
        raise JsonRESTError(
            _INVALID, f"Unsupported starting position for arn type: {spec.get('EventSourceArn')}"
        )


def _check_batch(spec: Mapping[str, Any], kind: SourceKind) -> None:
    size, window = (
        spec.get("BatchSize") or _UNWINDOWED_BATCH,
        spec.get("MaximumBatchingWindowInSeconds") or 0,
    )
    large = isinstance(size, int) and size > _UNWINDOWED_BATCH
    if kind is SourceKind.FIFO_QUEUE and (large or window):
        # The page has both limits and no error's text.
        what = "Batching window is not supported" if window else "Batch size must not exceed 10"
        raise JsonRESTError(_INVALID, f"{what} for FIFO queues")
    if large and not window:
        raise JsonRESTError(
            _INVALID,
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
        )

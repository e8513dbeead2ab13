"""Settings of a pipe, as its poller needs them. Pure.

https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/API_CreatePipe.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from terralive_sandbox.triggers.event_source_mappings.settings import (
    Filters,
    MappingSettings,
    SourceKind,
)
from terralive_stub.shared.json_documents import Json, section, text

# The services that a pipe sends to here.
TARGETS: Final = ("lambda", "sqs", "sns")
# The block of `SourceParameters` that belongs to each kind of source.
SOURCE_BLOCKS: Final[Mapping[SourceKind, str]] = {
    SourceKind.QUEUE: "SqsQueueParameters",
    SourceKind.FIFO_QUEUE: "SqsQueueParameters",
    SourceKind.STREAM: "DynamoDBStreamParameters",
    SourceKind.KINESIS: "KinesisStreamParameters",
}
_DEFAULT_QUEUE_BATCH: Final = 10
_DEFAULT_STREAM_BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class PipeSettings(MappingSettings):
    """The settings of one pipe. `uuid` and `function_arn` are the pipe's ARN.

    Attributes:
        name: the pipe's name.
        role: the role that the pipe assumes.
        target: the function, queue or topic that gets the records.
        target_template: the input template of the target; "" for the record as it is.
        enrichment: the function that gets the records before the target; "" for none.
        enrichment_template: the input template of the enrichment; "" for the record as it is.
        is_asynchronous: whether the target's function is invoked asynchronously.
        group: the message group of a FIFO queue as the target; "" for none.
    """

    name: str = ""
    role: str = ""
    target: str = ""
    target_template: str = ""
    enrichment: str = ""
    enrichment_template: str = ""
    is_asynchronous: bool = False
    group: str = ""


def service_of(arn: str) -> str:
    """Return the service of an ARN; "" for a text that is not an ARN."""
    match arn.split(":"):
        case ["arn", _, service, *_]:
            return service
    return ""


def settings_of(
    arn: str, described: Mapping[str, Json], kind: SourceKind, *, shard: str, start: int
) -> PipeSettings:
    """Return the settings of a pipe, for one shard of its source.

    Args:
        arn: the pipe's ARN.
        described: the pipe, with the fields of the API's `CreatePipe`.
        kind: the kind of its source.
        shard: the shard; "" for a source without shards.
        start: the index of the first record that is read.

    Raises:
        InvalidPatternError: a filter has an invalid pattern.
    """
    parameters = section(described, "SourceParameters")
    source = section(parameters, SOURCE_BLOCKS[kind])
    target = section(described, "TargetParameters")
    invocation_type = text(section(target, "LambdaFunctionParameters"), "InvocationType")
    enrichment = section(described, "EnrichmentParameters")
    default_batch = _DEFAULT_QUEUE_BATCH
    if kind.is_stream:
        default_batch = _DEFAULT_STREAM_BATCH
    partial = text(source, "OnPartialBatchItemFailure")
    return PipeSettings(
        uuid=arn,
        function_arn=arn,
        source_arn=text(described, "Source"),
        kind=kind,
        enabled=text(described, "DesiredState") != "STOPPED",
        batch_size=_number(source, "BatchSize") or default_batch,
        window=_number(source, "MaximumBatchingWindowInSeconds") or 0,
        filters=Filters.parse(section(parameters, "FilterCriteria")),
        reports_failures=True,
        maximum_retries=_limit(source, "MaximumRetryAttempts"),
        maximum_age=_limit(source, "MaximumRecordAgeInSeconds"),
        bisects=partial == "AUTOMATIC_BISECT",
        shard=shard,
        start=start,
        name=text(described, "Name"),
        role=text(described, "RoleArn"),
        target=text(described, "Target"),
        target_template=text(target, "InputTemplate"),
        enrichment=text(described, "Enrichment"),
        enrichment_template=text(enrichment, "InputTemplate"),
        is_asynchronous=invocation_type == "FIRE_AND_FORGET",
        group=text(section(target, "SqsQueueParameters"), "MessageGroupId"),
    )


def _number(values: Mapping[str, Json], name: str) -> int | None:
    value = values.get(name)
    if isinstance(value, int | float):
        return int(value)
    return None


def _limit(values: Mapping[str, Json], name: str) -> int | None:
    """Return a limit, or None where there is none. AWS writes -1 for no limit."""
    value = _number(values, name)
    if value is None or value < 0:
        return None
    return value

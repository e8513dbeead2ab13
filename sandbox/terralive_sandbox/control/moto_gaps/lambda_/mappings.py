"""Event source mappings: moto keeps them, the sandbox's pollers run them.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from moto.awslambda.models import EventSourceMapping, LambdaBackend, LambdaFunction, lambda_backends
from moto.awslambda.responses import LambdaResponse
from moto.core.exceptions import JsonRESTError

from terralive_sandbox.access import identity
from terralive_sandbox.control.moto_gaps.errors import api_error, not_emulated
from terralive_sandbox.control.moto_gaps.lambda_ import mapping_rules, rules
from terralive_sandbox.control.moto_gaps.replacements import Replacements
from terralive_sandbox.places import Place
from terralive_sandbox.triggers.event_source_mappings import kinesis_shards
from terralive_sandbox.triggers.event_source_mappings.mapping_pollers import MappingPollers
from terralive_sandbox.triggers.event_source_mappings.settings import (
    Filters,
    MappingSettings,
    SourceKind,
    missing_permission,
)
from terralive_sandbox.triggers.event_source_mappings.sources import find_queue, find_shard

_JsonAnswer: TypeAlias = tuple[int, dict[str, Any], str]

_INVALID: Final = "InvalidParameterValueException"
_NO_QUEUE: Final = (
    "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
    "SQS Error Message: The specified queue does not exist or you do not have access to it."
)
# AWS's answers where a request sets nothing (LocalStack's tests record them).
_QUEUE_DEFAULTS: Final[Mapping[str, object]] = {
    "FunctionResponseTypes": [],
    "MaximumBatchingWindowInSeconds": 0,
}
_STREAM_DEFAULTS: Final[Mapping[str, object]] = {
    "BisectBatchOnFunctionError": False,
    "DestinationConfig": {"OnFailure": {}},
    "FunctionResponseTypes": [],
    "LastProcessingResult": "No records processed",
    "MaximumBatchingWindowInSeconds": 0,
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "ParallelizationFactor": 1,
    "TumblingWindowInSeconds": 0,
}
# Settings that an empty value removes.
_REMOVABLE: Final = (
    "FilterCriteria",
    "ScalingConfig",
    "KMSKeyArn",
    "ProvisionedPollerConfig",
    "MetricsConfig",
)
# Attributes of moto's mapping: the index of the first record that is read, by shard ("" where the
# source has no shards), and the result of the last batch, which the poller sets.
_START: Final = "terralive_start"
_RESULT: Final = "terralive_result"


def declare(replacements: Replacements, pollers: MappingPollers) -> None:
    """Let the sandbox's pollers run event source mappings.

    Moto invokes a function for each message at once, on the sender's thread. It never begins to,
    as moto's own method for creating mappings is never called.

    An answer names the state that follows ("Creating", "Enabling"); the next request already sees
    the state after it.

    Args:
        replacements: the list that gets the replacements.
        pollers: run the mappings; they get all mappings after every change.
    """
    moto_list_mappings = LambdaBackend.list_event_source_mappings
    moto_get_configuration = EventSourceMapping.get_configuration

    def create(self: LambdaResponse) -> _JsonAnswer:
        mapping = _create(self.backend, self.json_body)
        self.backend._event_source_mappings[mapping.uuid] = mapping  # noqa: SLF001 - no other way
        return changed(mapping, "Creating")

    def update(self: LambdaResponse) -> _JsonAnswer:
        mapping = _existing(self)
        was_enabled = mapping.enabled
        _update(self.backend, mapping, self.json_body)
        state = "Updating"
        if mapping.enabled != was_enabled:
            state = "Enabling" if mapping.enabled else "Disabling"
        return changed(mapping, state)

    def delete(self: LambdaResponse) -> _JsonAnswer:
        mapping = _existing(self)
        self.backend.delete_event_source_mapping(mapping.uuid)
        return changed(mapping, "Deleting")

    def changed(mapping: EventSourceMapping, state: str) -> _JsonAnswer:
        """Report all mappings to the pollers, and describe the one that changed."""
        pollers.changed(tuple(_every_setting()))
        body = json.dumps({**mapping.get_configuration(), "State": state})
        return 202, {"status": 202}, body

    def list_all(
        self: LambdaBackend, source_arn: str, function_name: str
    ) -> Iterable[EventSourceMapping]:
        arn = ""
        if function_name:
            arn = rules.function_name(function_name, self.region_name).arn(_place(self))
        return moto_list_mappings(self, source_arn, arn)

    def get_configuration(self: EventSourceMapping) -> dict[str, Any]:
        return _described(self, moto_get_configuration(self))

    replacements.replace(LambdaResponse, "create_event_source_mapping", create)
    replacements.replace(LambdaResponse, "update_event_source_mapping", update)
    replacements.replace(LambdaResponse, "delete_event_source_mapping", delete)
    replacements.replace(LambdaBackend, "list_event_source_mappings", list_all)
    replacements.replace(EventSourceMapping, "get_configuration", get_configuration)


def _every_setting() -> Iterable[MappingSettings]:
    """Yield the settings of all mappings of all accounts and regions."""
    for account in list(lambda_backends.values()):
        for backend in list(account.values()):
            for mapping in backend._event_source_mappings.values():  # noqa: SLF001 - no other way
                yield from _settings(mapping)


def _described(mapping: EventSourceMapping, configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Complete moto's description of a mapping with AWS's defaults and the last result."""
    defaults, reason = _QUEUE_DEFAULTS, "USER_INITIATED"
    if mapping_rules.kind_of(mapping.event_source_arn).is_stream:
        defaults, reason = _STREAM_DEFAULTS, "User action"
    complete = {**defaults, **configuration, "StateTransitionReason": reason}
    if mapping.starting_position_timestamp is not None:
        complete["StartingPositionTimestamp"] = mapping.starting_position_timestamp
    result = vars(mapping).get(_RESULT)
    if result:
        complete["LastProcessingResult"] = result
    del complete["Tags"]
    for name in _REMOVABLE:
        if not complete.get(name):
            complete.pop(name, None)
    return complete


def _create(backend: LambdaBackend, spec: dict[str, Any]) -> EventSourceMapping:
    if spec.get("SelfManagedEventSource"):
        raise not_emulated("self-managed Kafka as an event source")
    for name in ("EventSourceArn", "FunctionName"):
        if not spec.get(name):
            raise JsonRESTError(_INVALID, f"Missing {name}")
    source_arn = str(spec["EventSourceArn"])
    kind = mapping_rules.kind_of(source_arn)
    mapping_rules.check(spec, kind, new=True)
    function, qualified_arn = _function(backend, str(spec["FunctionName"]))
    _check_source(function, source_arn, kind)
    for other in backend._event_source_mappings.values():  # noqa: SLF001 - no other way
        if other.event_source_arn == source_arn and other.function_arn == qualified_arn:
            message = _exists_message(kind, function.function_name, other)
            raise api_error("ResourceConflictException", message, 409)
    place = {"RegionName": backend.region_name, "AccountId": backend.account_id}
    names = {"FunctionName": qualified_arn, "FunctionArn": qualified_arn}
    mapping = EventSourceMapping({**spec, **place, **names})  # type: ignore[abstract] # moto's base class
    mapping.last_modified = time.time()
    # A mapping starts where it was created, not where its poller has begun to run.
    vars(mapping)[_START] = starts(source_arn, kind, spec)
    return mapping


def starts(source_arn: str, kind: SourceKind, spec: Mapping[str, Any]) -> dict[str, int]:
    """Return the index of the first record that is read, for each shard."""
    position = str(spec.get("StartingPosition"))
    if kind is SourceKind.KINESIS:
        since = float(spec.get("StartingPositionTimestamp") or 0)
        return kinesis_shards.starts(source_arn, position, since)
    first = 0
    if kind is SourceKind.STREAM and position == "LATEST":
        shard = find_shard(source_arn)
        if shard is not None:
            first = len(shard.items)
    return {"": first}


def _update(backend: LambdaBackend, mapping: EventSourceMapping, spec: dict[str, Any]) -> None:
    kind = mapping_rules.kind_of(mapping.event_source_arn)
    # A FIFO queue's window and the size of a batch are checked together, whichever of them changes.
    current = {
        "BatchSize": mapping.batch_size,
        "MaximumBatchingWindowInSeconds": mapping.max_batch_window,
    }
    mapping_rules.check({**current, **spec}, kind, new=False)
    if "FunctionName" in spec:
        function, arn = _function(backend, spec.pop("FunctionName"))
        _check_source(function, mapping.event_source_arn, kind)
        mapping.function_name = mapping.function_arn = arn
    backend.update_event_source_mapping(mapping.uuid, spec)
    mapping.last_modified = time.time()


def _exists_message(kind: SourceKind, function_name: str, other: EventSourceMapping) -> str:
    """Return Lambda's message for a second mapping of the same source to the same function."""
    source = f'(" {other.event_source_arn} ")'
    function = f'function (" {function_name} ")'
    text = f"An event source mapping with SQS arn {source} and {function} already exists."
    if kind.is_stream:
        text = f"The event source arn {source} and {function} provided mapping already exists."
    return f"{text} Please update or delete the existing mapping with UUID {other.uuid}"


def _settings(mapping: EventSourceMapping) -> list[MappingSettings]:
    """Return a mapping's settings for each shard of its source."""
    starts: Mapping[str, int] = vars(mapping)[_START]
    return [_settings_of(mapping, shard, start) for shard, start in starts.items()]


def _settings_of(mapping: EventSourceMapping, shard: str, start: int) -> MappingSettings:
    return MappingSettings(
        uuid=mapping.uuid,
        function_arn=mapping.function_arn,
        source_arn=mapping.event_source_arn,
        kind=mapping_rules.kind_of(mapping.event_source_arn),
        enabled=bool(mapping.enabled),
        batch_size=mapping.batch_size,
        window=int(mapping.max_batch_window or 0),
        filters=Filters.parse(mapping.filter_criteria or {}),
        reports_failures="ReportBatchItemFailures" in (mapping.function_response_types or []),
        maximum_concurrency=(mapping.scaling_config or {}).get("MaximumConcurrency"),
        maximum_retries=_limit(mapping.max_retry_attempts),
        maximum_age=_limit(mapping.max_record_age),
        bisects=bool(mapping.bisect_on_error),
        shard=shard,
        start=start,
    )


def _limit(value: int | None) -> int | None:
    """Return a limit, or None where there is none. AWS writes -1 for no limit."""
    if value is None or value < 0:
        return None
    return int(value)


def _check_source(function: LambdaFunction, source_arn: str, kind: SourceKind) -> None:
    """Check that a function can read the source.

    Both are in one region, the function's role must be allowed to, and a queue must hide messages
    for as long as the function runs.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    """
    region = Place.of(source_arn).region
    if region != function.region:
        raise JsonRESTError(
            _INVALID,
            f"The event source {source_arn} is in another region than the function: {region} is "
            f"not {function.region}.",
        )
    denial = missing_permission(
        lambda action: identity.role_may(function.role, action, source_arn), source_arn, kind
    )
    if denial:
        raise JsonRESTError(_INVALID, denial)
    if kind.is_stream:
        is_there = find_shard(source_arn) is not None
        if kind is SourceKind.KINESIS:
            is_there = kinesis_shards.find_shards(source_arn) is not None
        if not is_there:
            raise JsonRESTError(_INVALID, f"Stream not found: {source_arn}")
        return
    queue = find_queue(source_arn)
    if queue is None:
        raise JsonRESTError(_INVALID, _NO_QUEUE)
    hidden = int(queue.visibility_timeout)  # type: ignore[attr-defined] # moto sets it by its name
    timeout = int(function.timeout)
    if hidden < timeout:
        message = f"{hidden} seconds is less than Function timeout: {timeout} seconds"
        raise JsonRESTError(_INVALID, f"Queue visibility timeout: {message}")


def _existing(response: LambdaResponse) -> EventSourceMapping:
    """Return the mapping at the end of the request's path. Raises ResourceNotFoundException."""
    uuid = response.path.rpartition("/")[2]
    mapping = response.backend._event_source_mappings.get(uuid)  # noqa: SLF001 - no other way
    if mapping is None:
        message = "The resource you requested does not exist."
        raise api_error("ResourceNotFoundException", message, 404)
    return mapping


def _function(backend: LambdaBackend, name: str) -> tuple[LambdaFunction, str]:
    """Return a function and the ARN that a request names, with the request's qualifier."""
    named = rules.function_name(name, backend.region_name)
    function = backend.get_function(named.name, named.qualifier)
    return function, named.arn(_place(backend))


def _place(backend: LambdaBackend) -> Place:
    return Place(backend.account_id, backend.region_name)

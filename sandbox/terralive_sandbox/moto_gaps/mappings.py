"""Lambda's event source mappings: moto keeps them, the sandbox's pollers run them.

moto's own way of running them (a function a message, at once, on the sender's thread) never begins: it is told of none.

    https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
    https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from moto.awslambda.models import EventSourceMapping, LambdaBackend, LambdaFunction
from moto.awslambda.responses import LambdaResponse
from moto.core.exceptions import JsonRESTError

from terralive_sandbox import identity
from terralive_sandbox.triggers import destinations, reading, sources
from terralive_sandbox.triggers.filters import Filters
from terralive_sandbox.triggers.sources import SourceKind, SourceMapping, Watcher

from .errors import not_emulated

_INVALID = "InvalidParameterValueException"
# What AWS answers where a request says nothing (localstack's tests record it).
_QUEUE_DEFAULTS: Mapping[str, object] = {
    "FunctionResponseTypes": [],
    "MaximumBatchingWindowInSeconds": 0,
    "StateTransitionReason": "USER_INITIATED",
}
_STREAM_DEFAULTS: Mapping[str, object] = {
    "BisectBatchOnFunctionError": False,
    "DestinationConfig": {"OnFailure": {}},
    "FunctionResponseTypes": [],
    "LastProcessingResult": "No records processed",
    "MaximumBatchingWindowInSeconds": 0,
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "ParallelizationFactor": 1,
    "StateTransitionReason": "User action",
    "TumblingWindowInSeconds": 0,
}
# Settings that an empty value takes away.
_REMOVABLE = ("FilterCriteria", "ScalingConfig", "KMSKeyArn", "ProvisionedPollerConfig", "MetricsConfig")


def queues_and_streams_have_mappings(watcher: Watcher) -> None:
    """Replace how moto makes, describes and changes mappings; `watcher` hears of each change."""
    update, delete = LambdaBackend.update_event_source_mapping, LambdaBackend.delete_event_source_mapping

    def tell(backend: LambdaBackend) -> None:
        watcher.changed(tuple(_settings(mapping) for mapping in backend._event_source_mappings.values()))  # noqa: SLF001

    def create_mapping(self: LambdaBackend, spec: dict[str, Any]) -> EventSourceMapping:
        mapping = _create(self, spec)
        self._event_source_mappings[mapping.uuid] = mapping
        tell(self)
        return mapping

    def update_mapping(self: LambdaBackend, uuid: str, spec: dict[str, Any]) -> EventSourceMapping:
        mapping = _existing(self, uuid)
        kind = sources.kind_of(mapping.event_source_arn)
        # A FIFO queue's window and a batch's size are judged together, whichever of them changes.
        both = {"BatchSize": mapping.batch_size, "MaximumBatchingWindowInSeconds": mapping.max_batch_window}
        _judge({**both, **spec}, kind, new=False)
        function_arn = mapping.function_arn
        if "FunctionName" in spec:
            function, function_arn = _function(self, spec.pop("FunctionName"))
            _check_source(function, mapping.event_source_arn, kind)
        _check_destination(_function(self, function_arn)[0], spec)
        update(self, uuid, spec)
        mapping.function_arn, mapping.last_modified = function_arn, time.time()
        tell(self)
        return mapping

    def delete_mapping(self: LambdaBackend, uuid: str) -> EventSourceMapping:
        mapping = _existing(self, uuid)
        delete(self, uuid)
        tell(self)
        return mapping

    def list_mappings(
        self: LambdaBackend, event_source_arn: str | None, function_name: str | None
    ) -> list[EventSourceMapping]:
        arn = _arn(self, function_name) if function_name else None
        return [
            mapping
            for mapping in self._event_source_mappings.values()
            if (not event_source_arn or mapping.event_source_arn == event_source_arn)
            and (not arn or mapping.function_arn == arn)
        ]

    LambdaBackend.create_event_source_mapping = create_mapping  # type: ignore[method-assign] # the gap
    LambdaBackend.update_event_source_mapping = update_mapping  # type: ignore[method-assign] # the gap
    LambdaBackend.delete_event_source_mapping = delete_mapping  # type: ignore[method-assign] # the gap
    LambdaBackend.list_event_source_mappings = list_mappings  # type: ignore[method-assign] # the gap
    LambdaBackend.get_event_source_mapping = _existing  # type: ignore[assignment,method-assign] # the gap
    EventSourceMapping.get_configuration = _configuration_of(EventSourceMapping.get_configuration)  # type: ignore[method-assign] # the gap
    _changes_are_under_way()


def _configuration_of(configuration: Any) -> Any:  # noqa: ANN401 - moto's method
    def get_configuration(self: EventSourceMapping) -> dict[str, Any]:
        kind = sources.kind_of(self.event_source_arn)
        answer = {**(_STREAM_DEFAULTS if kind is SourceKind.STREAM else _QUEUE_DEFAULTS), **configuration(self)}
        answer["StateTransitionReason"] = "User action" if kind is SourceKind.STREAM else "USER_INITIATED"
        if result := vars(self).get("terralive_result"):
            answer["LastProcessingResult"] = result
        del answer["Tags"]
        return {k: v for k, v in answer.items() if v or k not in _REMOVABLE}

    return get_configuration


def _changes_are_under_way() -> None:
    """Answers to changes name the state that follows; the next question already gets the one after it."""

    def under_way(mapping: EventSourceMapping, state: str) -> tuple[int, dict[str, str | int], str]:
        return 202, {"status": 202}, json.dumps({**mapping.get_configuration(), "State": state})

    def create(self: LambdaResponse) -> tuple[int, dict[str, str | int], str]:
        return under_way(self.backend.create_event_source_mapping(self.json_body), "Creating")

    def update(self: LambdaResponse) -> tuple[int, dict[str, str | int], str]:
        uuid = self.path.rpartition("/")[2]
        mapping = _existing(self.backend, uuid)
        enabled = mapping.enabled
        self.backend.update_event_source_mapping(uuid, self.json_body)
        state = "Updating" if mapping.enabled == enabled else "Enabling" if mapping.enabled else "Disabling"
        return under_way(mapping, state)

    def delete(self: LambdaResponse) -> tuple[int, dict[str, str | int], str]:
        uuid = self.path.rpartition("/")[2]
        mapping = _existing(self.backend, uuid)
        self.backend.delete_event_source_mapping(uuid)
        return under_way(mapping, "Deleting")

    LambdaResponse.create_event_source_mapping = create  # type: ignore[method-assign] # the gap
    LambdaResponse.update_event_source_mapping = update  # type: ignore[method-assign] # the gap
    LambdaResponse.delete_event_source_mapping = delete  # type: ignore[method-assign] # the gap


def _create(backend: LambdaBackend, spec: dict[str, Any]) -> EventSourceMapping:
    if spec.get("SelfManagedEventSource"):
        raise not_emulated("self-managed Kafka as an event source")
    for name in ("EventSourceArn", "FunctionName"):
        if not spec.get(name):
            raise JsonRESTError(_INVALID, f"Missing {name}")
    source_arn = str(spec["EventSourceArn"])
    kind = _kind(source_arn)
    _judge(spec, kind, new=True)
    function, function_arn = _function(backend, str(spec["FunctionName"]))
    _check_source(function, source_arn, kind)
    _check_destination(function, spec)
    for other in backend._event_source_mappings.values():  # noqa: SLF001
        if (other.event_source_arn, other.function_arn) == (source_arn, function_arn):
            text = sources.existing(source_arn, kind, function.function_name, other.uuid)
            raise _error("ResourceConflictException", text, 409)
    where = {"RegionName": backend.region_name, "AccountId": backend.account_id, "FunctionArn": function_arn}
    mapping = EventSourceMapping({**spec, **where})  # type: ignore[abstract] # moto's base class
    mapping.last_modified = time.time()
    # What a mapping reads first is settled when it is made, not when its poller has started.
    latest = reading.find_shard(source_arn) if spec.get("StartingPosition") == "LATEST" else None
    vars(mapping)["terralive_start"] = len(latest.items) if latest else 0
    return mapping


def _settings(mapping: EventSourceMapping) -> SourceMapping:
    on_failure = ((mapping.destination_config or {}).get("OnFailure") or {}).get("Destination")
    return SourceMapping(
        uuid=mapping.uuid,
        function_arn=mapping.function_arn,
        source_arn=mapping.event_source_arn,
        kind=sources.kind_of(mapping.event_source_arn),
        enabled=bool(mapping.enabled),
        batch_size=mapping.batch_size,
        window=int(mapping.max_batch_window or 0),
        filters=Filters.parse(mapping.filter_criteria or {}),
        reports_failures="ReportBatchItemFailures" in (mapping.function_response_types or []),
        maximum_concurrency=(mapping.scaling_config or {}).get("MaximumConcurrency"),
        maximum_retries=_limit(mapping.max_retry_attempts),
        maximum_age=_limit(mapping.max_record_age),
        bisects=bool(mapping.bisect_on_error),
        on_failure=on_failure or None,
        start=int(vars(mapping)["terralive_start"]),
    )


def _limit(value: int | None) -> int | None:
    return None if value is None or value < 0 else int(value)


def _judge(spec: Mapping[str, object], kind: SourceKind, *, new: bool) -> None:
    try:
        sources.check(spec, kind, new=new)
    except sources.NotEmulatedError as error:
        raise not_emulated(str(error)) from error
    except sources.RefusedError as error:
        raise JsonRESTError(error.code, error.message) from error


def _kind(source_arn: str) -> SourceKind:
    try:
        return sources.kind_of(source_arn)
    except sources.NotEmulatedError as error:
        raise not_emulated(str(error)) from error
    except sources.RefusedError as error:
        raise JsonRESTError(error.code, error.message) from error


def _check_source(function: LambdaFunction, source_arn: str, kind: SourceKind) -> None:
    """Lambda tries whether the function's role may read the source, and a queue whether its timeout is long enough."""
    if refusal := sources.lacking(identity.role_documents(function.role), source_arn, kind):
        raise JsonRESTError(_INVALID, refusal)
    if kind is SourceKind.STREAM:
        if reading.find_shard(source_arn) is None:
            raise JsonRESTError(_INVALID, f"Stream not found: {source_arn}")
        return
    queue = reading.find_queue(source_arn)
    if queue is None:
        raise JsonRESTError(
            _INVALID,
            "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error "
            "Message: The specified queue does not exist or you do not have access to it.",
        )
    hidden, timeout = int(queue.visibility_timeout), int(function.timeout)  # type: ignore[attr-defined] # set by name
    if hidden < timeout:
        text = f"Queue visibility timeout: {hidden} seconds is less than Function timeout: {timeout} seconds"
        raise JsonRESTError(_INVALID, text)


def _check_destination(function: LambdaFunction, spec: Mapping[str, Any]) -> None:
    """The function's role needs permission to tell the on-failure destination."""
    arn = str(((spec.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination") or "")
    try:
        if arn:
            destinations.require(destinations.Role(str(function.role)), arn)
    except destinations.DestinationError as error:
        what = "SendMessage on SQS" if arn.split(":")[2] == "sqs" else "Publish on SNS"
        text = f"The provided execution role does not have permissions to call {what}"
        raise JsonRESTError(_INVALID, text) from error


def _existing(backend: LambdaBackend, uuid: str) -> EventSourceMapping:
    mapping = backend._event_source_mappings.get(uuid)  # noqa: SLF001
    if mapping is None:
        raise _error("ResourceNotFoundException", "The resource you requested does not exist.", 404)
    return mapping


def _function(backend: LambdaBackend, name: str) -> tuple[LambdaFunction, str]:
    arn = _arn(backend, name)
    unqualified, _, qualifier = arn.partition(":function:")[2].partition(":")
    return backend.get_function(unqualified, qualifier or None), arn


def _arn(backend: LambdaBackend, name: str) -> str:
    """The ARN of what a request may call by name, partial ARN or ARN, each with or without a qualifier."""
    last = name.rpartition(":function:")[2]
    return f"arn:aws:lambda:{backend.region_name}:{backend.account_id}:function:{last}"


def _error(kind: str, message: str, status: int) -> JsonRESTError:
    error = JsonRESTError(kind, message)
    error.code = status
    return error

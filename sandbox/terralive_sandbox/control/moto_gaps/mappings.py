"""Lambda's event source mappings: moto keeps them, the sandbox's pollers run them.

moto's own way of running them (a function a message, at once, on the sender's thread) never begins:
it is told of none.

    https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
    https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from moto.awslambda.models import EventSourceMapping, LambdaBackend, LambdaFunction, lambda_backends
from moto.awslambda.responses import LambdaResponse
from moto.core.exceptions import JsonRESTError

from terralive_sandbox.access import identity
from terralive_sandbox.control.moto_gaps import mapping_checks as checks
from terralive_sandbox.control.moto_gaps.errors import not_emulated
from terralive_sandbox.triggers.event_source_mappings.filters import Filters
from terralive_sandbox.triggers.event_source_mappings.mapping_pollers import MappingPollers
from terralive_sandbox.triggers.event_source_mappings.queues.messages import find_queue
from terralive_sandbox.triggers.event_source_mappings.settings import (
    MappingSettings,
    SourceKind,
    missing_permission,
)
from terralive_sandbox.triggers.event_source_mappings.streams.records import find_shard

_INVALID = "InvalidParameterValueException"
# What AWS answers where a request says nothing (localstack's tests record it).
_QUEUE_DEFAULTS: Mapping[str, object] = {
    "FunctionResponseTypes": [],
    "MaximumBatchingWindowInSeconds": 0,
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
    "TumblingWindowInSeconds": 0,
}
# Settings that an empty value takes away.
_REMOVABLE = (
    "FilterCriteria",
    "ScalingConfig",
    "KMSKeyArn",
    "ProvisionedPollerConfig",
    "MetricsConfig",
)


def queues_and_streams_have_mappings(pollers: MappingPollers) -> None:
    """Replace how moto makes, describes and changes mappings; `pollers` hear of each change.

    Answers to changes name the state that follows; the next question already gets the one after it.
    """

    def changed(mapping: EventSourceMapping, state: str) -> tuple[int, dict[str, Any], str]:
        backends = list(lambda_backends[identity.ACCOUNT].values())
        pollers.changed(
            tuple(
                _settings(one)
                for each in backends
                for one in each._event_source_mappings.values()  # noqa: SLF001
            )
        )
        return 202, {"status": 202}, json.dumps({**mapping.get_configuration(), "State": state})

    def create(self: LambdaResponse) -> tuple[int, dict[str, Any], str]:
        mapping = _create(self.backend, self.json_body)
        self.backend._event_source_mappings[mapping.uuid] = mapping  # noqa: SLF001
        return changed(mapping, "Creating")

    def update(self: LambdaResponse) -> tuple[int, dict[str, Any], str]:
        mapping = _existing(self.backend, self.path.rpartition("/")[2])
        enabled = mapping.enabled
        _update(self.backend, mapping, self.json_body)
        state = (
            "Updating"
            if mapping.enabled == enabled
            else "Enabling"
            if mapping.enabled
            else "Disabling"
        )
        return changed(mapping, state)

    def delete(self: LambdaResponse) -> tuple[int, dict[str, Any], str]:
        mapping = _existing(self.backend, self.path.rpartition("/")[2])
        self.backend.delete_event_source_mapping(mapping.uuid)
        return changed(mapping, "Deleting")

    listed = LambdaBackend.list_event_source_mappings

    def list_mappings(
        self: LambdaBackend, source_arn: str, function_name: str
    ) -> Iterable[EventSourceMapping]:
        return listed(self, source_arn, _arn(self, function_name) if function_name else "")

    LambdaResponse.create_event_source_mapping = create  # type: ignore[method-assign] # the gap
    LambdaResponse.update_event_source_mapping = update  # type: ignore[method-assign] # the gap
    LambdaResponse.delete_event_source_mapping = delete  # type: ignore[method-assign] # the gap
    LambdaBackend.list_event_source_mappings = list_mappings  # type: ignore[assignment,method-assign] # the gap
    EventSourceMapping.get_configuration = _configuration_of(EventSourceMapping.get_configuration)  # type: ignore[method-assign] # the gap


def _configuration_of(configuration: Any) -> Any:
    def get_configuration(self: EventSourceMapping) -> dict[str, Any]:
        kind = checks.kind_of(self.event_source_arn)
        answer = {
            **(_STREAM_DEFAULTS if kind is SourceKind.STREAM else _QUEUE_DEFAULTS),
            **configuration(self),
        }
        answer["StateTransitionReason"] = (
            "User action" if kind is SourceKind.STREAM else "USER_INITIATED"
        )
        if result := vars(self).get("terralive_result"):
            answer["LastProcessingResult"] = result
        del answer["Tags"]
        return {k: v for k, v in answer.items() if v or k not in _REMOVABLE}

    return get_configuration


def _create(backend: LambdaBackend, spec: dict[str, Any]) -> EventSourceMapping:
    if spec.get("SelfManagedEventSource"):
        raise not_emulated("self-managed Kafka as an event source")
    for name in ("EventSourceArn", "FunctionName"):
        if not spec.get(name):
            raise JsonRESTError(_INVALID, f"Missing {name}")
    source_arn = str(spec["EventSourceArn"])
    kind = checks.kind_of(source_arn)
    checks.check(spec, kind, new=True)
    function, function_arn = _function(backend, str(spec["FunctionName"]))
    _check_source(function, source_arn, kind)
    for other in backend._event_source_mappings.values():  # noqa: SLF001
        if (other.event_source_arn, other.function_arn) == (source_arn, function_arn):
            raise _error(
                "ResourceConflictException", _twice(kind, function.function_name, other), 409
            )
    where = {"RegionName": backend.region_name, "AccountId": backend.account_id}
    named = {"FunctionName": function_arn, "FunctionArn": function_arn}
    mapping = EventSourceMapping({**spec, **where, **named})  # type: ignore[abstract] # moto's base class
    mapping.last_modified = time.time()
    # What a mapping reads first is settled when it is made, not when its poller has started.
    latest = find_shard(source_arn) if spec.get("StartingPosition") == "LATEST" else None
    vars(mapping)["terralive_start"] = len(latest.items) if latest else 0
    return mapping


def _update(backend: LambdaBackend, mapping: EventSourceMapping, spec: dict[str, Any]) -> None:
    kind = checks.kind_of(mapping.event_source_arn)
    # A FIFO queue's window and a batch's size are judged together, whichever of them changes.
    both = {
        "BatchSize": mapping.batch_size,
        "MaximumBatchingWindowInSeconds": mapping.max_batch_window,
    }
    checks.check({**both, **spec}, kind, new=False)
    if "FunctionName" in spec:
        function, arn = _function(backend, spec.pop("FunctionName"))
        _check_source(function, mapping.event_source_arn, kind)
        mapping.function_name = mapping.function_arn = arn
    backend.update_event_source_mapping(mapping.uuid, spec)
    mapping.last_modified = time.time()


def _twice(kind: SourceKind, function_name: str, other: EventSourceMapping) -> str:
    """What Lambda says of a second mapping of the same source to the same function."""
    source, function = f'(" {other.event_source_arn} ")', f'function (" {function_name} ")'
    if kind is SourceKind.STREAM:
        text = f"The event source arn {source} and {function} provided mapping already exists."
    else:
        text = f"An event source mapping with SQS arn {source} and {function} already exists."
    return f"{text} Please update or delete the existing mapping with UUID {other.uuid}"


def _settings(mapping: EventSourceMapping) -> MappingSettings:
    return MappingSettings(
        uuid=mapping.uuid,
        function_arn=mapping.function_arn,
        source_arn=mapping.event_source_arn,
        kind=checks.kind_of(mapping.event_source_arn),
        enabled=bool(mapping.enabled),
        batch_size=mapping.batch_size,
        window=int(mapping.max_batch_window or 0),
        filters=Filters.parse(mapping.filter_criteria or {}),
        reports_failures="ReportBatchItemFailures" in (mapping.function_response_types or []),
        maximum_concurrency=(mapping.scaling_config or {}).get("MaximumConcurrency"),
        maximum_retries=_limit(mapping.max_retry_attempts),
        maximum_age=_limit(mapping.max_record_age),
        bisects=bool(mapping.bisect_on_error),
        start=int(vars(mapping)["terralive_start"]),
    )


def _limit(value: int | None) -> int | None:
    return None if value is None or value < 0 else int(value)


def _check_source(function: LambdaFunction, source_arn: str, kind: SourceKind) -> None:
    """Lambda tries whether the function's role may read the source, and a queue whether its timeout is long enough."""
    if refusal := missing_permission(identity.role_documents(function.role), source_arn, kind):
        raise JsonRESTError(_INVALID, refusal)
    if kind is SourceKind.STREAM:
        if find_shard(source_arn) is None:
            raise JsonRESTError(_INVALID, f"Stream not found: {source_arn}")
        return
    queue = find_queue(source_arn)
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

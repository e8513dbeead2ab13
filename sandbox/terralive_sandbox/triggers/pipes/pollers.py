"""Run a pipe: read its source in batches, enrich the records, and send them to its target.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-batching-concurrency.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/pipes-enrichment.html
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final, cast

from terralive_sandbox.access import identity
from terralive_sandbox.functions import destinations
from terralive_sandbox.functions.destinations import DestinationError
from terralive_sandbox.functions.invoke_api import InvokeError, InvokeResponse
from terralive_sandbox.triggers.event_source_mappings import batches
from terralive_sandbox.triggers.event_source_mappings.batches import Record
from terralive_sandbox.triggers.event_source_mappings.poller import Poller
from terralive_sandbox.triggers.event_source_mappings.queue_poller import QueuePoller
from terralive_sandbox.triggers.event_source_mappings.settings import (
    MappingSettings,
    missing_permission,
)
from terralive_sandbox.triggers.event_source_mappings.stream_poller import StreamPoller
from terralive_sandbox.triggers.pipes import templates
from terralive_sandbox.triggers.pipes.settings import PipeSettings, service_of
from terralive_stub.shared.json_documents import Json, section

_INVOKE: Final = "lambda:InvokeFunction"
_OK: Final = "OK"


class _EnrichmentError(Exception):
    """The enrichment failed: the whole batch is tried again."""


class _Pipe(Poller):
    """A pipe's work on a batch, for all kinds of sources."""

    async def _invoke(self, mapping: MappingSettings, batch: Sequence[Record]) -> frozenset[str]:
        """Send a batch through the pipe. Return the ids of the records that failed.

        Raises:
            InvokeError: a function did not run.
        """
        pipe = _settings(mapping)
        ids = [record.id for record in batch]
        records = [_flat(record.fields) for record in batch]
        try:
            enriched = await self._enrich(pipe, records)
            if not enriched:
                # An enrichment that returns nothing filters the batch out.
                return frozenset()
            failed = await self._send(pipe, enriched, ids)
        except (_EnrichmentError, DestinationError) as error:
            self._report(f"PROBLEM: {error}")
            return frozenset(ids)
        except InvokeError as error:
            self._report(f"PROBLEM: {error.message}")
            raise
        result = _OK
        if failed:
            result = f"PROBLEM: {pipe.target} failed"
        self._report(result)
        return failed

    async def _enrich(self, pipe: PipeSettings, records: list[Json]) -> list[Json]:
        """Return the records that the enrichment returns for a batch."""
        if not pipe.enrichment:
            return records
        event = _event(pipe, pipe.enrichment_template, records)
        response = await self._invoke_function(pipe, pipe.enrichment, event)
        if response.function_error:
            raise _EnrichmentError(f"the enrichment {pipe.enrichment} failed")
        value: Json = json.loads(response.body or b"null")
        if value in (None, "", {}, []):
            return []
        if isinstance(value, list):
            return value
        return [value]

    async def _send(
        self, pipe: PipeSettings, records: list[Json], ids: Sequence[str]
    ) -> frozenset[str]:
        """Send records to the target. Return the ids of the source's records that failed."""
        if service_of(pipe.target) != "lambda":
            for text in _texts(pipe, pipe.target_template, records):
                # On the thread that owns moto's state
                await self._control.call_async(_send_message, pipe, text)
            return frozenset()
        event = _event(pipe, pipe.target_template, records)
        response = await self._invoke_function(pipe, pipe.target, event)
        if pipe.is_asynchronous:
            return frozenset()
        if response.function_error:
            return frozenset(ids)
        if _names_failures(response.body):
            return batches.failed(response.body, ids)
        return frozenset()

    async def _invoke_function(self, pipe: PipeSettings, arn: str, event: bytes) -> InvokeResponse:
        function = self._functions.find(arn)
        if not identity.role_may(pipe.role, _INVOKE, arn):
            message = f"{pipe.role} may not {_INVOKE} on {arn}"
            if f"PROBLEM: {message}" != self._reported:
                self._refusals.add(f"{pipe.uuid}: {message}")
            raise InvokeError("AccessDeniedException", message, HTTPStatus.FORBIDDEN)
        return await self._functions.invoke(function, event, arn=arn)

    def _problem(self) -> str | None:
        """Return why nothing may be read now; None if reading is allowed."""
        pipe = _settings(self.mapping)
        missing = missing_permission(
            lambda action: identity.role_may(pipe.role, action, pipe.source_arn),
            pipe.source_arn,
            pipe.kind,
        )
        if missing is None:
            return None
        if f"PROBLEM: {missing}" != self._reported:
            self._refusals.add(f"{pipe.source_arn} -> {pipe.uuid}: {missing}")
        return f"PROBLEM: {missing}"

    def _role(self) -> str:
        return _settings(self.mapping).role

    def _report(self, result: str) -> None:
        """Write a problem to the sandbox's log, once. A pipe has no field for it."""
        if result not in {self._reported, _OK}:
            sys.stderr.write(f"{self.mapping.uuid}: {result}\n")
        self._reported = result


class QueuePipe(_Pipe, QueuePoller):
    """A pipe that reads a queue."""


class StreamPipe(_Pipe, StreamPoller):
    """A pipe that reads a stream."""


def _settings(mapping: MappingSettings) -> PipeSettings:
    return cast("PipeSettings", mapping)


def _flat(fields: Mapping[str, object]) -> Json:
    """Return a record as a pipe sends it: the fields of `kinesis` are at its top.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-kinesis.html
    """
    given = cast("Mapping[str, Json]", fields)
    kinesis = section(given, "kinesis")
    rest = {name: value for name, value in given.items() if name != "kinesis"}
    return {**kinesis, **rest}


def _event(pipe: PipeSettings, template: str, records: list[Json]) -> bytes:
    """Return the event of a function: always an array."""
    if not template:
        return json.dumps(records).encode()
    return f"[{','.join(_texts(pipe, template, records))}]".encode()


def _texts(pipe: PipeSettings, template: str, records: list[Json]) -> list[str]:
    """Return each record as JSON text, or as the template makes it."""
    if not template:
        return [json.dumps(record) for record in records]
    variables = {
        "aws.pipes.pipe-arn": pipe.uuid,
        "aws.pipes.pipe-name": pipe.name,
        "aws.pipes.source-arn": pipe.source_arn,
        "aws.pipes.enrichment-arn": pipe.enrichment,
        "aws.pipes.target-arn": pipe.target,
    }
    return [templates.filled(template, _readable(record), variables) for record in records]


def _readable(record: Json) -> Json:
    """Return a record of Kinesis with its data as it was put."""
    if not isinstance(record, dict) or record.get("eventSource") != "aws:kinesis":
        return record
    data = base64.b64decode(str(record["data"])).decode("utf-8", "replace")
    return {**record, "data": data}


def _names_failures(answer: bytes) -> bool:
    """Tell whether a target's answer names records that failed. Any other answer is a success."""
    try:
        value = json.loads(answer or b"null")
    except ValueError:
        return False
    return isinstance(value, dict) and value.get("batchItemFailures") is not None


def _send_message(pipe: PipeSettings, text: str) -> None:
    """Send a record to a queue or topic. Raises DestinationError."""
    destinations.send(pipe.role, pipe.target, text, {}, group=pipe.group or None)

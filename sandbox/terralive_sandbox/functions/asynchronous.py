"""Asynchronous invocations: accepted at once, tried again after a failure, never lost silently.

A function's error is tried again twice, after one minute and after two more. A throttled invocation
is tried again at growing intervals until its event is too old. An event that is given up goes to
the dead-letter queue, to the destination and into the sandbox's log.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from moto.awslambda.models import LambdaFunction

from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.functions.destinations import DestinationError, send
from terralive_sandbox.functions.invoke_api import (
    InvokeError,
    InvokeResponse,
    check_size,
    check_tenant,
    new_trace_header,
    unqualified_arn,
)
from terralive_sandbox.functions.registry import Functions
from terralive_sandbox.refusals import Refusals
from terralive_stub.protocol.limits import ASYNCHRONOUS_PAYLOAD_BYTES
from terralive_stub.shared.json_documents import parse_object, section, text
from terralive_stub.shared.timestamps import format_datetime

_log = logging.getLogger("terralive.sandbox")

# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
_RETRY_SECONDS: Final = (60.0, 120.0)
_MOST_AGE_SECONDS: Final = 6 * 3600
_FIRST_THROTTLE_SECONDS: Final = 1.0
_MOST_THROTTLE_SECONDS: Final = 300.0
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#invocation-dlq
_ERROR_MESSAGE_CHARACTERS: Final = 1024


@dataclass(frozen=True, slots=True)
class _Event:
    """One accepted event. All its attempts belong to one trace.

    Attributes:
        arn: the ARN that was invoked.
        payload: the event's JSON text.
        request_id: the AWS request id of all attempts.
        client_context: JSON text, or "".
        tenant_id: the tenant's id; "" for none.
        accepted: when Lambda accepted it, in seconds since the Unix epoch.
        trace_id: the tracing header of all attempts.
        attempts: how often the handler has run.
    """

    arn: str
    payload: bytes = field(repr=False)
    request_id: str
    client_context: str = ""
    tenant_id: str = ""
    accepted: float = field(default_factory=time.time)
    trace_id: str = field(default_factory=new_trace_header)
    attempts: int = 0


_Result: TypeAlias = InvokeResponse | InvokeError
"""The function's response to one attempt, or Lambda's error if it did not run."""


class AsynchronousInvocations:
    """Runs accepted events. It belongs to the event loop.

    Waiting times are multiplied by the functions' time scale.
    """

    def __init__(self, functions: Functions, control: ControlPlane, refusals: Refusals) -> None:
        self._functions = functions
        self._control = control
        self._refusals = refusals
        # One task for each event that is not done.
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(
        self,
        arn: str,
        payload: bytes,
        *,
        request_id: str = "",
        client_context: str = "",
        tenant_id: str = "",
    ) -> None:
        """Accept an event.

        Args:
            arn: the function's ARN, with its version or alias, if any.
            payload: the event's JSON text.
            request_id: the AWS request id; empty for a new one.
            client_context: JSON text, or "".
            tenant_id: the tenant's id; "" for none.

        Raises:
            InvokeError: there is no such function, or the event is too large or lacks its tenant.
        """
        check_size(payload, ASYNCHRONOUS_PAYLOAD_BYTES, "Event")
        check_tenant(self._functions.find(arn), tenant_id)
        event = _Event(arn, payload, request_id or str(uuid.uuid4()), client_context, tenant_id)
        task = asyncio.create_task(self._run(event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Give up all events."""
        for task in list(self._tasks):
            task.cancel()

    async def _run(self, event: _Event) -> None:
        """Invoke the function until the event is done or given up."""
        throttle_seconds = _FIRST_THROTTLE_SECONDS
        while True:
            try:
                function = self._functions.find(event.arn)
            except InvokeError as error:
                # The function was deleted meanwhile.
                _write_to_log(event, error.message)
                return
            # Settings are read for each attempt, because they may have changed meanwhile.
            config = _config_of(function)
            result = await self._attempt(function, event)
            if isinstance(result, InvokeError):
                # The handler did not run, so that this does not count as an attempt.
                wait = throttle_seconds
                throttle_seconds = min(2 * throttle_seconds, _MOST_THROTTLE_SECONDS)
                if not _may_pass(result):
                    await self._give_up(function, event, "EventAgeExceeded", result)
                    return
            else:
                event = replace(event, attempts=event.attempts + 1)
                if not result.function_error:
                    await self._send_record(function, event, "Success", result)
                    return
                if event.attempts > int(config.get("MaximumRetryAttempts", len(_RETRY_SECONDS))):
                    await self._give_up(function, event, "RetriesExhausted", result)
                    return
                wait = _RETRY_SECONDS[event.attempts - 1]
            # An event that would be too old at its next attempt is given up now.
            wait *= self._functions.time_scale
            most_age = float(config.get("MaximumEventAgeInSeconds", _MOST_AGE_SECONDS))
            if time.time() + wait - event.accepted > most_age * self._functions.time_scale:
                await self._give_up(function, event, "EventAgeExceeded", result)
                return
            _log.debug("asynchronous invocation %s is tried again", event.request_id)
            await asyncio.sleep(wait)

    async def _attempt(self, function: LambdaFunction, event: _Event) -> _Result:
        try:
            return await self._functions.invoke(
                function,
                event.payload,
                arn=event.arn,
                request_id=event.request_id,
                client_context=event.client_context,
                tenant_id=event.tenant_id,
                trace_id=event.trace_id,
            )
        except InvokeError as error:
            return error

    async def _give_up(
        self, function: LambdaFunction, event: _Event, condition: str, result: _Result
    ) -> None:
        """Send an event to the dead-letter queue and to the destination of failures."""
        if isinstance(result, InvokeError):
            status, message = result.status, result.message
        else:
            status = HTTPStatus.OK
            message = str(parse_object(result.body).get("errorMessage", ""))
        _write_to_log(event, f"{condition} after {event.attempts} attempts: {message}")
        queue = text(getattr(function, "dead_letter_config", None) or {}, "TargetArn")
        if queue:
            attributes = {
                "RequestID": event.request_id,
                "ErrorCode": str(int(status)),
                "ErrorMessage": message[:_ERROR_MESSAGE_CHARACTERS] or "-",
            }
            body = event.payload.decode("utf-8", "replace")
            await self._send(event, function.role, queue, body, attributes)
        await self._send_record(function, event, condition, result)

    async def _send_record(
        self, function: LambdaFunction, event: _Event, condition: str, result: _Result
    ) -> None:
        """Send the record of an invocation to its destination, if there is one."""
        kind = "OnSuccess" if condition == "Success" else "OnFailure"
        destinations = section(_config_of(function), "DestinationConfig")
        destination = text(section(destinations, kind), "Destination")
        if not destination:
            return
        record = json.dumps(_record(function, event, condition, result))
        if ":lambda:" not in destination:
            await self._send(event, function.role, destination, record, {})
            return
        # A function as a destination gets the record as an asynchronous event.
        try:
            self.accept(destination, record.encode())
        except InvokeError as error:
            _write_to_log(event, f"destination {destination}: {error.message}")

    async def _send(
        self, event: _Event, role: str, arn: str, body: str, attributes: Mapping[str, str]
    ) -> None:
        """Send a message to a queue or topic, as the function's role."""
        try:
            await self._control.call_async(send, role, arn, body, attributes)
        except DestinationError as error:
            self._refusals.add(f"asynchronous invocation of {event.arn}: {error}")


def _may_pass(error: InvokeError) -> bool:
    """Return true if another attempt may succeed: throttling and failures of the service pass."""
    if error.code == "NotEmulatedBySandbox":
        return False
    is_throttled = error.status == HTTPStatus.TOO_MANY_REQUESTS
    return is_throttled or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _config_of(function: LambdaFunction) -> Mapping[str, Any]:
    """Return a function's settings of asynchronous invocations, as its API has them."""
    if not function.event_invoke_config:
        return {}
    config: Mapping[str, Any] = function.event_invoke_config[-1].config
    return config


def _record(
    function: LambdaFunction, event: _Event, condition: str, result: _Result
) -> dict[str, object]:
    """Return the record that a destination receives."""
    arn = event.arn
    if arn == unqualified_arn(arn):
        arn = f"{function.function_arn}:$LATEST"
    record: dict[str, object] = {
        "version": "1.0",
        "timestamp": format_datetime(datetime.now(UTC)),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": arn,
            "condition": condition,
            "approximateInvokeCount": event.attempts,
        },
        "requestPayload": _parsed(event.payload),
    }
    if isinstance(result, InvokeResponse):
        context: dict[str, object] = {
            "statusCode": HTTPStatus.OK,
            "executedVersion": result.executed_version,
        }
        if result.function_error:
            context["functionError"] = "Unhandled"
        record["responseContext"] = context
        record["responsePayload"] = _parsed(result.body)
    return record


def _parsed(body: bytes) -> object:
    """Return the JSON value of a text, or the text itself if it is not JSON."""
    try:
        return json.loads(body or b"{}")
    except ValueError:
        return body.decode("utf-8", "replace")


def _write_to_log(event: _Event, text: str) -> None:
    sys.stderr.write(f"asynchronous invocation {event.request_id} of {event.arn}: {text}\n")

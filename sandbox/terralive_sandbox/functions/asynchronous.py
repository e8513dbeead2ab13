"""Lambda's queue of asynchronous invocations: accepted at once, tried again, and never lost without a word.

A function's error is tried again twice, after one and after two more minutes; a throttled
invocation until its event is too old, at growing intervals. What is given up goes to the
dead-letter queue, the destination and the log.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from moto.awslambda.models import LambdaFunction

from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.functions.destinations import DestinationError, Role, send
from terralive_sandbox.functions.invoke_api import InvokeError, InvokeResponse, new_trace_header
from terralive_sandbox.functions.registry import Functions
from terralive_stub.protocol.limits import ASYNCHRONOUS_PAYLOAD_BYTES

_FUNCTION_RETRY_SECONDS = (60.0, 120.0)
_MOST_AGE_SECONDS = 6 * 3600
_FIRST_THROTTLE_SECONDS = 1.0
_MOST_THROTTLE_SECONDS = 300.0
_ERROR_MESSAGE_CHARACTERS = 1024
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class _Event:
    """One accepted event, all of whose attempts are in one trace.

    `attempts` counts runs of the handler.
    """

    arn: str
    payload: bytes
    request_id: str
    accepted: float
    client_context: str = ""
    trace_id: str = ""
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class _Policy:
    """How often and how long a function's events are tried."""

    retries: int
    age_seconds: float
    on_success: str = ""
    on_failure: str = ""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """How one attempt ended: with a result, or refused by Lambda."""

    result: InvokeResponse | None = None
    refusal: InvokeError | None = None

    @property
    def error(self) -> tuple[int, str]:
        """The status and message that a dead-letter queue is told."""
        if self.refusal is not None:
            return self.refusal.status, self.refusal.message
        return 200, _error_message(self.result.body) if self.result is not None else ""


class AsynchronousInvocations:
    """Lives on the event loop. Its waiting times are multiplied by the functions' time scale."""

    def __init__(self, functions: Functions, control: ControlPlane) -> None:
        self._functions = functions
        self._control = control
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(
        self, name_or_arn: str, payload: bytes, *, request_id: str = "", client_context: str = ""
    ) -> None:
        """Take an event.

        Raises:
            InvokeError: there is no such function, or the event is too large.
        """
        if len(payload) > ASYNCHRONOUS_PAYLOAD_BYTES:
            message = f"{len(payload)} byte payload is too large for the Event invocation type"
            message += f" (limit {ASYNCHRONOUS_PAYLOAD_BYTES} bytes)"
            raise InvokeError("RequestTooLargeException", message, 413)
        self._functions.find(name_or_arn)
        event = _Event(
            name_or_arn,
            payload,
            request_id or str(uuid.uuid4()),
            time.time(),
            client_context,
            new_trace_header(),
        )
        task = asyncio.create_task(self._work(event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()

    async def _work(self, event: _Event) -> None:
        scale = self._functions.time_scale
        throttled = _FIRST_THROTTLE_SECONDS
        while True:
            try:
                function = self._functions.find(event.arn)
            except InvokeError as error:  # deleted meanwhile
                _say(event, error.message)
                return
            policy = _policy(function)
            attempt = await self._attempt(function, event)
            if attempt.refusal is not None:
                wait, throttled = throttled, min(2 * throttled, _MOST_THROTTLE_SECONDS)
            else:
                event = replace(event, attempts=event.attempts + 1)
                if attempt.result is None or not attempt.result.function_error:
                    await self._tell(function, event, policy.on_success, "Success", attempt.result)
                    return
                if event.attempts > policy.retries:
                    await self._give_up(function, event, "RetriesExhausted", attempt)
                    return
                wait = _FUNCTION_RETRY_SECONDS[event.attempts - 1]
            if (
                time.time() + wait * scale - event.accepted > policy.age_seconds * scale
                or _is_final(attempt)
            ):
                await self._give_up(function, event, "EventAgeExceeded", attempt)
                return
            await asyncio.sleep(wait * scale)

    async def _attempt(self, function: LambdaFunction, event: _Event) -> _Attempt:
        try:
            result = await self._functions.invoke(
                function, event.payload, arn=event.arn if event.arn.startswith("arn:") else "",
                request_id=event.request_id, client_context=event.client_context, trace_id=event.trace_id,
            )  # fmt: skip
        except InvokeError as error:
            return _Attempt(refusal=error)
        return _Attempt(result)

    async def _give_up(
        self, function: LambdaFunction, event: _Event, condition: str, attempt: _Attempt
    ) -> None:
        status, message = attempt.error
        _say(event, f"{condition} after {event.attempts} attempts: {message}")
        queue = (getattr(function, "dead_letter_config", None) or {}).get("TargetArn")
        if queue:
            attributes = {
                "RequestID": event.request_id,
                "ErrorCode": str(status),
                "ErrorMessage": message[:_ERROR_MESSAGE_CHARACTERS] or "-",
            }
            await self._send(
                function, event, str(queue), event.payload.decode("utf-8", "replace"), attributes
            )
        await self._tell(function, event, _policy(function).on_failure, condition, attempt.result)

    async def _tell(
        self,
        function: LambdaFunction,
        event: _Event,
        destination: str,
        condition: str,
        result: InvokeResponse | None,
    ) -> None:
        """Send the record of an invocation to a destination."""
        if not destination:
            return
        record = json.dumps(_record(function, event, condition, result))
        if ":lambda:" in destination:
            try:
                self.accept(destination, record.encode())
            except InvokeError as error:
                _say(event, f"destination {destination}: {error.message}")
            return
        await self._send(function, event, destination, record, {})

    async def _send(
        self,
        function: LambdaFunction,
        event: _Event,
        arn: str,
        body: str,
        attributes: Mapping[str, str],
    ) -> None:
        try:
            await asyncio.wrap_future(
                self._control.call(send, Role(function.role), arn, body, attributes)
            )
        except DestinationError as error:
            _say(event, str(error))


def _is_final(attempt: _Attempt) -> bool:
    """Whether trying again is of no use: only throttling and failures of the service pass."""
    refusal = attempt.refusal
    if refusal is None or refusal.code == "NotEmulatedBySandbox":
        return refusal is not None
    return refusal.status != _TOO_MANY_REQUESTS and refusal.status < _SERVER_ERROR


def _policy(function: LambdaFunction) -> _Policy:
    found = function.event_invoke_config
    config = found[-1].config if found else {}
    destinations = config.get("DestinationConfig") or {}
    return _Policy(
        int(config.get("MaximumRetryAttempts", len(_FUNCTION_RETRY_SECONDS))),
        float(config.get("MaximumEventAgeInSeconds", _MOST_AGE_SECONDS)),
        str((destinations.get("OnSuccess") or {}).get("Destination") or ""),
        str((destinations.get("OnFailure") or {}).get("Destination") or ""),
    )


def _record(
    function: LambdaFunction, event: _Event, condition: str, result: InvokeResponse | None
) -> dict[str, object]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    record: dict[str, object] = {
        "version": "1.0",
        "timestamp": now,
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": f"{function.function_arn}:$LATEST"
            if event.arn.count(":") < 7  # noqa: PLR2004
            else event.arn,
            "condition": condition,
            "approximateInvokeCount": event.attempts,
        },
        "requestPayload": _parsed(event.payload),
    }
    if result is not None:
        context: dict[str, object] = {"statusCode": 200, "executedVersion": result.executed_version}
        if result.function_error:
            context["functionError"] = "Unhandled"
        record["responseContext"] = context
        record["responsePayload"] = _parsed(result.body)
    return record


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body or b"{}")
    except ValueError:
        return body.decode("utf-8", "replace")


def _error_message(body: bytes) -> str:
    document = _parsed(body)
    return str(document.get("errorMessage", "")) if isinstance(document, dict) else ""


def _say(event: _Event, what: str) -> None:
    sys.stderr.write(f"asynchronous invocation {event.request_id} of {event.arn}: {what}\n")

"""Responses, errors and limits of Lambda's Invoke API.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import base64
import logging
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from moto.awslambda.models import LambdaFunction

from terralive_sandbox.places import Place

_log = logging.getLogger("terralive.sandbox")

# The attribute of moto's function that has its TenancyConfig, or None.
TENANCY_CONFIG: Final = "terralive_tenancy_config"
# The number of fields of a function's ARN without version or alias.
_UNQUALIFIED_ARN_FIELDS: Final = 7


class InvokeError(Exception):
    """Lambda does not run an invocation.

    Attributes:
        code: the name of the Invoke API's error (`ResourceNotFoundException`).
        message: the error's text.
        status: the HTTP status.
        reason: the `Reason` of a 429 answer, else "".
    """

    def __init__(self, code: str, message: str, status: int, *, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.reason = reason


def check_size(payload: bytes, most_bytes: int, invocation_type: str) -> None:
    """Raise InvokeError if a payload is too large."""
    if len(payload) > most_bytes:
        raise InvokeError(
            "RequestTooLargeException",
            f"{len(payload)} byte payload is too large for the {invocation_type} invocation type"
            f" (limit {most_bytes} bytes)",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )


def isolates_tenants(function: LambdaFunction) -> bool:
    """Tell whether each tenant of a function has execution environments of its own."""
    return bool(vars(function).get(TENANCY_CONFIG))


def check_tenant(function: LambdaFunction, tenant_id: str) -> None:
    """Raise InvokeError if a tenant's id is missing, or if the function isolates no tenants.

    https://docs.aws.amazon.com/lambda/latest/dg/tenant-isolation-invoke.html
    """
    if isolates_tenants(function) == bool(tenant_id):
        return
    message = (
        "The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your "
        "request and try again."
    )
    if tenant_id:
        message = (
            "The invoked function is not enabled with tenancy configuration. Remove the tenant ID "
            "from your request and try again."
        )
    raise InvokeError("InvalidParameterValueException", message, HTTPStatus.BAD_REQUEST)


def throttled(reason: str = "") -> InvokeError:
    """Return the error of an invocation that exceeds a limit.

    https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors
    """
    return InvokeError(
        "TooManyRequestsException", "Rate Exceeded.", HTTPStatus.TOO_MANY_REQUESTS, reason=reason
    )


def stopping() -> InvokeError:
    """Return the error of an invocation that comes, or is prepared, while the sandbox stops."""
    message = "The sandbox is stopping."
    return InvokeError("ServiceException", message, HTTPStatus.INTERNAL_SERVER_ERROR)


def not_emulated(what: str) -> InvokeError:
    """Return the error of a function that the sandbox cannot run."""
    message = f"terralive's sandbox does not emulate {what} yet."
    return InvokeError("NotEmulatedBySandbox", message, HTTPStatus.NOT_IMPLEMENTED)


class ConcurrentExecutions:
    """Count the executions that run now, and limit them. It belongs to the event loop.

    Each region of each account has limits of its own.
    https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html

    Args:
        account_limit: how many executions an account may have at once in a region.
    """

    def __init__(self, account_limit: int) -> None:
        self._account_limit = account_limit
        # How many of these other functions occupy, as far as a fault on demand says so.
        self.occupied = 0
        # Executions that run now, by the function's ARN.
        self._running: Counter[str] = Counter()
        # The same for all functions of an account in a region.
        self._running_in: Counter[Place] = Counter()

    @contextmanager
    def one(self, function_arn: str, reserved: int | None) -> Iterator[None]:
        """Count one execution of a function for the duration of the block.

        Args:
            function_arn: the function's ARN, without qualifier.
            reserved: the function's reserved concurrency; None if it has none.

        Raises:
            InvokeError: TooManyRequestsException, because a limit is reached.
        """
        place = Place.of(function_arn)
        if reserved is not None and self._running[function_arn] >= reserved:
            _log.debug("%s is throttled: its reserved concurrency is in use", function_arn)
            raise throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
        if self._running_in[place] + self.occupied >= self._account_limit:
            _log.debug("%s is throttled: the account's concurrency is in use", function_arn)
            raise throttled("ConcurrentInvocationLimitExceeded")
        self._running[function_arn] += 1
        self._running_in[place] += 1
        try:
            yield
        finally:
            self._running[function_arn] -= 1
            self._running_in[place] -= 1


@dataclass(frozen=True, slots=True)
class InvokeResponse:
    """The response to an invocation that Lambda has run.

    Attributes:
        body: the handler's response, or the error document.
        function_error: true if the function failed.
        executed_version: the function's version (`$LATEST` or a number).
        log_tail: the last 4 KB of the invocation's log.
        error_type: the type of the function's error, or "".
    """

    body: bytes
    function_error: bool
    executed_version: str
    log_tail: bytes = b""
    error_type: str = ""


def invoke_headers(response: InvokeResponse, *, tail: bool) -> dict[str, str]:
    """Return the HTTP headers of a response; with `tail`, the end of the log is among them."""
    headers = {
        "content-type": "application/json",
        "x-amz-executed-version": response.executed_version,
    }
    if response.function_error:
        headers["x-amz-function-error"] = "Unhandled"
    if tail:
        headers["x-amz-log-result"] = base64.b64encode(response.log_tail).decode()
    return headers


def invoke_complete(response: InvokeResponse, *, tail: bool) -> dict[str, str]:
    """Return the event at the end of a streamed response.

    https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStreamCompleteEvent.html
    """
    fields: dict[str, str] = {}
    if response.function_error:
        fields["ErrorCode"] = response.error_type
        fields["ErrorDetails"] = response.body.decode("utf-8", "replace")
    if tail:
        fields["LogResult"] = base64.b64encode(response.log_tail).decode()
    return fields


def unqualified_arn(arn: str) -> str:
    """Return a function's ARN without version or alias."""
    return ":".join(arn.split(":")[:_UNQUALIFIED_ARN_FIELDS])


def new_trace_header() -> str:
    """Return the tracing header of a new trace.

    https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    return f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Sampled=0"

"""The call of Lambda's Invoke, and its errors in words.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from terralive_cli.deploy.aws import explained
from terralive_stub.errors import ConfigurationError, TerraliveError
from terralive_stub.protocol.invocation import Outcome
from terralive_stub.protocol.limits import FUNCTION_TIMEOUT_SECONDS
from terralive_stub.shared.json_documents import text

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from types_boto3_lambda.client import LambdaClient

# Lambda answers at the function's timeout. A new execution environment takes some time before.
_BEYOND_TIMEOUT_SECONDS: Final = 60
_CONNECT_SECONDS: Final = 10
_ACCEPTED: Final = 202
_REASONS: Final = {
    "ConcurrentInvocationLimitExceeded": "All concurrency of the account is in use.",
    "ReservedFunctionConcurrentInvocationLimitExceeded": "All of the function's reserved "
    "concurrency is in use, or it is 0.",
    "ReservedFunctionInvocationRateLimitExceeded": "The function is invoked too often for its "
    "reserved concurrency.",
    "CallerRateLimitExceeded": "You invoke functions too often.",
}


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An error for a refusal of Lambda.

    Attributes:
        family: its class, which has the exit code.
        reference: its reference.
        about: its first sentence. What Lambda says follows.
        hint: what to do.
    """

    family: type[TerraliveError]
    reference: str
    about: str
    hint: str = ""


_THROTTLED: Final = _Refusal(
    TerraliveError,
    "invocation-throttled",
    "Lambda has throttled the invocation, and the function did not run.",
    "Try again when other invocations have ended, or add --async: Lambda keeps the event and tries "
    "again. --local runs your code without Lambda.",
)
_TOO_LARGE: Final = _Refusal(
    ConfigurationError,
    "event-too-large",
    "Lambda does not take the event.",
    "Put the data into a bucket, and its name into the event.",
)
_NO_EVENT: Final = _Refusal(ConfigurationError, "event-not-json", "Lambda does not take the event.")
_NOT_READY: Final = _Refusal(
    TerraliveError,
    "function-not-ready",
    "Lambda is still changing the function.",
    "Try again in a few seconds.",
)
_CANNOT_START: Final = _Refusal(
    TerraliveError,
    "function-cannot-start",
    "Lambda cannot start the function.",
    "Correct its configuration, or run your code without Lambda: --local.",
)
_REFUSALS: Final[Mapping[str, _Refusal]] = {
    "ResourceNotFoundException": _Refusal(
        ConfigurationError,
        "function-not-deployed",
        "Lambda does not have this function or version.",
        "Deploy it by `terralive start`, or give another --qualifier.",
    ),
    "TooManyRequestsException": _THROTTLED,
    "ThrottlingException": _THROTTLED,
    "RequestTooLargeException": _TOO_LARGE,
    "SerializedRequestEntityTooLargeException": _TOO_LARGE,
    "InvalidRequestContentException": _NO_EVENT,
    "UnsupportedMediaTypeException": _NO_EVENT,
    "ResourceConflictException": _NOT_READY,
    "ResourceNotReadyException": _NOT_READY,
    "ServiceException": _Refusal(
        TerraliveError,
        "lambda-failed",
        "Lambda itself has failed, and nobody knows whether the function ran.",
        "See its log before you invoke it again.",
    ),
}
# Errors of networks, file systems, keys, images and snapshots: `ENILimitReachedException`, …
_START_FAILURES: Final = (
    "EC2",
    "EFS",
    "ENI",
    "InvalidRuntime",
    "InvalidSecurityGroup",
    "InvalidSubnet",
    "InvalidZip",
    "KMS",
    "SnapStart",
    "SubnetIP",
)


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """The answer of Lambda.

    Attributes:
        request_id: the AWS request id.
        outcome: the result, or the function's error.
        took_s: time until the answer, in seconds.
        accepted: true if the event is in Lambda's queue, and no answer of the function comes.
        version: the version of the function that ran.
        log_tail: the last 4 KB of its log in Lambda.
    """

    request_id: str
    outcome: Outcome
    took_s: float
    accepted: bool
    version: str = ""
    log_tail: str = field(repr=False, default="")


def client_settings(timeout_s: int) -> dict[str, Any]:
    """Return the settings of a client that waits for a function's answer, and never asks twice.

    A repeated request would run the function a second time. Routers drop a connection on which
    nothing is sent for some minutes, so it is kept alive.

    Args:
        timeout_s: the function's timeout; 0 if it is not known.
    """
    longest = timeout_s or FUNCTION_TIMEOUT_SECONDS
    return {
        "connect_timeout": _CONNECT_SECONDS,
        "read_timeout": longest + _BEYOND_TIMEOUT_SECONDS,
        "retries": {"total_max_attempts": 1},
        "tcp_keepalive": True,
    }


def call(
    client: LambdaClient, arn: str, event: bytes, *, qualifier: str, asynchronous: bool
) -> CallAnswer:
    """Invoke a function, and wait for its answer unless that is asynchronous.

    Args:
        client: Lambda, in the function's account and region, with `client_settings`.
        arn: the function's ARN, without a qualifier.
        event: the event.
        qualifier: a version or alias; "" for `$LATEST`.
        asynchronous: whether Lambda only takes the event.

    Raises:
        ConfigurationError: there is no such function or version, or Lambda refuses the event.
        CredentialsError: the caller may not invoke it.
        TerraliveError: it is throttled or not ready, cannot start, or the answer was lost.
    """
    from botocore.exceptions import (  # noqa: PLC0415  # heavy
        BotoCoreError,
        ClientError,
        ConnectionClosedError,
        ReadTimeoutError,
    )

    arguments: dict[str, Any] = {"FunctionName": arn, "Payload": event}
    if qualifier:
        arguments["Qualifier"] = qualifier
    if asynchronous:
        arguments["InvocationType"] = "Event"
    else:
        arguments["LogType"] = "Tail"
    began = time.monotonic()
    try:
        answer = client.invoke(**arguments)
        body = answer["Payload"].read()
    except (ReadTimeoutError, ConnectionClosedError) as error:
        raise answer_lost(time.monotonic() - began, str(error)) from None
    except ClientError as error:
        raise _refused(error) from None
    except BotoCoreError as error:
        raise explained(error) from None
    tail = base64.b64decode(answer.get("LogResult", ""))
    return CallAnswer(
        request_id=answer["ResponseMetadata"].get("RequestId", ""),
        outcome=Outcome(body, answer.get("FunctionError", "")),
        took_s=time.monotonic() - began,
        accepted=answer["StatusCode"] == _ACCEPTED,
        version=answer.get("ExecutedVersion", ""),
        log_tail=tail.decode("utf-8", "replace"),
    )


def _refused(error: ClientError) -> TerraliveError:
    """Explain an error with which Lambda has refused to invoke a function."""
    details = error.response["Error"]
    # Only the answer to a throttled request has a reason.
    reason = text(error.response, "Reason")
    return refused(details.get("Code", ""), details.get("Message", ""), reason) or explained(error)


def refused(code: str, message: str, reason: str = "") -> TerraliveError | None:
    """Return the error for a refusal of Invoke; None where it is about credentials, or unknown.

    https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors

    Args:
        code: the error's name (`TooManyRequestsException`).
        message: its text.
        reason: why the caller is throttled.
    """
    found = _REFUSALS.get(code)
    if found is None and code.startswith(_START_FAILURES):
        found = _CANNOT_START
    if found is None:
        return None
    why = _REASONS.get(reason, message)
    return found.family(found.reference, f"{found.about} {why}", hint=found.hint)


def answer_lost(waited_s: float, cause: str) -> TerraliveError:
    """Return the error for an answer that has not come."""
    return TerraliveError(
        "answer-lost",
        f"No answer has come within {waited_s:.0f} s: {cause} Nobody knows whether the function "
        "has run, or runs on.",
        hint="See its log (`terralive logs`) before you invoke it again. For a function that runs "
        "for minutes, --async is safer: no connection has to stay open.",
    )

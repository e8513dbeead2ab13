"""Outcomes that no handler returned: a crash, a timeout, a stop. The words are those of Lambda.

Pure. https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html and
https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-execution.html.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable
from dataclasses import dataclass

from terralive_stub.protocol.invocation import Outcome
from terralive_stub.shared.timestamps import format_epoch_seconds


@dataclass(frozen=True, slots=True)
class WorkerFailure:
    """The end of a worker that did not answer.

    Attributes:
        document: the error that the worker's runtime reported before the end, or None.
        cause: the X-Ray cause of that error (JSON text), which contains file and line, or "".
        status: the process's return code as in `subprocess` (negative for a signal), or the reason
            why the process never started. Only used where there is no `document`.
    """

    document: Outcome | None = None
    cause: str = ""
    status: int | OSError = 0

    def outcome(self, request_id: str) -> Outcome:
        """Return the outcome of the invocation that did not get an answer."""
        if self.document is not None:
            return self.document
        if isinstance(self.status, OSError):
            reason = self.status.strerror or self.status
            return _error("Runtime.InvalidEntrypoint", f"RequestId: {request_id} Error: {reason}")
        reason = _describe_exit(self.status)
        return _error("Runtime.ExitError", f"RequestId: {request_id} Error: {reason}")


def timed_out(request_id: str, allowed_s: float, now: float) -> Outcome:
    """Return the outcome of an invocation that exceeded its time.

    Args:
        request_id: the AWS request id.
        allowed_s: the time that the invocation had, in seconds.
        now: the time, in seconds since the Unix epoch.
    """
    at = format_epoch_seconds(now)
    message = f"{at} {request_id} Task timed out after {allowed_s:.2f} seconds"
    return _error("Sandbox.Timedout", message)


def stopped(function: str) -> Outcome:
    """Return the outcome of an invocation that terralive ends because it stops itself."""
    message = f"terralive stopped before {function} answered; it did not finish here."
    return _error("Terralive.Stopped", message)


def replaced(request_id: str) -> Outcome:
    """Return the outcome of an attempt that AWS has replaced by another one."""
    message = (
        f"AWS has sent {request_id}, or a message in it, again. This attempt was still running "
        "here, and terralive ended it before the next one began."
    )
    return _error("Terralive.Replaced", message)


def build_failed(command: str, status: int | OSError, tail: Iterable[str]) -> Outcome:
    """Return the outcome of an invocation whose code could not be built.

    Args:
        command: the build command.
        status: how it ended, as in `WorkerFailure`.
        tail: the last lines that it wrote.
    """
    if isinstance(status, OSError):
        reason = status.strerror or str(status)
    else:
        reason = _describe_status(status)
    message = "\n".join([f"The build command failed ({reason}): {command}", *tail])
    return _error("Terralive.BuildFailed", message)


def _describe_exit(status: int) -> str:
    if status == 0:
        return "Runtime exited without providing a reason"
    return f"Runtime exited with error: {_describe_status(status)}"


def _describe_status(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        name = (signal.strsignal(-status) or "").lower()
    except ValueError:
        name = ""
    return f"signal: {name or -status}"


def _error(error_type: str, message: str) -> Outcome:
    document = {"errorType": error_type, "errorMessage": message}
    return Outcome(json.dumps(document).encode(), error_type)

"""Outcomes that no handler gave: a crash, a deadline, a stop. Worded as the Lambda service words them.

Pure. https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html and
https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-execution.html.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from terralive_stub.protocol.invocation import Outcome


@dataclass(frozen=True, slots=True)
class WorkerFailure:
    """How a worker ended: by the error its runtime reported (`document`), or by its process's status.

    `cause` is that error's X-Ray cause, for people. `status` is a return code as `subprocess` has
    it, negative for a signal, or why the process never started.
    """

    document: Outcome | None = None
    cause: str = ""
    status: int | OSError = 0

    def outcome(self, request_id: str) -> Outcome:
        """The outcome of the invocation that the failure hit."""
        if self.document is not None:
            return self.document
        if isinstance(self.status, OSError):
            return _error(
                "Runtime.InvalidEntrypoint",
                f"RequestId: {request_id} Error: {self.status.strerror or self.status}",
            )
        return _error("Runtime.ExitError", f"RequestId: {request_id} Error: {_ending(self.status)}")


def timed_out(request_id: str, allowed_s: float, now: float) -> Outcome:
    """`allowed_s` is the time the invocation had, `now` in seconds since the Unix epoch."""
    at = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _error(
        "Sandbox.Timedout", f"{at} {request_id} Task timed out after {allowed_s:.2f} seconds"
    )


def stopped(function: str) -> Outcome:
    return _error(
        "Terralive.Stopped",
        f"terralive stopped before {function} answered; it did not finish here.",
    )


def build_failed(command: str, status: int | OSError, tail: Iterable[str]) -> Outcome:
    """`status` as in `WorkerFailure`; `tail` is the end of what the command wrote."""
    how = status.strerror or str(status) if isinstance(status, OSError) else _status(status)
    return _error(
        "Terralive.BuildFailed", "\n".join((f"The build command failed ({how}): {command}", *tail))
    )


def _ending(status: int) -> str:
    if status == 0:
        return "Runtime exited without providing a reason"
    return f"Runtime exited with error: {_status(status)}"


def _status(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        name = (signal.strsignal(-status) or "").lower()
    except ValueError:
        name = ""
    return f"signal: {name or -status}"


def _error(error_type: str, message: str) -> Outcome:
    return Outcome(
        json.dumps({"errorType": error_type, "errorMessage": message}).encode(), error_type
    )

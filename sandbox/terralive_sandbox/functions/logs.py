"""A function's log: the lines of its processes, and Lambda's own START, END and REPORT lines.

Lines reach CloudWatch Logs only if the function's role may write there, as on AWS
(https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html). A stream keeps its
newest 10,000 lines.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Final

from moto.awslambda.models import LambdaFunction
from moto.core.exceptions import JsonRESTError
from moto.logs.models import logs_backends

from terralive_sandbox.access.policy import AccessRequest, Decision, decide
from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.places import Place
from terralive_stub.protocol.invocation import Outcome

_KEPT_LINES: Final = 10_000
# The name under which the control plane keeps a function's LoggingConfig with moto's function.
LOGGING_CONFIG: Final = "terralive_logging_config"
# Lines of so much time are written together.
_WRITE_INTERVAL_SECONDS: Final = 0.05
# Errors that the Lambda service writes to the log. Other errors are the runtime's to write.
_SERVICE_ERRORS: Final = frozenset(
    {"Sandbox.Timedout", "Runtime.ExitError", "Runtime.InvalidEntrypoint"}
)


def logging_config(function: LambdaFunction) -> Mapping[str, str]:
    """Return a function's LoggingConfig, as the control plane keeps it with moto's function."""
    config: Mapping[str, str] = vars(function)[LOGGING_CONFIG]
    return config


@dataclass(frozen=True, slots=True)
class _Line:
    """One line that is not written yet.

    Attributes:
        log: the log that it belongs to.
        at: when it was printed, in milliseconds since the Unix epoch.
        text: the line.
    """

    log: FunctionLog
    at: int
    text: str


class LogWriter:
    """Writes lines to CloudWatch Logs, many at once, so that the control plane has little to do."""

    def __init__(self, control: ControlPlane) -> None:
        self._control = control
        # The lines that are not written yet, in order; None ends the writer.
        self._queue: queue.SimpleQueue[_Line | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="sandbox-logs", daemon=True).start()

    def write(self, log: FunctionLog, text: str) -> None:
        """Take a line. It never blocks, and any thread may call it."""
        self._queue.put(_Line(log, int(time.time() * 1000), text))

    def close(self) -> None:
        """Stop writing."""
        self._queue.put(None)

    def _run(self) -> None:
        is_open = True
        while is_open:
            taken = [self._queue.get()]
            time.sleep(_WRITE_INTERVAL_SECONDS)
            # Lines that arrive from now on come with the next round.
            taken += [self._queue.get() for _ in range(self._queue.qsize())]
            lines = [line for line in taken if line is not None]
            is_open = len(lines) == len(taken)
            # The sandbox stops: the control plane takes no more calls, or drops those that wait.
            with contextlib.suppress(RuntimeError, CancelledError):
                self._control.call(self._put_lines, lines).result()

    def _put_lines(self, lines: list[_Line]) -> None:
        """Write lines. Runs on the thread that owns moto's state."""
        by_log: dict[FunctionLog, list[_Line]] = {}
        for line in lines:
            by_log.setdefault(line.log, []).append(line)
        for log, lines_of_log in by_log.items():
            _put_log_events(log, lines_of_log)


@dataclass(eq=False, slots=True)
class FunctionLog:
    """The log of one execution environment. Any thread may call it; it never blocks.

    Attributes:
        place: the account and region of the function.
        group: the log group's name.
        stream: the log stream's name.
        documents: the policies of the function's role, as JSON text.
        write: takes a line and never blocks.
    """

    place: Place
    group: str
    stream: str
    documents: tuple[str, ...]
    write: Callable[[FunctionLog, str], None]
    # Guards the lines.
    _lock: threading.Lock = field(default_factory=threading.Lock)
    # The lines of invocations that run, by request id.
    _lines: dict[str, list[str]] = field(default_factory=dict)

    def line(self, request_id: str, line: str, kind: str = "") -> None:
        """Take a line of output.

        Args:
            request_id: the invocation that it belongs to; "" for none.
            line: the line. A carriage return stands for a line break: Python's runtime writes one
                to keep a stack trace one event.
            kind: "stdout" or "stderr", which a log does not distinguish.
        """
        del kind
        # The runtime's stack trace becomes one event with several lines.
        line = line.replace("\r", "\n")
        with self._lock:
            if request_id in self._lines:
                self._lines[request_id].append(line)
        self.write(self, line)

    def start(self, request_id: str, version: str) -> None:
        """Open an invocation's log."""
        with self._lock:
            self._lines[request_id] = []
        self.line(request_id, f"START RequestId: {request_id} Version: {version}")

    def end(self, request_id: str, outcome: Outcome, report: str) -> tuple[str, ...]:
        """Close an invocation's log with the values of its REPORT line. Return all its lines."""
        if outcome.error_type in _SERVICE_ERRORS:
            message = str(json.loads(outcome.body)["errorMessage"])
            if outcome.error_type != "Sandbox.Timedout":
                message = f"{message}\n{outcome.error_type}"
            self.line(request_id, message)
        self.line(request_id, f"END RequestId: {request_id}")
        self.line(request_id, f"REPORT RequestId: {request_id}\t{report}")
        with self._lock:
            return tuple(self._lines.pop(request_id, ()))


def _put_log_events(log: FunctionLog, lines: list[_Line]) -> None:
    """Write lines of one log to CloudWatch Logs, if the function's role may do so."""
    account, region = log.place.account, log.place.region
    group_arn = f"arn:aws:logs:{region}:{account}:log-group:{log.group}"
    stream_arn = f"{group_arn}:log-stream:{log.stream}"
    if not _may(log, "PutLogEvents", stream_arn, group_arn):
        return
    backend = logs_backends[account][region]
    try:
        if log.group not in backend.groups:
            if not _may(log, "CreateLogGroup", group_arn, f"{group_arn}:"):
                return
            backend.create_log_group(log.group, {})
        backend.ensure_log_stream(log.group, log.stream)
        backend.put_log_events(
            log.group,
            log.stream,
            [{"timestamp": line.at, "message": line.text} for line in lines],
        )
        events = backend.groups[log.group].streams[log.stream].events
        del events[: max(0, len(events) - _KEPT_LINES)]
    except JsonRESTError:
        return  # The group or the stream has been deleted meanwhile.


def _may(log: FunctionLog, action: str, *resources: str) -> bool:
    request = AccessRequest(f"logs:{action}", resources)
    return decide(log.documents, request) is Decision.ALLOWED

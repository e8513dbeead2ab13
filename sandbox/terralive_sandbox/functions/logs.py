"""A function's log: the lines of its processes, and Lambda's own START, END and REPORT lines.

Lines reach CloudWatch Logs only if the function's role may write there, as on AWS
(https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html). A stream keeps its
newest `KEPT_LINES` lines.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, TypeAlias

from moto.awslambda.models import LambdaFunction
from moto.core.exceptions import JsonRESTError
from moto.logs.models import logs_backends

from terralive_sandbox.access.identity import ACCOUNT
from terralive_sandbox.access.policy import AccessRequest, Decision, decide
from terralive_stub.protocol.invocation import Outcome

KEPT_LINES: Final = 10_000
# The name under which the control plane keeps a function's LoggingConfig with moto's function.
LOGGING_CONFIG: Final = "terralive_logging_config"
# Lines of so much time are written together.
_WRITE_INTERVAL_SECONDS: Final = 0.05
# Errors that the Lambda service writes to the log. Other errors are the runtime's to write.
_SERVICE_ERRORS: Final = frozenset(
    {"Sandbox.Timedout", "Runtime.ExitError", "Runtime.InvalidEntrypoint"}
)


@dataclass(frozen=True, slots=True)
class LogStream:
    """The log stream of one execution environment.

    Attributes:
        group: the log group's name.
        name: the stream's name.
        documents: the policies of the function's role, as JSON text.
    """

    group: str
    name: str
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The values of a REPORT line.

    Attributes:
        handler_ms: how long the handler ran.
        memory_mb: the function's memory.
        init_ms: how long the init phase of a cold start took; None for a warm start.
        peak_mb: the most memory that the process has held; None if it is not known.
    """

    handler_ms: float
    memory_mb: int
    init_ms: float | None = None
    peak_mb: int | None = None

    def __str__(self) -> str:
        billed = int(self.handler_ms + (self.init_ms or 0)) + 1
        parts = [
            f"Duration: {self.handler_ms:.2f} ms",
            f"Billed Duration: {billed} ms",
            f"Memory Size: {self.memory_mb} MB",
        ]
        if self.peak_mb is not None:
            parts.append(f"Max Memory Used: {self.peak_mb} MB")
        if self.init_ms is not None:
            parts.append(f"Init Duration: {self.init_ms:.2f} ms")
        return "\t".join(parts)


def logging_config(function: LambdaFunction) -> Mapping[str, str]:
    """Return a function's LoggingConfig, as the control plane keeps it with moto's function."""
    config: Mapping[str, str] = vars(function)[LOGGING_CONFIG]
    return config


Write: TypeAlias = Callable[[LogStream, str], None]
"""A function that takes a line of a log stream and never blocks."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One line that is not written yet.

    Attributes:
        stream: its log stream.
        at: when it was printed, in milliseconds since the Unix epoch.
        text: the line.
    """

    stream: LogStream
    at: int
    text: str


class LogWriter:
    """Writes lines to CloudWatch Logs, many at once, so that the control plane has little to do.

    Args:
        call: runs a function on the thread that owns moto's state.
        region: the sandbox's region.
    """

    def __init__(self, call: Callable[[Callable[[], None]], Future[None]], region: str) -> None:
        self._call = call
        self._region = region
        # Guards the lines.
        self._lock = threading.Lock()
        # The lines that are not written yet, in order.
        self._lines: list[_Line] = []
        # Set when there are lines to write, or the writer is closed.
        self._wake = threading.Event()
        self._closed = False
        threading.Thread(target=self._run, name="sandbox-logs", daemon=True).start()

    def write(self, stream: LogStream, text: str) -> None:
        """Take a line. It never blocks, and any thread may call it."""
        line = _Line(stream, int(time.time() * 1000), text)
        with self._lock:
            self._lines.append(line)
        self._wake.set()

    def close(self) -> None:
        """Stop writing."""
        self._closed = True
        self._wake.set()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait()
            time.sleep(_WRITE_INTERVAL_SECONDS)
            self._wake.clear()
            with contextlib.suppress(RuntimeError):  # The sandbox has stopped.
                self._call(self._put_lines).result()

    def _put_lines(self) -> None:
        """Write all lines. Runs on the thread that owns moto's state."""
        with self._lock:
            lines = self._lines
            self._lines = []
        # Streams are compared by identity, because comparing all their fields would cost more.
        by_stream: dict[int, list[_Line]] = {}
        for line in lines:
            by_stream.setdefault(id(line.stream), []).append(line)
        for lines_of_stream in by_stream.values():
            _put_log_events(self._region, lines_of_stream)


class FunctionLog:
    """The log of one execution environment. Any thread may call it; it never blocks."""

    def __init__(self, stream: LogStream, write: Write) -> None:
        self._stream = stream
        self._write = write
        # Guards the lines.
        self._lock = threading.Lock()
        # The lines of invocations that run, by request id.
        self._lines: dict[str, list[str]] = {}

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
        self._write(self._stream, line)

    def start(self, request_id: str, version: str) -> None:
        """Open an invocation's log."""
        with self._lock:
            self._lines[request_id] = []
        self.line(request_id, f"START RequestId: {request_id} Version: {version}")

    def end(self, request_id: str, outcome: Outcome, report: Report) -> tuple[str, ...]:
        """Close an invocation's log. Return all its lines."""
        if outcome.error_type in _SERVICE_ERRORS:
            self.line(request_id, _error_line(outcome))
        self.line(request_id, f"END RequestId: {request_id}")
        self.line(request_id, f"REPORT RequestId: {request_id}\t{report}")
        with self._lock:
            return tuple(self._lines.pop(request_id, ()))


def _error_line(outcome: Outcome) -> str:
    message = str(json.loads(outcome.body)["errorMessage"])
    if outcome.error_type == "Sandbox.Timedout":
        return message
    return f"{message}\n{outcome.error_type}"


def _put_log_events(region: str, lines: list[_Line]) -> None:
    """Write lines of one stream to CloudWatch Logs, if the function's role may do so."""
    stream = lines[0].stream
    group_arn = f"arn:aws:logs:{region}:{ACCOUNT}:log-group:{stream.group}"
    stream_arn = f"{group_arn}:log-stream:{stream.name}"
    if not _may(stream, "PutLogEvents", stream_arn, group_arn):
        return
    backend = logs_backends[ACCOUNT][region]
    try:
        if stream.group not in backend.groups:
            if not _may(stream, "CreateLogGroup", group_arn, f"{group_arn}:"):
                return
            backend.create_log_group(stream.group, {})
        backend.ensure_log_stream(stream.group, stream.name)
        backend.put_log_events(
            stream.group,
            stream.name,
            [{"timestamp": line.at, "message": line.text} for line in lines],
        )
        events = backend.groups[stream.group].streams[stream.name].events
        del events[: max(0, len(events) - KEPT_LINES)]
    except JsonRESTError:
        return  # The group or the stream has been deleted meanwhile.


def _may(stream: LogStream, action: str, *resources: str) -> bool:
    request = AccessRequest(f"logs:{action}", resources)
    return decide(stream.documents, request) is Decision.ALLOWED

"""A function's log: lines of its processes and Lambda's own START, END and REPORT lines, on their way to CloudWatch.

A line reaches the log group only if the function's role may write there, as on AWS
(https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html). The newest
`KEPT_LINES` of a stream stay.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

from moto.awslambda.models import LambdaFunction
from moto.core.exceptions import JsonRESTError
from moto.logs.models import logs_backends

from terralive_sandbox.access.identity import ACCOUNT
from terralive_sandbox.access.policy import AccessRequest, Decision, decide
from terralive_stub.protocol.invocation import Outcome

KEPT_LINES = 10_000
LOGGING_CONFIG = "terralive_logging_config"
_TOGETHER_SECONDS = 0.05
# What the service itself says; other errors are the runtime's to log.
_SERVICE_ERRORS = frozenset({"Sandbox.Timedout", "Runtime.ExitError", "Runtime.InvalidEntrypoint"})


@dataclass(frozen=True, slots=True)
class LogStream:
    """Where lines go, and the policies of who writes them."""

    group: str
    name: str
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What the REPORT line says; `init_ms` of a cold start, `peak_mb` where the system tells it."""

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
    """How and where a function logs, as the API has it.

    The control plane keeps it with moto's function.
    """
    config: Mapping[str, str] = vars(function)[LOGGING_CONFIG]
    return config


Write: TypeAlias = Callable[[LogStream, str], None]


class LogWriter:
    """Brings lines to CloudWatch Logs, many at a time, so that a chatty function costs the control plane little.

    Args:
        call: runs a function on the thread that owns moto's state.
        region: the sandbox's region.
    """

    def __init__(self, call: Callable[[Callable[[], None]], Future[None]], region: str) -> None:
        self._call = call
        self._region = region
        # Guards the lines that wait.
        self._lock = threading.Lock()
        self._lines: list[tuple[LogStream, int, str]] = []
        self._wake = threading.Event()
        self._closed = False
        threading.Thread(target=self._run, name="sandbox-logs", daemon=True).start()

    def write(self, stream: LogStream, line: str) -> None:
        """Take a line; never blocks, and may be called from any thread."""
        with self._lock:
            self._lines.append((stream, int(time.time() * 1000), line))
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait()
            time.sleep(_TOGETHER_SECONDS)
            self._wake.clear()
            with contextlib.suppress(RuntimeError):  # the sandbox has stopped
                self._call(self._put).result()

    def _put(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
        ordered = sorted(
            lines, key=lambda line: id(line[0])
        )  # stable: a stream's lines keep their order
        for _, found in groupby(ordered, key=lambda line: id(line[0])):
            together = list(found)
            put(self._region, together[0][0], [(at, text) for _, at, text in together])


class FunctionLog:
    """The log of one execution environment, a stream of its own. Thread-safe; never blocks."""

    def __init__(self, stream: LogStream, write: Write) -> None:
        self._stream = stream
        self._write = write
        # Guards the lines of invocations that run.
        self._lock = threading.Lock()
        self._lines: dict[str, list[str]] = {}

    def line(self, request_id: str, line: str, kind: str = "") -> None:
        """Take a line of output.

        `kind` says whether it came from stdout or stderr, which a log does not tell.
        """
        del kind
        line = line.replace("\r", "\n")  # by which Python's runtime keeps a stack trace one event
        with self._lock:
            if request_id in self._lines:
                self._lines[request_id].append(line)
        self._write(self._stream, line)

    def start(self, request_id: str, version: str) -> None:
        with self._lock:
            self._lines[request_id] = []
        self.line(request_id, f"START RequestId: {request_id} Version: {version}")

    def end(self, request_id: str, outcome: Outcome, report: Report) -> tuple[str, ...]:
        """Close an invocation's log and give all its lines."""
        if outcome.error_type in _SERVICE_ERRORS:
            self.line(request_id, _error_line(outcome))
        self.line(request_id, f"END RequestId: {request_id}")
        self.line(request_id, f"REPORT RequestId: {request_id}\t{report}")
        with self._lock:
            return tuple(self._lines.pop(request_id, ()))


def _error_line(outcome: Outcome) -> str:
    message = str(json.loads(outcome.body)["errorMessage"])
    return (
        message if outcome.error_type == "Sandbox.Timedout" else f"{message}\n{outcome.error_type}"
    )


def put(region: str, stream: LogStream, lines: list[tuple[int, str]]) -> None:
    """Write lines to CloudWatch Logs if the role may; on the thread that owns moto's state."""
    arn = f"arn:aws:logs:{region}:{ACCOUNT}:log-group:{stream.group}"

    def may(action: str, *resources: str) -> bool:
        return (
            decide(stream.documents, AccessRequest(f"logs:{action}", resources)) is Decision.ALLOWED
        )

    if not may("PutLogEvents", f"{arn}:log-stream:{stream.name}", arn):
        return
    backend = logs_backends[ACCOUNT][region]
    try:
        if stream.group not in backend.groups:
            if not may("CreateLogGroup", arn, f"{arn}:"):
                return
            backend.create_log_group(stream.group, {})
        backend.ensure_log_stream(stream.group, stream.name)
        backend.put_log_events(
            stream.group, stream.name, [{"timestamp": at, "message": line} for at, line in lines]
        )
        events = backend.groups[stream.group].streams[stream.name].events
        del events[: max(0, len(events) - KEPT_LINES)]
    except JsonRESTError:
        return  # deleted meanwhile

"""A function's log: lines of its processes and Lambda's own START, END and REPORT lines, on their way to CloudWatch.

A line reaches the log group only if the function's role may write there, as on AWS
(https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

from moto.core.exceptions import JsonRESTError
from moto.logs.models import logs_backends

from terralive_relay.events import LogLine, RelayEvent
from terralive_stub.invocation import Outcome

from .identity import ACCOUNT
from .policy import AccessRequest, Decision, decide


class FunctionLog:
    """The log stream of one execution environment. Thread-safe; never blocks."""

    Write: TypeAlias = Callable[[str, str, list[tuple[int, str]], tuple[str, ...]], object]

    def __init__(self, group: str, stream: str, documents: tuple[str, ...], write: Write) -> None:
        self._group = group
        self._stream = stream
        self._documents = documents
        self._write = write
        # Guards the lines of invocations that run.
        self._lock = threading.Lock()
        self._lines: dict[str, list[str]] = {}

    def sink(self, event: RelayEvent) -> None:
        """Take a worker's output."""
        if isinstance(event, LogLine):
            self._add(event.request_id, event.line)

    def start(self, request_id: str, version: str) -> None:
        with self._lock:
            self._lines[request_id] = []
        self._add(request_id, f"START RequestId: {request_id} Version: {version}")

    def end(self, request_id: str, handler_ms: float, memory: int, outcome: Outcome) -> list[str]:
        """Close an invocation's log and give all its lines."""
        if not outcome.ok:
            self._add(request_id, _error_line(outcome))
        billed = int(handler_ms) + 1
        self._add(request_id, f"END RequestId: {request_id}")
        self._add(
            request_id,
            f"REPORT RequestId: {request_id}\tDuration: {handler_ms:.2f} ms\tBilled Duration: {billed} ms\t"
            f"Memory Size: {memory} MB\tMax Memory Used: {memory} MB",
        )
        with self._lock:
            return self._lines.pop(request_id, [])

    def _add(self, request_id: str, line: str) -> None:
        with self._lock:
            if request_id in self._lines:
                self._lines[request_id].append(line)
        self._write(self._group, self._stream, [(int(time.time() * 1000), line)], self._documents)


def _error_line(outcome: Outcome) -> str:
    try:
        document = json.loads(outcome.body)
    except ValueError:
        return outcome.error_type
    if outcome.error_type == "Sandbox.Timedout":
        return str(document.get("errorMessage"))
    trace = "".join(f"\n{line}" for line in document.get("stackTrace") or [])
    return f"[ERROR] {document.get('errorType')}: {document.get('errorMessage')}{trace}"


def put(region: str, group: str, stream: str, lines: list[tuple[int, str]], documents: tuple[str, ...]) -> None:
    """Write lines to CloudWatch Logs if the role may; on the thread that owns moto's state."""
    arn = f"arn:aws:logs:{region}:{ACCOUNT}:log-group:{group}"

    def may(action: str, *resources: str) -> bool:
        return decide(documents, AccessRequest(f"logs:{action}", resources)) is Decision.ALLOWED

    if not may("PutLogEvents", f"{arn}:log-stream:{stream}", arn):
        return
    backend = logs_backends[ACCOUNT][region]
    try:
        if group not in backend.groups:
            if not may("CreateLogGroup", arn, f"{arn}:"):
                return
            backend.create_log_group(group, {})
        backend.ensure_log_stream(group, stream)
        backend.put_log_events(group, stream, [{"timestamp": at, "message": line} for at, line in lines])
    except JsonRESTError:
        return  # deleted meanwhile

"""Local functions of a few lines of code, invocations for them, and a recorder of events."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import TypeVar

from terralive_relay.events import LogLine, RelayEvent
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_workers.function import LocalFunction
from terralive_workers.runtime_api.server import RuntimeApi
from terralive_workers.runtime_api.worker_client import PostResult, StreamedResponse

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
PYTHON = Path(sys.executable)
Event = TypeVar("Event")
_numbers = itertools.count(1)


def local_function(
    folder: Path, code: str = "", handler: str = "app.handler", *, max_workers: int = 4
) -> LocalFunction:
    """Return a Python function in `folder`, whose `app.py` has this code."""
    (folder / "app.py").write_text(dedent(code))
    return LocalFunction(
        name="orders",
        arn=ARN,
        address="aws_lambda_function.orders",
        runtime="python3.12",
        handler=handler,
        path=folder,
        python=PYTHON,
        max_workers=max_workers,
    )


def save(path: Path, text: str) -> None:
    """Save a file as an editor does: at once.

    A file that is written in place is empty for a moment, and a watcher may take that for a change
    of its own.
    """
    # Watchers ignore this name, as they do with an editor's.
    fresh = path.with_name(f".{path.name}.swp")
    fresh.write_text(dedent(text), "utf-8")
    os.replace(fresh, path)  # noqa: PTH105  # as editors do


def invocation(
    event: object = None,
    *,
    seconds: float = 30.0,
    environment: Mapping[str, str] | None = None,
    trace_id: str = "",
    client_context: str = "",
    cognito_identity: str = "",
    tenant_id: str = "",
) -> Invocation:
    return Invocation(
        f"request-{next(_numbers)}",
        "orders",
        ARN,
        Deadline.after(seconds, now=time.monotonic()),
        json.dumps(event).encode(),
        environment or {},
        trace_id,
        client_context,
        cognito_identity,
        tenant_id=tenant_id,
    )


def document(outcome: Outcome) -> dict[str, object]:
    """Return the JSON document of an error."""
    found = json.loads(outcome.body)
    assert isinstance(found, dict)
    return found


class Recorder:
    """A sink that keeps all events, and lets a test wait for one."""

    def __init__(self) -> None:
        # Guards the events.
        self._changed = threading.Condition()
        self._events: list[RelayEvent] = []

    def __call__(self, event: RelayEvent) -> None:
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def lines(self, request_id: str | None = None) -> list[str]:
        with self._changed:
            logs = [event for event in self._events if isinstance(event, LogLine)]
        return [log.line for log in logs if request_id is None or log.request_id == request_id]

    def of_type(self, kind: type[Event]) -> list[Event]:
        with self._changed:
            return [event for event in self._events if isinstance(event, kind)]

    def wait_for(self, line: str, *, times: int = 1, seconds: float = 20.0) -> None:
        """Wait until some worker has written this line so many times."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._count(line) >= times, seconds), (
                f"never written: {line}"
            )

    def _count(self, line: str) -> int:
        return sum(isinstance(event, LogLine) and event.line == line for event in self._events)


@dataclass
class Transcript:
    """One run of a runtime: its calls of the Runtime API, its output and its exit status."""

    calls: list[tuple[str, str, bytes]] = field(default_factory=list)
    stdout: str = ""
    stderr: str = ""
    exit_status: int = 0


class RecordedStream:
    """A streamed response that is noted as a whole when it ends."""

    def __init__(self, note: Callable[[str, str, bytes], PostResult], call: str) -> None:
        self._note = note
        self._call = call
        self._body = bytearray()

    def write(self, piece: bytes) -> bool:
        self._body += piece
        return True

    def end(self) -> PostResult:
        return self._note(self._call, "", bytes(self._body))

    def fail(self, error_type: str, body: bytes) -> PostResult:
        broken = json.dumps({"written": self._body.decode("latin-1"), "error": body.decode()})
        return self._note(f"broken {self._call}", error_type, broken.encode())


class ScriptedClient:
    """A client of the Runtime API that gives out these invocations and records the answers."""

    def __init__(self, invocations: Sequence[Invocation]) -> None:
        self._left = list(invocations)
        # How many invocations were given out. `_answered` belongs to the same lock.
        self._given = 0
        self._answered = threading.Condition()
        self.calls: list[tuple[str, str, bytes]] = []

    def next_invocation(self) -> Invocation | None:
        # A runtime may ask while its streamed response is still read, on another connection.
        with self._answered:
            assert self._answered.wait_for(lambda: len(self.calls) >= self._given, 20)
            if not self._left:
                return None
            self._given += 1
            return self._left.pop(0)

    def respond(self, request_id: str, body: bytes) -> PostResult:
        return self._note(f"response to {request_id}", "", body)

    def begin_stream(self, request_id: str, content_type: str) -> StreamedResponse:
        return RecordedStream(self._note, f"response streamed to {request_id} as {content_type}")

    def fail(self, request_id: str, error_type: str, body: bytes, causes: str = "") -> PostResult:
        del causes
        return self._note(f"error of {request_id}", error_type, body)

    def fail_init(self, error_type: str, body: bytes, cause: str = "") -> PostResult:  # noqa: ARG002
        return self._note("init error", error_type, body)

    def _note(self, call: str, error_type: str, body: bytes) -> PostResult:
        with self._answered:
            self.calls.append((call, error_type, body))
            self._answered.notify_all()
        return PostResult.ACCEPTED


def transcript(
    api: RuntimeApi,
    command: Sequence[str],
    folder: Path,
    invocations: Sequence[Invocation],
    environment: Mapping[str, str],
) -> Transcript:
    """Run a runtime by itself, without a pool, until it has no invocation left."""
    client = ScriptedClient(invocations)
    worker_id, address = api.register(client, own_port=True)
    try:
        ended = subprocess.run(
            command,
            cwd=folder,
            env={"PYTHONDONTWRITEBYTECODE": "1", **environment, "AWS_LAMBDA_RUNTIME_API": address},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
    finally:
        api.unregister(worker_id)
    stdout, stderr = (stream.decode("utf-8", "replace") for stream in (ended.stdout, ended.stderr))
    return Transcript(client.calls, stdout, stderr, ended.returncode)

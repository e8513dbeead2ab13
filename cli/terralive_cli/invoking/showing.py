"""Shows the answer of a function, or writes its result where a program reads it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from terralive_cli.deploy.target import FOLDER
from terralive_cli.invoking.answers import (
    Answered,
    EventShown,
    failure_of,
    has_error,
    payload_of,
)
from terralive_cli.output import failures
from terralive_cli.output.logfiles import file_of_invocation
from terralive_cli.output.ui import Ui
from terralive_relay.events import LogLine
from terralive_stub.protocol.invocation import Outcome

# The session writes the end of an invocation a moment after Lambda has its answer.
_LOG_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.05
_REPORT: Final = "REPORT RequestId:"
_START: Final = "START RequestId:"


def show(ui: Ui, answered: Answered, outcome: Outcome, lines: Sequence[str]) -> int:
    """Show how an invocation ended, and return the exit code.

    Args:
        ui: shows it.
        answered: the answer, without its result or error.
        outcome: the result, or the error.
        lines: the handler's log, where it was not shown yet.
    """
    logged = [LogLine(answered.request_id, answered.function, line) for line in lines]
    payload, payload_text = None, None
    payload_bytes = None
    failure = failure_of(outcome)
    if ui.result is None or failure is not None:
        payload, payload_text = payload_of(outcome.body)
        payload_bytes = len(outcome.body)
    answered = replace(
        answered,
        # After the lines of the log.
        at=datetime.now(UTC),
        payload=payload,
        payload_text=payload_text,
        payload_bytes=payload_bytes,
    )
    if failure is not None:
        answered = replace(
            answered,
            ok=False,
            error_type=failure.type,
            error_message=failure.message,
            stack=failure.stack,
            hint=failure.hint,
            logged=answered.logged or has_error(lines),
        )
        ui.emit(*logged, answered)
        return failures.FAILED
    ui.emit(*logged, answered)
    if ui.result is not None:
        _write(ui, ui.result, outcome.body)
    return 0


def show_event(ui: Ui, event: bytes) -> int:
    """Show the event that would be sent, and return the exit code."""
    document = json.loads(event)
    if ui.result is None:
        ui.emit(EventShown(document))
    else:
        _write(ui, ui.result, json.dumps(document, indent=2, ensure_ascii=False).encode())
    return 0


def log_of_session(project: Path, function: str, request_id: str) -> list[str] | None:
    """Return the lines that a session on this machine has kept of an invocation; None for none.

    Lambda's own log has none of them, unless the session forwards its logs.
    """
    file = file_of_invocation(project / FOLDER / "logs", function, request_id)
    until = time.monotonic() + _LOG_SECONDS
    while True:
        lines = _lines_of(file)
        if any(line.startswith(_REPORT) for line in lines) or time.monotonic() >= until:
            break
        time.sleep(_LOOK_SECONDS)
    if not lines:
        return None
    return [line for line in lines if not line.startswith((_START, _REPORT))]


def _lines_of(file: Path) -> list[str]:
    try:
        text = file.read_text("utf-8")
    except OSError:
        return []
    # Each line begins with its time.
    return [line.partition(" ")[2] for line in text.splitlines()]


def _write(ui: Ui, stream: BinaryIO, content: bytes) -> None:
    """Write a result, after everything that was shown before."""
    ui.flush()
    if content and not content.endswith(b"\n"):
        content += b"\n"
    try:
        stream.write(content)
        stream.flush()
    except BrokenPipeError:
        # The reader has enough. Python would report the broken pipe again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

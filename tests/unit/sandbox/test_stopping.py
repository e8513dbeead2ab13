"""An invocation that is prepared, and log lines that wait, while the sandbox stops."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest

from terralive_sandbox.functions.environments.builder import EnvironmentBuilder
from terralive_sandbox.functions.invoke_api import InvokeError
from terralive_sandbox.functions.logs import FunctionLog, LogWriter
from terralive_sandbox.places import Place


class StopsMeanwhile:
    """A control plane during whose answer the sandbox begins to stop."""

    def __init__(self) -> None:
        self.stopped = False

    async def call_async(self, *_: object) -> dict[str, str]:
        self.stopped = True
        return {}


def test_no_environment_is_started_that_nothing_would_end() -> None:
    control = StopsMeanwhile()
    # Nothing else is touched: log, folders and Runtime API may be gone.
    gone = cast("Any", None)
    builder = EnvironmentBuilder(
        "http://127.0.0.1:1",
        cast("Any", control),
        gone,
        gone,
        gone,
        is_closed=lambda: control.stopped,
    )
    function = cast("Any", SimpleNamespace(role="arn", function_name="orders", region="eu-west-1"))
    with pytest.raises(InvokeError, match="stopping"):
        asyncio.run(builder.build(function, gone))


class DropsCalls:
    """A control plane that has stopped while a call waited."""

    def call(self, *_: object) -> Future[None]:
        dropped: Future[None] = Future()
        dropped.cancel()
        return dropped


def test_log_lines_that_wait_at_the_end_are_dropped_without_a_traceback() -> None:
    logs = LogWriter(cast("Any", DropsCalls()))
    log = FunctionLog(Place("123456789012", "eu-west-1"), "group", "stream", (), logs.write)
    log.line("", "the last line")
    logs.close()
    # pytest fails if the thread ends with an exception.
    for thread in threading.enumerate():
        if thread.name == "sandbox-logs":
            thread.join()

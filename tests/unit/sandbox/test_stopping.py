"""An invocation that is prepared while the sandbox stops."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from terralive_sandbox.functions.environments.builder import EnvironmentBuilder
from terralive_sandbox.functions.invoke_api import InvokeError


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

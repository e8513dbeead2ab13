"""Debuggers at the port of a function's workers."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from terralive_relay.pool.debug_port import DebugPort
from terralive_relay.pool.pool import Pool
from terralive_stub.errors import ConfigurationError
from terralive_testing.drivers.debugger import Inspector
from terralive_testing.drivers.workers import Recorder, invocation, local_function
from terralive_testing.machine.users import CAN_BE_NOBODY, fetch_as_nobody
from terralive_workers.function import Debugger
from terralive_workers.runtime_api.server import RuntimeApi

NODE = Path(shutil.which("node") or "node")
HANDLER = """
exports.handler = async (event, context) => {
  const twice = event.number * 2;
  const before = context.getRemainingTimeInMillis();
  await new Promise((resolve) => setTimeout(resolve, 20));
  return { twice, spent: before - context.getRemainingTimeInMillis() };
};
"""


TYPESCRIPT = """import { big } from "./lib"
export const handler = async (event: object): Promise<string> => {
  debugger
  return big()
}
"""
# From tests/contract/workers/node/package-lock.json, as `make` installs it.
ESBUILD = Path(sys.prefix) / "aws-lambda-ric" / "node_modules" / "esbuild"


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    api = RuntimeApi()
    yield api
    api.close()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
        return number


@pytest.mark.skipif(not NODE.is_absolute(), reason="there is no node on PATH")
def test_a_node_invocation_stops_at_a_breakpoint_past_its_deadline(
    tmp_path: Path, api: RuntimeApi, port: int
) -> None:
    (tmp_path / "index.js").write_text(HANDLER)
    function = replace(
        local_function(tmp_path, handler="index.handler", max_workers=1),
        runtime="nodejs20.x",
        node=NODE,
        debugger=Debugger(port, wait=True, freeze_time=True),
    )
    pool = Pool(function, api, Recorder())
    future = pool.submit(invocation({"number": 21}, seconds=0.5))
    with Inspector(port) as inspector:
        inspector.ask("Debugger.enable")
        inspector.ask(
            "Debugger.setBreakpointByUrl", url=(tmp_path / "index.js").as_uri(), lineNumber=3
        )
        inspector.ask("Runtime.runIfWaitingForDebugger")
        frame = inspector.event("Debugger.paused")["callFrames"][0]
        found = inspector.ask(
            "Debugger.evaluateOnCallFrame", callFrameId=frame["callFrameId"], expression="twice"
        )
        assert found["result"]["value"] == 42
        assert not future.done()
        inspector.ask("Debugger.resume")
        assert json.loads(future.result(60).outcome.body) == {"twice": 42, "spent": 0}
    pool.close()


@pytest.mark.skipif(not ESBUILD.is_dir(), reason="esbuild is not installed (no npm)")
def test_an_editor_finds_the_typescript_that_a_debugged_worker_runs(
    tmp_path: Path, api: RuntimeApi, port: int
) -> None:
    """Its map leads an editor's breakpoints from the user's files to the script in the worker."""
    (tmp_path / "lib.ts").write_text("export const big = (): string => 'big'\n")
    (tmp_path / "index.ts").write_text(TYPESCRIPT)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "esbuild").symlink_to(ESBUILD)
    function = replace(
        local_function(tmp_path, handler="index.handler", max_workers=1),
        runtime="nodejs20.x",
        node=NODE,
        debugger=Debugger(port, wait=True, freeze_time=True),
    )
    pool = Pool(function, api, Recorder())
    future = pool.submit(invocation({"number": 21}))
    with Inspector(port) as inspector:
        inspector.ask("Debugger.enable")
        inspector.ask("Runtime.runIfWaitingForDebugger")
        frame = inspector.event("Debugger.paused")["callFrames"][0]
        script = frame["location"]["scriptId"]
        parsed = inspector.event("Debugger.scriptParsed")
        while parsed["scriptId"] != script:
            parsed = inspector.event("Debugger.scriptParsed")
        assert parsed["url"] == (tmp_path / "index.ts").as_uri()
        source = inspector.ask("Debugger.getScriptSource", scriptId=script)["scriptSource"]
        inline = source.rpartition("base64,")[2]
        assert set(json.loads(base64.b64decode(inline))["sources"]) == {"lib.ts", "index.ts"}
        inspector.ask("Debugger.resume")
        assert future.result(60).outcome.body == b'"big"'
    pool.close()


@pytest.mark.skipif(not CAN_BE_NOBODY, reason="only root can be another user, and by curl")
def test_another_user_of_this_machine_cannot_attach(
    port: int,
) -> None:
    """A debugger's port passes nothing on to the worker behind it."""
    with socket.create_server(("127.0.0.1", 0)) as worker:
        debug_port = DebugPort("orders", port)
        debug_port._worker_port = worker.getsockname()[1]
        worker.settimeout(3)
        assert fetch_as_nobody(f"http://127.0.0.1:{port}/json/list") == (0, "")
        with pytest.raises(TimeoutError):
            worker.accept()
        worker.settimeout(60)
        with socket.create_connection(("127.0.0.1", port)):
            worker.accept()[0].close()  # this user's own connection gets there
        debug_port.close()


def test_a_port_in_use_is_an_error_and_an_ended_one_is_free_again(port: int) -> None:
    first = DebugPort("orders", port)
    with pytest.raises(ConfigurationError, match="orders cannot be debugged on port"):
        DebugPort("orders", port)
    with socket.create_connection(("127.0.0.1", port)) as early:  # no worker is there to let it in
        first.close()
        with suppress(ConnectionResetError):  # it may not even have been accepted
            assert early.recv(1) == b""
    DebugPort("orders", port).close()

"""A breakpoint in a local handler stops a real invocation that comes from a queue or an API."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.debugger import Dap, Inspector
from terralive_testing.drivers.plain_app import add, left, plain_project
from terralive_testing.drivers.project import Live, Project
from terralive_testing.machine.processes import command_lines, descendants, running
from terralive_testing.machine.waiting import eventually

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not shutil.which("node"), reason="there is no node on PATH"),
]

TRIGGERS = """
resource "aws_lambda_function" "other" {
  function_name    = "plain-other"
  role             = aws_iam_role.greet.arn
  runtime          = "nodejs20.x"
  handler          = "index.handler"
  timeout          = 10
  filename         = "${path.module}/greet.zip"
  source_code_hash = filebase64sha256("${path.module}/greet.zip")
}

resource "aws_iam_role_policy" "greet" {
  role   = aws_iam_role.greet.id
  policy = jsonencode({
    Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "sqs:*", Resource = "*" }]
  })
}

resource "aws_sqs_queue" "work" {
  name                       = "work"
  visibility_timeout_seconds = 60
}

resource "aws_lambda_event_source_mapping" "work" {
  event_source_arn = aws_sqs_queue.work.arn
  function_name    = aws_lambda_function.other.arn
  depends_on       = [aws_iam_role_policy.greet]
}
"""

CONFIGURATION = """
[functions."aws_lambda_function.other"]
path = "functions/other"
"""

HANDLER = """
def handler(event, context):
    twice = event["number"] * 2
    before = context.get_remaining_time_in_millis()
    return {"twice": twice, "spent": before - context.get_remaining_time_in_millis()}
"""

NODE_HANDLER = """
exports.handler = async (event, context) => {
  const twice = event.number * 2;
  const before = context.getRemainingTimeInMillis();
  return { twice, spent: before - context.getRemainingTimeInMillis() };
};
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = plain_project(tmp_path_factory.mktemp("breakpoints"))
    add(project, TRIGGERS)
    toml = project.root / "terralive.toml"
    toml.write_text(toml.read_text("utf-8") + CONFIGURATION, "utf-8")
    project.write_handler("greet", HANDLER)
    (project.root / "functions" / "other").mkdir()
    (project.root / "functions" / "other" / "index.js").write_text(NODE_HANDLER, "utf-8")
    return project


@pytest.fixture(scope="module")
def sandbox(project: Project) -> Iterator[Command]:
    with Command(["sandbox"], project.root) as command:
        project.sandbox = command.wait_for_type("ready")["sandbox"]
        yield command


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    return unclaimed_port(), unclaimed_port()


def unclaimed_port() -> int:
    """Return a free port that the system gives nobody by chance until `start` binds it.

    From 32768 on, ports are given to connections:
    https://docs.kernel.org/networking/ip-sysctl.html (ip_local_port_range)
    """
    while True:
        port = random.randrange(10_000, 32_768)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@pytest.fixture(scope="module")
def live(project: Project, sandbox: Command, ports: tuple[int, int]) -> Iterator[Live]:
    assert sandbox.process.poll() is None
    debugged = ["--debug", f"greet:{ports[0]}", "--debug", f"plain-other:{ports[1]}"]
    options = ["--debug-wait", "--debug-freeze-time"]
    with Command(["start", "--sandbox", "--yes", *debugged, *options], project.root) as command:
        yield Live(project, command, command.wait_for_type("ready", timeout_s=240))


def invoke(project: Project, number: int, function: str = "plain-greet") -> dict[str, Any]:
    answer = project.client("lambda").invoke(
        FunctionName=function, Payload=json.dumps({"number": number})
    )
    result: dict[str, Any] = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, result
    return result


def timeouts(project: Project) -> list[int]:
    lambda_ = project.client("lambda")
    names = ("plain-greet", "plain-other")
    return [lambda_.get_function_configuration(FunctionName=name)["Timeout"] for name in names]


@pytest.mark.usefixtures("sandbox")
def test_a_port_in_use_is_told_by_function_before_anything_is_deployed(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run(["start", "--sandbox", "--yes", "--debug", f"greet:{port}"], project.root)
    assert ended.process.returncode == 2, ended.story()
    (error,) = ended.of_type("error")
    assert error["reference"] == "debug-port-in-use"
    assert f"aws_lambda_function.greet cannot be debugged on port {port}" in error["message"]
    assert left(project) == {}


def test_launch_configurations_attach_to_every_function(project: Project) -> None:
    assert run(["init", "--vscode"], project.root).process.returncode == 0
    made = json.loads((project.root / ".vscode" / "launch.json").read_text("utf-8"))[
        "configurations"
    ]
    assert [(item["name"], item["type"]) for item in made] == [
        ("terralive: greet", "debugpy"),
        ("terralive: other", "node"),
    ]
    assert (made[0]["connect"]["port"], made[1]["port"]) == (5678, 9229)


def test_the_plan_shows_how_far_timeouts_are_raised_and_warns_of_a_short_queue(live: Live) -> None:
    (plan,) = live.command.of_type("plan")
    assert [item["timeout_s"] for item in plan["functions"]] == [900, 60]
    assert timeouts(live.project) == [900, 60]
    warned = [
        item for item in live.command.of_type("warning") if item["reference"].startswith("debug-")
    ]
    assert [(item["reference"], item["function"]) for item in warned] == [
        ("debug-queue-visibility", "aws_lambda_function.other")
    ]


def test_an_invocation_stops_at_a_breakpoint_and_goes_on_to_its_caller(live: Live) -> None:
    project = live.project
    place = str(project.root / "functions" / "greet" / "app.py")
    launch = json.loads((project.root / ".vscode" / "launch.json").read_text("utf-8"))[
        "configurations"
    ][0]
    mapping = json.loads(
        json.dumps(launch["pathMappings"]).replace("${workspaceFolder}", str(project.root))
    )
    # Attached before there is a worker; the worker waits for the debugger, and the other invocation
    # for the worker.
    with Dap(live.ready["functions"][0]["debug_port"]) as debugger, ThreadPoolExecutor() as callers:
        answers = [callers.submit(invoke, project, 21)]
        debugger.attach({place: [4]}, pathMappings=mapping)
        stopped = debugger.event("stopped")
        assert stopped["reason"] == "breakpoint"
        assert debugger.locals(stopped["threadId"])["twice"] == "42"
        answers.append(callers.submit(invoke, project, 4))
        eventually(lambda: len(live.command.of_type("invocation")) == 2)
        assert not any(answer.done() for answer in answers)
        debugger.ask("setBreakpoints", source={"path": place}, breakpoints=[])
        debugger.ask("continue", threadId=stopped["threadId"])
        assert [answer.result(60) for answer in answers] == [
            {"twice": 42, "spent": 0},
            {"twice": 8, "spent": 0},
        ]
    assert [line for line in live.command.of_type("log") if "ebugger" in line["line"]] == []


def test_an_invocation_of_a_node_function_stops_at_a_breakpoint_too(live: Live) -> None:
    place = (live.project.root / "functions" / "other" / "index.js").as_uri()
    with ThreadPoolExecutor() as callers:
        answer = callers.submit(invoke, live.project, 21, "plain-other")
        with Inspector(live.ready["functions"][1]["debug_port"]) as inspector:
            inspector.ask("Debugger.enable")
            inspector.ask("Debugger.setBreakpointByUrl", url=place, lineNumber=3)
            inspector.ask("Runtime.runIfWaitingForDebugger")
            frame = inspector.event("Debugger.paused")["callFrames"][0]
            found = inspector.ask(
                "Debugger.evaluateOnCallFrame", callFrameId=frame["callFrameId"], expression="twice"
            )
            assert found["result"]["value"] == 42
            assert not answer.done()
            inspector.ask("Debugger.resume")
            assert answer.result(60) == {"twice": 42, "spent": 0}


def test_after_an_edit_a_debugger_attaches_to_the_new_code(live: Live) -> None:
    before = command_lines()
    live.edit("greet", HANDLER.replace("* 2", "* 3"))
    with Dap(live.ready["functions"][0]["debug_port"]) as debugger, ThreadPoolExecutor() as callers:
        answer = callers.submit(invoke, live.project, 7)
        debugger.attach({})
        assert answer.result(60)["twice"] == 21
        adapters = [
            pid
            for pid, line in command_lines().items()
            if "debugpy/adapter" in line and pid not in before
        ]
        workers = descendants(live.command.process.pid)
        assert adapters
        live.command.interrupt()
        assert live.command.finish() == 130
        eventually(lambda: running([*adapters, *workers]) == [])


def test_without_debug_the_timeouts_are_the_configured_ones_again(
    project: Project, live: Live
) -> None:
    assert live.command.process.poll() is not None
    applied = run(["apply", "--sandbox", "--yes"], project.root)
    assert applied.process.returncode == 0, applied.story()
    assert timeouts(project) == [10, 10]

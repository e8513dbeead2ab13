"""Output of handlers is on this machine's disk and, with `--forward-logs`, in CloudWatch.

Other commands see the session that keeps it, and end it; another one goes on in the background.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from terralive_testing.drivers.command import Command, Event, run
from terralive_testing.drivers.project import Live, Project
from terralive_testing.machine.processes import running
from terralive_testing.machine.waiting import eventually

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def live(project: Project, sandbox: Command) -> Iterator[Live]:
    assert sandbox.process.poll() is None
    arguments = ["--project", str(project.root), "start", "--sandbox", "--yes", "--forward-logs"]
    with Command(arguments, project.root) as command:
        yield Live(project, command, command.wait_for_type("ready", timeout_s=180))


def invoke(live: Live, event: object) -> str:
    """Invoke the `sns` function; give the request id."""
    answer = live.project.client("lambda").invoke(
        FunctionName=live.name_of("sns"), Payload=json.dumps(event).encode()
    )
    return str(answer["ResponseMetadata"]["RequestId"])


def cloudwatch(live: Live) -> list[str]:
    """The function's log, oldest first."""
    logs, group = live.project.client("logs"), f"/aws/lambda/{live.name_of('sns')}"
    streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
    return [
        event["message"].rstrip("\n")
        for stream in streams
        for event in logs.get_log_events(
            logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
        )["events"]
    ]


def own_lines(live: Live, request_id: str) -> list[str]:
    """Return the lines in CloudWatch between an invocation's START and END."""
    lines = cloudwatch(live)
    starts = [
        n for n, line in enumerate(lines) if line.startswith(f"START RequestId: {request_id}")
    ]
    ends = [n for n, line in enumerate(lines) if line.startswith(f"END RequestId: {request_id}")]
    if not starts or not ends:
        return []
    return lines[starts[0] + 1 : ends[0]]


def has_own_lines(live: Live, request_id: str, wanted: list[str]) -> bool:
    return own_lines(live, request_id) == wanted


def kept(live: Live, request_id: str) -> list[str]:
    """Return an invocation's lines in the project's own folder, without the times."""
    file = live.project.root / ".terralive" / "logs" / live.name_of("sns") / f"{request_id}.log"
    eventually(lambda: file.exists() and "REPORT" in file.read_text("utf-8"), "its report")
    return [line.partition(" ")[2] for line in file.read_text("utf-8").splitlines()]


def test_lines_are_kept_here_and_stand_in_cloudwatch_within_their_invocation(live: Live) -> None:
    live.edit(
        "sns",
        "def handler(event, context):\n    print('hello', event)\n    print('no newline', end='')",
    )
    for number in range(3):
        request_id = invoke(live, number)
        wanted = [f"hello {number}", "no newline"]
        eventually(partial(has_own_lines, live, request_id, wanted), "its lines")
        start, *printed, report = kept(live, request_id)
        assert start == f"START RequestId: {request_id} Trigger: invoke"
        assert printed == [f"hello {number}", "no newline"]
        assert report.startswith(f"REPORT RequestId: {request_id} Duration: ")
        assert report.endswith("Status: success")


def test_lines_stay_with_their_invocation_where_many_run_at_once(live: Live) -> None:
    live.edit(
        "sns",
        """
        import time
        def handler(event, context):
            for number in range(4):
                print(event, number)
                time.sleep(0.3)
        """,
    )
    with ThreadPoolExecutor(4) as callers:
        request_ids = list(callers.map(lambda number: invoke(live, number), range(4)))
    for event, request_id in enumerate(request_ids):
        wanted = [f"{event} {number}" for number in range(4)]
        eventually(partial(has_own_lines, live, request_id, wanted), "its lines")
        # The screen shows the result after the lines.
        live.eventually("result", request_id=request_id)
        assert kept(live, request_id)[1:-1] == live.log_lines(request_id) == wanted


def test_what_is_printed_before_a_timeout_is_in_cloudwatch(live: Live) -> None:
    live.edit(
        "sns",
        "import time\ndef handler(event, context):\n    print('before')\n    time.sleep(1000)",
    )
    request_id = invoke(live, None)
    assert live.eventually("result", request_id=request_id)["error_type"] == "Sandbox.Timedout"
    eventually(lambda: "before" in own_lines(live, request_id), "its line")


def test_ten_megabytes_are_kept_whole_here_and_cut_with_a_word_in_cloudwatch(live: Live) -> None:
    live.edit(
        "sns", "def handler(event, context):\n    for n in range(10_000): print(n, 'x' * 995)"
    )
    request_id = invoke(live, None)
    eventually(lambda: bool(own_lines(live, request_id)), "its lines")
    assert any(
        "lines" in line and "are left out here" in line for line in own_lines(live, request_id)
    )
    assert [int(line.split()[0]) for line in kept(live, request_id)[1:-1]] == list(range(10_000))
    assert live.eventually("result", request_id=request_id)["ok"] is True


def command(live: Live, *words: str) -> Command:
    """Run a command for the same stage to its end."""
    root = live.project.root
    return run(["--project", str(root), *words, "--sandbox"], root)


def is_of(event: Event, result: Event) -> bool:
    """Tell whether an event is about the same invocation as this result."""
    return bool(event["request_id"] == result["request_id"])


@pytest.fixture(scope="module")
def stopped(live: Live) -> Command:
    """`terralive stop`, for the session in the foreground."""
    live.edit("sns", "def handler(event, context):\n    print('seen', event)")
    request_id = invoke(live, "elsewhere")
    live.eventually("result", request_id=request_id)
    live.ready["seen"] = command(live, "logs", request_id)
    live.ready["second"] = command(live, "start", "--yes")
    return command(live, "stop")


def test_logs_of_a_session_in_another_terminal_are_its_events(live: Live, stopped: Command) -> None:
    assert stopped.process.returncode == 0, stopped.story()
    seen = live.ready["seen"]
    (result,) = seen.of_type("result")
    assert [event["line"] for event in seen.of_type("log")] == ["seen elsewhere"]
    for kind in ("invocation", "log", "result"):
        shown = [event for event in live.command.of_type(kind) if is_of(event, result)]
        assert seen.of_type(kind) == shown


def test_a_second_start_says_that_the_stage_runs_here_and_how_to_stop_it(
    live: Live, stopped: Command
) -> None:
    assert stopped.process.returncode == 0, stopped.story()
    second = live.ready["second"]
    (error,) = second.of_type("error")
    assert (second.process.returncode, error["reference"]) == (2, "session-running")
    assert f"process {live.command.process.pid}," in error["message"]
    assert "terralive stop" in error["hint"]


def test_stop_ends_a_session_in_another_terminal_as_ctrl_c_does(
    live: Live, stopped: Command
) -> None:
    assert live.command.finish() == 130, live.command.story()
    said = [event["message"] for event in stopped.of_type("stopped")]
    assert said == [event["message"] for event in live.command.of_type("stopped")]
    assert "keep their stub" in said[0]
    (ended,) = stopped.of_type("session")
    assert (ended["state"], ended["pid"]) == ("ended", live.command.process.pid)


def test_a_session_in_the_background_is_live_until_it_is_stopped(
    live: Live, stopped: Command
) -> None:
    assert stopped.process.returncode == 0, stopped.story()
    try:
        detached = command(live, "start", "--yes", "--detach")
        assert detached.process.returncode == 0, detached.story()
        (ready,) = detached.of_type("ready")
        assert ready["in_background"]
        (session,) = detached.of_type("session")
        assert (session["state"], session["live"]) == ("running", True)
        request_id = invoke(live, "in the background")
        again = command(live, "start", "--yes", "--until-ready")
        assert again.process.returncode == 0, again.story()
        assert [event["pid"] for event in again.of_type("session")] == [session["pid"]]
        assert again.of_type("ready") == [ready]
        eventually(lambda: command(live, "logs", request_id).of_type("result"), "its result")
    finally:
        ended = command(live, "stop")
    assert ended.process.returncode == 0, ended.story()
    assert [event["pid"] for event in ended.of_type("session")] == [session["pid"]]
    eventually(lambda: not running([session["pid"]]), "its end")

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from terralive_cli.configuration.values import Output
from terralive_cli.output.events import (
    Failed,
    LiveFunction,
    Message,
    NotLiveFunction,
    PlanMade,
    Ready,
    SandboxAccess,
    StepState,
    Stopped,
    TerraformOutput,
    TerraformProgress,
)
from terralive_cli.output.formats.text import TextLines
from terralive_cli.output.formats.words import duration, shortened
from terralive_cli.output.renderer import Renderer
from terralive_relay.events import (
    ConnectionChanged,
    ConnectionState,
    Event,
    FallbackAnswered,
    InvocationFinished,
    InvocationStarted,
    LogLine,
    Reloaded,
    Warned,
)

NOON = datetime(2026, 1, 2, 12, 0, 0, 500_000, UTC)
API = LiveFunction(
    "orders-api", "aws_lambda_function.api", "python3.12", "app.handler", "services/api"
)
ACCESS = SandboxAccess("http://127.0.0.1:4566", "eu-west-1", "AKIA", "secret")
READY = Ready(
    "dev-ana",
    (API,),
    outputs={"ApiEndpoint": "https://x.amazonaws.com", "Count": 3},
    urls={"ApiEndpoint": "http://h:1/"},
    sandbox=ACCESS,
)
FAILED = InvocationFinished(
    "b2c3",
    "orders-api",
    ok=False,
    error_type="KeyError",
    handler_ms=3.4,
    error_message="'id'",
    stack=('  File "app.py", line 3, in handler\n', '    event["id"]\n'),
)

PLAN = PlanMade(
    "dev-ana",
    (API,),
    {"edge": "code signing"},
    4,
    not_live=(NotLiveFunction("edge", "code signing"),),
)

# Each event with what a person must be able to read of it, in both renderings.
EVENTS: list[tuple[Event, str]] = [
    (TerraformProgress("debug-stack", "plan", StepState.STARTED), "Debug stack: planning"),
    (TerraformProgress("app", "plan", message="3 to add", total=3), "App: 3 to add"),
    (
        TerraformProgress("app", "create", StepState.FAILED, "aws_sns_topic.t"),
        "App: create aws_sns_topic.t failed",
    ),
    (
        TerraformProgress("app", "complete", message="3 added", elapsed_s=9.84),
        "App: 3 added (9.8 s)",
    ),
    (
        TerraformProgress("restore", "unchanged", elapsed_s=0.2),
        "Restore: nothing to change (200 ms)",
    ),
    (PLAN, "Plan of stage dev-ana: 1 function live, 1 not live."),
    (PLAN, "  orders-api  app.handler in services/api"),
    (PLAN, "  edge\n    Code signing."),
    (PLAN, "Terraform would change 4 resources of the app."),
    (TerraformOutput("app", "  # aws_sns_topic.t\n  + name"), "  # aws_sns_topic.t\n  + name\n"),
    (READY, "  orders-api  app.handler in services/api"),
    (READY, "  ApiEndpoint  http://h:1/"),
    (
        Ready("dev-ana", (), sandbox=ACCESS),
        "The sandbox is ready in eu-west-1: http://127.0.0.1:4566",
    ),
    (Ready("dev-ana", (API,), region="eu-west-1"), "Live as stage dev-ana in eu-west-1. These"),
    (
        Ready("dev-ana", (API,), region="eu-west-1", account="123456789012"),
        "Live as stage dev-ana in eu-west-1, account 123456789012. These",
    ),
    (
        Ready("dev-ana", (API,), region="eu-west-1", account="1234", account_alias="acme-dev"),
        "Live as stage dev-ana in eu-west-1, account acme-dev (1234). These",
    ),
    (
        Ready("dev-ana", (API,), sandbox=ACCESS, region="eu-west-1"),
        "Live as stage dev-ana in eu-west-1, in the sandbox. These",
    ),
    (
        Ready("dev", tuple(replace(API, name=f"shop-f{number}") for number in range(20))),
        "  20 functions: f0 f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 f11 f12 f13 f14 f15 f16 f17 f18 f19\n",
    ),
    (ConnectionChanged(ConnectionState.CONNECTED), "Connected."),
    (
        ConnectionChanged(ConnectionState.CONNECTED, "back after 0.4 s"),
        "Connected (back after 0.4 s).",
    ),
    (
        ConnectionChanged(ConnectionState.LOST, "1001", 2.0),
        "Connection lost (1001); trying again in 2.0 s.",
    ),
    (
        ConnectionChanged(ConnectionState.LOST, "Connection refused", 0.1),
        "Connection lost (Connection refused); trying again now.",
    ),
    (
        ConnectionChanged(ConnectionState.REFUSED, "ana on laptop"),
        "This stage is held by ana on laptop.",
    ),
    (
        ConnectionChanged(ConnectionState.TAKEN_OVER, "ben on laptop"),
        "Taken over by ben on laptop.",
    ),
    (InvocationStarted("a1b2", "orders-api", "http", "GET /orders"), "orders-api  GET /orders"),
    (InvocationStarted("a1b2c3", "orders-api", "sns"), "orders-api  SNS  #a1b2\n"),
    (
        InvocationStarted("a1b2", "orders-api", "sqs", "orders, 10 messages", payload_bytes=4200),
        "orders-api  SQS orders, 10 messages  4.1 KB  #a1b2\n",
    ),
    (
        InvocationStarted(
            "a1b2", "orders-api", "invoke", payload="{orderId, items}", payload_bytes=312
        ),
        "orders-api  invoke  {orderId, items} 312 bytes  #a1b2\n",
    ),
    (
        InvocationStarted("a1b2", "orders-api", "schedule", "nightly"),
        "orders-api  EventBridge schedule nightly  #a1b2\n",
    ),
    (InvocationStarted("a1b2", "orders-api", "new-service"), "orders-api  new-service  #a1b2\n"),
    (
        InvocationStarted("a1b2", "orders-api", "sqs", "", 3, 70.0, 63.4),
        "orders-api  SQS  attempt 3, 63 s after the first",
    ),
    (
        InvocationStarted("a1b2", "orders-api", "sqs", "", 3, 70.0),
        "orders-api  SQS  attempt 3",
    ),
    (
        InvocationStarted("a1b2", "orders-api", "sns", "", 1, 7400.0),
        "orders-api  SNS  sent 2 h ago",
    ),
    (
        LogLine("a1b2", "orders-api", "hello [red]world[/red]"),
        "orders-api  │ hello [red]world[/red]",
    ),
    (
        InvocationFinished("a1b2", "orders-api", ok=True, error_type="", handler_ms=12.3),
        "orders-api  └ done in 12 ms\n",
    ),
    (
        InvocationFinished(
            "a1b2",
            "orders-api",
            ok=True,
            error_type="",
            handler_ms=12.3,
            status=404,
            result_bytes=4200,
        ),
        "orders-api  └ 404 in 12 ms, 4.1 KB\n",
    ),
    (
        InvocationFinished(
            "a1b2", "orders-api", ok=True, error_type="", handler_ms=12.3, failed_items=1
        ),
        "orders-api  └ done with 1 failed item in 12 ms\n",
    ),
    (
        InvocationFinished(
            "a1b2", "orders-api", ok=True, error_type="", handler_ms=12.3, waited_ms=2100.0
        ),
        "orders-api  └ done in 12 ms, after 2.1 s of waiting for a worker\n",
    ),
    (
        InvocationFinished(
            "a1b2",
            "orders-api",
            ok=True,
            error_type="",
            handler_ms=2100.0,
            streamed_bytes=1_310_720,
            first_byte_ms=12.3,
        ),
        "orders-api  └ done in 2.1 s, streamed 1.2 MB, first byte after 12 ms",
    ),
    (FAILED, "orders-api  └ failed in 3 ms  KeyError: 'id'\n"),
    (FAILED, "orders-api    app.py:3 in handler\n"),
    (FAILED, 'orders-api        event["id"]\n'),
    (
        Reloaded("orders-api", ("app.py",)),
        "orders-api  app.py changed; the next invocation runs the new code",
    ),
    (
        FallbackAnswered("orders-api", answered=12, failed=1, since="2026-11-30T08:00:00.000Z"),
        "the deployed code answered 12 invocations of orders-api (1 failed).",
    ),
    (
        FallbackAnswered("orders-api", answered=1, failed=0, since="2026-11-30T08:00:00.000Z"),
        "While nobody was connected, the deployed code answered 1 invocation of orders-api.",
    ),
    (Warned("slow", "That took long."), "Warning: That took long."),
    (
        Stopped("dev-ana", live=True, message="Stopped. Undo: `terralive restore`."),
        "Undo: `terralive restore`.",
    ),
    (Message("Nothing to restore."), "Nothing to restore."),
    (
        Failed("stage-held", "Bob holds it.\nSince noon.", "Ask Bob."),
        "Error: Bob holds it. [stage-held]",
    ),
    (Failed("stage-held", "Bob holds it.\nSince noon.", "Ask Bob."), "  → Ask Bob."),
]


class Screen(io.StringIO):
    """A terminal, as far as rich asks."""

    def isatty(self) -> bool:
        return True


def show(output: Output, *events: Event, screen: io.StringIO | None = None) -> str:
    stream = screen or io.StringIO()
    with Renderer.start(output, stream, stream) as renderer:
        for event in events:
            renderer.emit(event)
    return stream.getvalue()


@pytest.mark.parametrize(("event", "words"), EVENTS)
def test_plain_tells_every_event_in_words(event: Event, words: str) -> None:
    shown = show(Output.PLAIN, event)

    assert words in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(("event", "words"), EVENTS)
def test_rich_tells_the_same_words(event: Event, words: str) -> None:
    assert words in show(Output.RICH, event)


@pytest.mark.parametrize(("event", "_words"), EVENTS)
def test_json_is_one_object_a_line_with_type_and_time(event: Event, _words: str) -> None:
    (line,) = show(Output.JSON, event).splitlines()

    document = json.loads(line)
    assert document["type"] == event.type
    assert datetime.fromisoformat(document["at"]).tzinfo is not None
    assert None not in document.values()


def test_lines_to_copy_stand_alone() -> None:
    lines = ("[functions.'a.b']", 'build = "make"')
    note = "\n".join(["`make` builds it. For live edits, add to terralive.toml:", *lines])
    plan = PlanMade(
        "dev",
        (replace(API, note=note),),
        not_live=(NotLiveFunction("a.b", "it is not built", add=lines),),
    )
    shown = show(Output.PLAIN, plan)
    assert shown.count("      [functions.'a.b']\n      build = \"make\"\n") == 2
    assert "    `make` builds it. For live edits, add to terralive.toml:\n" in shown
    assert "    Add to terralive.toml:\n" in shown


def test_ready_has_exactly_the_documented_fields() -> None:
    ready = Ready("dev-ana", (API,), {"A": 1}, {"A": "http://h"}, ACCESS, "eu-west-1", at=NOON)
    document = ready.to_json()

    assert document == {
        "type": "ready",
        "at": "2026-01-02T12:00:00.500Z",
        "stage": "dev-ana",
        "functions": [
            {
                "name": "orders-api",
                "address": "aws_lambda_function.api",
                "runtime": "python3.12",
                "handler": "app.handler",
                "path": "services/api",
                "debug_port": 0,
                "timeout_s": 0,
                "arn": "",
                "found_by": "",
                "note": "",
                "triggers": [],
                "by_api": "",
            }
        ],
        "outputs": {"A": 1},
        "urls": {"A": "http://h"},
        "sandbox": {
            "endpoint": "http://127.0.0.1:4566",
            "region": "eu-west-1",
            "access_key_id": "AKIA",
            "secret_access_key": "secret",
        },
        "region": "eu-west-1",
        "in_background": False,
    }
    assert "sandbox" not in Ready("dev-ana", ()).to_json()


def test_the_sandboxs_secret_is_in_no_story() -> None:
    assert "secret" not in show(Output.PLAIN, READY) + show(Output.RICH, READY) + repr(READY)


ORDERS = 'module.orders.aws_lambda_function.this["eu"]'
WORKER = "module.worker.aws_lambda_function.this"
VPC = "It runs in a VPC: its stub connects only if its subnets have a way to the internet."


def test_functions_in_modules_are_told_apart_by_module_path_and_key() -> None:
    functions = tuple(
        LiveFunction("", address, "python3.12", "h", "p") for address in (ORDERS, WORKER)
    )
    signed = NotLiveFunction(ORDERS, "code signing")
    shown = show(Output.PLAIN, PlanMade("dev-ana", functions, not_live=(signed,)))

    assert '  module.orders.this["eu"]  h in p' in shown
    assert "  module.worker.this        h in p" in shown
    assert '  module.orders.this["eu"]\n    Code signing.\n' in shown


@pytest.mark.parametrize("output", [Output.PLAIN, Output.RICH])
def test_the_same_warning_is_said_once_for_all_functions_together(output: Output) -> None:
    stream = io.StringIO()
    with Renderer.start(output, stream) as renderer:
        renderer.emit(
            Warned("function-in-vpc", VPC, ORDERS),
            Warned("not-live", "It has no code here.", "aws_lambda_function.api"),
            Warned("function-in-vpc", VPC, WORKER),
        )

    assert stream.getvalue().splitlines() == [
        f'Warning for module.orders.this["eu"], module.worker.this: {VPC}',
        "Warning for api: It has no code here.",
    ]


def test_scripts_get_one_warning_for_each_function() -> None:
    stream = io.StringIO()
    with Renderer.start(Output.JSON, stream) as renderer:
        renderer.emit(Warned("in-vpc", VPC, ORDERS), Warned("in-vpc", VPC, WORKER))

    warnings = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [warning["function"] for warning in warnings] == [ORDERS, WORKER]
    assert [warning["message"] for warning in warnings] == [VPC, VPC]


def test_a_step_that_is_done_again_in_a_phase_is_said_once() -> None:
    begin = [
        TerraformProgress("app", action, StepState.STARTED)
        for action in ("synth", "init", "evaluate", "synth", "init", "plan")
    ]
    notes = [TerraformProgress("app", "note", message=text) for text in ("first", "first", "2nd")]
    assert show(Output.PLAIN, *begin, *notes).splitlines() == [
        "App: reading the configuration",
        "App: initialising Terraform",
        "App: evaluating the configuration",
        "App: planning",
        "App: first",
        "App: 2nd",
    ]


def test_nothing_to_change_is_said_once_for_a_phase() -> None:
    shown = show(
        Output.PLAIN,
        TerraformProgress("debug-stack", "plan", total=0, message="nothing to change"),
        TerraformProgress("debug-stack", "unchanged", message="nothing to change", elapsed_s=0.2),
    )

    assert shown.splitlines() == ["Debug stack: nothing to change"]


def test_a_step_that_fails_or_is_interrupted_is_named_in_words() -> None:
    failed = TerraformProgress("app", "evaluate", StepState.FAILED)
    stopped = replace(failed, action="init", message="interrupted")

    assert show(Output.PLAIN, failed, stopped).splitlines() == [
        "App: evaluating the configuration failed",
        "App: initialising Terraform failed: interrupted",
    ]


def test_the_last_message_replaces_what_a_terminal_shows_for_ctrl_c() -> None:
    stopped = show(Output.RICH, Stopped("dev-ana", live=True, message=VPC), screen=Screen())

    assert stopped.startswith("\r")


@pytest.mark.parametrize(
    "event",
    [
        Failed("node-missing", f"There is no Node.js. {VPC}", f"Install it. {VPC}"),
        Warned("function-in-vpc", VPC, ORDERS),
        Stopped("dev-ana", live=True, message=VPC),
        Message(VPC),
        TerraformProgress("app", "apply", StepState.FAILED, message=VPC),
        PlanMade("dev-ana", (API,), {ORDERS: VPC}),
    ],
)
def test_words_stay_whole_in_a_terminal_of_80_columns(
    event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    rows = strip(show(Output.RICH, event, screen=Screen())).splitlines()

    assert max(map(len, rows)) <= 80
    assert len(rows) > 1
    whole = show(Output.PLAIN, event).split()
    assert [word for row in rows for word in row.split()] == whole


def test_further_rows_of_a_functions_line_stand_below_its_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    ready = Ready("dev-ana", (API,))
    shown = strip(show(Output.RICH, ready, Warned("slow", VPC, "orders-api"), screen=Screen()))
    first, second = shown.splitlines()[-2:]

    assert first[9:].startswith("orders-api  Warning: It runs")
    assert second.startswith(" " * 21)
    assert second[21] != " "
    assert max(len(first), len(second)) <= 80


def test_a_url_is_not_broken_into_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    url = f"https://{'x' * 100}.example/"

    assert url in show(Output.RICH, Message(f"It is here: {url}"), screen=Screen())


@pytest.mark.parametrize(
    "printed",
    ["several words " * 20, '{"level":"INFO","message":"stored","order":"A-17","took_ms":12} ' * 3],
)
def test_a_handlers_output_is_wrapped_below_its_margin(
    printed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    rows = strip(show(Output.RICH, LogLine("a1", "api", printed), screen=Screen())).splitlines()

    assert max(map(len, rows)) <= 80
    assert len(rows) > 1
    assert [row[14:16] for row in rows] == ["│ "] * len(rows)
    assert "".join(row[16:] for row in rows).replace(" ", "") == printed.replace(" ", "")


def test_a_very_long_line_of_a_handler_is_folded_on_a_terminal_only() -> None:
    text = "begin " + "x" * 5000
    shown = strip(show(Output.RICH, LogLine("a1", "api", text), screen=Screen()))

    assert "xxx… and 3.9 KB more, in .terralive/logs" in " ".join(shown.split())
    assert shown.count("x") == 994
    assert text in show(Output.PLAIN, LogLine("a1", "api", text))


def test_json_without_spaces_is_wrapped_at_its_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    text = json.dumps({f"name{number}": "value" for number in range(12)}, separators=(",", ":"))
    rows = strip(show(Output.RICH, LogLine("a1", "api", text), screen=Screen())).splitlines()

    assert max(map(len, rows)) <= 80
    assert all(row.endswith(('",', '"}')) for row in rows)
    assert "".join(row[16:] for row in rows) == text


def strip(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_hundreds_of_resources_are_a_few_lines() -> None:
    start = TerraformProgress("app", "plan", message="300 to add", total=300, at=NOON)
    steps = [
        TerraformProgress(
            "app",
            "create",
            StepState.DONE,
            f"aws_x.r{index}",
            at=NOON + timedelta(seconds=index / 10),
        )
        for index in range(300)
    ]
    lines = show(Output.PLAIN, start, *steps).splitlines()

    assert lines[0] == "App: 300 to add"
    assert lines[1] == "App: 51 of 300 done  aws_x.r50  5.0 s"
    assert len(lines) == 6


def test_terraforms_progress_is_one_live_line_in_a_terminal() -> None:
    steps = [
        TerraformProgress("app", "create", StepState.DONE, f"aws_x.r{index}", at=NOON)
        for index in range(50)
    ]
    end = TerraformProgress("app", "complete", message="50 added", elapsed_s=1.0, at=NOON)
    screen = Screen()
    show(
        Output.RICH,
        TerraformProgress("app", "plan", total=50, message="50 to add", at=NOON),
        *steps,
        end,
        screen=screen,
    )

    assert "App: \x1b" in screen.getvalue()
    assert screen.getvalue().count("\n") < 10


def test_functions_are_called_by_what_tells_them_apart() -> None:
    functions = tuple(
        LiveFunction(f"orders-dev-ana-{name}", "a", "python3.12", "h", "p")
        for name in ("api", "worker")
    )
    shown = show(
        Output.PLAIN,
        Ready("dev-ana", functions),
        LogLine("a", "orders-dev-ana-api", "one"),
        LogLine("b", "orders-dev-ana-worker", "two"),
    )

    assert shown.splitlines()[-2:] == ["api     │ one", "worker  │ two"]


def test_a_handlers_colours_are_kept_in_a_terminal_and_left_out_of_a_file() -> None:
    log = LogLine("a", "api", "\x1b[33myellow\x1b[0m")

    assert show(Output.PLAIN, log) == "api  │ yellow\n"
    assert "\x1b[33m" in show(Output.RICH, log, screen=Screen())


def test_errors_go_to_stderr_and_the_story_to_stdout() -> None:
    out, err = io.StringIO(), io.StringIO()
    with Renderer.start(Output.PLAIN, out, err) as renderer:
        renderer.emit(Message("story"))
        renderer.emit(Failed("x", "broken"))

    assert (out.getvalue(), err.getvalue()) == ("story\n", "Error: broken [x]\n")


class Gone(io.StringIO):
    """A pipe whose reader has left."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("output", list(Output))
def test_a_reader_that_leaves_ends_the_output_and_not_the_command(output: Output) -> None:
    renderer = Renderer.start(output, Gone(), io.StringIO())
    for _ in range(3):
        renderer.emit(Message("story"))
    renderer.flush()
    renderer.close()

    assert renderer.output_gone.is_set()


def test_everything_said_before_the_end_is_shown_and_closing_twice_is_harmless() -> None:
    stream = io.StringIO()
    renderer = Renderer.start(Output.PLAIN, stream)
    for index in range(1000):
        renderer.emit(Message(str(index)))
    renderer.close()
    renderer.close()

    assert stream.getvalue().splitlines() == [str(index) for index in range(1000)]


def test_a_terminal_is_rich_and_a_pipe_is_plain() -> None:
    def look(stream: io.StringIO) -> str:
        with Renderer.start(None, stream, stream) as renderer:
            renderer.emit(Failed("x", "broken"))
        return stream.getvalue()

    assert "\x1b[31m" in look(Screen())
    assert "\x1b" not in look(io.StringIO())


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    assert "\x1b[31m" not in show(Output.RICH, Failed("x", "broken"), screen=Screen())


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0124, "12 ms"),
        (1.0, "1.0 s"),
        (59.94, "59.9 s"),
        (59.99, "1 min 0 s"),
        (125, "2 min 5 s"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_addresses_of_the_header_are_links_of_the_terminal() -> None:
    shown = show(Output.RICH, READY, screen=Screen())

    assert re.search(r"\x1b\]8;id=\d+;http://h:1/\x1b\\", shown)
    assert "\x1b]8" not in show(Output.RICH, READY)


def test_a_functions_name_has_its_colour_in_the_header_and_in_its_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    functions = tuple(replace(API, name=name) for name in ("shop-api", "shop-worker"))
    shown = show(
        Output.RICH, Ready("dev", functions), LogLine("", "shop-api", "x"), screen=Screen()
    )
    (header,) = re.findall(r"\x1b\[([\d;]+)mshop-api", shown)
    (line,) = re.findall(r"\x1b\[([\d;]+)mapi ", shown)
    (other,) = re.findall(r"\x1b\[([\d;]+)mshop-worker", shown)

    assert header == line
    assert other != line


def test_long_names_keep_the_end_that_tells_them_apart() -> None:
    assert shortened("terralive-orders-dev-ana-api", 12) == "…dev-ana-api"


def test_a_stack_that_the_runtime_has_logged_is_not_told_twice() -> None:
    text_lines = TextLines()
    events = [
        InvocationStarted(request_id="r1", function="api", trigger="http"),
        LogLine(request_id="r1", function="api", line="[ERROR] KeyError: 'x'"),
        LogLine(request_id="r1", function="api", line='  File "app.py", line 2, in handler'),
        InvocationFinished(
            request_id="r1",
            function="api",
            ok=False,
            error_type="KeyError",
            handler_ms=1.0,
            error_message="'x'",
            stack=('  File "app.py", line 2, in handler',),
        ),
    ]

    told = [line.text for event in events for line in text_lines.lines(event)]

    assert sum("line 2, in handler" in text for text in told) == 1
    assert not any("app.py:2" in text for text in told)
    assert "failed in 1 ms  KeyError: 'x'" in told


def test_an_error_of_loading_the_code_is_not_told_twice() -> None:
    """Its log has no request id, because the code is loaded before the invocation."""
    text_lines = TextLines()
    error = "Runtime.UserCodeSyntaxError"
    finished = InvocationFinished(
        request_id="r1",
        function="api",
        ok=False,
        error_type=error,
        handler_ms=0.0,
        error_message="invalid syntax",
        stack=('  File "app.py" Line 10',),
    )
    events = [
        InvocationStarted(request_id="r1", function="api", trigger="http"),
        LogLine(request_id="", function="api", line=f"[ERROR] {error}: invalid syntax"),
        LogLine(request_id="", function="api", line='  File "app.py" Line 10'),
        finished,
    ]

    told = [line.text for event in events for line in text_lines.lines(event)]

    assert sum("Line 10" in text for text in told) == 1
    assert "app.py:10" not in told
    # Another function has logged nothing.
    others = text_lines.lines(replace(finished, function="mail", request_id="r2"))
    assert others[-1].text == "app.py:10"


@pytest.mark.parametrize("output", [Output.PLAIN, Output.RICH])
@pytest.mark.parametrize(
    "command",
    [
        "\x1b[2K\x1b[1A",  # rubs the line above out
        "\x1b]0;title\x07",
        "\x1b]52;c;Y3VybCBldmlsfHNo\x1b\\",  # the clipboard
        "\x1b]52;c;Y3VybCBldmls\n",  # without an end
        "\x9b2J",
        "\x9d0;title\x9c",
        "\x1bc",
        "\x1b\x1b[31m[2J",  # taking the inner one out makes another
        "\r\b\x00\x07\x7f",
        "\u202e\u2066",
        "\ud800",
    ],
)
def test_nobodys_words_command_the_terminal(output: Output, command: str) -> None:
    """Owners come from other machines, and a path from anybody who can send a request."""
    said = f"ana{command}!"
    shown = show(
        output,
        ConnectionChanged(ConnectionState.TAKEN_OVER, f"{said} on {said}"),
        InvocationStarted("a1", "api", "http", f"GET /{said}"),
        LogLine("a1", "api", said),
        InvocationFinished(
            "a1", "api", ok=False, error_type=said, handler_ms=1, error_message=said, stack=(said,)
        ),
        Warned("problem", said),
        Failed("stage-held", said, said),
    )

    assert [
        character for character in shown if not (character.isprintable() or character == "\n")
    ] == []
    assert "\x1b" not in shown
    assert "Taken over by ana" in shown


def test_other_scripts_are_shown_as_they_are() -> None:
    assert "מרים ベン Ä 🎉" in show(Output.PLAIN, Message("מרים ベン Ä 🎉"))


def test_a_warnings_further_lines_cannot_be_taken_for_lines_of_ours() -> None:
    shown = show(Output.PLAIN, Warned("problem", "first\nError: all is lost"))

    assert shown.splitlines() == ["Warning: first", "  Error: all is lost"]


def test_a_handlers_colours_stay_and_its_other_commands_do_not() -> None:
    shown = show(
        Output.RICH,
        LogLine("a1", "api", "\x1b[31mred\x1b[0m\x1b[2J\x1b]0;title\x07"),
        screen=Screen(),
    )

    assert "\x1b[31mred" in shown
    assert "2J" not in shown
    assert "title" not in shown

"""The stream of a live session: blocks of invocations, errors, colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terralive_cli.output.events import Ready
from terralive_cli.output.formats.plain import plain_text
from terralive_cli.output.formats.text import TextLines
from terralive_cli.output.stream.errors import error_lines
from terralive_cli.output.stream.frames import Frame, library_of, read_trace
from terralive_cli.output.stream.invocations import InvocationLines, InvocationShown
from terralive_cli.output.stream.names import HUES, FunctionNames
from terralive_cli.output.stream.order import (
    END_SECONDS,
    LONGEST_SECONDS,
    QUIET_SECONDS,
    StreamOrder,
)
from terralive_cli.output.stream.words import trigger_words
from terralive_relay.events import (
    Delivered,
    ErrorCause,
    Event,
    InvocationFinished,
    InvocationStarted,
    LogLine,
    Reloaded,
    Warned,
)


def start(request_id: str) -> InvocationStarted:
    return InvocationStarted(request_id, "api", "http", f"GET /{request_id}")


def log(request_id: str, line: str = "hello") -> LogLine:
    return LogLine(request_id, "api", line)


def end(request_id: str) -> InvocationFinished:
    return InvocationFinished(request_id, "api", ok=True, error_type="", handler_ms=12.0)


def arrived(request_id: str) -> Delivered:
    return Delivered(request_id, "api", 45.0)


def told(*events: Event) -> list[str]:
    lines = TextLines()
    return [plain_text(line) for event in events for line in lines.lines(event)]


# Lines


def test_a_line_that_does_not_follow_its_own_invocation_repeats_the_head() -> None:
    shown = told(
        start("aaaa1"), log("aaaa1", "alone"), start("bbbb2"), log("aaaa1", "first"),
        end("aaaa1"), log("bbbb2", "second"), Reloaded("api", ("app.py",)), log("bbbb2", "third"),
    )  # fmt: skip

    assert shown == [
        "api  GET /aaaa1  #aaaa",
        "api  │ alone",
        "api  GET /bbbb2  #bbbb",
        "api  … GET /aaaa1  #aaaa",
        "api  │ first",
        "api  └ done in 12 ms",
        "api  … GET /bbbb2  #bbbb",
        "api  │ second",
        "api  app.py changed; the next invocation runs the new code",
        "api  … GET /bbbb2  #bbbb",
        "api  │ third",
    ]


def test_a_line_outside_an_invocation_has_no_head() -> None:
    assert told(start("aaaa1"), log("", "loading"), log("aaaa1")) == [
        "api  GET /aaaa1  #aaaa",
        "api  │ loading",
        "api  … GET /aaaa1  #aaaa",
        "api  │ hello",
    ]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("[INFO]\t2026-01-01T00:00:00.000Z\ta\thello\tyou", "[INFO] hello\tyou"),
        ("2026-01-01T00:00:00.000Z\ta\tWARN\thello", "WARN hello"),
        ("[INFO]\t2026-01-01T00:00:00.000Z\tother\thello", None),
        ("2026-01-01T00:00:00.000Z\tother\tINFO\thello", None),
    ],
)
def test_the_time_and_the_request_id_are_not_repeated_in_each_line(
    line: str, shown: str | None
) -> None:
    assert told(start("a"), log("a", line))[-1] == f"api  │ {shown or line}"


def test_a_queue_is_named_without_the_start_that_all_functions_share() -> None:
    lines = InvocationLines()
    lines.names = FunctionNames(["shop-dev-api", "shop-dev-worker"])
    event = InvocationStarted("a", "shop-dev-api", "sqs", "shop-dev-orders, 2 messages")
    assert lines.started(event)[0].text == "SQS orders, 2 messages  #a"


def test_a_schedule_is_named_by_its_expression() -> None:
    text = TextLines()
    text.lines(Ready("dev", (), region="eu-west-1", schedules={"nightly": "rate(5 minutes)"}))
    scheduled = InvocationStarted("a", "api", "schedule", "nightly")
    assert text.lines(scheduled)[0].text == "EventBridge rate(5 minutes), nightly  #a"
    assert text.lines(replace(scheduled, summary="other"))[0].text == (
        "EventBridge schedule other  #a"
    )


def test_an_end_with_its_round_trip() -> None:
    finished = replace(end("a"), status=200)
    assert told(start("a"), InvocationShown(finished, 45.2))[-1] == (
        "api  └ 200 in 12 ms, round trip 45 ms"
    )


@pytest.mark.parametrize(
    ("trigger", "summary", "words"),
    [
        ("http", "GET /", "GET /"),
        ("http", "", "http"),
        ("sqs", "orders, 10 messages", "SQS orders, 10 messages"),
        ("eventbridge", "OrderPlaced from shop", "EventBridge OrderPlaced from shop"),
        ("authorizer", "GET /a", "authorizer for GET /a"),
        ("invoke", "", "invoke"),
        ("unknown", "x", "unknown x"),
    ],
)
def test_triggers_have_the_names_of_aws(trigger: str, summary: str, words: str) -> None:
    assert trigger_words(trigger, summary) == words


# The order


class Stream:
    """A stream with a clock, and what it has shown."""

    def __init__(self) -> None:
        self._order = StreamOrder()
        self._now = 100.0
        self.shown: list[Event] = []

    def take(self, *events: Event) -> list[Event]:
        shown = self._order.take(events, self._now)
        self.shown += shown
        return shown

    def after(self, seconds: float) -> list[Event]:
        """Return what is shown when some time has passed."""
        self._now += seconds
        return self.take()

    @property
    def is_holding(self) -> bool:
        return self._order.is_holding

    def rest(self) -> list[Event]:
        return self._order.rest()


def test_one_invocation_is_shown_at_once_and_its_end_with_the_round_trip() -> None:
    stream = Stream()
    assert stream.take(start("a")) == [start("a")]
    assert stream.take(log("a")) == [log("a")]
    assert stream.take(end("a")) == []
    assert stream.take(arrived("a")) == [InvocationShown(end("a"), 45.0)]
    assert not stream.is_holding


def test_an_end_whose_arrival_is_not_told_is_shown_soon() -> None:
    stream = Stream()
    stream.take(start("a"), end("a"))
    stream.take(start("b"))
    assert stream.after(END_SECONDS - 0.01) == []
    assert stream.after(0.02) == [end("a"), start("b")]
    assert stream.take(arrived("a")) == []
    assert not stream.is_holding


def test_lines_of_two_invocations_become_two_blocks() -> None:
    stream = Stream()
    stream.take(start("a"), start("b"), log("a"), log("b"), log("a"), log("b"))
    assert stream.shown == [start("a"), log("a"), log("a")]
    assert stream.take(end("b"), arrived("b")) == []
    assert stream.take(end("a"), arrived("a")) == [
        InvocationShown(end("a"), 45.0),
        start("b"),
        log("b"),
        log("b"),
        InvocationShown(end("b"), 45.0),
    ]


def test_another_invocation_comes_to_the_front_when_the_first_is_silent() -> None:
    stream = Stream()
    stream.take(start("a"), start("b"))
    assert stream.after(QUIET_SECONDS - 0.01) == []
    assert stream.after(0.02) == [start("b")]
    assert stream.take(log("a")) == []
    assert stream.take(log("b")) == [log("b")]


def test_no_line_waits_long_for_a_talkative_invocation() -> None:
    stream = Stream()
    stream.take(start("a"), start("b"))
    for _ in range(12):
        stream.after(LONGEST_SECONDS / 10)
        stream.take(log("a"))
    assert start("b") in stream.shown


def test_fifty_invocations_at_once_are_fifty_blocks() -> None:
    stream = Stream()
    ids = [f"r{number}" for number in range(50)]
    stream.take(*map(start, ids))
    for _ in range(3):
        stream.take(*map(log, ids))
    stream.take(*map(end, ids), *map(arrived, ids))

    assert len(stream.shown) == 50 * 5
    assert not stream.is_holding
    heads = [line for line in told(*stream.shown) if "…" in line]
    assert heads == []


_REPORT_LINES = ("[ERROR] x", "Traceback (most recent call last):", "  frame", "hello")
_STEPS = st.lists(
    st.tuples(
        st.sampled_from("abcd"), st.sampled_from(_REPORT_LINES), st.sampled_from((0.0, 0.1, 0.4))
    ),
    max_size=60,
)


@settings(deadline=None)
@given(_STEPS, st.frozensets(st.sampled_from("abcd")))
def test_no_line_is_lost_repeated_or_out_of_its_order(
    steps: list[tuple[str, str, float]], delivered: frozenset[str]
) -> None:
    stream = Stream()
    given_events: dict[str, list[Event]] = {name: [start(name)] for name in "abcd"}
    stream.take(*(start(name) for name in "abcd"))
    for number, (name, line, seconds) in enumerate(steps):
        event = log(name, f"{line} {number}" if line == "hello" else line)
        given_events[name].append(event)
        stream.take(event)
        stream.after(seconds)
    for name in "abcd":
        stream.take(end(name))
        if name in delivered:
            stream.take(arrived(name))
    for _ in range(40):
        stream.after(LONGEST_SECONDS / 10)

    assert not stream.is_holding
    for name, expected in given_events.items():
        shown = [event for event in stream.shown if request_of(event) == name]
        assert shown[:-1] == expected
        assert isinstance(shown[-1], InvocationFinished | InvocationShown)


def request_of(event: Event) -> str:
    if isinstance(event, InvocationShown):
        return event.finished.request_id
    assert isinstance(event, InvocationStarted | LogLine | InvocationFinished)
    return event.request_id


def test_events_of_something_else_are_shown_at_once() -> None:
    stream = Stream()
    stream.take(start("a"), start("b"))
    reload = Reloaded("api", ("app.py",))
    assert stream.take(reload) == [reload]


def test_at_the_end_everything_is_shown_the_front_first() -> None:
    stream = Stream()
    stream.take(start("a"), start("b"), end("a"))
    assert stream.rest() == [end("a"), start("b")]
    assert not stream.is_holding


FAILED = InvocationFinished(
    "a",
    "api",
    ok=False,
    error_type="KeyError",
    handler_ms=1.0,
    error_message="'x'",
    stack=('  File "/code/app.py", line 2, in handler\n    event["x"]\n',),
)
REPORT = [
    "[ERROR] KeyError: 'x'",
    "Traceback (most recent call last):",
    '\u00a0\u00a0File "/code/app.py", line 2, in handler',
    '\u00a0\u00a0\u00a0\u00a0event["x"]',
]
NODE_REPORT = '2026-01-01T00:00:00.000Z\ta\tERROR\tInvoke Error \t{"errorType":"KeyError"}'
JSON_REPORT = '{"timestamp": "2026-01-01T00:00:00Z", "level": "ERROR", "errorMessage": "KeyError"}'


@pytest.mark.parametrize("report", [REPORT, [NODE_REPORT], [JSON_REPORT]])
@pytest.mark.parametrize("request_id", ["a", ""])
def test_the_runtimes_report_of_the_error_is_left_out(
    report: Sequence[str], request_id: str
) -> None:
    stream = Stream()
    stream.take(start("a"), log("a", "before"))
    assert stream.take(*(log(request_id, line) for line in report)) == []
    after = log(request_id, "after")
    stream.take(after, FAILED)

    shown = [*stream.shown, *stream.rest()]
    assert shown.count(after) == 1
    assert FAILED in shown
    assert not any(isinstance(event, LogLine) and event.line in report for event in shown)


def test_a_load_error_that_a_warning_tells_is_not_told_by_the_runtime_too() -> None:
    stream = Stream()
    reason = "Unable to import module 'app': No module named 'x'"
    lines = [log("", "loading"), log("", f"[ERROR] Runtime.ImportModuleError: {reason}")]
    stream.take(*lines, log("", "Traceback (most recent call last):"))
    other = Warned("code-does-not-load", f"app.py:1: {reason}", "mail")
    warning = replace(other, function="api")
    assert stream.take(other, warning) == [other, warning]

    assert stream.shown == [lines[0], other, warning]
    assert not stream.is_holding


@pytest.mark.parametrize("report", [REPORT, [NODE_REPORT], [JSON_REPORT]])
def test_a_line_that_only_looks_like_a_report_is_shown(report: Sequence[str]) -> None:
    stream = Stream()
    lines = [log("a", line) for line in report]
    stream.take(start("a"), *lines)
    assert stream.after(LONGEST_SECONDS + 0.01) == lines

    stream = Stream()
    stream.take(start("a"), *lines, end("a"), arrived("a"))
    assert stream.shown == [start("a"), *lines, InvocationShown(end("a"), 45.0)]


# Errors


def details(message: str, *stack: str) -> list[str]:
    failed = replace(FAILED, error_message=message, stack=stack)
    lines = error_lines(failed, "/code")
    return ["".join(span.text for span in line) for line in lines]


def test_the_users_own_frames_come_first_and_others_are_counted() -> None:
    assert details(
        "no",
        '  File "/code/app.py", line 3, in handler\n    pay(event)\n',
        '  File "/code/shop/pay.py", line 7, in pay\n    client.put_item()\n',
        '  File "/code/.venv/lib/python3.12/site-packages/botocore/client.py", line 9, in call\n',
        '  File "/code/.venv/lib/python3.12/site-packages/urllib3/pool.py", line 1, in open\n',
        '  File "/usr/lib/python3.12/socket.py", line 1, in connect\n',
    ) == [
        "shop/pay.py:7 in pay",
        "    client.put_item()",
        "app.py:3 in handler",
        "    pay(event)",
        "+ 3 frames of Python, urllib3, botocore",
    ]


def test_a_stack_trace_of_node() -> None:
    assert details(
        "no such order",
        "Error: no such order",
        "    at find (file:///code/shop/orders.mjs:7:9)",
        "    at async Runtime.handler (/code/app.js:3:1)",
        "    at async file:///code/top.mjs:1:1",
        "    at Array.map (<anonymous>)",
        "    at new Client (/code/node_modules/@aws-sdk/client-s3/dist/x.js:1:1)",
        "    at node:internal/process/task_queues:95:5",
        "    at Runtime.run (file:///x/terralive_workers/bootstraps/node_bootstrap.mjs:800:1)",
    ) == [
        "shop/orders.mjs:7 in find",
        "app.js:3 in Runtime.handler",
        "top.mjs:1",
        "+ 4 frames of Node.js, @aws-sdk/client-s3, terralive",
    ]


def test_without_an_own_frame_the_innermost_one_is_shown() -> None:
    library = '  File "/v/site-packages/lib/x.py", line 2, in f\n'
    assert details("no", '  File "/usr/lib/python3.12/y.py", line 1, in g\n', library) == [
        "lib/x.py:2 in f",
        "+ 1 frame of Python",
    ]


def test_the_chain_of_an_error_is_told_in_words() -> None:
    causes = (
        ErrorCause(
            "ValueError", "no number", ('  File "/code/pay.py", line 7, in pay\n    int(x)',)
        ),
        ErrorCause("KeyError", "'id'", (), "context"),
        ErrorCause("TypeError", "", (), "part"),
    )
    failed = replace(FAILED, causes=causes)

    assert told(start("a"), failed)[1:] == [
        "api  └ failed in 1 ms  KeyError: 'x'",
        "api    /code/app.py:2 in handler",
        'api        event["x"]',
        "api    caused by ValueError: no number",
        "api      /code/pay.py:7 in pay",
        "api          int(x)",
        "api    while handling KeyError: 'id'",
        "api    one of them is TypeError",
    ]


def test_a_cause_without_own_frames_is_one_line_and_a_count() -> None:
    cause = ErrorCause("OSError", "", ('  File "/v/site-packages/lib/x.py", line 2, in f\n',))
    assert told(start("a"), replace(FAILED, causes=(cause,)))[-2:] == [
        "api    caused by OSError",
        "api      + 1 frame of lib",
    ]


def test_lines_of_code_that_the_errors_of_a_chain_share_are_shown_once() -> None:
    cause = ErrorCause("ValueError", "", (*FAILED.stack, '  File "/code/x.py", line 1, in f\n'))
    assert told(start("a"), replace(FAILED, causes=(cause,)))[2:] == [
        "api    /code/app.py:2 in handler",
        'api        event["x"]',
        "api    caused by ValueError",
        "api      /code/x.py:1 in f",
    ]


def test_recursion_and_long_messages_are_counted() -> None:
    frame = '  File "/code/app.py", line 2, in f\n    f()\n'
    message = "\n".join(f"line {number}" for number in range(20))
    shown = details(message, *[frame] * 3, "  [Previous line repeated 987 more times]\n")

    assert shown[:2] == ["line 1", "line 2"]
    assert shown[12:] == ["+ 7 lines", "app.py:2 in f, 990 times", "    f()"]


def test_lines_that_are_no_frames_stay() -> None:
    assert details("bad", "Error: bad", "    at f (/code/a.js:1:1)", "  code: 'E1'") == [
        "  code: 'E1'",
        "a.js:1 in f",
    ]
    syntax = '  File "/code/app.py" Line 3\n    def f(:\n'
    assert read_trace([syntax]).frames == (Frame("/code/app.py", 3, code="def f(:"),)


@pytest.mark.parametrize(
    ("path", "library"),
    [
        ("/code/app.py", ""),
        ("/code/lib/app.py", ""),
        ("/v/lib/python3.12/site-packages/requests/api.py", "requests"),
        ("/v/lib/python3.12/site-packages/six.py", "six"),
        ("/usr/lib/python3/dist-packages/yaml/x.py", "yaml"),
        ("/usr/lib/python3.12/json/decoder.py", "Python"),
        ("<frozen importlib._bootstrap>", "Python"),
        ("/a/node_modules/b/node_modules/@c/d/x.js", "@c/d"),
        ("node:internal/x", "Node.js"),
        ("/x/site-packages/terralive_workers/bootstraps/python_bootstrap.py", "terralive"),
    ],
)
def test_libraries_have_names(path: str, library: str) -> None:
    assert library_of(path) == library


# Names


def test_each_function_has_a_colour_of_its_own_that_stays() -> None:
    names = [f"shop-{number}" for number in range(HUES)]
    found = FunctionNames(names)

    assert {found.hue(name) for name in names} == set(range(HUES))
    assert [FunctionNames(list(reversed(names))).hue(name) for name in names] == [
        found.hue(name) for name in names
    ]
    many = FunctionNames([*names, "shop-more"])
    assert all(0 <= many.hue(name) < HUES for name in [*names, "shop-more", "unknown"])
    alone = FunctionNames(["shop-3"])
    assert alone.hue("shop-3") == FunctionNames().hue("shop-3")

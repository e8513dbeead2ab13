"""The live view: its counts, its footer, its filter and its keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from terralive_cli.view.filtering import Filter
from terralive_cli.view.footer import Row, footer
from terralive_cli.view.pressing import Action, Shown, keys_in, meant_keys, pressed
from terralive_cli.view.session_view import allows_footer
from terralive_cli.view.tally import Counts, Slowest, Tally
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

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


def started(request_id: str, function: str = "orders", summary: str = "") -> InvocationStarted:
    return InvocationStarted(request_id, function, "invoke", summary)


def finished(
    request_id: str, function: str = "orders", *, ok: bool = True, handler_ms: float = 5.0
) -> InvocationFinished:
    return InvocationFinished(request_id, function, ok, "" if ok else "KeyError", handler_ms)


def counted(*events: Event, waiting: int = 0) -> Counts:
    tally = Tally()
    for event in events:
        tally.take(event)
    return tally.counts(waiting)


def texts(rows: Sequence[Row]) -> list[str]:
    return ["".join(span.text for span in row) for row in rows]


def shown(
    counts: Counts, view: Shown | None = None, *, width: int = 80, height: int = 24
) -> list[str]:
    return texts(footer(counts, view or Shown(), width=width, height=height))


CONNECTED = ConnectionChanged(ConnectionState.CONNECTED)
LOST = ConnectionChanged(ConnectionState.LOST, "no answer", 2.0, at=NOON)


def test_invocations_are_counted_by_what_became_of_them() -> None:
    counts = counted(
        CONNECTED,
        *(started("1"), started("2"), started("3"), started("4", "mail")),
        finished("1", handler_ms=20.0),
        finished("4", "mail", handler_ms=1500.0),
        finished("2", ok=False, handler_ms=30.0),
        LogLine("3", "orders", "a line"),
    )
    assert counts == Counts(
        is_connected=True, running=1, answered=2, failed=1, slowest=Slowest("mail", 1500.0)
    )


def test_a_second_attempt_of_a_running_invocation_is_no_second_one() -> None:
    again = InvocationStarted("1", "orders", "invoke", attempt=2)
    assert counted(started("1"), again).running == 1
    assert counted(started("1"), again, finished("1")).running == 0


def test_what_the_deployed_code_has_answered_is_added_up() -> None:
    since = "2026-01-02T12:00:00Z"
    counts = counted(FallbackAnswered("orders", 2, 1, since), FallbackAnswered("mail", 3, 0, since))
    assert counts.by_fallback == 5


def test_a_lost_connection_is_lost_since_its_first_loss() -> None:
    later = ConnectionChanged(ConnectionState.LOST, "refused", 4.0, at=NOON + timedelta(seconds=9))
    counts = counted(CONNECTED, LOST, later)
    assert (counts.is_connected, counts.lost_at, counts.is_retrying) == (False, NOON, True)
    assert counted(CONNECTED, LOST, CONNECTED) == Counts(is_connected=True)


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ((), "Connecting"),
        ((CONNECTED,), "Connected"),
        ((CONNECTED, LOST), f"Reconnecting, lost since {NOON.astimezone():%H:%M:%S}"),
        (
            (CONNECTED, ConnectionChanged(ConnectionState.LOST, at=NOON)),
            f"Lost since {NOON.astimezone():%H:%M:%S}",
        ),
    ],
)
def test_the_footer_begins_with_the_connection(events: tuple[Event, ...], words: str) -> None:
    assert shown(counted(*events))[0] == f"{words}  0 running  0 answered"


FULL = Counts(
    lost_at=NOON,
    is_retrying=True,
    running=50,
    waiting=12,
    answered=10_000,
    failed=300,
    by_fallback=40,
    slowest=Slowest("shop-dev-ana-a-function-with-a-very-long-name-worker", 125_000.0),
)


def test_a_quiet_session_has_one_row_of_counts_and_one_of_keys_in_80_columns() -> None:
    counts = Counts(is_connected=True, answered=12, slowest=Slowest("orders", 2300.0))
    assert shown(counts) == [
        "Connected  0 running  12 answered  slowest 2.3 s orders",
        "r restart  a apply  f filter  c clear  q leave  ? keys",
    ]


def test_counts_that_are_not_zero_are_added_and_fill_a_second_row() -> None:
    since = f"{NOON.astimezone():%H:%M:%S}"
    assert shown(FULL)[:-1] == [
        f"Reconnecting, lost since {since}  50 running  12 waiting  10000 answered",
        "300 failed  40 by the deployed code",
        "slowest 2 min 5 s …-with-a-very-long-name-worker",
    ]


@pytest.mark.parametrize("width", range(80, 200, 7))
@pytest.mark.parametrize(
    "view", [Shown(), Shown("orders"), Shown("x" * 60, is_typing=True), Shown(lists_keys=True)]
)
def test_no_row_is_as_wide_as_the_terminal(width: int, view: Shown) -> None:
    rows = shown(FULL, view, width=width)
    assert [row for row in rows if len(row) >= width] == []


def test_a_low_terminal_has_the_counts_only_and_a_tiny_one_no_footer() -> None:
    counts = Counts(is_connected=True)
    assert shown(counts, height=7) == ["Connected  0 running  0 answered"]
    assert shown(counts, height=3) == []
    assert shown(counts, width=19) == []


def test_without_a_keyboard_no_keys_are_offered() -> None:
    rows = footer(Counts(), Shown(), width=80, height=24, has_keys=False)
    assert texts(rows) == ["Connecting  0 running  0 answered"]


def test_what_the_session_does_beside_serving_has_the_place_of_the_keys() -> None:
    rows = footer(Counts(), Shown(), width=80, height=24, has_keys=False, doing="applying")
    assert texts(rows) == ["Connecting  0 running  0 answered", "applying"]


def test_the_filter_is_shown_while_it_is_typed_and_while_it_holds() -> None:
    typing = shown(FULL, Shown("ord", is_typing=True))
    assert typing[-1] == "Filter by function or text (Enter keeps it, Esc ends it): ord"
    assert len(typing) == 2
    assert "filter: ord" in " ".join(shown(FULL, Shown("ord")))
    # The end of a long text is seen, where the cursor stands.
    assert shown(FULL, Shown("x" * 59 + "!", is_typing=True), width=40)[-1].endswith("x!")


def type_in(text: str, view: Shown | None = None) -> tuple[Shown, list[Action]]:
    now, actions = view or Shown(), []
    for key in keys_in(text):
        now, action = pressed(now, key)
        if action is not None:
            actions.append(action)
    return now, actions


def test_each_key_of_the_list_does_what_it_says() -> None:
    assert type_in("racq") == (
        Shown(),
        [Action.RESTART, Action.APPLY, Action.CLEAR, Action.LEAVE],
    )
    assert type_in("RACQ")[1] == type_in("racq")[1]
    assert type_in("xyz \r\t") == (Shown(), [])
    listed = shown(Counts(), Shown(lists_keys=True))
    assert [row[0] for row in listed[1:]] == ["r", "a", "f", "c", "q", "?"]


def test_the_list_of_keys_comes_and_goes_with_its_key() -> None:
    assert type_in("?")[0] == Shown(lists_keys=True)
    for key in ("?", "\x1b", "c"):
        assert type_in(f"?{key}")[0] == Shown()


@pytest.mark.parametrize(
    ("typed", "view"),
    [
        ("ford", Shown("ord", is_typing=True)),
        ("frac q?", Shown("rac q?", is_typing=True)),  # no key but a letter
        ("ford\r", Shown("ord")),
        ("ford\rf", Shown("ord", is_typing=True)),
        ("ford\x1b", Shown()),
        ("ford\r\x1b", Shown()),
        ("ford\x7f\x7f", Shown("o", is_typing=True)),
        ("ford\x15mail", Shown("mail", is_typing=True)),
        ("fé", Shown("é", is_typing=True)),
        ("f\x1b[Aa\x1b[3~b\x1bOPc", Shown("abc", is_typing=True)),  # arrow, Del, F1
    ],
)
def test_a_filter_is_typed_kept_by_enter_and_ended_by_escape(typed: str, view: Shown) -> None:
    assert type_in(typed) == (view, [])


def test_escape_and_a_key_that_come_together_are_two_keys() -> None:
    assert type_in("ford\x1br") == (Shown(), [Action.RESTART])


def test_a_filter_takes_no_endless_text() -> None:
    assert len(type_in("f" + "x" * 500)[0].filter) == 60


def passing(text: str, *events: Event) -> list[Event]:
    chosen = Filter()
    chosen.text = text
    return [event for event in events if chosen.passes(event)]


def test_a_filter_shows_whole_invocations_of_a_function() -> None:
    own = [started("1"), LogLine("1", "orders", "hello"), finished("1")]
    others = [started("2", "mail"), LogLine("2", "mail", "hello"), finished("2", "mail")]
    assert passing("ORD", *own, *others) == own
    assert passing("", *own, *others) == [*own, *others]


def test_a_filter_by_text_shows_the_invocations_that_begin_so_and_the_lines_that_have_it() -> None:
    begun = started("1", summary="GET /orders?page=2")
    line = LogLine("1", "api", "nothing of it")
    end = finished("1", "api")
    lines = [LogLine("2", "api", "page=2 is empty"), LogLine("2", "api", "other")]
    assert passing("page=2", begun, started("2", "api"), line, *lines, end) == [
        *(begun, line, lines[0], end)
    ]


def test_a_filter_that_is_typed_later_knows_the_invocations_that_run() -> None:
    chosen = Filter()
    chosen.passes(started("1", summary="GET /orders"))
    chosen.text = "/orders"
    assert chosen.passes(finished("1", "api"))


def test_warnings_and_the_connection_pass_every_filter() -> None:
    kept = [Warned("layer-missing", "text"), LOST]
    assert passing("zzz", *kept, Reloaded("orders", ("app.py",))) == kept


@pytest.mark.parametrize(
    ("environ", "allowed"),
    [
        ({}, True),
        ({"TERM": "xterm-256color", "CI": ""}, True),
        ({"CI": "false"}, True),
        ({"CI": "true"}, False),
        ({"CI": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERRALIVE_LOG": "debug"}, False),
        ({"TERRALIVE_LOG": "debug", "TERRALIVE_LOG_FILE": "x.log"}, True),
    ],
)
def test_ci_and_terminals_that_cannot_redraw_get_no_footer(
    environ: dict[str, str], allowed: bool
) -> None:
    assert allows_footer(environ) is allowed


def test_a_text_pasted_into_the_wrong_window_does_nothing() -> None:
    assert meant_keys(Shown(), "https://example.com/quick?a=r\n") == []
    assert meant_keys(Shown(), "make apply\nexit\n") == []
    assert meant_keys(Shown(), "cc\x1b[Aq") == ["c", "c", "\x1b[A", "q"], "pressed in a hurry"
    assert meant_keys(Shown(), "forders\nq") == [*"forders", "\n"]
    typing = Shown(is_typing=True)
    assert meant_keys(typing, "orders-api\nquit\n") == [*"orders-api", "\n"]
    assert meant_keys(typing, "") == []

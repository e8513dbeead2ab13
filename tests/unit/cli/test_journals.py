from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from terralive_cli.output.events import LiveFunction, Message, Ready
from terralive_cli.output.logfiles import LogFiles
from terralive_cli.sessions.journals import kept_lines
from terralive_cli.sessions.journals.journal import EVENTS, Journal
from terralive_cli.sessions.journals.reading import JournalReader, events_of
from terralive_cli.sessions.journals.selection import KnownFunctions, Selection, request_id_of
from terralive_relay.events import Event, InvocationFinished, InvocationStarted, LogLine, Warned

NOON = datetime(2026, 1, 2, 12, 0, 0, 500_000, UTC)
ORDERS = LiveFunction(
    "shop-dev-orders", "module.orders.aws_lambda_function.this[0]", "python3.12", "a.b", "/orders"
)
MAIL = LiveFunction("shop-dev-mail", "aws_lambda_function.mail", "python3.12", "a.b", "/mail")
READY = Ready("dev-ana", (ORDERS, MAIL))
REQUEST = "8f0cb0a1-7d0c-4c43-8a4e-0d7c2d5f9a11"


def journal(folder: Path, file_bytes: int = 10**6) -> Journal:
    return Journal(folder, lambda: None, file_bytes)


def test_a_journal_reads_back_event_by_event(tmp_path: Path) -> None:
    written = journal(tmp_path)
    reader = JournalReader(tmp_path)
    assert list(reader.new()) == []
    written.write([READY])
    written.write([Message("one"), Message("two")])

    assert list(reader.new()) == [READY, Message("one"), Message("two")]
    assert list(reader.new()) == []
    written.write([Message("three")])
    assert list(reader.new()) == [Message("three")]
    written.close()
    reader.close()
    assert (tmp_path / EVENTS).stat().st_mode & 0o077 == 0


def test_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / EVENTS
    file.write_text('{"type":"note","at":"2026-01-02T12:00:00.500Z",')
    reader = JournalReader(tmp_path)
    assert list(reader.new()) == []
    with file.open("a") as stream:
        stream.write('"message":"hello"}\n{"type":"from-the-future"}\nnot JSON\n')
        stream.write('{"type":"note","at":"2026-01-02T12:00:00.500Z","message":"bye"}\n')

    assert list(reader.new()) == [Message("hello"), Message("bye")]
    reader.close()


@pytest.mark.parametrize("at_once", [1, 3, 7])
def test_nothing_is_lost_where_a_reader_follows_a_journal_that_fills_its_file(
    tmp_path: Path, at_once: int
) -> None:
    written = journal(tmp_path, file_bytes=1000)
    reader = JournalReader(tmp_path)
    seen: list[Event] = []
    for number in range(50):
        written.write([Message(f"event {number}")])
        if number % at_once == 0:
            seen += reader.new()
    seen += reader.new()
    reader.close()

    assert seen == [Message(f"event {number}") for number in range(50)]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_function_has_many_names() -> None:
    known = KnownFunctions()
    known.add([READY, Warned("any", "text", function="shop-dev-old")])

    orders = {"shop-dev-orders"}
    for wanted in (
        "shop-dev-orders",
        "orders",
        "this",
        "module.orders.aws_lambda_function.this[0]",
        "module.orders.aws_lambda_function.this",
        "*-orders",
    ):
        assert known.named(wanted) == orders, wanted
    assert known.named("shop-dev-*") == {"shop-dev-orders", "shop-dev-mail", "shop-dev-old"}
    assert known.named("other") == frozenset()
    assert known.names == ["shop-dev-mail", "shop-dev-old", "shop-dev-orders"]


def test_a_request_id_may_be_cut() -> None:
    assert request_id_of(REQUEST) == REQUEST
    assert request_id_of("#8F0C") == "8f0c"
    assert request_id_of("8f0") == "", "too short to mean one"
    assert request_id_of("orders") == ""


def test_a_selection_shows_what_belongs_to_it() -> None:
    line = LogLine(REQUEST, "shop-dev-orders", "hello")
    other = LogLine("", "shop-dev-mail", "hello")

    assert Selection().shows(READY)
    by_function = Selection(functions=frozenset({"shop-dev-orders"}))
    assert [by_function.shows(event) for event in (line, other, READY)] == [True, False, False]
    by_request = Selection(request_id="8f0c")
    assert [by_request.shows(event) for event in (line, other, READY)] == [True, False, False]


def test_lines_that_are_kept_longer_than_their_session_are_found(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, warn=pytest.fail)
    files(InvocationStarted(REQUEST, "orders", "invoke", at=NOON))
    files(LogLine(REQUEST, "orders", "hello  world", at=NOON))
    files(LogLine("", "orders", "at import", at=NOON))
    files(InvocationFinished(REQUEST, "orders", ok=True, error_type="", handler_ms=1, at=NOON))
    files.close()

    of_invocation = list(kept_lines.of_invocation(tmp_path, "8f0cb0a1"))
    assert [event.line.split(" ")[0] for event in of_invocation] == ["START", "hello", "REPORT"]
    assert of_invocation[1] == LogLine(REQUEST, "orders", "hello  world")
    assert of_invocation[1].at == NOON
    of_function = list(kept_lines.of_function(tmp_path, "orders"))
    assert of_function[2] == LogLine("", "orders", "at import")
    assert len(of_function) == 4
    assert kept_lines.functions(tmp_path) == ["orders"]
    assert kept_lines.functions(tmp_path / "none") == []
    assert list(kept_lines.of_function(tmp_path, "other")) == []
    assert list(events_of(tmp_path)) == []

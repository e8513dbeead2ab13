"""The live view in a real terminal: its keys, its pauses, and the terminal after every end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from terralive_testing.drivers.terminal import Terminal
from terralive_testing.machine.waiting import eventually
from terralive_testing.oracles.screen import Screen

# A session without AWS: each line of a pipe is an invocation.
SESSION = """
import os, signal, sys, threading
from terralive_cli.output.interrupts import Interrupts, as_keyboard_interrupt
from terralive_cli.output.renderer import Renderer
from terralive_cli.output.ui import Ui
from terralive_cli.view.pressing import Action
from terralive_cli.view.session_view import SessionView
from terralive_relay.events import (
    ConnectionChanged, ConnectionState, InvocationFinished, InvocationStarted
)

class Session:
    # Workers and saved changes.
    waiting = 0
    is_pending = False

    def restart_workers(self):
        self.waiting = 3

def serve(ui, view, interrupts):
    while True:
        came = interrupts.wait(0.1, view.file)
        if came is not None:
            return came
        action = view.look()
        if action is Action.LEAVE:
            return signal.SIGINT
        if action is Action.APPLY:
            with interrupts.raised():
                if not ui.confirm("Apply this?"):
                    raise RuntimeError("the user said no")

def invocations(ui):
    for number, line in enumerate(requests):
        ui.emit(InvocationStarted(str(number), line.strip(), "invoke"))
        ui.emit(InvocationFinished(str(number), line.strip(), True, "", 5.0))

requests = os.fdopen(int(sys.argv[1]))
with Renderer.start(None, sys.stdout) as renderer:
    ui = Ui(renderer, questions=sys.stderr, answers=sys.stdin,
            interactive=sys.stdin.isatty(), assume_yes=False)
    ui.emit(ConnectionChanged(ConnectionState.CONNECTED))
    threading.Thread(target=invocations, args=(ui,), daemon=True).start()
    session = Session()
    view = SessionView.of(ui, session, session)
    with as_keyboard_interrupt(), Interrupts() as interrupts, view:
        try:
            view.open(interrupts.wake)
            number = serve(ui, view, interrupts)
        except KeyboardInterrupt:
            number = interrupts.last
    if number == signal.SIGINT:
        ui.typed("Restore? [r/k]:")
"""


class Session:
    """A session in a terminal.

    Attributes:
        terminal: the terminal.
        screen: what it shows.
        pid: the session's process.
    """

    def __init__(self, terminal: Terminal, requests: int) -> None:
        self.terminal = terminal
        self.screen = Screen(terminal)
        self.pid = 0
        self._requests = requests

    def invoke(self, function: str) -> None:
        os.write(self._requests, f"{function}\n".encode())

    def wait_for_keys(self) -> None:
        self.screen.wait_for("? keys")
        eventually(lambda: not self.terminal.takes_lines(), "single keys")


@contextmanager
def session(environment: dict[str, str] | None = None) -> Iterator[Session]:
    """Run a session in a terminal, and wait for its connection."""
    theirs, ours = os.pipe()
    with Terminal.opened() as terminal:
        made = Session(terminal, ours)
        # A terminal of a person, also where the tests run in CI.
        variables = {"TERM": "xterm", "CI": "", "COLUMNS": "", "LINES": "", **(environment or {})}
        program = terminal.program(SESSION, str(theirs), environment=variables, files=[theirs])
        with program as made.pid:
            os.close(theirs)
            made.screen.wait_for("Connected.")
            yield made
        os.close(ours)


def without_clock(rows: Sequence[str]) -> list[str]:
    """Return the rows that are not empty, without the times of events."""
    return [row[9:] if row[2:3] == ":" else row for row in rows if row]


def ended(rows: Sequence[str], function: str) -> int:
    """Return how many ends of a function's invocations are shown."""
    return sum(function in row and "done in 5 ms" in row for row in rows)


FOOTER = [
    "Connected  0 running  {} answered  slowest 5 ms {}",
    "r restart  a apply  f filter  c clear  q leave  ? keys",
]


def test_the_footer_stays_below_the_stream_and_keys_change_both() -> None:
    with session() as live:
        live.wait_for_keys()
        live.invoke("orders")
        wanted = [row.format(1, "orders") for row in FOOTER]
        live.screen.wait_until(
            lambda rows: ended(rows, "orders") == 1 and without_clock(rows)[-2:] == wanted,
            "the footer below the stream",
        )

        live.terminal.type("fmai")
        live.screen.wait_for("Esc ends it): mai")
        live.terminal.type("\r")
        live.screen.wait_for("filter: mai")
        live.invoke("orders")
        live.invoke("mail")
        live.screen.wait_for("3 answered")
        live.screen.wait_until(lambda rows: ended(rows, "mail") == 1, "the end of mail")
        assert ended(live.screen.rows, "orders") == 1
        live.terminal.type("\x1b")
        live.screen.wait_until(lambda rows: "filter:" not in " ".join(rows), "no filter")

        live.terminal.type("r")
        live.screen.wait_for("3 waiting")
        live.screen.wait_for("Workers restart")
        live.terminal.type("?")
        live.screen.wait_for("leave, as Ctrl-C does")
        live.terminal.type("c")
        live.screen.wait_until(
            lambda rows: (
                without_clock(rows)[:1]
                == ["Connected  0 running  3 waiting  3 answered  slowest 5 ms orders"]
            ),
            "a screen with the footer alone",
        )
        assert live.screen.shows_cursor


def test_a_resized_terminal_has_one_footer_of_its_width() -> None:
    with session() as live:
        live.wait_for_keys()
        live.invoke("orders")
        live.screen.wait_for("1 answered")
        live.screen.resize(40, 24)
        live.screen.wait_until(
            lambda rows: (
                without_clock(rows)[-4:]
                == [
                    "Connected  0 running  1 answered",
                    "slowest 5 ms orders",
                    "r restart  a apply  f filter  c clear",
                    "q leave  ? keys",
                ]
            ),
            "the footer in 40 columns",
        )
        live.screen.resize(100, 24)
        live.screen.wait_until(
            lambda rows: without_clock(rows)[-2:] == [row.format(1, "orders") for row in FOOTER],
            "the footer in 100 columns",
        )
        rows = " ".join(live.screen.rows)
        assert (rows.count("restart"), rows.count("answered")) == (1, 1)


def test_a_question_pauses_footer_and_stream_and_takes_whole_lines() -> None:
    with session() as live:
        live.wait_for_keys()
        live.terminal.type("a")
        live.screen.wait_for("Apply this? [y/N]")
        assert live.terminal.takes_lines()
        live.invoke("orders")
        # An answer that is no answer yet: nothing has come between the question and it.
        live.terminal.type("ye")
        live.screen.wait_for("Apply this? [y/N] ye")
        assert "restart" not in " ".join(live.screen.rows)
        live.terminal.type("s\n")
        live.wait_for_keys()
        live.screen.wait_until(lambda rows: ended(rows, "orders") == 1, "the end of orders")
        rows = live.screen.rows
        question = rows.index("Apply this? [y/N] yes")
        assert ended(rows[:question], "orders") == 0


def end(live: Session, way: str) -> None:
    """End a session in one way."""
    match way:
        case "q":
            live.terminal.type("q")
        case "Ctrl-C":
            live.terminal.type("\x03")
        case "exception":
            live.terminal.type("a")
            live.screen.wait_for("Apply this? [y/N]")
            live.terminal.type("n\n")
        case _:
            os.kill(live.pid, getattr(signal, way))


@pytest.mark.parametrize(
    ("way", "code"),
    [("q", 0), ("Ctrl-C", 0), ("exception", 1), ("SIGTERM", 0), ("SIGHUP", 0)],
)
def test_the_terminal_is_as_before_at_every_end(way: str, code: int) -> None:
    with session() as live:
        live.wait_for_keys()
        end(live, way)
        if way in {"q", "Ctrl-C"}:
            live.screen.wait_for("Restore? [r/k]:")
            assert live.terminal.takes_lines()
            live.terminal.type("k\n")
        live.screen.wait_for(f"ended with {code}")
        assert live.terminal.takes_lines()
        assert live.screen.shows_cursor
        rows = " ".join(live.screen.rows)
        assert "restart" not in rows
        assert "0 answered" not in rows


def test_in_ci_there_is_no_footer() -> None:
    with session({"CI": "true"}) as live:
        live.invoke("orders")
        live.screen.wait_for("done in 5 ms")
        assert "answered" not in " ".join(live.screen.rows)
        assert live.terminal.takes_lines()
        assert live.screen.shows_cursor

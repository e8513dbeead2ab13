"""The footer below the stream, as a terminal emulator shows what is written."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import pyte
import pytest

from terralive_cli.configuration.values import Output
from terralive_cli.output.events import Message, StepState, TerraformProgress
from terralive_cli.output.formats.rich import Rich
from terralive_cli.output.renderer import Renderer
from terralive_cli.view.live_view import LiveView
from terralive_cli.view.pressing import Shown
from terralive_relay.events import (
    ConnectionChanged,
    ConnectionState,
    Event,
    InvocationFinished,
    InvocationStarted,
)

KEYS = "r restart  a apply  f filter  c clear  q leave  ? keys"


class Written(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass
class OnScreen:
    """A live view whose clock is the test's, and what it has written.

    Attributes:
        second: the time.
    """

    second: float = 0.0
    written: Written = field(default_factory=Written)

    def __post_init__(self) -> None:
        self.view = LiveView(Rich(self.written, self.written), clock=lambda: self.second)
        self.view.open(has_keys=True)
        self.write(ConnectionChanged(ConnectionState.CONNECTED))

    def write(self, *events: Event) -> None:
        """Write events as the renderer does when nothing more waits."""
        self.view.write(events)
        self.view.draw()

    def invoke(self, number: int) -> None:
        self.view.write([InvocationStarted(str(number), "orders", "invoke")])
        self.view.write(
            [InvocationFinished(str(number), "orders", ok=True, error_type="", handler_ms=5.0)]
        )

    def rows(self) -> list[str]:
        screen = pyte.Screen(80, 24)
        screen.set_mode(pyte.modes.LNM)
        pyte.Stream(screen).feed(self.written.getvalue())
        assert not screen.cursor.hidden
        rows = [row.rstrip() for row in screen.display]
        while rows and not rows[-1]:
            rows.pop()
        return rows


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("COLUMNS", "80"), ("LINES", "24"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("output", "has_view"),
    [(None, True), (Output.RICH, True), (Output.PLAIN, False), (Output.JSON, False)],
)
def test_only_the_rich_output_of_a_terminal_can_have_a_footer(
    output: Output | None, has_view: bool
) -> None:
    with Renderer.start(output, Written(), Written()) as renderer:
        assert renderer.has_view is has_view
    with Renderer.start(output, io.StringIO(), io.StringIO()) as renderer:
        assert not renderer.has_view


def test_the_footer_is_the_end_of_the_stream_behind_an_empty_row() -> None:
    shown = OnScreen()
    shown.write(Message(message="one"))
    shown.write(Message(message="two"))
    assert shown.rows() == [
        *("Connected.", "one", "two", ""),
        *("Connected  0 running  0 answered", KEYS),
    ]


def test_thousands_of_events_draw_the_footer_a_few_times() -> None:
    shown = OnScreen()
    for number in range(2500):
        shown.second += 0.001
        shown.invoke(number)
    shown.view.draw()
    assert shown.rows()[-2] == "Connected  0 running  2500 answered  slowest 5 ms orders"
    # Once in 0.2 s of these 2.5 s, at the beginning, and at the end.
    assert shown.written.getvalue().count(" leave") <= 15


def test_a_question_finds_an_empty_row_and_events_come_after_it() -> None:
    shown = OnScreen()
    shown.view.pause()
    shown.written.write("Apply? [y/N] ")
    shown.write(Message(message="meanwhile"))
    shown.invoke(1)
    assert shown.rows() == ["Connected.", "Apply? [y/N]"]
    shown.written.write("y\n")
    shown.view.resume()
    shown.view.draw()
    rows = shown.rows()
    assert rows[:3] == ["Connected.", "Apply? [y/N] y", "meanwhile"]
    assert rows[-2:] == ["Connected  0 running  1 answered  slowest 5 ms orders", KEYS]


def test_at_the_end_nothing_of_it_is_left_and_what_waited_is_written() -> None:
    shown = OnScreen()
    shown.view.show(Shown("orders"))
    shown.view.pause()
    shown.write(Message(message="meanwhile"))
    shown.view.close()
    assert shown.rows() == ["Connected.", "meanwhile"]


def test_terraforms_progress_has_the_place_of_the_footer_and_stays_below_the_stream() -> None:
    shown = OnScreen()
    shown.view.hide()
    shown.write(TerraformProgress("app", "plan", StepState.STARTED))
    shown.invoke(1)
    shown.view.draw()
    shown.view.close()
    rows = shown.rows()
    assert "App: planning" not in rows[-1]
    assert rows[0] == "Connected."
    assert rows[-1].endswith("done in 5 ms")


def test_a_cleared_screen_has_the_footer_only() -> None:
    shown = OnScreen()
    shown.write(Message(message="one"))
    shown.view.clear()
    shown.view.draw()
    assert shown.rows() == ["", "Connected  0 running  0 answered", KEYS]


@pytest.mark.parametrize("columns", ["0", "-5", "wide"])
def test_columns_that_are_none_hide_no_output(
    monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    written = io.StringIO()

    Rich(written, written).write([Message(message="Connected.")])

    assert "Connected." in written.getvalue()

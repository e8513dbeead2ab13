"""Keys and questions in a real terminal.

Keys are read at once, and the terminal is as before at every end.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from terralive_cli.configuration.values import Output
from terralive_cli.output.renderer import Renderer
from terralive_cli.output.ui import Ui
from terralive_testing.drivers.terminal import Terminal
from terralive_testing.machine.waiting import eventually

# A command that reads keys until it is interrupted; in the terminal's background with a word.
COMMAND = """
import os, sys, time
from terralive_cli.view.keys import Keys
from terralive_cli.output.interrupts import as_keyboard_interrupt

keys = Keys(sys.stdin)
if len(sys.argv) > 1:
    os.setpgid(0, 0)
looks = 0
try:
    with as_keyboard_interrupt():
        while True:
            got = keys.pressed()
            if got:
                print("keys", got, flush=True)
            looks += 1
            if looks % 20 == 0:
                print("still here", flush=True)
            time.sleep(0.01)
except KeyboardInterrupt:
    print("interrupted", flush=True)
finally:
    keys.release()
"""


@contextmanager
def command(*words: str) -> Iterator[tuple[Terminal, int]]:
    """Run the command in a terminal. Yield the terminal and the command's process id."""
    with Terminal.opened() as terminal, terminal.program(COMMAND, *words) as process:
        yield terminal, process


def test_a_key_is_read_without_enter_and_ctrl_c_ends_the_command() -> None:
    with command() as (terminal, _):
        eventually(lambda: not terminal.takes_lines(), "single keys")
        terminal.type("a")
        terminal.wait_for("keys a")
        terminal.type("\x03")
        terminal.wait_for("interrupted")
        terminal.wait_for("ended with 0")
        assert terminal.takes_lines()


def test_a_kill_puts_the_terminal_back() -> None:
    with command() as (terminal, process):
        eventually(lambda: not terminal.takes_lines(), "single keys")
        subprocess.run(["kill", f"-{signal.SIGTERM.value}", str(process)], check=True)
        terminal.wait_for("ended with 0")
        assert terminal.takes_lines()


def test_in_the_background_nothing_is_read_and_the_command_is_not_stopped() -> None:
    with command("background") as (terminal, process):
        terminal.type("a\n")
        for _ in range(2):
            terminal.wait_for("still here")
        assert terminal.takes_lines()
        subprocess.run(["kill", f"-{signal.SIGTERM.value}", str(process)], check=True)
        terminal.wait_for("interrupted")
        terminal.wait_for("ended with 0")
        assert "keys" not in terminal.shown


def test_a_question_in_a_closed_terminal_has_no_answer() -> None:
    with (
        Renderer.start(Output.PLAIN, io.StringIO()) as renderer,
        Terminal.opened() as terminal,
        os.fdopen(os.dup(terminal.theirs), encoding="utf-8") as answers,
    ):
        questions = os.fdopen(os.dup(terminal.theirs), "w", encoding="utf-8")
        ui = Ui(renderer, questions=questions, answers=answers, interactive=True, assume_yes=False)
        terminal.close()
        assert ui.typed("Restore?") is None
        assert not ui.confirm("Change 2 functions?")
        # What was written is still there, and cannot be written.
        with pytest.raises(OSError, match="error"):
            questions.close()

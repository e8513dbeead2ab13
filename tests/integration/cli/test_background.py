"""A command that goes on in the background: its terminal, its pipes, and signals until then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from terralive_testing.drivers.terminal import Terminal
from terralive_testing.machine.processes import running
from terralive_testing.machine.waiting import eventually

# The command in the foreground.
FOREGROUND = """
import os, sys
from terralive_cli.sessions.background import start_in_background

sys.exit(start_in_background([sys.executable, "-c", sys.argv[1], *sys.argv[2:]], os.environ))
"""
# The process in the background. It tells its pid, and says in a file what ends it.
BACKGROUND = """
import os, pathlib, signal, subprocess, sys, time
from terralive_cli.sessions.background import Foreground

told = pathlib.Path(sys.argv[1])
def end(number, frame):
    told.write_text(signal.Signals(number).name)
    sys.exit(130)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, end)
foreground = Foreground.of(os.environ)
child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print("pid", os.getpid(), flush=True)
for answer in sys.stdin:
    print("answer", answer.strip(), flush=True)
    if answer.strip() == "fail":
        child.kill()
        sys.exit(3)
    if answer.strip() == "ready":
        break
foreground.let_go(told.with_suffix(".log"))
print("to the log", file=sys.stderr, flush=True)
told.write_text("let go")
while True:
    time.sleep(0.05)
    if told.with_suffix(".end").exists():
        child.kill()
        sys.exit(0)
"""


@contextmanager
def ended_at_last(told: Path) -> Iterator[None]:
    """End the process in the background at the end of the test."""
    try:
        yield
    finally:
        told.with_suffix(".end").touch()


def run(told: Path, answers: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", FOREGROUND, BACKGROUND, str(told)]
    return subprocess.run(
        command, input=answers, capture_output=True, text=True, check=False, timeout=60
    )


def pid_in(output: str) -> int:
    return int(output.split("pid ")[1].split(maxsplit=1)[0])


def test_the_foreground_ends_when_the_other_is_live_and_no_pipe_stays_open(tmp_path: Path) -> None:
    told = tmp_path / "told"
    with ended_at_last(told):
        # It returns although the process in the background runs, with a child of its own.
        ended = run(told, "hello\nready\n")

        assert ended.returncode == 0
        assert "answer hello" in ended.stdout
        assert ended.stderr == ""
        eventually(lambda: told.exists() and told.read_text() == "let go", "it goes on")
        assert running([pid_in(ended.stdout)])
        assert told.with_suffix(".log").read_text() == "to the log\n"
    eventually(lambda: not running([pid_in(ended.stdout)]), "its end")


def test_the_foreground_ends_with_the_exit_code_of_a_process_that_fails(tmp_path: Path) -> None:
    ended = run(tmp_path / "told", "fail\n")

    assert ended.returncode == 3
    assert not running([pid_in(ended.stdout)])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_process_once_until_it_is_live(
    tmp_path: Path, number: signal.Signals
) -> None:
    told = tmp_path / "told"
    command = [sys.executable, "-c", FOREGROUND, BACKGROUND, str(told)]
    with (
        ended_at_last(told),
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(60) == 130
        assert told.read_text() == number.name


def test_a_process_that_is_live_outlives_its_terminal(tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = tmp_path / "start.sh"
    words = " ".join(f"'{word}'" for word in (sys.executable, "-c", FOREGROUND, BACKGROUND, told))
    script.write_text(words.replace("\n", "\n"), "utf-8")
    with ended_at_last(told), Terminal.opened() as terminal, terminal.shell(tmp_path):
        terminal.type("sh start.sh; echo code=$?\n")
        pid = int(terminal.wait_for_line("pid "))
        terminal.type("ready\n")
        terminal.wait_for("code=0")
        terminal.close()
        os.kill(pid, 0)
        eventually(lambda: told.exists() and told.read_text() == "let go", "it goes on")
        assert running([pid])


def test_ctrl_c_in_the_terminal_ends_it_before_it_is_live(tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = tmp_path / "start.sh"
    words = " ".join(f"'{word}'" for word in (sys.executable, "-c", FOREGROUND, BACKGROUND, told))
    script.write_text(f"trap : INT\n{words}\necho code=$?", "utf-8")
    with ended_at_last(told), Terminal.opened() as terminal, terminal.shell(tmp_path):
        terminal.type("sh start.sh\n")
        terminal.wait_for_line("pid ")
        terminal.type("\x03")
        terminal.wait_for("code=130")
        assert told.read_text() == "SIGINT"

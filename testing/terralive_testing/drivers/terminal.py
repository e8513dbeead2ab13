"""A command that a user types in a terminal, with the user's answers and keys."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from terralive_testing.drivers.command import Event, clean_environment
from terralive_testing.machine.waiting import eventually
from terralive_testing.oracles.output_schema import require_valid

_QUESTION: Final = b"[y/N]"
_LOOK_SECONDS: Final = 0.1
# Runs a command whose terminal is its own.
_CONTROLLING: Final = """
import fcntl, os, sys, termios

fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
# Runs a Python program as a shell runs a command: the terminal is its own, and it waits.
_WAITING: Final = """
import fcntl, signal, subprocess, sys, termios

fcntl.ioctl(0, termios.TIOCSCTTY, 0)
child = subprocess.Popen([sys.executable, "-c", *sys.argv[1:]], close_fds=False)
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
print("pid", child.pid, flush=True)
print("ended with", child.wait(), flush=True)
sys.stdin.readline()
"""


@dataclass(frozen=True)
class Ended:
    """A command that has ended.

    Attributes:
        code: its exit code.
        events: its events.
        screen: its questions, on one line.
    """

    code: int
    events: Sequence[Event]
    screen: str

    def of_type(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]


def answered(
    arguments: Sequence[str],
    answers: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 180,
    *,
    on_question: Callable[[], None] | None = None,
) -> Ended:
    """Run a command to its end in a terminal, and type the answers.

    Args:
        arguments: the command and its arguments.
        answers: the answers to its questions, which are typed in advance.
        cwd: its folder.
        environment: more environment variables.
        timeout_s: how long it may run.
        on_question: called when the command asks its first question, before anything is typed.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "terralive_cli", "--output", "json", *arguments],
        cwd=cwd,
        env=clean_environment(environment),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        start_new_session=True,
    )
    os.close(theirs)
    screen: list[bytes] = []
    asks = threading.Event()

    def read_screen() -> None:
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux's way to say that the other end is closed
                return
            if not part:
                return
            screen.append(part)
            if _QUESTION in b"".join(screen):
                asks.set()

    reader = threading.Thread(target=read_screen, daemon=True)
    reader.start()
    if on_question is not None and asks.wait(timeout_s):
        on_question()
    os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
    try:
        output, _ = process.communicate(timeout=timeout_s)
    finally:
        process.kill()
        reader.join(10)
        os.close(ours)
    events = [json.loads(line) for line in output.splitlines()]
    require_valid(events, f"terralive {' '.join(arguments)}")
    return Ended(process.returncode, events, " ".join(b"".join(screen).decode().split()))


class Terminal:
    """A terminal, in which a test reads and types.

    Args:
        ours: the file descriptor of its other end.
        theirs: its file descriptor for a command.
    """

    def __init__(self, ours: int, theirs: int) -> None:
        self._ours = ours
        self.theirs = theirs
        # What has appeared in it, in bytes. The reader's thread adds to it.
        self._shown = bytearray()
        # The number of bytes that `wait_for` has found already.
        self._seen = 0
        # Whether its window is closed.
        self._closed = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Self]:
        """Open a terminal."""
        ours, theirs = pty.openpty()
        terminal = cls(ours, theirs)
        try:
            yield terminal
        finally:
            os.close(theirs)
            terminal.close()

    @contextmanager
    def shell(self, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Run an interactive shell in it, whose commands are typed.

        Args:
            cwd: the shell's folder.
        """
        words = [shutil.which("bash") or "sh", "-i"]
        process = subprocess.Popen(
            [sys.executable, "-c", _CONTROLLING, *words],
            cwd=cwd,
            env=clean_environment(),
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    @contextmanager
    def program(
        self, *words: str, environment: Mapping[str, str] | None = None, files: Sequence[int] = ()
    ) -> Iterator[int]:
        """Run a Python program in it, and yield its process id. At its end, its code is shown.

        Args:
            words: the program's source, and its arguments.
            environment: more environment variables.
            files: file descriptors that it gets.
        """
        shell = subprocess.Popen(
            [sys.executable, "-c", _WAITING, *words],
            env=clean_environment(environment),
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
            pass_fds=files,
        )
        try:
            yield int(self.wait_for_line("pid "))
        finally:
            shell.kill()
            shell.wait()

    def close(self) -> None:
        """Close its window. The shell in it gets SIGHUP, and nothing can be read or written."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._reader.join(10)
        os.close(self._ours)

    def type(self, text: str) -> None:
        """Type a text."""
        os.write(self._ours, text.encode())

    def wait_for(self, text: str, timeout_s: float = 90) -> None:
        """Wait until a text appears, behind the one that was waited for before."""
        wanted = text.encode()
        eventually(
            lambda: wanted in self._shown[self._seen :],
            f"`{text}` in the terminal",
            seconds=timeout_s,
        )
        self._seen = self._shown.index(wanted, self._seen) + len(wanted)

    def wait_for_line(self, start: str) -> str:
        """Wait until a line appears that starts with this text, and return the rest of it."""
        self.wait_for(start)
        begin = self._seen
        self.wait_for("\r\n")
        return self._shown[begin : self._seen].decode().strip()

    @property
    def shown(self) -> str:
        """What has appeared in it."""
        return self._shown.decode()

    def shown_after(self, number: int) -> bytes:
        """Return what has appeared in it, without the first bytes."""
        return bytes(self._shown[number:])

    def resize(self, columns: int, rows: int) -> None:
        """Give it another size. The command in its foreground gets SIGWINCH."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def takes_lines(self) -> bool:
        """Tell whether it has its usual mode: it shows what is typed, and passes lines on."""
        usual = termios.ICANON | termios.ECHO | termios.ISIG
        modes: int = termios.tcgetattr(self.theirs)[3]
        return modes & usual == usual

    def _read(self) -> None:
        while not self._closed.is_set():
            # A window is not closed while somebody reads there.
            ready, _, _ = select.select([self._ours], [], [], _LOOK_SECONDS)
            if not ready:
                continue
            try:
                part = os.read(self._ours, 65536)
            except OSError:  # Linux's way to say that the other end is closed
                return
            if not part:
                return
            self._shown += part

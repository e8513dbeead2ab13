"""A command that a user types in a terminal, with the user's answers to its questions."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_testing.drivers.command import Event, clean_environment

_QUESTION: Final = b"[y/N]"


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
    return Ended(process.returncode, events, " ".join(b"".join(screen).decode().split()))

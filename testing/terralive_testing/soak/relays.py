"""The relay under soak: `terralive start --sandbox`, killed and started again, and its memory."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from terralive_testing.drivers.command import Command, Event
from terralive_testing.machine.processes import descendants, running
from terralive_testing.soak.ledger import Life, life

_LOOK_SECONDS = 0.5
_START_SECONDS = 300.0
_GONE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Sample:
    """A relay process at one moment. `invocations` is the number that it has finished."""

    invocations: int
    megabytes: float
    threads: int


class Relays:
    """One relay after the other."""

    def __init__(self, root: Path) -> None:
        self.lives: list[Life] = []
        self.events: list[tuple[int, Event]] = []  # of every life, with its process
        self.start_seconds: list[float] = []
        self.samples: list[Sample] = []  # of the present life
        self.left: list[str] = []  # what a relay has left running
        self._root = root
        self._command: Command | None = None
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._watcher.start()

    def start(self) -> Event:
        """Start a relay, wait until it is live, and return its `ready` event."""
        began = time.monotonic()
        command = Command(["start", "--sandbox", "--yes"], self._root)
        try:
            ready = command.wait_for_type("ready", _START_SECONDS)
        except BaseException:
            command.__exit__(None, None, None)
            raise
        self.start_seconds.append(time.monotonic() - began)
        print(
            f"        relay {command.process.pid} is live after {self.start_seconds[-1]:.1f} s",
            flush=True,
        )
        self.samples = []
        self._command = command
        return ready

    def kill(self) -> None:
        """`kill -9`."""
        command, children = self._take()
        command.process.kill()
        command.finish()
        self._ended(command, children, killed=True)

    def close(self) -> int:
        """Press Ctrl-C and return the exit code."""
        command, children = self._take()
        command.interrupt()
        code = command.finish()
        self._ended(command, children, killed=False)
        self._over.set()
        self._watcher.join()
        return code

    def _take(self) -> tuple[Command, list[int]]:
        command, self._command = self._command, None
        assert command is not None
        return command, descendants(command.process.pid)

    def _ended(self, command: Command, children: list[int], *, killed: bool) -> None:
        until = time.monotonic() + _GONE_SECONDS
        while running(children) and time.monotonic() < until:
            time.sleep(0.05)
        still = running(children)
        if still:
            self.left.append(f"{len(still)} processes of relay {command.process.pid}")
        with command:  # closes its streams
            self.events += [(command.process.pid, event) for event in command.events]
            self.lives.append(life(command.process.pid, command.events, killed=killed))

    def _watch(self) -> None:
        seen = finished = 0
        watched = None
        while not self._over.wait(_LOOK_SECONDS):
            command = self._command
            if command is not watched:
                watched, seen, finished = command, 0, 0
            if command is None:
                continue
            fresh = command.events[seen:]
            seen += len(fresh)
            finished += sum(event["type"] == "result" for event in fresh)
            sample = _sample(command.process.pid, finished)
            if sample is not None:
                self.samples.append(sample)


def _sample(pid: int, invocations: int) -> Sample | None:
    """Return memory and threads of a process; None where there is no /proc (macOS)."""
    try:
        text = Path(f"/proc/{pid}/status").read_text("utf-8")
    except OSError:
        return None
    found = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", text, re.MULTILINE))
    if len(found) < 2:
        return None
    return Sample(invocations, int(found["VmRSS"]) / 1024, int(found["Threads"]))

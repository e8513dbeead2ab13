"""Sees to it that no worker outlives this process, also when it is killed with -9.

One small child process holds the reading end of a pipe whose writing end only we hold. It is told
every worker's process group, and kills those still alive when the pipe ends, which the kernel sees
to however we died. A worker's
program is started through a gate: a shell that waits for one line on its standard input, and that
line is sent only after the guardian knows the group. So there is no moment at which a death of ours
leaves anything behind, for any runtime and without help from the worker's own code. Needs nothing
but POSIX (Linux and macOS).

It must never hold another descriptor of ours, and never be reached by the terminal's Ctrl-C.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Final

_GATE: Final = 'read -r _ && exec "$@" </dev/null'
_PROGRAM: Final = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""


def gated(command: Sequence[str]) -> list[str]:
    """The command line that runs `command` once a line arrives on its standard input, and never if that closes."""
    return ["/bin/sh", "-c", _GATE, "sh", *command]


class Guardian:
    """Starts its process with the first worker. Safe to call from any thread."""

    def __init__(self) -> None:
        # Guards the process, its pipe and the set of groups it knows.
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: set[int] = set()

    def watch(self, group: int) -> None:
        with self._lock:
            self._groups.add(group)
            self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        with self._lock:
            self._groups.discard(group)
            if self._process is not None:
                self._tell(f"-{group}\n")

    def close(self) -> None:
        """End the process; it kills whatever is still watched."""
        with self._lock:
            self._end()

    def _tell(self, line: str) -> None:
        if self._process is None:
            self._process = self._start()
            line = "".join(f"+{group}\n" for group in self._groups)
        try:
            self._write(self._process, line)
        except OSError:  # somebody killed it: a new one learns everything again
            self._end()
            self._process = self._start()
            self._write(self._process, "".join(f"+{group}\n" for group in self._groups))

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
        )

    @staticmethod
    def _write(process: subprocess.Popen[bytes], text: str) -> None:
        if process.stdin is not None:
            process.stdin.write(text.encode())
            process.stdin.flush()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        process.wait()

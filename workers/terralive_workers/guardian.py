"""Kills all workers when this process ends, even when it is killed with `kill -9`.

The guardian is one small child process. It reads the process group of every worker from a pipe
whose writing end only this process holds. The kernel closes the pipe however this process ends, and
the guardian then kills all groups that are still alive.

A worker's program starts behind a gate: a shell that waits for one line on its standard input. The
line is sent after the guardian knows the group. So there is no moment at which the death of this
process leaves anything behind, for any runtime and without help from the worker's own code. It
needs nothing but POSIX (Linux and macOS).

The guardian's process must never hold another descriptor of this process, and never get the
terminal's Ctrl-C.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Final

_log = logging.getLogger("terralive.workers")

_GATE: Final = 'read -r _ && exec "$@" </dev/null'
# The guardian's own program. A line is `+GROUP` or `-GROUP`.
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
    """Return a command line that runs `command` after it has read a line from its standard input.

    If its standard input closes before that, it ends without running `command`.
    """
    return ["/bin/sh", "-c", _GATE, "sh", *command]


class Guardian:
    """Owns the guardian's process, which starts with the first worker. Safe from any thread."""

    def __init__(self) -> None:
        # Guards the two attributes below it, and the writing into the process's pipe.
        self._lock = threading.Lock()
        # The guardian's process: None before the first worker and after `close`.
        self._process: subprocess.Popen[bytes] | None = None
        # The process groups to kill. A new guardian's process learns them all.
        self._groups: set[int] = set()

    def watch(self, group: int) -> None:
        """Kill this process group when this process ends."""
        with self._lock:
            self._groups.add(group)
            self._send(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Stop watching this process group: it has ended."""
        with self._lock:
            self._groups.discard(group)
            if self._process is not None:
                self._send(f"-{group}\n")

    def close(self) -> None:
        """End the guardian's process. It kills the groups that are still watched."""
        with self._lock:
            self._end()

    def _send(self, line: str) -> None:
        """Send one line, or all groups to a process that does not know them yet."""
        if self._process is None:
            self._process = self._start()
            line = self._all_groups()
        try:
            self._write(self._process, line)
        except OSError:
            _log.debug("the guardian was killed; another one takes its place")
            self._end()
            self._process = self._start()
            self._write(self._process, self._all_groups())

    def _all_groups(self) -> str:
        return "".join(f"+{group}\n" for group in self._groups)

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
        )
        _log.debug("the guardian is process %d", process.pid)
        return process

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

"""One worker: a local process that runs one function's handler.

`Process` starts it in a session of its own behind the guardian's gate, watches it to its end and
takes everything with it that it started. It knows nothing of invocations.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from terralive_workers.guardian import Guardian, gated
from terralive_workers.output import Emit, Output


class Process:
    """A worker's process. Two threads: one starts it and waits for its end, one reads its output.

    Args:
        on_exit: called once, from the first thread, when the process and all it started are gone
            and all output is published; takes the return code as `subprocess` has it (negative for
            a signal), or why it never started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        guardian: Guardian,
        emit: Emit,
        on_exit: Callable[[int | OSError], None],
    ) -> None:
        self._command = tuple(command)
        self._cwd = cwd
        self._environment = dict(environment)
        self._guardian = guardian
        self._emit = emit
        self._on_exit = on_exit
        # Guards the process handle, its output and whether it is to be killed.
        self._lock = threading.Lock()
        self._popen: subprocess.Popen[bytes] | None = None
        self._output: Output | None = None
        self._killed = False
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def begin(self, request_id: str) -> None:
        """Attribute the output from now on to `request_id`."""
        with self._lock:
            output = self._output
            if output is not None:
                output.begin(request_id)

    def end(self) -> None:
        """Publish all output so far; it belongs to no invocation from now on."""
        self.begin("")

    def kill(self) -> None:
        """End the process and all it started, at once; returns without waiting."""
        with self._lock:
            self._killed = True
            if self._popen is not None:
                _kill_group(self._popen.pid)

    def freeze(self) -> None:
        """Stop the process and all it started where they are, as Lambda does between invocations."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def peak_memory_mb(self) -> int | None:
        """The most memory that the process has held so far, where the system tells (Linux)."""
        with self._lock:
            status = Path(f"/proc/{self._popen.pid}/status") if self._popen is not None else None
            try:
                text = status.read_text() if status is not None else ""
            except OSError:
                return None
        found = re.search(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE)
        return int(found[1]) // 1024 if found else None

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            if self._popen is not None:
                _signal_group(self._popen.pid, number)

    def join(self, timeout_s: float) -> None:
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            popen = self._open()
        except OSError as error:
            self._on_exit(error)
            return
        except ValueError as error:  # an environment that no process can have
            self._on_exit(OSError(str(error)))
            return
        _await_exit(popen)
        with self._lock:
            _kill_group(popen.pid)
            self._guardian.forget(popen.pid)
            status = popen.wait()
            self._popen = None
            output, self._output = self._output, None
        if output is not None:
            output.close()
        self._on_exit(status)

    def _open(self) -> subprocess.Popen[bytes]:
        with self._lock:
            popen = subprocess.Popen(
                gated(self._command),
                cwd=self._cwd,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            self._environment = {}
            try:
                self._guardian.watch(popen.pid)
                self._output = Output(
                    _taken_over(popen.stdout), _taken_over(popen.stderr), self._emit
                )
            except (
                OSError
            ):  # this process may be out of descriptors: the worker must not stay behind its gate
                _kill_group(popen.pid)
                self._guardian.forget(popen.pid)
                with popen:
                    raise
            self._popen = popen
            if self._killed:
                _kill_group(popen.pid)
            if popen.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    popen.stdin.write(b"go\n")
                    popen.stdin.flush()
                with contextlib.suppress(BrokenPipeError):
                    popen.stdin.close()
            return popen


def _taken_over(stream: object) -> int:
    """A descriptor of our own for one of Popen's streams, whose Python object is closed."""
    if not hasattr(stream, "fileno") or not hasattr(stream, "close"):
        raise TypeError("not a stream")
    descriptor = os.dup(stream.fileno())
    stream.close()
    return descriptor


def _await_exit(popen: subprocess.Popen[bytes]) -> None:
    """Wait for the end without reaping, so that the group's number cannot be anyone else's yet when it is killed."""
    if hasattr(os, "waitid"):  # not on macOS before Python 3.13
        os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
    else:
        popen.wait()


def _kill_group(group: int) -> None:
    _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(
        ProcessLookupError, PermissionError
    ):  # macOS: EPERM for a group of zombies
        os.killpg(group, number)

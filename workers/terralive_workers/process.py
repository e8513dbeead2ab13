"""One local process that runs the handler of one function.

`Process` starts it in a session of its own and behind the guardian's gate, waits for its end, and
then kills everything that it started. It knows nothing of invocations but their request ids.

It must never log a command's arguments or an environment.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from terralive_workers.guardian import Guardian, gated
from terralive_workers.output import Emit, Output

_log = logging.getLogger("terralive.workers")


class Process:
    """A worker's process. One thread starts it and waits for its end, another reads its output.

    Args:
        command: the program and its arguments.
        cwd: the working directory.
        environment: all of its environment variables.
        guardian: kills the process when this process ends.
        emit: takes the lines of its output.
        on_exit: called once, from the first thread, when the process and everything that it started
            are gone and all output is published. Takes the return code as in `subprocess` (negative
            for a signal), or the reason why the process never started.
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
        # Emptied at the start, so that it holds no credentials longer than necessary.
        self._environment = dict(environment)
        self._guardian = guardian
        self._emit = emit
        self._on_exit = on_exit

        # Guards the three attributes below it.
        self._lock = threading.Lock()
        # The process while it runs: None before its start and after its end.
        self._popen: subprocess.Popen[bytes] | None = None
        # Reads the process's pipes while it runs.
        self._output: Output | None = None
        # Set by `kill`, which may come before the process has started.
        self._killed = False

        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        # Whether an invocation has begun here, and whether one has ended. Never set back.
        self.has_begun = False
        self.has_answered = False

    @property
    def pid(self) -> int | None:
        """The process's id, which is also its session's; None while it does not run."""
        with self._lock:
            if self._popen is None:
                return None
            return self._popen.pid

    def start(self) -> None:
        """Start the process in the background. A failure is reported to `on_exit`."""
        self._thread.start()

    def begin(self, request_id: str) -> None:
        """Publish all output so far. Later output belongs to the invocation `request_id`."""
        if request_id:
            self.has_begun = True
        with self._lock:
            output = self._output
            if output is not None:
                output.begin(request_id)

    def end(self) -> None:
        """Publish all output so far. Later output belongs to no invocation."""
        self.begin("")
        self.has_answered = self.has_begun

    def kill(self) -> None:
        """Kill the process and everything that it started. Return without waiting for the end."""
        with self._lock:
            self._killed = True
            if self._popen is not None:
                _log.debug("worker %d is killed", self._popen.pid)
                _kill_group(self._popen.pid)

    def freeze(self) -> None:
        """Stop the process and everything that it started, as Lambda does between invocations."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue the process and everything that it started after `freeze`."""
        self._signal(signal.SIGCONT)

    def peak_memory_mb(self) -> int | None:
        """Return the most memory that the process has held so far, in MB.

        Return None where the system does not report it (only Linux does) or no process runs.
        """
        with self._lock:
            if self._popen is None:
                return None
            try:
                text = Path(f"/proc/{self._popen.pid}/status").read_text()
            except OSError:
                return None
        found = re.search(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE)
        if found is None:
            return None
        return int(found[1]) // 1024

    def join(self, timeout_s: float) -> None:
        """Wait until `on_exit` has returned, or until the time is over."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            if self._popen is not None:
                _signal_group(self._popen.pid, number)

    def _run(self) -> None:
        """Start the process, wait for its end, and clean up: the thread `worker`."""
        try:
            popen = self._open()
        except OSError as error:
            _log.debug("a worker did not start: %s", error.strerror or error)
            self._on_exit(error)
            return
        except ValueError as error:
            # An environment that no process can have, for example with a NUL in a value.
            _log.debug("a worker did not start: its command or environment is not valid")
            self._on_exit(OSError(str(error)))
            return
        _await_exit(popen)
        # The process has ended and is not reaped yet, so its group's number is still its own.
        with self._lock:
            _kill_group(popen.pid)
            self._guardian.forget(popen.pid)
            status = popen.wait()
            self._popen = None
            output, self._output = self._output, None
        if output is not None:
            output.close()
        _log.debug("worker %d has ended with status %d", popen.pid, status)
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
                    _take_descriptor(popen.stdout), _take_descriptor(popen.stderr), self._emit
                )
            except OSError:
                # This process may be out of file descriptors. The worker must not stay behind its
                # gate forever.
                _kill_group(popen.pid)
                self._guardian.forget(popen.pid)
                with popen:
                    raise
            self._popen = popen
            _log.debug("worker %d runs %s", popen.pid, self._command[0])
            if self._killed:
                _kill_group(popen.pid)
            # Open the gate. The process may already be dead.
            if popen.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    popen.stdin.write(b"go\n")
                    popen.stdin.flush()
                with contextlib.suppress(BrokenPipeError):
                    popen.stdin.close()
            return popen


def _take_descriptor(stream: object) -> int:
    """Return a new descriptor of one of Popen's streams, and close the stream."""
    if not hasattr(stream, "fileno") or not hasattr(stream, "close"):
        raise TypeError("not a stream")
    descriptor = os.dup(stream.fileno())
    stream.close()
    return descriptor


def _await_exit(popen: subprocess.Popen[bytes]) -> None:
    """Wait for the end of the process without reaping it.

    As long as it is not reaped, no other process group can get its number, so that killing the
    group cannot hit anybody else.
    """
    if hasattr(os, "waitid"):  # not on macOS before Python 3.13
        os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
    else:
        popen.wait()


def _kill_group(group: int) -> None:
    _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    # macOS answers EPERM for a group that consists of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)

"""`start --detach`: a start in a process of its own, which leaves the terminal when it is live.

1. The command in the foreground (`start_in_background`) starts the same command line again, in a
   session of its own (`setsid`): the terminal's signals do not reach that process. It shows its
   progress, and asks its questions, in the same terminal. Until it is live, the foreground passes
   Ctrl-C, `kill` and the end of the terminal on to it, and waits.
2. When it is live, it lets go of the terminal (`Foreground.let_go`) and tells the foreground by a
   pipe, which ends with exit code 0. If it ends before that, the foreground ends with its exit
   code.

https://man7.org/linux/man-pages/man2/setsid.2.html
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

# Set for the process in the background only: the descriptor of the pipe.
_PIPE: Final = "TERRALIVE_READY_PIPE"
_READY: Final = b"1"
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# A shell's exit code for a program that a signal has ended:
# https://www.gnu.org/software/bash/manual/html_node/Exit-Status.html
_SIGNALLED: Final = 128


def has_foreground(environ: Mapping[str, str]) -> bool:
    """Tell whether this process is the one in the background, before it has looked."""
    return _PIPE in environ


class Foreground:
    """The command in the foreground, as the process in the background sees it.

    Args:
        pipe: the descriptor of the pipe's end for writing.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> Foreground | None:
        """Return the foreground of this process; None for a process that was not started by one.

        Args:
            environ: the environment of this process. The variable is removed from it.
        """
        text = environ.pop(_PIPE, "")
        if not text.isdecimal():
            return None
        pipe = int(text)
        # No process that this one starts may hold it open.
        os.set_inheritable(pipe, False)
        return cls(pipe)

    def let_go(self, log_file: Path) -> None:
        """Let go of the terminal and of every pipe, and let the foreground end.

        Args:
            log_file: the file that gets what is written to stderr from now on.
        """
        nothing = os.open(os.devnull, os.O_RDWR)
        log = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        for descriptor, target in ((nothing, 0), (nothing, 1), (log, 2)):
            os.dup2(descriptor, target)
        os.close(nothing)
        os.close(log)
        try:
            os.write(self._pipe, _READY)
        except BrokenPipeError:
            pass  # the foreground was killed
        finally:
            os.close(self._pipe)


def this_command() -> list[str]:
    """Return the command line of this process, which anybody may have started in any way."""
    # `-P`: a file of the user's named like a module of Python is not imported instead of it.
    return [sys.executable, "-P", "-m", "terralive_cli", *sys.argv[1:]]


def start_in_background(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a command in a process of its own until it is live, or has ended.

    Args:
        command: the command; see `this_command`.
        environ: the environment of this process.

    Returns:
        0 if it is live, else its exit code.
    """
    ready, pipe = os.pipe()
    with _Signals() as signals, os.fdopen(ready, "rb") as stream:
        process = subprocess.Popen(
            command,
            env={**environ, _PIPE: str(pipe)},
            pass_fds=(pipe,),
            start_new_session=True,
        )
        os.close(pipe)
        signals.pass_on_to(process)
        if stream.read(1) == _READY:
            # It goes on, and nobody waits for it: no warning about that at the end of this process.
            process.returncode = 0
            return 0
        code = process.wait()
    if code < 0:
        return _SIGNALLED - code
    return code


class _Signals:
    """Passes signals on to a process while the context lasts. The main thread uses it."""

    def __init__(self) -> None:
        # The process; None before it was started.
        self._process: subprocess.Popen[bytes] | None = None
        # Signals that have come before.
        self._early: list[int] = []
        # The handlers before the context.
        self._former: dict[signal.Signals, Callable[[int, FrameType | None], object] | int] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            known = signal.getsignal(number)
            # An ignored one stays ignored, as with `nohup`.
            if known is not None and known is not signal.SIG_IGN:
                self._former[number] = known
                signal.signal(number, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, known in self._former.items():
            signal.signal(number, known)

    def pass_on_to(self, process: subprocess.Popen[bytes]) -> None:
        """Pass on what has come and what comes."""
        self._process = process
        for number in self._early:
            process.send_signal(number)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)

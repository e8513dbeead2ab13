"""The request to end a session: a file in its folder, which the session itself looks for.

The session ends itself, as at Ctrl-C. No other process sends a signal, so none can reach a program
that has got the session's process id meanwhile, or that has it in another container.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from terralive_cli.configuration.values import OnExit
from terralive_stub.shared.atomic_files import write_atomically
from terralive_stub.shared.json_documents import read_object, text

_REQUEST: Final = "stop.json"
_LOOK_SECONDS: Final = 0.2


def ask_to_stop(folder: Path, on_exit: OnExit) -> None:
    """Ask the session in a folder to end.

    Args:
        folder: the session's folder.
        on_exit: what is done about its stubs.

    Raises:
        OSError: the request cannot be written.
    """
    write_atomically(folder / _REQUEST, json.dumps({"on_exit": on_exit.value}).encode())


def is_taken(folder: Path) -> bool:
    """Tell whether the session has seen the request."""
    return not (folder / _REQUEST).exists()


def withdraw(folder: Path) -> None:
    """Remove a request that nobody has taken."""
    (folder / _REQUEST).unlink(missing_ok=True)


class StopRequests:
    """Looks for a request to end this session, in a thread of its own, and ends it once.

    Args:
        folder: the session's folder.
        end: ends this process, as Ctrl-C does; called at most once, in the thread.
    """

    def __init__(self, folder: Path, end: Callable[[], None]) -> None:
        self._folder = folder
        self._end = end
        # What the request says about the stubs; None before there is one. Set by the thread before
        # it ends this process.
        self.on_exit: OnExit | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stop-requests", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more. The thread ends a moment later."""
        self._closing.set()

    def join(self) -> None:
        """Wait for the end of the thread, after `close`."""
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(_LOOK_SECONDS):
            file = self._folder / _REQUEST
            if not file.exists():
                continue
            wanted = text(read_object(file), "on_exit")
            is_first = self.on_exit is None
            if is_first:
                self.on_exit = OnExit.KEEP
                if wanted == OnExit.RESTORE:
                    self.on_exit = OnExit.RESTORE
            file.unlink(missing_ok=True)
            # A second one must not cut a restore short, as a second Ctrl-C would.
            if is_first:
                self._end()


def interrupt_this_process() -> None:
    """End this process as Ctrl-C does."""
    number = signal.SIGINT
    # A script that starts the session with `&` ignores it.
    # https://pubs.opengroup.org/onlinepubs/9699919799/utilities/V3_chap02.html#tag_18_11
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        number = signal.SIGTERM
    os.kill(os.getpid(), number)

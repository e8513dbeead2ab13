"""The footer and the keys of a session: the main thread's part of the live view.

    1. While the footer is open, the terminal passes on single keys and shows none. The main thread
       reads them whenever it waits (`file`).
    2. Keys pause while the configuration is applied, because questions are asked then. Footer and
       keys pause while the command is suspended or in the background.
    3. Without a footer (`--output plain`), the only key is the one that applies saved changes, and
       only while there are some.

Whatever ends the session closes the view: the terminal has its own mode then. Handlers of signals
only note what has come.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType, TracebackType
from typing import Final, Protocol, Self

from terralive_cli.changes.saved_changes import KEY
from terralive_cli.output.events import Message
from terralive_cli.output.interrupts import Handler, handle
from terralive_cli.output.ui import Ui
from terralive_cli.view.keys import Keys, is_in_foreground
from terralive_cli.view.pressing import Action, Shown, meant_keys, pressed

_APPLYING: Final = "applying the configuration; Ctrl-C leaves"
_FALSE: Final = ("", "0", "false")


class PressedKeys(Protocol):
    """Keys of a terminal; see `keys.Keys`."""

    @property
    def file(self) -> int | None:
        """The file descriptor that has something to read when a key is pressed."""

    def pressed(self) -> str:
        """Return the keys that were pressed since the last call."""

    def release(self) -> None:
        """Put the terminal's mode back."""


class Workers(Protocol):
    """The workers of a session; see `StageRelay`."""

    @property
    def waiting(self) -> int:
        """The number of invocations that no worker has taken yet."""

    def restart_workers(self) -> None:
        """Have new workers run the invocations from now on."""


class Changes(Protocol):
    """Saved changes of the configuration; see `SavedChanges`."""

    @property
    def is_pending(self) -> bool:
        """Tell whether there are some that a key applies."""


class SessionView:
    """Footer and keys of a session. The main thread uses it, as a context.

    Args:
        ui: shows events and the footer.
        keys: the user's keys; None where no user can press one.
        changes: the saved changes.
        workers: the session's workers.
        wants_footer: whether there is a footer.
        is_in_foreground: tells whether this command may use the terminal.
    """

    def __init__(
        self,
        ui: Ui,
        keys: PressedKeys | None,
        changes: Changes,
        workers: Workers,
        *,
        wants_footer: bool,
        is_in_foreground: Callable[[], bool],
    ) -> None:
        self._ui = ui
        self._keys = keys
        self._changes = changes
        self._workers = workers
        self._wants_footer = wants_footer
        self._is_in_foreground = is_in_foreground
        # Whether the footer is on the screen.
        self._is_open = False
        # The part of it that keys change.
        self._shown = Shown()
        # The number in the footer of invocations that no worker has taken.
        self._waiting = 0
        # Whether the user has pressed Ctrl-Z.
        self._stops = False
        # The handlers of signals before the footer was open; empty while it is not.
        self._former: dict[signal.Signals, Handler] = {}
        # Ends a wait of the main thread; set by `open`.
        self._wake: Callable[[], None] = _nothing

    @classmethod
    def of(cls, ui: Ui, changes: Changes, workers: Workers) -> Self:
        """Return the view of a session, as far as the terminal allows one."""
        keys = None
        if ui.takes_keys:
            keys = Keys(sys.stdin)
        return cls(
            ui,
            keys,
            changes,
            workers,
            wants_footer=allows_footer(os.environ),
            is_in_foreground=lambda: is_in_foreground(sys.stdout.fileno()),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _has_footer(self) -> bool:
        return self._wants_footer and self._ui.has_view

    @property
    def file(self) -> int | None:
        """The file descriptor that has something to read when a key is pressed; None for none."""
        if self._keys is None or not self._is_open:
            return None
        return self._keys.file

    def open(self, wake: Callable[[], None]) -> None:
        """Show the footer, if there is one.

        Args:
            wake: ends a wait of the main thread; a signal's handler calls it.
        """
        self._wake = wake
        self._show()

    def close(self) -> None:
        """Remove the footer and the filter, and put the terminal's mode back."""
        self._hide()
        self._wants_footer = False
        self._ui.change_view(lambda view: view.show(Shown()))

    def look(self) -> Action | None:
        """Read keys, and do what they say.

        Returns:
            The action that is left to the caller: to apply changes, or to leave. No keys are read
            then until the next look.
        """
        if self._stops:
            self._suspend()
        if self._is_open and not self._is_in_foreground():
            self._hide()
        if not self._is_open:
            self._show()
        self._count()
        action = self._pressed()
        if action is not None:
            self._hide()
        if action is Action.APPLY and self._has_footer:
            self._ui.change_view(lambda view: view.open(has_keys=False, doing=_APPLYING))
        return action

    def _pressed(self) -> Action | None:
        """Return the action of the keys that were pressed."""
        if self._keys is None:
            return None
        if self._has_footer:
            if self._is_open:
                return self._viewed(self._keys)
            return None
        if not self._changes.is_pending:
            self._keys.release()
        elif KEY in meant_keys(Shown(), self._keys.pressed().lower()):
            return Action.APPLY
        return None

    def _viewed(self, keys: PressedKeys) -> Action | None:
        """Change the view as keys say. After an action for the caller, other keys are dropped."""
        before = self._shown
        left = None
        for key in meant_keys(self._shown, keys.pressed()):
            self._shown, action = pressed(self._shown, key)
            if action is Action.RESTART:
                self._restart()
            elif action is Action.CLEAR:
                self._ui.change_view(lambda view: view.clear())
            elif action is not None:
                left = action
                break
        if self._shown != before:
            shown = self._shown
            self._ui.change_view(lambda view: view.show(shown))
        return left

    def _restart(self) -> None:
        self._workers.restart_workers()
        text = "Workers restart: the next invocation of each function runs in a new one."
        self._ui.emit(Message(message=text))

    def _count(self) -> None:
        waiting = self._workers.waiting
        if self._is_open and waiting != self._waiting:
            self._waiting = waiting
            self._ui.change_view(lambda view: view.count_waiting(waiting))

    def _show(self) -> None:
        if not self._has_footer or not self._is_in_foreground():
            return
        self._is_open = True
        has_keys = self._keys is not None
        self._ui.change_view(lambda view: view.open(has_keys=has_keys))
        self._former |= handle((signal.SIGWINCH,), self._resized)
        self._former |= handle((signal.SIGTSTP,), self._stopped)

    def _hide(self) -> None:
        if self._is_open:
            self._is_open = False
            for number, handler in self._former.items():
                signal.signal(number, handler)
            self._former.clear()
        if self._ui.change_view(lambda view: view.hide()):
            self._ui.flush()
        if self._keys is not None:
            self._keys.release()

    def _suspend(self) -> None:
        """Stop this process, as Ctrl-Z does by itself.

        The terminal has its own mode meanwhile, whatever the shell does:
        https://www.gnu.org/software/libc/manual/html_node/Job-Control-Signals.html
        """
        self._stops = False
        self._hide()
        os.kill(os.getpid(), signal.SIGTSTP)

    def _stopped(self, _number: int, _frame: FrameType | None) -> None:
        self._stops = True
        self._wake()

    def _resized(self, _number: int, _frame: FrameType | None) -> None:
        self._ui.change_view(lambda view: view.resized())


def allows_footer(environ: Mapping[str, str]) -> bool:
    """Tell whether a terminal may have a footer.

    Not in CI, whose logs keep every redrawing; not in a terminal without a cursor that moves; and
    not where a debug log is written to the same screen.

    Args:
        environ: the environment variables.
    """
    if environ.get("CI", "").lower() not in _FALSE:
        return False
    if environ.get("TERM", "") in {"dumb", "unknown"}:
        return False
    return not environ.get("TERRALIVE_LOG") or bool(environ.get("TERRALIVE_LOG_FILE"))


def _nothing() -> None:
    """Wake nobody: nobody waits yet."""

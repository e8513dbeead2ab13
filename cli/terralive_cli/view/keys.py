"""Single keys from the terminal, while the user may press one.

The terminal's mode is changed only while somebody asks for keys: `pressed` changes it, `release`
puts it back. Ctrl-C and Ctrl-Z stay signals. A command in the background reads nothing, because
the system would stop it: https://man7.org/linux/man-pages/man4/tty_ioctl.4.html. Handlers do not
share the terminal: their standard input is empty.
"""

from __future__ import annotations

import contextlib
import os
import select
import termios
from typing import Final, TextIO

# A terminal keeps at most 4 KB that nobody has read (`man 3 termios`, N_TTY). A pasted text is read
# in one piece, as far as it is there.
_LONGEST: Final = 8192
_LOCAL_MODES: Final = 3  # the index in what `tcgetattr` returns


class Keys:
    """Keys that are typed in a terminal. One thread uses it.

    Args:
        terminal: the terminal; keys are not read from anything else.
    """

    def __init__(self, terminal: TextIO) -> None:
        self._file = terminal.fileno()
        # The terminal's mode before it was changed; None while it is not changed.
        self._former: list[int | list[bytes | int]] | None = None
        # Whether nothing can be read there any more.
        self._has_ended = False

    @property
    def file(self) -> int | None:
        """The file descriptor that has something to read when a key is pressed.

        None while nothing may be read there, and after the terminal was closed.
        """
        if self._has_ended or not is_in_foreground(self._file):
            return None
        return self._file

    def pressed(self) -> str:
        """Return the keys that were pressed since the last call. It does not wait.

        The first call drops what was typed before it, and so does one after `release`.
        """
        if not is_in_foreground(self._file):
            return ""
        try:
            self._take_single_keys()
            ready, _, _ = select.select([self._file], [], [], 0)
            if not ready:
                return ""
            typed = os.read(self._file, _LONGEST)
        except (OSError, termios.error):  # the terminal was closed
            typed = b""
        if not typed:
            self._has_ended = True
        return typed.decode("utf-8", "ignore")

    def release(self) -> None:
        """Put the terminal's mode back. What was typed is dropped: it is the answer to nothing."""
        former = self._former
        if former is not None and is_in_foreground(self._file):
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._file, termios.TCSAFLUSH, former)
        # Only now: a signal before this line leaves it to the next call.
        self._former = None

    def _take_single_keys(self) -> None:
        """Change the mode, also anew: a shell puts its own back when a stopped command goes on."""
        mode = termios.tcgetattr(self._file)
        single = mode[_LOCAL_MODES] & ~(termios.ICANON | termios.ECHO)
        if mode[_LOCAL_MODES] == single:
            return
        # Kept before the change, so that a signal in between leaves nothing changed.
        if self._former is None:
            self._former = list(mode)
        mode[_LOCAL_MODES] = single
        termios.tcsetattr(self._file, termios.TCSAFLUSH, mode)


def is_in_foreground(terminal: int) -> bool:
    """Tell whether this command may use a terminal.

    Args:
        terminal: its file descriptor.
    """
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        # It controls no command, so it stops none.
        return os.isatty(terminal)

"""The screen of a terminal, as a terminal emulator shows it.

The emulator is pyte (https://pyte.readthedocs.io/), which knows nothing of terralive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import pyte

from terralive_testing.machine.waiting import eventually

_COLUMNS: Final = 80
_ROWS: Final = 24


class Shown(Protocol):
    """A terminal; see `drivers.terminal.Terminal`."""

    def shown_after(self, number: int) -> bytes:
        """Return what has appeared in it, without the first bytes."""

    def resize(self, columns: int, rows: int) -> None:
        """Give it another size."""


class Screen:
    """The screen of a terminal. One thread uses it.

    Args:
        terminal: the terminal, in which nothing has appeared yet.
    """

    def __init__(self, terminal: Shown) -> None:
        self._terminal = terminal
        terminal.resize(_COLUMNS, _ROWS)
        self._emulator = pyte.Screen(_COLUMNS, _ROWS)
        self._stream = pyte.ByteStream(self._emulator)
        # The number of bytes that the emulator has taken.
        self._taken = 0

    @property
    def rows(self) -> list[str]:
        """The rows that are shown now, without spaces at their ends."""
        fresh = self._terminal.shown_after(self._taken)
        self._taken += len(fresh)
        self._stream.feed(fresh)
        return [row.rstrip() for row in self._emulator.display]

    @property
    def shows_cursor(self) -> bool:
        """Tell whether the cursor is shown."""
        return bool(self.rows) and not self._emulator.cursor.hidden

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        self._emulator.resize(rows, columns)
        self._terminal.resize(columns, rows)

    def wait_for(self, text: str, seconds: float = 30) -> None:
        """Wait until a text is in a row."""
        self.wait_until(lambda rows: text in "\n".join(rows), f"`{text}` on the screen", seconds)

    def wait_until(
        self, wanted: Callable[[Sequence[str]], bool], what: str, seconds: float = 30
    ) -> None:
        """Wait until the rows are as wanted."""
        try:
            eventually(lambda: wanted(self.rows), what, seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n" + "\n".join(self.rows)) from None

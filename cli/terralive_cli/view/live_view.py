"""The stream of events with a footer below it, on a terminal.

The footer is plain text at the end of the stream, after an empty row. It is removed before an event
is written, and drawn again when no more events wait. While there is no event and the footer is the
same, nothing is written. The cursor stays visible after the footer, so nothing has to be put back
when the process is killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from rich.text import Text

from terralive_cli.output.formats.rich import Rich, styled
from terralive_cli.view.filtering import Filter
from terralive_cli.view.footer import footer
from terralive_cli.view.pressing import Shown
from terralive_cli.view.tally import Tally
from terralive_relay.events import Event

# While events never pause, the footer is drawn this often.
_DRAW_SECONDS: Final = 0.2
# https://invisible-island.net/xterm/ctlseqs/ctlseqs.html (CUU, ED)
_UP: Final = "\x1b[{}A"
_ERASE_BELOW: Final = "\x1b[J"


class LiveView:
    """Writes events to a terminal, with a footer below them while it is open.

    Only the renderer's thread uses it.

    Args:
        stream: writes the events.
        clock: the monotonic time in seconds.
    """

    def __init__(self, stream: Rich, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        # Counts all events, also those before the footer is open.
        self._tally = Tally()
        self._filter = Filter()
        stream.shows = self._shows
        # Whether there is a footer at all, and whether it offers keys.
        self._is_open = False
        self._has_keys = False
        # What the session does beside serving; "" for nothing.
        self._doing = ""
        # The part that keys change.
        self._shown = Shown()
        # Invocations that no worker has taken.
        self._waiting = 0
        # The rows on the screen, and the width of the terminal for which they were drawn; () while
        # none is there.
        self._drawn: tuple[Text, ...] = ()
        self._drawn_width = 0
        # The time of the last drawing (`clock`).
        self._drawn_at = 0.0
        # Events that wait for the end of a pause; None while there is no pause.
        self._held: list[Sequence[Event]] | None = None

    def wake_by(self, wake: Callable[[], None]) -> None:
        """Take a callback that makes somebody call `write` soon, with no events."""
        self._stream.wake_by(wake)

    def write(self, events: Sequence[Event]) -> None:
        """Write events above the footer, or keep them until the end of a pause."""
        for event in events:
            self._tally.take(event)
        if self._held is not None:
            self._held.append(events)
            return
        self._stream.write(events)
        if self._clock() - self._drawn_at >= _DRAW_SECONDS:
            self.draw()

    def close(self) -> None:
        """Remove the footer, and write what waits."""
        self.hide()
        self.resume()
        self._stream.close()

    def draw(self) -> None:
        """Draw the footer, unless the screen already shows it."""
        if not self._is_open or self._held is not None or self._stream.has_live_line:
            return
        console = self._stream.console
        rows = self._rows()
        if rows == self._drawn and console.width == self._drawn_width:
            return
        self._erase()
        self._drawn_at = self._clock()
        self._drawn_width = console.width
        if rows:
            console.print(Text("\n").join(rows), end="", soft_wrap=True)
            self._drawn = rows

    def _rows(self) -> tuple[Text, ...]:
        """Return the rows of the footer for the present state, with an empty row before them."""
        console = self._stream.console
        found = footer(
            self._tally.counts(self._waiting),
            self._shown,
            width=console.width,
            height=console.height,
            has_keys=self._has_keys,
            doing=self._doing,
        )
        if not found:
            return ()
        rows = [Text()]
        for spans in found:
            row = Text().join(styled(span) for span in spans)
            row.truncate(console.width - 1)
            rows.append(row)
        return tuple(rows)

    def _shows(self, event: Event) -> bool:
        """Tell whether the stream shows an event, and make place for it."""
        passes = self._filter.passes(event)
        if passes:
            self._erase()
        return passes

    # Changes, by `Renderer.change_view`

    def open(self, *, has_keys: bool, doing: str = "") -> None:
        """Show a footer from now on.

        Args:
            has_keys: whether the user can press keys.
            doing: what the session does beside serving; "" for nothing.
        """
        self._is_open = True
        self._has_keys = has_keys
        self._doing = doing

    def hide(self) -> None:
        """Show no footer and no filter from now on."""
        self._erase()
        self._is_open = False
        self._shown = Shown()
        self._filter.text = ""

    def pause(self) -> None:
        """Write nothing until `resume`, because the user reads a question."""
        self._erase()
        self._stream.hide_live_line()
        if self._held is None:
            self._held = []

    def resume(self) -> None:
        """Write what has happened during the pause, and go on."""
        held, self._held = self._held, None
        for events in held or ():
            self._stream.write(events)

    def show(self, shown: Shown) -> None:
        """Show what the user has chosen."""
        self._shown = shown
        self._filter.text = shown.filter

    def count_waiting(self, waiting: int) -> None:
        """Show another number of invocations that no worker has taken."""
        self._waiting = waiting

    def clear(self) -> None:
        """Clear the screen."""
        self._drawn = ()
        if self._held is None:
            self._stream.console.clear()

    def resized(self) -> None:
        """Have the footer drawn for another size of the terminal, if it has one."""

    def _erase(self) -> None:
        """Remove the footer. The cursor is then where the stream goes on.

        A terminal that became narrower has wrapped the rows that are too long for it now.
        """
        drawn, self._drawn = self._drawn, ()
        if not drawn:
            return
        console = self._stream.console
        rows = sum(max(1, -(-row.cell_len // console.width)) for row in drawn)
        up = _UP.format(rows - 1)
        console.file.write(f"\r{up}{_ERASE_BELOW}")
        console.file.flush()

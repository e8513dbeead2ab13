"""The rich rendering: the same story with colours, times, a column of function names, and one live line at the foot.

Handlers' output is never read as markup. NO_COLOR is obeyed by rich itself.
"""

from __future__ import annotations

from typing import Final, TextIO

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from terralive_cli.output.events import Failed
from terralive_cli.output.formats.printable import coloured, printable
from terralive_cli.output.formats.story import Line, Storyteller, Style
from terralive_relay.events import Event

_LOOKS: Final = {
    Style.PLAIN: "",
    Style.STRONG: "bold",
    Style.FAINT: "dim",
    Style.GOOD: "green",
    Style.BAD: "red",
    Style.CAUTION: "yellow",
    Style.NAME: "cyan",
    Style.LINK: "underline",
    Style.RAW: "",
}
_COLUMN: Final = 24
_COLOURS: Final = ("cyan", "magenta", "blue", "green", "yellow")


class _Console(Console):
    """rich ends the whole program when its reader has gone; here that is the renderer's to judge."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Rich:
    """Writes the story to a terminal.

    Args:
        stream: the terminal.
        errors: where errors go; the same screen unless it is redirected.
    """

    def __init__(self, stream: TextIO, errors: TextIO) -> None:
        self._console = _Console(file=stream, highlight=False, soft_wrap=True)
        # On one screen, one console has to know of the live line; a redirected stderr gets its own.
        together = stream.isatty() and errors.isatty()
        self._errors = (
            self._console if together else _Console(file=errors, highlight=False, soft_wrap=True)
        )
        self._story = Storyteller()
        self._live: Live | None = None
        self._spinner = Spinner("dots")

    def write(self, event: Event) -> None:
        console = self._errors if isinstance(event, Failed) else self._console
        for line in self._story.tell(event):
            text = rich_text(line, self._story.width)
            if line.live:
                self._show_live(text)
            else:
                self._hide_live()
                console.print(text)

    def close(self) -> None:
        self._hide_live()

    def _show_live(self, text: Text) -> None:
        if not self._console.is_terminal:
            return
        text.no_wrap, text.overflow = True, "ellipsis"
        self._spinner.update(text=text)
        if self._live is None:
            self._live = Live(
                self._spinner, console=self._console, transient=True, refresh_per_second=8
            )
            self._live.start()

    def _hide_live(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()


def rich_text(line: Line, width: int = 0) -> Text:
    """Give a line with its looks: time, function name, words."""
    text = Text()
    if line.column:
        wide = min(width or len(line.column), _COLUMN)
        text.append(f"{line.at.astimezone():%H:%M:%S} ", "dim")
        text.append(f"{shorten(line.column, wide).ljust(wide)}  ", _colour(line.column))
    for span in line.spans:
        if span.style is Style.RAW:
            text.append_text(Text.from_ansi(coloured(span.text)))
        else:
            text.append(printable(span.text), _LOOKS[span.style])
    return text


def shorten(name: str, width: int) -> str:
    """Cut a name from its left: `terralive-orders-dev-ana-api` and its siblings differ at the end."""
    return name if len(name) <= width else f"…{name[len(name) - width + 1 :]}"


def _colour(name: str) -> str:
    return _COLOURS[sum(name.encode()) % len(_COLOURS)]

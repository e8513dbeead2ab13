"""The format `rich`: the same lines with colours, times, a column of names, and one live line.

The output of handlers is never read as markup. rich itself obeys NO_COLOR. A line that is longer
than the terminal is wide is wrapped between words.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.spinner import Spinner
from rich.text import Text

from terralive_cli.output.events import Failed, Stopped
from terralive_cli.output.formats.line import Line, Span, Style
from terralive_cli.output.formats.printable import coloured, printable
from terralive_cli.output.formats.text import TextLines, share_warnings
from terralive_cli.output.formats.words import shortened, size
from terralive_cli.output.stream.invocations import END_MARGIN, InvocationShown
from terralive_cli.output.stream.ordered import OrderedStream
from terralive_relay.events import Event, InvocationStarted, LogLine

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
_OF_INVOCATIONS: Final = (InvocationStarted, LogLine, InvocationShown)
# A longer name is shortened, to leave room for the output of handlers.
_COLUMN: Final = 24
# Cells before a name (`12:00:00 `) and behind it.
_TIME: Final = 9
_GAP: Final = 2
# Colours of functions, by `Line.hue`. Red is for errors.
_HUES: Final = (
    "cyan",
    "magenta",
    "blue",
    "green",
    "yellow",
    "bright_cyan",
    "bright_magenta",
    "bright_blue",
    "bright_green",
    "bright_yellow",
)
# A line of a handler that is longer is folded to its beginning. In characters.
_LONGEST_OUTPUT: Final = 2000
_FOLDED_OUTPUT: Final = 1000
# A tab would end wherever the terminal has its stops.
_TAB: Final = "    "
_URL: Final = re.compile(r"[a-z]+://")
# A narrower terminal wraps by itself.
_NARROWEST: Final = 20
_LINE_START: Final = Control(ControlType.CARRIAGE_RETURN)


class _Console(Console):
    """A console that reports a reader which has gone; rich would end the whole program."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class _Rows:
    """Rows of one line, which rich prints as they are. That is far cheaper than to print each."""

    def __init__(self, rows: Sequence[Text]) -> None:
        self._rows = rows

    def __rich_console__(self, console: Console, _options: ConsoleOptions) -> RenderResult:
        for row in self._rows:
            yield from row.render(console, end="\n")


class Rich:
    """Writes text lines to a terminal.

    Args:
        stream: the terminal.
        errors: receives errors; the same screen unless it is redirected.
    """

    def __init__(self, stream: TextIO, errors: TextIO) -> None:
        self._console = _new_console(stream)
        # One console must write everything on one screen, because it redraws the live line below
        # the other lines. A redirected stderr gets a console of its own.
        self._errors = self._console
        if not (stream.isatty() and errors.isatty()):
            self._errors = _new_console(errors)
        self._text = TextLines(str(Path.cwd()))
        self._order = OrderedStream()
        # The live line at the foot of the screen, while there is one.
        self._live: Live | None = None
        self._spinner = Spinner("dots")
        # Tells whether an event is shown; the live view's filter.
        self.shows: Callable[[Event], bool] = _every

    @property
    def console(self) -> Console:
        """The console of the stream."""
        return self._console

    @property
    def has_live_line(self) -> bool:
        """Tell whether there is a live line at the foot of the screen."""
        return self._live is not None

    def wake_by(self, wake: Callable[[], None]) -> None:
        """See `OrderedStream.wake_by`."""
        self._order.wake_by(wake)

    def write(self, events: Sequence[Event]) -> None:
        for event in self._order.take(share_warnings(events)):
            self._write(event)

    def close(self) -> None:
        for event in self._order.rest():
            self._write(event)
        self.hide_live_line()

    def _write(self, event: Event) -> None:
        console = self._errors if isinstance(event, Failed) else self._console
        lines = self._text.lines(event)
        if not self.shows(event):
            return
        for line in lines:
            text = rich_text(line, self._text.width)
            if line.live:
                self._show_live(text)
                continue
            # Terraform's progress goes on below what invocations do.
            if not isinstance(event, _OF_INVOCATIONS):
                self.hide_live_line()
            # A terminal shows Ctrl-C as `^C`. The line would begin behind it, and be too long.
            if isinstance(event, Stopped) and console.is_terminal:
                console.control(_LINE_START)
            console.print(_Rows(wrapped(text, line, self._text.width, console)))

    def _show_live(self, text: Text) -> None:
        if not self._console.is_terminal:
            return
        text.no_wrap = True
        text.overflow = "ellipsis"
        self._spinner.update(text=text)
        if self._live is None:
            self._live = Live(
                self._spinner, console=self._console, transient=True, refresh_per_second=8
            )
            self._live.start()

    def hide_live_line(self) -> None:
        """Remove the live line, if there is one."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def _every(_event: Event) -> bool:
    return True


def rich_text(line: Line, width: int = 0) -> Text:
    """Return a line with its colours: time, name of the function, words."""
    text = Text()
    if line.column:
        wide = _column_width(line, width)
        name = shortened(line.column, wide).ljust(wide)
        text.append(f"{line.at.astimezone():%H:%M:%S} ", "dim")
        text.append(f"{name}  ", _colour(line.hue))
    text.append(line.margin, "dim")
    for span in line.spans:
        text.append_text(styled(span))
    return text


def _folded(text: str) -> str:
    """Return the beginning of a very long line, and the size of its rest."""
    if len(text) <= _LONGEST_OUTPUT:
        return text
    rest = size(len(text) - _FOLDED_OUTPUT)
    return f"{text[:_FOLDED_OUTPUT]}… and {rest} more, in .terralive/logs"


def styled(span: Span) -> Text:
    """Return a piece of a line with its colour."""
    if span.style is Style.RAW:
        words = _folded(coloured(span.text)).replace("\t", _TAB)
        if "\x1b" not in words:
            return Text(words)
        return Text.from_ansi(words)
    look = _LOOKS[span.style]
    if span.hue is not None:
        look = _colour(span.hue)
    if span.url:
        look += f" link {printable(span.url)}"
    return Text(printable(span.text), look)


def wrapped(text: Text, line: Line, width: int, console: Console) -> list[Text]:
    """Return the rows of a line on a terminal, wrapped between words.

    A word that is longer than a row stays whole, so that a URL can be copied. A line that goes to a
    file is not wrapped.
    """
    if not console.is_terminal or console.width < _NARROWEST:
        return [text]
    if text.cell_len <= console.width:
        return [text]
    indent = line.indent
    if line.column:
        indent += _TIME + _column_width(line, width) + _GAP
    if console.width - indent < _NARROWEST:
        indent = 0
    start = f"{' ' * indent}{line.margin}"
    if line.margin == END_MARGIN:
        start = f"{' ' * indent}{' ' * len(line.margin)}"
    begin = len(text.plain) - len(printable(line.text))
    words = _words(text.plain[begin:], console.width - len(start))
    places = [(begin + first, begin + end) for first, end in words]
    starts = _row_starts(text.plain, places, console.width, len(start), _wanted_starts(line, begin))
    first, *others = text.divide(starts)
    rows = [first]
    for other in others:
        row = Text()
        row.append(start, "dim")
        row.append_text(other)
        rows.append(row)
    for row in rows:
        row.rstrip()
    return rows


def _column_width(line: Line, width: int) -> int:
    return min(width or len(line.column), _COLUMN)


def _wanted_starts(line: Line, place: int) -> frozenset[int]:
    """Return the places in a line's text at which a line that is too long starts a new row.

    Args:
        line: the line.
        place: the place of its first span.
    """
    starts: set[int] = set()
    for span in line.spans:
        if span.starts_row:
            starts.add(place)
        place += len(printable(span.text))
    return frozenset(starts)


def _words(text: str, room: int) -> list[tuple[int, int]]:
    """Return the start and end of each word.

    JSON and code without spaces have words that end at commas. A URL is one word.
    """
    words: list[tuple[int, int]] = []
    for word in re.finditer(r"\S+", text):
        if len(word[0]) > room and not _URL.match(word[0]):
            for part in re.finditer(r"[^,]+,*|,+", word[0]):
                words.append((word.start() + part.start(), word.start() + part.end()))
        else:
            words.append(word.span())
    return words


def _row_starts(
    text: str, words: list[tuple[int, int]], width: int, indent: int, wanted: frozenset[int]
) -> list[int]:
    """Return the places at which a new row starts, each at the start of a word.

    Args:
        text: one line.
        words: start and end of each of its words, without time and name of the function.
        width: width of the terminal in cells.
        indent: cells before every row but the first.
        wanted: places at which a row starts in any case.
    """
    starts: list[int] = []
    row = 0  # where the row begins in the text
    room = width
    has_words = False
    for start, end in words:
        is_full = cell_len(text[row:end]) > room
        if has_words and (is_full or start in wanted):
            starts.append(start)
            row = start
            room = width - indent
        has_words = True
    return starts


def _new_console(stream: TextIO) -> _Console:
    # soft_wrap: rich would wrap and crop lines at 80 columns in a file, too.
    console = _Console(file=stream, highlight=False, soft_wrap=True)
    if console.width < 1:
        # `COLUMNS=0`, which some editors set: rich would write nothing at all.
        console.width = shutil.get_terminal_size().columns
    return console


def _colour(hue: int) -> str:
    return _HUES[hue % len(_HUES)]

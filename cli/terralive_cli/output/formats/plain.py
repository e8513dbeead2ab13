"""The format `plain`: lines of text for files, CI and screen readers, without colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from terralive_cli.output.events import Failed
from terralive_cli.output.formats.line import Line
from terralive_cli.output.formats.printable import printable
from terralive_cli.output.formats.text import TextLines, share_warnings
from terralive_cli.output.stream.ordered import OrderedStream
from terralive_relay.events import Event


class Plain:
    """Writes text lines.

    Args:
        stream: receives everything but errors.
        errors: receives errors.
    """

    def __init__(self, stream: TextIO, errors: TextIO) -> None:
        self._stream = stream
        self._errors = errors
        self._text = TextLines(str(Path.cwd()))
        self._order = OrderedStream()

    def wake_by(self, wake: Callable[[], None]) -> None:
        """See `OrderedStream.wake_by`."""
        self._order.wake_by(wake)

    def write(self, events: Sequence[Event]) -> None:
        self._show(self._order.take(share_warnings(events)))

    def close(self) -> None:
        """Write what waits."""
        self._show(self._order.rest())

    def _show(self, events: Sequence[Event]) -> None:
        for event in events:
            stream = self._errors if isinstance(event, Failed) else self._stream
            lines = [line for line in self._text.lines(event) if not line.live]
            if lines:
                stream.write("".join(f"{plain_text(line, self._text.width)}\n" for line in lines))
                stream.flush()


def plain_text(line: Line, width: int = 0) -> str:
    """Return a line as text, with its function's name padded to `width`."""
    text = f"{line.margin}{printable(line.text)}".rstrip()
    if not line.column:
        return text
    return f"{line.column.ljust(width)}  {text}"

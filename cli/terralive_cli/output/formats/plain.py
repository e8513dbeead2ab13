"""The format `plain`: lines of text for files, CI and screen readers, without colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from terralive_cli.output.events import Failed
from terralive_cli.output.formats.line import Line
from terralive_cli.output.formats.printable import printable
from terralive_cli.output.formats.text import TextLines, share_warnings
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
        self._text = TextLines()

    def write(self, events: Sequence[Event]) -> None:
        for event in share_warnings(events):
            stream = self._errors if isinstance(event, Failed) else self._stream
            lines = [line for line in self._text.lines(event) if not line.live]
            if lines:
                stream.write("".join(f"{plain_text(line, self._text.width)}\n" for line in lines))
                stream.flush()

    def close(self) -> None:
        """Do nothing: every line is written at once."""


def plain_text(line: Line, width: int = 0) -> str:
    """Return a line as text, with its function's name padded to `width`."""
    text = printable(line.text).rstrip()
    if not line.column:
        return text
    return f"{line.column.ljust(width)}  {text}"

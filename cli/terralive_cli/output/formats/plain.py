"""The plain rendering.

One line of text after another, for files, CI and screen readers. No colours, no cursor.
"""

from __future__ import annotations

from typing import TextIO

from terralive_cli.output.events import Failed
from terralive_cli.output.formats.printable import printable
from terralive_cli.output.formats.story import Line, Storyteller
from terralive_relay.events import Event


class Plain:
    """Writes the story; errors go to `errors`."""

    def __init__(self, stream: TextIO, errors: TextIO) -> None:
        self._stream = stream
        self._errors = errors
        self._story = Storyteller()

    def write(self, event: Event) -> None:
        stream = self._errors if isinstance(event, Failed) else self._stream
        text = "".join(
            f"{plain_text(line, self._story.width)}\n"
            for line in self._story.tell(event)
            if not line.live
        )
        if text:
            stream.write(text)
            stream.flush()

    def close(self) -> None:
        """Nothing is held back."""


def plain_text(line: Line, width: int = 0) -> str:
    """Give a line as text, with its function's name padded to `width`."""
    text = printable(line.text).rstrip()
    return f"{line.column.ljust(width)}  {text}" if line.column else text

"""Lines of text for a person: the words, and what each word is.

A format decides how a style looks. The lines themselves are the same in every text format.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto


class Style(Enum):
    """Meaning of a piece of text."""

    PLAIN = auto()
    STRONG = auto()
    FAINT = auto()
    GOOD = auto()
    BAD = auto()
    CAUTION = auto()
    NAME = auto()
    LINK = auto()
    RAW = auto()  # output of a handler, which may contain its own colours


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a line in one style.

    Attributes:
        text: the words.
        style: their kind, which a format shows in a colour.
        starts_row: true if a new row begins here where the line is too long for the terminal.
        hue: number of the colour of a function's name; None for the colour of the style.
        url: address that the words lead to where a terminal knows links; "" for none.
    """

    text: str
    style: Style = Style.PLAIN
    starts_row: bool = False
    hue: int | None = None
    url: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        spans: the pieces of the line.
        at: time of its event.
        column: name of the function that the line belongs to; "" if it belongs to none.
        live: true for a line that replaces the live line before it.
        indent: spaces before the rest of the line, if it is wrapped.
        hue: number of the colour of `column`.
        margin: what stands before each row of the line (`│ `), behind the column.
    """

    spans: tuple[Span, ...]
    at: datetime
    column: str = ""
    live: bool = False
    indent: int = 0
    hue: int = 0
    margin: str = ""

    @property
    def text(self) -> str:
        return "".join(span.text for span in self.spans)

"""A position in a text of Terraform's language: what follows there, and what is skipped.

https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md#lexical-elements
"""

from __future__ import annotations

import re
from typing import Final

from terralive_terraform.discovery.hcl.syntax import UnreadableError

# White space and comments within a line, and across lines. A comment that begins with `#` or `//`
# leaves the end of its line.
_BLANK: Final = re.compile(r"(?:[ \t\r]+|#[^\n]*|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_BLANK_LINES: Final = re.compile(r"(?:\s+|#[^\n]*|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
# Letters outside of ASCII are taken without looking at their Unicode class.
WORD: Final = re.compile(r"[A-Za-z_\u0080-\U0010ffff][\w\-\u0080-\U0010ffff]*", re.ASCII)


class Cursor:
    """Reads a text, from a position onwards.

    Attributes:
        text: the text.
        position: index of the next character to read.
    """

    def __init__(self, text: str, position: int = 0) -> None:
        self.text = text
        self.position = position
        # Whether the end of a line is white space here, as it is between brackets.
        self._lines_are_blank = False

    def fault(self, problem: str, position: int | None = None) -> UnreadableError:
        """Return the fault for a problem, by default at the current position."""
        if position is None:
            position = self.position
        return UnreadableError(position, problem)

    def skip_blank(self) -> None:
        """Skip white space and comments; ends of lines only where they mean nothing."""
        blank = _BLANK_LINES if self._lines_are_blank else _BLANK
        match = blank.match(self.text, self.position)
        if match is not None:
            self.position = match.end()

    def skip_lines(self) -> None:
        """Skip white space and comments with the ends of lines."""
        match = _BLANK_LINES.match(self.text, self.position)
        if match is not None:
            self.position = match.end()

    def at(self, text: str) -> bool:
        """Tell whether a text follows."""
        return self.text.startswith(text, self.position)

    def take(self, text: str) -> bool:
        """Skip a text if it follows, and tell whether it did."""
        if not self.at(text):
            return False
        self.position += len(text)
        return True

    def require(self, text: str) -> None:
        """Skip a text that has to follow.

        Raises:
            UnreadableError: another one follows.
        """
        if not self.take(text):
            raise self.fault(f"`{text}` is missing")

    def word(self) -> str:
        """Read a word; "" if none follows."""
        match = WORD.match(self.text, self.position)
        if match is None:
            return ""
        self.position = match.end()
        return match[0]

    def ends(self, close: str) -> bool:
        """Skip white space between brackets, and tell whether they end here."""
        self.skip_lines()
        if self.position >= len(self.text):
            raise self.fault(f"`{close}` is missing")
        return self.take(close)

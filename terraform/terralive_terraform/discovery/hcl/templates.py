"""Reads templates of Terraform's language: quoted texts, heredocs, and the sequences in them.

https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md#templates, #lexical-elements
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Final

from terralive_terraform.discovery.hcl.syntax import Sequence, Source, Template, UnreadableError

# White space and comments within a line, and across lines. A comment that begins with `#` or `//`
# leaves the end of its line.
_BLANK: Final = re.compile(r"(?:[ \t\r]+|#[^\n]*|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_BLANK_LINES: Final = re.compile(r"(?:\s+|#[^\n]*|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
# Letters outside of ASCII are taken without looking at their Unicode class.
WORD: Final = re.compile(r"[A-Za-z_\u0080-\U0010ffff][\w\-\u0080-\U0010ffff]*", re.ASCII)
# A quoted text without escapes and sequences, the usual one.
_PLAIN_TEXT: Final = re.compile(r'"([^"\\$%\r\n]*)"')
_LITERAL_TEXT: Final = re.compile(r'[^"\\$%\n]+')
_ESCAPE: Final = re.compile(r'\\(?:([nrt"\\])|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))')
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
HEREDOC: Final = re.compile(r"<<(-?)([A-Za-z_\u0080-\U0010ffff][\w\-\u0080-\U0010ffff]*)\r?\n")
_HEREDOC_TEXT: Final = re.compile(r"[^$%\n]+")
_TEMPLATE_TEXT: Final = re.compile(r"[^$%]+")
_LINE: Final = re.compile(r"[^\n]*")


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


class TemplateReader(Cursor, ABC):
    """Reads templates. Its subclass reads the expressions in them."""

    @abstractmethod
    def nested(self, *, lines_are_blank: bool) -> Source:
        """Read an expression within another one, and the white space behind it.

        Args:
            lines_are_blank: whether the end of a line is white space there.
        """

    @abstractmethod
    def for_clause(self) -> None:
        """Read `KEY, VALUE in COLLECTION` or `VALUE in COLLECTION`."""

    def template(self) -> Template:
        """Read the rest of the text as a template, as in Terraform's JSON syntax."""
        parts: list[str | Sequence] = []
        while self.position < len(self.text):
            parts.append(self._sequence() or self._literal(_TEMPLATE_TEXT))
        return Template(_joined(parts))

    def quoted(self) -> Template:
        """Read a quoted text.

        Raises:
            UnreadableError: it does not end on its line.
        """
        plain = _PLAIN_TEXT.match(self.text, self.position)
        if plain is not None:
            self.position = plain.end()
            return Template((plain[1],))
        start = self.position
        self.require('"')
        parts: list[str | Sequence] = []
        while not self.take('"'):
            if self.position >= len(self.text) or self.at("\n"):
                raise self.fault("a quoted text has no end", start)
            escape = _ESCAPE.match(self.text, self.position)
            if escape is not None:
                self.position = escape.end()
                parts.append(_unescaped(escape))
            elif self.at("\\"):
                raise self.fault("an escape sequence is not one of Terraform's")
            else:
                parts.append(self._sequence() or self._literal(_LITERAL_TEXT))
        return Template(_joined(parts))

    def heredoc(self) -> Template:
        """Read a heredoc. White space may stand around the word that ends it."""
        head = HEREDOC.match(self.text, self.position)
        if head is None:
            raise self.fault("a heredoc's word is missing")
        start = self.position
        self.position = head.end()
        lines: list[str | Sequence] = []
        is_line_start = True
        while True:
            if is_line_start:
                line = _LINE.match(self.text, self.position)
                if line is not None and line[0].strip() == head[2]:
                    # The end of its line ends the expression, too.
                    self.position = line.end()
                    break
            if self.position >= len(self.text):
                raise self.fault(f"the heredoc has no end: no line `{head[2]}`", start)
            is_line_start = self.take("\n")
            if is_line_start:
                lines.append("\n")
            else:
                lines.append(self._sequence() or self._literal(_HEREDOC_TEXT))
        if head[1]:
            lines = _without_indent(lines)
        return Template(_joined(lines))

    def _literal(self, text: re.Pattern[str]) -> str:
        """Read literal text in a template, with its escapes of `${` and `%{`."""
        for escape in ("$${", "%%{"):
            if self.take(escape):
                return escape[1:]
        match = text.match(self.text, self.position)
        if match is not None:
            self.position = match.end()
            return match[0]
        self.position += 1
        return self.text[self.position - 1]

    def _sequence(self) -> Sequence | None:
        """Read a sequence; None if none follows."""
        start = self.position
        if self.take("${"):
            trims_before = self.take("~")
            value = self.nested(lines_are_blank=True)
            trims_after = self.take("~")
            self.require("}")
            source = self.text[start : self.position]
            return Sequence(source, value.expression, trims_before, trims_after)
        if self.take("%{"):
            self._directive()
            return Sequence(self.text[start : self.position], None)
        return None

    def _directive(self) -> None:
        """Read `if`, `else`, `endif`, `for` or `endfor` behind `%{`."""
        self.take("~")
        self.skip_lines()
        word = self.word()
        if word == "if":
            self.nested(lines_are_blank=True)
        elif word == "for":
            self.for_clause()
        elif word not in ("else", "endif", "endfor"):
            raise self.fault("`%{` begins no sequence of Terraform's")
        self.skip_lines()
        self.take("~")
        self.require("}")


def _unescaped(escape: re.Match[str]) -> str:
    if escape[1]:
        return _ESCAPED[escape[1]]
    code = int(escape[2] or escape[3], 16)
    try:
        return chr(code)
    except (ValueError, OverflowError):
        return "\ufffd"


def _joined(parts: list[str | Sequence]) -> tuple[str | Sequence, ...]:
    """Join literal texts that follow each other."""
    joined: list[str | Sequence] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return tuple(joined)


def _without_indent(parts: list[str | Sequence]) -> list[str | Sequence]:
    """Remove the indent that all lines of a heredoc have in common; blank lines do not count."""
    lines: list[list[str | Sequence]] = [[]]
    for part in parts:
        lines[-1].append(part)
        if part == "\n":
            lines.append([])
    indents: list[int] = []
    for line in lines:
        first = line[0] if line else "\n"
        if isinstance(first, Sequence):
            indents.append(0)
        elif not _is_blank(line):
            indents.append(len(first) - len(first.lstrip()))
    indent = min(indents, default=0)
    found: list[str | Sequence] = []
    for line in lines:
        if line and isinstance(line[0], str) and not _is_blank(line):
            line[0] = line[0][indent:]
        found.extend(line)
    return found


def _is_blank(line: list[str | Sequence]) -> bool:
    return all(isinstance(part, str) and not part.strip() for part in line)

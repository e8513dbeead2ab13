"""A file that `terralive init` would write, and its difference to what is there. Pure."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CRLF: Final = "\r\n"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A file as it is, and as it would be.

    Attributes:
        file: its path.
        before: its text; None where it does not exist.
        after: the text that it would have.
        purpose: what it is for, for a person.
    """

    file: Path
    before: str | None
    after: str
    purpose: str

    @property
    def is_new(self) -> bool:
        """Tell whether the file does not exist yet."""
        return self.before is None

    @property
    def changes(self) -> bool:
        """Tell whether the file would be created or changed."""
        return self.before != self.after

    def diff(self, name: str) -> str:
        """Return the change of an existing file as a unified diff; "" for a new file.

        https://www.gnu.org/software/diffutils/manual/html_node/Detailed-Unified.html

        Args:
            name: the file's name in the diff.
        """
        if self.before is None or not self.changes:
            return ""
        lines: list[str] = []
        before, after = _lines(self.before), _lines(self.after)
        for line in difflib.unified_diff(before, after, f"a/{name}", f"b/{name}"):
            lines.append(line.rstrip("\r\n"))
            if not line.endswith("\n"):
                lines.append("\\ No newline at end of file")
        return "\n".join(lines)


def line_ending(text: str) -> str:
    r"""Return how the lines of a text end: `\r\n` where most of them do."""
    crlf = text.count(_CRLF)
    if crlf > text.count("\n") - crlf:
        return _CRLF
    return "\n"


def own_file(file: Path, before: str | None, wanted: str, purpose: str) -> Proposal:
    r"""Return the proposal for a file that is terralive's as a whole.

    A file whose lines end with `\r\n` keeps that.
    """
    after = wanted
    if before is not None:
        after = wanted.replace("\n", line_ending(before))
    return Proposal(file, before, after, purpose)


def _lines(text: str) -> list[str]:
    """Return the lines of a text with their ends. Only a newline ends a line."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)

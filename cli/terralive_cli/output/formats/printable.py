"""Text from elsewhere, made safe for a terminal: words, and never a command.

Owners, machines, errors, request paths and the output of handlers come from elsewhere, and some of
them from anybody who can send a request. A terminal obeys control characters in what it prints (it
changes window titles, writes to the clipboard, hides lines). Bidirectional overrides show a text
that is not there, and half a surrogate pair would make the whole line fail.
"""

from __future__ import annotations

import re
from typing import Final

# ECMA-48: control sequences, control strings (a title, a clipboard, a link) up to their end, other
# escapes.
_SEQUENCE: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[PX\]^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)
_CONTROL: Final = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_COLOURS: Final = re.compile(r"(\x1b\[[0-9;:]*m)")


def printable(text: str) -> str:
    """Return the text without anything that a terminal would obey. Tabs stay."""
    return _CONTROL.sub("", _SEQUENCE.sub("", text))


def coloured(text: str) -> str:
    """Return the text with its colours, and without anything else that a terminal would obey."""
    parts = _COLOURS.split(text)
    # `split` puts the colours at the odd places.
    for number in range(0, len(parts), 2):
        parts[number] = printable(parts[number])
    return "".join(parts)

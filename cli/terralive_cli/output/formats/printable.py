"""What a terminal may be given of other people's words: text, never a command.

Owners, machines, errors, request paths and handlers' output come from elsewhere, and some of it
from anybody who can send a request. A terminal obeys control characters in what it prints (it
retitles windows, writes clipboards, hides lines), bidirectional overrides show a text that is not
there, and half a surrogate pair would cost the whole line.
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
    """Give the text without what a terminal would obey. Tabs stay."""
    return _CONTROL.sub("", _SEQUENCE.sub("", text))


def coloured(text: str) -> str:
    """Give the text with its colours, and without anything else that a terminal would obey."""
    parts = _COLOURS.split(text)  # every second part is a colour
    return "".join(part if number % 2 else printable(part) for number, part in enumerate(parts))

"""The names of live functions as lines show them: what tells them apart, and a colour for each."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

from terralive_cli.output.formats.words import common_prefix
from terralive_terraform.addresses import short_address

# The number of colours that tell functions apart. A format decides which ones.
HUES: Final = 10


class FunctionNames:
    """Labels and colours of functions.

    A function keeps its colour from session to session, as long as there are colours enough and no
    other function has it.

    Args:
        names: the names of the live functions, as events have them.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._prefix = common_prefix(names)
        self._hues = _hues(names)
        self.names = frozenset(names)
        # The width of the widest label.
        self.width = max((len(self.label(name)) for name in names), default=0)

    def label(self, function: str) -> str:
        """Return a name without the start that all live functions share."""
        return self.short(short_address(function))

    def short(self, words: str) -> str:
        """Return words without the start that the names of all live functions share.

        Queues, topics and tables of an app often begin like its functions.
        """
        return words.removeprefix(self._prefix) or words

    def hue(self, function: str) -> int:
        """Return the number of a function's colour, below `HUES`."""
        return self._hues.get(function, _preferred(function))


def _hues(names: Sequence[str]) -> dict[str, int]:
    hues: dict[str, int] = {}
    free = set(range(HUES))
    for name in sorted(names):
        hue = _preferred(name)
        if free and hue not in free:
            # The next one that is free, beginning again at 0 after the last.
            hue = min(free, key=lambda other: (other - _preferred(name)) % HUES)
        free.discard(hue)
        hues[name] = hue
    return hues


def _preferred(name: str) -> int:
    return zlib.crc32(name.encode("utf-8", "replace")) % HUES

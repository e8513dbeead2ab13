"""Decides when saved configuration files are worth a line. Pure.

A file counts when its content differs from what the last plan has read. A save is over when two
looks in a row find the same. Each save with another content is told once, also one that takes a
change back.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from terralive_cli.unchanged.files import Mark, Snapshot, differences

# Stands for the content that a plan has read, where it is not known.
_UNKNOWN = Mark("not known")


class Noticing:
    """Compares looks at the configuration's files.

    Args:
        planned: the files as the last plan has read them.
        touched: those of them that were written while that plan was made or applied. Nobody knows
            which content it has read.
    """

    def __init__(self, planned: Snapshot, touched: Collection[Path] = ()) -> None:
        marks = {path: _UNKNOWN if path in touched else m for path, m in planned.marks.items()}
        # The files as the last plan has read them.
        self._planned = replace(planned, marks=marks)
        # The last look.
        self._last = planned
        # The look that was told last.
        self._told = self._planned

    @property
    def last(self) -> Snapshot:
        """The last look."""
        return self._last

    def looked(self, now: Snapshot) -> tuple[Path, ...] | None:
        """Take a look; return the files to tell of, or None where there is nothing new to tell.

        They are all files that differ from the last plan: () where a change was taken back.
        """
        is_settled = not _differ(self._last, now)
        self._last = now
        if not is_settled or not _differ(self._told, now):
            return None
        self._told = now
        return tuple(path for path, _ in differences(self._planned, now))


def _differ(one: Snapshot, other: Snapshot) -> bool:
    return next(differences(one, other), None) is not None

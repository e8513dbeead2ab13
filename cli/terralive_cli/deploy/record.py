"""The file in which a stage's relays on this machine remember what they have run."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_JOURNAL: Final = "invocations"


def journal(work: Path) -> Path:
    """Return the file in which a stage's relays remember the request ids that they have run.

    Args:
        work: the stage's work folder.
    """
    return work / _JOURNAL


def forget(work: Path) -> None:
    """Remove it."""
    journal(work).unlink(missing_ok=True)

"""What this machine remembers of a stage: what its relays have run, unfinished deployments."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_JOURNAL: Final = "invocations"
_UNFINISHED: Final = "unfinished"


def journal(work: Path) -> Path:
    """Return the file in which a stage's relays remember the request ids that they have run.

    Args:
        work: the stage's work folder.
    """
    return work / _JOURNAL


def forget(work: Path) -> None:
    """Remove it."""
    journal(work).unlink(missing_ok=True)


def begin_deployment(work: Path) -> None:
    """Note that an apply of the whole app begins. It may fail, or be killed, half-way."""
    (work / _UNFINISHED).touch()


def end_deployment(work: Path) -> None:
    """Note that the whole app is deployed, or that nothing of it is."""
    (work / _UNFINISHED).unlink(missing_ok=True)


def is_unfinished(work: Path) -> bool:
    """Tell whether an apply of the whole app has begun and not been finished."""
    return (work / _UNFINISHED).exists()

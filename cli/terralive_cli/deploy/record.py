"""Files that remember a stage: its invocations, live functions and unfinished deployments."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_JOURNAL: Final = "invocations"
_SESSION: Final = "session.json"
_UNFINISHED: Final = "unfinished"


def journal(work: Path) -> Path:
    """Return the file in which a stage's relays remember the request ids that they have run.

    Args:
        work: the stage's work folder.
    """
    return work / _JOURNAL


def session(work: Path) -> Path:
    """Return the file with the functions that the last session knew; see `live.last_session`."""
    return work / _SESSION


def forget_session(work: Path) -> None:
    """Remove it: no function is live."""
    session(work).unlink(missing_ok=True)


def forget(work: Path) -> None:
    """Remove what is remembered of invocations and functions."""
    journal(work).unlink(missing_ok=True)
    forget_session(work)


def begin_deployment(work: Path) -> None:
    """Note that an apply of the whole app begins. It may fail, or be killed, half-way.

    Args:
        work: the stage's work folder, or the stack's own.
    """
    work.mkdir(parents=True, exist_ok=True)
    (work / _UNFINISHED).touch()


def end_deployment(work: Path) -> None:
    """Note that the whole app is deployed, or that nothing of it is."""
    (work / _UNFINISHED).unlink(missing_ok=True)


def is_unfinished(work: Path) -> bool:
    """Tell whether an apply of the whole app has begun and not been finished."""
    return (work / _UNFINISHED).exists()

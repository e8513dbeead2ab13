"""Files that remember a stage: its invocations, live functions and unfinished deployments."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

_JOURNAL: Final = "invocations"
_EVENTS: Final = "events"
_SESSION: Final = "session.json"
_UNFINISHED: Final = "unfinished"
_UNCHANGED: Final = "unchanged.json"
_CHANGING: Final = "changing"
_DEBUG_STACK: Final = "debug-stack-applied"


def journal(work: Path) -> Path:
    """Return the file in which a stage's relays remember the request ids that they have run.

    Args:
        work: the stage's work folder.
    """
    return work / _JOURNAL


def events(work: Path) -> Path:
    """Return the folder with the last events of functions; see `invoking.event.kept`."""
    return work / _EVENTS


def session(work: Path) -> Path:
    """Return the file with the functions that the last session knew; see `live.last_session`."""
    return work / _SESSION


def forget_session(work: Path) -> None:
    """Remove it: no function is live."""
    for file in (session(work), last_start(work), work / _CHANGING):
        file.unlink(missing_ok=True)


def last_start(work: Path) -> Path:
    """Return the file that says what the last start depended on; see `unchanged.record`."""
    return work / _UNCHANGED


def debug_stack(work: Path) -> Path:
    """Return the file that says how the debug stack was applied; see `joining.applied`."""
    return work / _DEBUG_STACK


def begin_change(work: Path) -> None:
    """Note that a command changes the functions now. It may fail, or be killed, half-way."""
    begin_planning(work)
    forget_last_start(work)


def begin_planning(work: Path) -> None:
    """Note that a command plans from now on. It has changed nothing yet."""
    work.mkdir(parents=True, exist_ok=True)
    # Written anew, because its time counts.
    (work / _CHANGING).write_bytes(b"")


def forget_last_start(work: Path) -> None:
    """Note that functions are about to change: the next start has to plan."""
    last_start(work).unlink(missing_ok=True)


def begun_ns(work: Path) -> int | None:
    """Return the time of the last `begin_planning` by the file system's clock, in nanoseconds.

    It is None where nothing has begun since the functions were forgotten.
    """
    try:
        return (work / _CHANGING).stat().st_mtime_ns
    except OSError:
        return None


def forget(work: Path) -> None:
    """Remove what is remembered of invocations and functions."""
    journal(work).unlink(missing_ok=True)
    shutil.rmtree(events(work), ignore_errors=True)
    debug_stack(work).unlink(missing_ok=True)
    forget_session(work)


def begin_deployment(work: Path) -> None:
    """Note that an apply of the whole app begins. It may fail, or be killed, half-way.

    Args:
        work: the stage's work folder, or the stack's own.
    """
    work.mkdir(parents=True, exist_ok=True)
    if not is_unfinished(work):
        # Its time is that of the first deployment that was not finished.
        (work / _UNFINISHED).touch()


def end_deployment(work: Path) -> None:
    """Note that the whole app is deployed, or that nothing of it is."""
    (work / _UNFINISHED).unlink(missing_ok=True)


def is_unfinished(work: Path) -> bool:
    """Tell whether an apply of the whole app has begun and not been finished."""
    return (work / _UNFINISHED).exists()


def unfinished_since(work: Path) -> float | None:
    """Return the time when an apply of the whole app began that was not finished.

    It is in seconds since the epoch; None where every apply was finished.
    """
    try:
        return (work / _UNFINISHED).stat().st_mtime
    except OSError:
        return None

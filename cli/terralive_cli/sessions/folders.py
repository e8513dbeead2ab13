"""Folders of sessions, `.terralive/sessions/ID/`: the sessions that run here or have ended.

    session.json    the session's description (`Session`)
    lock            locked by the session's process as long as it lives
    events.jsonl    everything that it has shown (`journals/`)
    stop.json       what `terralive stop` wants of it (`stopping.py`)

A process id alone proves nothing: it may belong to another program after `kill -9` or a reboot. The
kernel releases a lock with the process that holds it, however that ends
(https://man7.org/linux/man-pages/man2/flock.2.html). So a session runs while its lock is held.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from terralive_cli.sessions.record import Session, read, written
from terralive_stub.shared.atomic_files import write_atomically

DESCRIPTION: Final = "session.json"
_FOLDER: Final = Path(".terralive") / "sessions"
_LOCK: Final = "lock"
# A folder that is not complete yet. No reader looks at it.
_NEW: Final = ".new-"
# Sessions that have ended are kept for `terralive logs`.
_KEPT: Final = 5
_KEPT_AGE: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Found:
    """A session on this machine.

    Attributes:
        session: its description.
        folder: its folder.
        is_running: whether its process lived when it was found.
    """

    session: Session
    folder: Path
    is_running: bool


def running_session(project: Path, stage: str, *, is_sandbox: bool) -> Session | None:
    """Return the session of this project and stage that runs on this machine; None if none does.

    Args:
        project: the project's folder.
        stage: name of the stage.
        is_sandbox: true for the stage of this name in the sandbox, false for the one on AWS.
    """
    found = running(project, stage, is_sandbox=is_sandbox)
    if found is None:
        return None
    return found.session


def running(project: Path, stage: str, *, is_sandbox: bool) -> Found | None:
    """Return the session that runs, with its folder; see `running_session`."""
    for found in sessions(project, stage, is_sandbox=is_sandbox):
        if found.is_running:
            return found
    return None


def sessions(project: Path, stage: str, *, is_sandbox: bool) -> list[Found]:
    """Return the sessions of a stage, running or ended, the newest first."""
    return [
        found
        for found in _all(project)
        if (found.session.stage, found.session.is_sandbox) == (stage, is_sandbox)
    ]


def folder_of(project: Path) -> Path:
    """Return the folder of a project's sessions, which is made where there is none."""
    folder = project / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def is_running(folder: Path) -> bool:
    """Tell whether the process of the session in a folder lives."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Shared, so that two readers at once do not take each other for the session.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def create(project: Path, session: Session) -> tuple[Path, int]:
    """Create the folder of a new session, whose lock this process holds from the beginning.

    Returns:
        The folder, and the lock's descriptor. Closing it ends the session for others.

    Raises:
        OSError: the folder cannot be written.
    """
    parent = folder_of(project)
    new = Path(tempfile.mkdtemp(prefix=_NEW, dir=parent))
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(new / _LOCK, flags, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    describe(new, session)
    folder = parent / session.id
    new.rename(folder)
    return folder, descriptor


def describe(folder: Path, session: Session) -> None:
    """Write a session's description, in the place of the one before.

    Raises:
        OSError: it cannot be written.
    """
    write_atomically(folder / DESCRIPTION, written(session))


def description_of(folder: Path) -> Session | None:
    """Return the present description of the session in a folder; None where there is none."""
    try:
        return read((folder / DESCRIPTION).read_bytes())
    except OSError:
        return None


def remove_old(project: Path, now: datetime) -> None:
    """Remove what sessions have left that ended long ago, and all but the newest ones."""
    for number, found in enumerate(_all(project)):
        is_old = number >= _KEPT or now - found.session.since > _KEPT_AGE
        if is_old and not is_running(found.folder):
            shutil.rmtree(found.folder, ignore_errors=True)
    for folder in (project / _FOLDER).glob(f"{_NEW}*"):
        if _is_older(folder, now - _KEPT_AGE):
            shutil.rmtree(folder, ignore_errors=True)


def _all(project: Path) -> list[Found]:
    """Return all sessions of a project, the newest first."""
    found = []
    for path in (project / _FOLDER).glob(f"*/{DESCRIPTION}"):
        if path.parent.name.startswith(_NEW):
            continue
        session = description_of(path.parent)
        if session is not None:
            found.append(Found(session, path.parent, is_running(path.parent)))
    return sorted(found, key=lambda item: item.session.since, reverse=True)


def _is_older(path: Path, moment: datetime) -> bool:
    try:
        return path.stat().st_mtime < moment.timestamp()
    except OSError:
        return False

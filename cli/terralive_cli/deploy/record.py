"""Facts about a stage that this machine remembers: a small JSON file, and the relay's journal.

A cleanup job on another machine works without them, and they hold no secret.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from terralive_stub.shared.atomic_files import write_atomically
from terralive_stub.shared.json_documents import read_object, text

_NAME: Final = "stage.json"
_JOURNAL: Final = "invocations"


@dataclass(frozen=True, slots=True)
class StageRecord:
    """Facts about one stage.

    Attributes:
        created: the day when the debug stack was first planned (ISO date), which is its
            `terralive:created` tag.
        made_app: whether the app had no resources before terralive's first apply, so that
            terralive has made all of it; None before that apply.
    """

    created: str
    made_app: bool | None = None


def load(work: Path, *, today: str) -> StageRecord:
    """Read a stage's record; return a new one where it is missing or unreadable.

    Args:
        work: the stage's work folder.
        today: the ISO date for a new record.
    """
    document = read_object(work / _NAME)
    created = text(document, "created")
    if not created:
        return StageRecord(today)
    made_app = document.get("made_app")
    if not isinstance(made_app, bool):
        made_app = None
    return StageRecord(created, made_app)


def save(work: Path, record: StageRecord) -> None:
    """Write a stage's record."""
    write_atomically(work / _NAME, json.dumps(asdict(record)).encode())


def remember_origin(work: Path, app_is_empty: Callable[[], bool], *, today: str) -> None:
    """Record who has made the app. The first answer stays: later the app is never empty."""
    known = load(work, today=today)
    if known.made_app is None:
        save(work, replace(known, made_app=app_is_empty()))


def forget(work: Path) -> None:
    """Remove a stage's record and journal."""
    (work / _NAME).unlink(missing_ok=True)
    journal(work).unlink(missing_ok=True)


def journal(work: Path) -> Path:
    """Return the file in which a stage's relays remember the request ids that they have run."""
    return work / _JOURNAL

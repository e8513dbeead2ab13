"""Facts about a stage that this machine remembers: a small JSON file, and the relay's journal.

A cleanup job on another machine works without them, and they hold no secret.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
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
    """

    created: str


def load(work: Path, *, today: str) -> StageRecord:
    """Read a stage's record; return a new one where it is missing or unreadable.

    Args:
        work: the stage's work folder.
        today: the ISO date for a new record.
    """
    document = read_object(work / _NAME)
    created = text(document, "created")
    return StageRecord(created or today)


def save(work: Path, record: StageRecord) -> None:
    """Write a stage's record."""
    write_atomically(work / _NAME, json.dumps(asdict(record)).encode())


def forget(work: Path) -> None:
    """Remove a stage's record and journal."""
    (work / _NAME).unlink(missing_ok=True)
    journal(work).unlink(missing_ok=True)


def journal(work: Path) -> Path:
    """Return the file in which a stage's relays remember the request ids that they have run."""
    return work / _JOURNAL

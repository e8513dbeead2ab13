"""What terralive has to remember of a stage on this machine: a small JSON file, and the relay's journal.

They hold nothing that a cleanup job on another machine could not do without, and no secret.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

_NAME: Final = "stage.json"
_JOURNAL: Final = "invocations"


@dataclass(frozen=True, slots=True)
class StageRecord:
    """`created`: when the debug stack was first planned (ISO date, its `terralive:created` tag).

    `made_app`: the app had no resources before terralive's first apply, so all of it is terralive's
        making.
    """

    created: str
    made_app: bool | None = None


def load(work: Path, *, today: str) -> StageRecord:
    """Read a stage's record; a missing or unreadable one is a new one."""
    try:
        document = json.loads((work / _NAME).read_text("utf-8"))
        made_app = document.get("made_app")
        return StageRecord(
            str(document["created"]), made_app if isinstance(made_app, bool) else None
        )
    except (OSError, ValueError, KeyError, AttributeError):
        return StageRecord(today)


def save(work: Path, record: StageRecord) -> None:
    """Write a stage's record at once or not at all."""
    work.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=work, prefix=f".{_NAME}")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(asdict(record), file)
    Path(name).replace(work / _NAME)


def note_app(work: Path, record: StageRecord, *, empty: bool) -> StageRecord:
    """Remember, once, whether terralive found the app without any resources."""
    if record.made_app is not None:
        return record
    record = replace(record, made_app=empty)
    save(work, record)
    return record


def forget(work: Path) -> None:
    """Remove a stage's record and journal."""
    (work / _NAME).unlink(missing_ok=True)
    journal(work).unlink(missing_ok=True)


def journal(work: Path) -> Path:
    """Where the relays of a stage remember the request ids that they have run."""
    return work / _JOURNAL

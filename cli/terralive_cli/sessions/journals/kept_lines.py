"""The lines that log files keep beyond their session (`terralive_cli.output.logfiles`)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from terralive_relay.events import LogLine

_NO_REQUEST: Final = "-"


def of_invocation(folder: Path, request_id: str) -> Iterator[LogLine]:
    """Yield the kept lines of an invocation, with its START and REPORT.

    Args:
        folder: the folder of the log files.
        request_id: the request id, or its beginning.
    """
    for path in sorted(folder.glob(f"*/{request_id}*.log")):
        for at, text in _lines(path):
            yield LogLine(path.stem, path.parent.name, text, at=at)


def of_function(folder: Path, function: str) -> Iterator[LogLine]:
    """Yield the kept lines of a function.

    Args:
        folder: the folder of the log files.
        function: the function's name.
    """
    for name in (f"{function}.1.log", f"{function}.log"):
        for at, text in _lines(folder / name):
            request_id, _, line = text.partition(" ")
            if request_id == _NO_REQUEST:
                request_id = ""
            yield LogLine(request_id, function, line, at=at)


def functions(folder: Path) -> list[str]:
    """Return the names of the functions that lines are kept of."""
    return sorted(path.stem for path in folder.glob("*.log") if not path.stem.endswith(".1"))


def _lines(path: Path) -> Iterator[tuple[datetime, str]]:
    """Yield time and text of each line of a file; nothing where there is none."""
    try:
        file = path.open(encoding="utf-8", errors="replace")
    except OSError:
        return
    with file:
        for line in file:
            at, _, text = line.rstrip("\n").partition(" ")
            try:
                moment = datetime.fromisoformat(at)
            except ValueError:
                continue
            yield moment, text

"""Reads the journal of a session, also while the session writes it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from terralive_cli.output.documents.reading import EventReader
from terralive_cli.output.formats.text import TextLines
from terralive_cli.sessions.journals.journal import EVENTS, FORMER_EVENTS
from terralive_relay.events import Event
from terralive_stub.shared.json_documents import parse_object

_READER: Final = EventReader(TextLines().events)


def events_of(folder: Path) -> Iterator[Event]:
    """Yield all events that a session has written up to now.

    Args:
        folder: the session's folder.
    """
    reader = JournalReader(folder)
    try:
        yield from reader.new()
    finally:
        reader.close()


class JournalReader:
    """The events of one session, in their order. Each is returned once.

    Args:
        folder: the session's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # The file that is read; None before the first one.
        self._file: IO[bytes] | None = None
        # The beginning of a line whose end is not written yet.
        self._part = b""

    def new(self) -> Iterator[Event]:
        """Yield the events that were written since the last call. It does not wait."""
        while self._file is not None or self._open_first():
            yield from self._of_file()
            if self._is_present():
                return
            # It was renamed meanwhile, after its last line was written.
            yield from self._of_file()
            if not self._open(EVENTS):
                return

    def skip(self) -> None:
        """Leave out what is written up to now."""
        for _ in self.new():
            pass

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open_first(self) -> bool:
        for name in (FORMER_EVENTS, EVENTS):
            if self._open(name):
                return True
        return False

    def _is_present(self) -> bool:
        """Tell whether the session still writes to the file that is read."""
        if self._file is None:
            return False
        try:
            present = (self._folder / EVENTS).stat()
        except OSError:
            return True
        ours = os.fstat(self._file.fileno())
        return (present.st_dev, present.st_ino) == (ours.st_dev, ours.st_ino)

    def _open(self, name: str) -> bool:
        try:
            file = (self._folder / name).open("rb")
        except OSError:
            return False
        self.close()
        self._file = file
        self._part = b""
        return True

    def _of_file(self) -> Iterator[Event]:
        if self._file is None:
            return
        for line in self._file:
            whole = self._part + line
            if not whole.endswith(b"\n"):
                self._part = whole
                return
            self._part = b""
            event = _READER.read(parse_object(whole))
            if event is not None:
                yield event

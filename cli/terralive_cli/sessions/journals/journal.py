"""The journal of a session: every event that it shows, as JSON lines in its folder.

It is what `terralive logs` reads, and where `terralive stop` sees how the session ends. A file that
has reached 16 MB is renamed to `events.1.jsonl`, and the one before is removed. Only this user can
read the files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from terralive_cli.output.formats.json_lines import json_text
from terralive_relay.events import Event

EVENTS: Final = "events.jsonl"
FORMER_EVENTS: Final = "events.1.jsonl"
_FILE_BYTES: Final = 16 * 1024 * 1024


class Journal:
    """A format of the output that is kept on disk. Only the renderer's thread uses it.

    Args:
        folder: the session's folder.
        on_close: called when everything is written.
        file_bytes: size at which a file is renamed.
    """

    def __init__(
        self, folder: Path, on_close: Callable[[], None], file_bytes: int = _FILE_BYTES
    ) -> None:
        self._folder = folder
        self._on_close = on_close
        self._file_bytes = file_bytes
        self._file = self._opened()
        # Bytes in the present file.
        self._size = 0

    def write(self, events: Sequence[Event]) -> None:
        """Append events.

        Raises:
            OSError: they cannot be written.
        """
        data = "".join(f"{json_text(event)}\n" for event in events).encode()
        os.write(self._file, data)
        self._size += len(data)
        if self._size >= self._file_bytes:
            (self._folder / EVENTS).replace(self._folder / FORMER_EVENTS)
            os.close(self._file)
            self._file = self._opened()
            self._size = 0

    def close(self) -> None:
        try:
            os.close(self._file)
        finally:
            self._on_close()

    def _opened(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        return os.open(self._folder / EVENTS, flags, 0o600)

"""The request ids that were run on this machine, over restarts: how often, and since when.

Lambda retries an asynchronous invocation under the same request id
(https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html), also when the
relay was restarted meanwhile. This file lets a retry be shown as one, and decides nothing. It holds
ids and times, and no content of invocations.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

# The longest time for which Lambda keeps an event.
KEEP_MS: Final = 6 * 60 * 60 * 1000
KEEP_IDS: Final = 5000


@dataclass(frozen=True, slots=True)
class Seen:
    """One request id's history.

    Attributes:
        attempts: the number of times that it was run here.
        first_ms: the time of the first, in milliseconds since the Unix epoch.
    """

    attempts: int
    first_ms: int


class Journal:
    """A file with one line per attempt: `request-id attempts first_ms`. The last line counts.

    If the file cannot be read or written, retries are not recognised; nothing else is lost.

    Args:
        path: the file; it is made anew from what it holds.
        now_ms: the present time, in milliseconds since the Unix epoch.
    """

    def __init__(self, path: Path, now_ms: int) -> None:
        # The ids of the last hours, when the file was opened.
        self.seen = _read(path, now_ms)
        self._file: TextIO | None = None
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [_line(request_id, seen) for request_id, seen in self.seen.items()]
            path.write_text("".join(lines), "utf-8")
            self._file = path.open("a", encoding="utf-8", buffering=1)

    def add(self, request_id: str, seen: Seen) -> None:
        """Write a line."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.write(_line(request_id, seen))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


def _line(request_id: str, seen: Seen) -> str:
    return f"{request_id} {seen.attempts} {seen.first_ms}\n"


def _read(path: Path, now_ms: int) -> Mapping[str, Seen]:
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found: dict[str, Seen] = {}
    for line in lines:
        with contextlib.suppress(ValueError):  # a kill cut the line short
            request_id, attempts, first_ms = line.split(" ")
            found[request_id] = Seen(int(attempts), int(first_ms))
    young = [(key, seen) for key, seen in found.items() if now_ms - seen.first_ms < KEEP_MS]
    return dict(young[-KEEP_IDS:])

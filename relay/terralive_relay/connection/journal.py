"""Which request ids were run on this machine, over restarts of the relay: how often, and since when.

Lambda retries an asynchronous invocation under the same request id
(https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html), also when the
relay was restarted meanwhile. Nothing is decided by this file: it lets a retry be shown as one. It
holds ids and times, no content.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

KEEP_MS: Final = 6 * 60 * 60 * 1000  # the longest that Lambda keeps an event
KEEP_IDS: Final = 5000


@dataclass(frozen=True, slots=True)
class Seen:
    """`attempts`.

    How often the id was run here; `first_ms`: when it first was, in milliseconds since the epoch.
    """

    attempts: int
    first_ms: int


class Journal:
    """One file, a line an attempt: `request-id attempts first_ms`. The last line about an id counts.

    A file that cannot be read or written costs nothing but the knowledge.
    """

    def __init__(self, path: Path, now_ms: int) -> None:
        self.seen = _read(path, now_ms)
        self._file: TextIO | None = None
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [_line(request_id, seen) for request_id, seen in self.seen.items()]
            path.write_text("".join(lines), "utf-8")
            self._file = path.open("a", encoding="utf-8", buffering=1)

    def note(self, request_id: str, seen: Seen) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.write(_line(request_id, seen))

    def close(self) -> None:
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
        with contextlib.suppress(ValueError):  # a line that a kill cut short
            request_id, attempts, first_ms = line.split(" ")
            found[request_id] = Seen(int(attempts), int(first_ms))
    young = [item for item in found.items() if now_ms - item[1].first_ms < KEEP_MS]
    return dict(young[-KEEP_IDS:])

"""Requests that the sandbox refuses for a missing permission. Light imports only.

Many callers get no reason: API Gateway answers "Forbidden", and a service that may not invoke a
function tells nobody. So every refusal is a line of the sandbox's log, and `terralive start` asks
for the new ones and shows them.
"""

from __future__ import annotations

import sys
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from dataclasses import dataclass
from typing import Final

from terralive_sandbox.info import SandboxInfo
from terralive_stub.shared.json_documents import as_object, items, number, parse_object, text

PATH: Final = "/_sandbox/refusals"
# The header that proves that a request to the sandbox's own addresses comes from no web page.
ID_HEADER: Final = "x-terralive-sandbox"
# So many refusals are kept for readers.
_KEPT: Final = 200
# The same refusal is reported again after this time. Services ask every second.
_REPEAT_SECONDS: Final = 60.0
_READ_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal.

    Attributes:
        number: 1 for the first refusal of this sandbox.
        text: what was refused, and why.
    """

    number: int
    text: str


class Refusals:
    """The latest refusals of a sandbox. Any thread may use it."""

    def __init__(self) -> None:
        # Guards everything below.
        self._lock = threading.Lock()
        self._kept: deque[Refusal] = deque(maxlen=_KEPT)
        self._last_number = 0
        # The times at which the latest texts were reported, on the monotonic clock.
        self._reported: dict[str, float] = {}

    def add(self, message: str) -> None:
        """Write a refusal to the log, and keep it for readers unless it was reported just now."""
        sys.stderr.write(f"{message}\n")
        now = time.monotonic()
        with self._lock:
            if now - self._reported.get(message, -_REPEAT_SECONDS) < _REPEAT_SECONDS:
                return
            recent = {old: at for old, at in self._reported.items() if now - at < _REPEAT_SECONDS}
            self._reported = {**recent, message: now}
            self._last_number += 1
            self._kept.append(Refusal(self._last_number, message))

    def to_json(self, after: int) -> dict[str, object]:
        """Return the kept refusals with numbers above `after`, and the number of the last one."""
        with self._lock:
            new = [refusal for refusal in self._kept if refusal.number > after]
            last = self._last_number
        listed = [{"number": refusal.number, "text": refusal.text} for refusal in new]
        return {"last": last, "refusals": listed}


class RefusalReader:
    """Reads the refusals of a running sandbox, each one once.

    Refusals from before it was made are left out.
    """

    def __init__(self, info: SandboxInfo) -> None:
        self._info = info
        # The number of the last refusal that was read. None until the sandbox has answered.
        self._last: int | None = None
        self.read()

    def read(self) -> list[str]:
        """Return the texts of new refusals; none if the sandbox does not answer."""
        after = self._last or 0
        address = f"{self._info.endpoint}{PATH}?after={after}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.addheaders = [(ID_HEADER, self._info.id)]
        try:
            with opener.open(address, timeout=_READ_SECONDS) as answer:
                document = parse_object(answer.read())
        except (OSError, urllib.error.URLError):
            return []
        is_first = self._last is None
        self._last = int(number(document, "last"))
        if is_first:
            return []
        return [text(as_object(refusal), "text") for refusal in items(document, "refusals")]

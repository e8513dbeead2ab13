"""The format `json`: one JSON object per line, written at once, for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TextIO

from terralive_relay.events import Event


class JsonLines:
    """Writes every event, also errors, to one stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, events: Sequence[Event]) -> None:
        for event in events:
            self._stream.write(json_text(event) + "\n")
            self._stream.flush()

    def wake_by(self, wake: Callable[[], None]) -> None:
        """Do nothing: no event waits."""

    def close(self) -> None:
        """Do nothing: every line is written at once."""


def json_text(event: Event) -> str:
    """Return one event as one line of ASCII, which every terminal and pipe can encode."""
    return json.dumps(event.to_json(), separators=(",", ":"))

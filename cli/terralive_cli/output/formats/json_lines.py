"""The JSON rendering: one object a line, written at once, for scripts."""

from __future__ import annotations

import json
from typing import TextIO

from terralive_relay.events import Event


class JsonLines:
    """Writes every event, errors too, to one stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, event: Event) -> None:
        self._stream.write(json_text(event) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing is held back."""


def json_text(event: Event) -> str:
    """Give one event as one line of ASCII, so that no terminal's or pipe's encoding can break it."""
    return json.dumps(event.to_json(), separators=(",", ":"))

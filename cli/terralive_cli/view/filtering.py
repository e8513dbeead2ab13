"""The filter of the stream: by the name of a function, or by a text. Pure."""

from __future__ import annotations

from dataclasses import fields

from terralive_cli.output.stream.invocations import InvocationShown
from terralive_relay.events import (
    Event,
    InvocationFinished,
    InvocationStarted,
    LogLine,
    Reloaded,
)

# Everything else is always shown: it is rare, and may be important.
_FILTERED = (InvocationStarted, LogLine, InvocationFinished, Reloaded)


class Filter:
    """Decides which events the stream shows. One thread uses it.

    Attributes:
        text: what an event must contain; "" shows all.
    """

    def __init__(self) -> None:
        self.text = ""
        # The texts of the beginning of each invocation that runs, by request id.
        self._running: dict[str, str] = {}

    def passes(self, event: Event) -> bool:
        """Tell whether the stream shows an event. Call it for every event, in their order.

        An event passes if it contains the text, in any case of letters: the name of its function,
        its request id or its words. If the beginning of an invocation passes, all of it does.
        """
        if isinstance(event, InvocationShown):
            event = event.finished
        if not isinstance(event, _FILTERED):
            return True
        began = ""
        if isinstance(event, InvocationStarted):
            self._running[event.request_id] = _texts(event)
        elif isinstance(event, InvocationFinished):
            began = self._running.pop(event.request_id, "")
        elif isinstance(event, LogLine):
            began = self._running.get(event.request_id, "")
        wanted = self.text.casefold()
        return wanted in began or wanted in _texts(event)


def _texts(event: Event) -> str:
    """Return all texts of an event in one, in small letters."""
    found: list[str] = []
    for item in fields(event):
        value = getattr(event, item.name)
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, tuple):
            found.extend(part for part in value if isinstance(part, str))
    return "\n".join(found).casefold()

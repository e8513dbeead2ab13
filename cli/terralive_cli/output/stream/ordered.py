"""Applies the order of a stream with this machine's clock. One thread uses it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from terralive_cli.invoking.answers import Answered
from terralive_cli.output.events import Failed, Stopped
from terralive_cli.output.stream.order import StreamOrder
from terralive_relay.events import Event

_AGAIN_SECONDS: Final = 0.05
# What these say holds for everything before.
_LAST: Final = (Failed, Stopped, Answered)


class OrderedStream:
    """Returns events in the order in which they are shown; see `StreamOrder`."""

    def __init__(self) -> None:
        self._order = StreamOrder()
        # Makes somebody call `take` again. None where nobody would: then no event waits.
        self._wake: Callable[[], None] | None = None
        # Whether a timer runs. Its thread clears this.
        self._is_timed = False

    def wake_by(self, wake: Callable[[], None]) -> None:
        """Let events wait from now on. `wake`, on any thread, makes somebody call `take` soon."""
        self._wake = wake

    def take(self, events: Sequence[Event]) -> list[Event]:
        """Take events, perhaps none, and return those that are to be shown now."""
        shown: list[Event] = []
        if any(isinstance(event, _LAST) for event in events):
            shown += self._order.rest()
        shown += self._order.take(events, time.monotonic())
        if self._wake is None:
            shown += self._order.rest()
        elif self._order.is_holding and not self._is_timed:
            self._is_timed = True
            timer = threading.Timer(_AGAIN_SECONDS, self._again)
            timer.name = "stream-timer"
            timer.daemon = True
            timer.start()
        return shown

    def rest(self) -> list[Event]:
        """Return the events that wait, because the stream ends."""
        return self._order.rest()

    def _again(self) -> None:
        self._is_timed = False
        if self._wake is not None:
            self._wake()

"""Events of work beside other work: kept until somebody waits for that work."""

from __future__ import annotations

import threading

from terralive_cli.output.events import Emit
from terralive_relay.events import Event


class HeldEvents:
    """Keeps events until `release`, and passes them on from then on. Any thread may use it.

    Args:
        emit: shows events.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        # Guards what follows, and the order of events.
        self._lock = threading.Lock()
        # The events that are kept, in the groups in which they came.
        self._kept: list[tuple[Event, ...]] = []
        self._is_released = False

    def __call__(self, *events: Event) -> None:
        """Keep events, or show them after `release`."""
        with self._lock:
            if not self._is_released:
                self._kept.append(events)
                return
            self._emit(*events)

    def release(self) -> None:
        """Show what is kept, and everything that comes from now on."""
        with self._lock:
            self._is_released = True
            for events in self._kept:
                self._emit(*events)
            self._kept.clear()

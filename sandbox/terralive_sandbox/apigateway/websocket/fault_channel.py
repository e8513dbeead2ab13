"""A channel that applies fault rules to the messages of one connection in one direction.

The rules decide what happens to a message (`MessageFault`); this module does it, on the event loop.
It does not look into messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from terralive_sandbox.faults import MessageFault

T = TypeVar("T")


class FaultChannel(Generic[T]):
    """Delivers a message now, later, several times, after the next message, or never."""

    def __init__(self, deliver: Callable[[T], None]) -> None:
        # Called with each message that arrives, on the event loop.
        self._deliver = deliver
        # The copies of a message that waits for the next one, and the timer that delivers them if
        # no other message comes. Both are empty while none waits.
        self._held: list[T] = []
        self._timer: asyncio.TimerHandle | None = None

    def send(self, message: T, fault: MessageFault) -> None:
        """Take a message, and do with it what the rules have decided."""
        if fault.delay:
            asyncio.get_running_loop().call_later(fault.delay, self._arrive, message, fault)
        else:
            self._arrive(message, fault)

    def _arrive(self, message: T, fault: MessageFault) -> None:
        if not fault.copies:
            return
        copies = [message] * fault.copies
        if fault.held is not None and not self._held:
            self._held = copies
            self._timer = asyncio.get_running_loop().call_later(fault.held, self._release)
        else:
            self._deliver_all(copies)
            self._release()

    def _release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        held, self._held, self._timer = self._held, [], None
        self._deliver_all(held)

    def _deliver_all(self, messages: list[T]) -> None:
        for message in messages:
            self._deliver(message)

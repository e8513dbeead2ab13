"""A channel that applies fault rules to the messages of one connection in one direction.

The rules decide what happens to a message (`MessageFault`); this module does it, on the event loop.
It does not look into messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from terralive_sandbox.faults import MessageFault

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Held(Generic[T]):
    """A message that waits for the next one.

    Attributes:
        message: the message.
        copies: how often it is delivered.
        timer: delivers it if no other message comes.
    """

    message: T
    copies: int
    timer: asyncio.TimerHandle


class FaultChannel(Generic[T]):
    """Delivers a message now, later, several times, after the next message, or never."""

    def __init__(self, deliver: Callable[[T], None]) -> None:
        # Called with each message that arrives, on the event loop.
        self._deliver = deliver
        # The message that waits for the next one; at most one does.
        self._held: _Held[T] | None = None

    def send(self, message: T, fault: MessageFault) -> None:
        """Take a message, and do with it what the rules have decided."""
        if fault.delay:
            asyncio.get_running_loop().call_later(fault.delay, self._arrive, message, fault)
        else:
            self._arrive(message, fault)

    def _arrive(self, message: T, fault: MessageFault) -> None:
        if not fault.copies:
            return
        if fault.held is not None and self._held is None:
            timer = asyncio.get_running_loop().call_later(fault.held, self._release)
            self._held = _Held(message, fault.copies, timer)
            return
        self._deliver_copies(message, fault.copies)
        self._release()

    def _release(self) -> None:
        held = self._held
        if held is None:
            return
        self._held = None
        held.timer.cancel()
        self._deliver_copies(held.message, held.copies)

    def _deliver_copies(self, message: T, copies: int) -> None:
        for _ in range(copies):
            self._deliver(message)

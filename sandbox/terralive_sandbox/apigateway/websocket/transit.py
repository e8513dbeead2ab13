"""Messages of one connection and direction on their way: what a `Fate` says is done here. On the event loop.

It delivers by calling; it never learns what a message is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from terralive_sandbox.faults import Fate

T = TypeVar("T")


class Transit(Generic[T]):
    """Passes messages on: now, later, several times, after the next one, or never."""

    def __init__(self, deliver: Callable[[T], None]) -> None:
        self._deliver = deliver
        self._held: tuple[T, int, asyncio.TimerHandle] | None = None

    def send(self, message: T, fate: Fate) -> None:
        if fate.delay:
            asyncio.get_running_loop().call_later(fate.delay, self._arrive, message, fate)
        else:
            self._arrive(message, fate)

    def _arrive(self, message: T, fate: Fate) -> None:
        if not fate.copies:
            return
        if fate.held is not None and self._held is None:
            timer = asyncio.get_running_loop().call_later(fate.held, self._release)
            self._held = message, fate.copies, timer
            return
        self._pass(message, fate.copies)
        self._release()

    def _release(self) -> None:
        if self._held is not None:
            message, copies, timer = self._held
            self._held = None
            timer.cancel()
            self._pass(message, copies)

    def _pass(self, message: T, copies: int) -> None:
        for _ in range(copies):
            self._deliver(message)

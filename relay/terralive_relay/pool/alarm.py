"""A pool's lock, and its clock: a thread that acts at due times under that lock.

A pool calls others only when its lock is free, because they may call the pool again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from types import TracebackType

from terralive_relay.threads import ThreadFailed, guarded_thread


class DeferringLock:
    """A lock with a list of actions. The thread that releases the lock runs them afterwards.

    After an exception they stay in the list until the lock is released again.
    """

    def __init__(self) -> None:
        # Guards what its owner says, and the list of actions.
        self.lock = threading.Lock()
        # Actions in the order in which they run.
        self._deferred: list[Callable[[], object]] = []

    def defer(self, action: Callable[[], object]) -> None:
        """Have an action run when the lock is free. The caller holds the lock."""
        self._deferred.append(action)

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        deferred: list[Callable[[], object]] = []
        if kind is None:
            deferred, self._deferred = self._deferred, deferred
        self.lock.release()
        for action in deferred:
            action()


class Alarm:
    """A thread that sleeps until something is due. Times are on the monotonic clock, in seconds.

    Args:
        name: the thread's name.
        lock: guards all state of this class, and is held while the next two are called.
        next_due: takes the time, and returns when something is due; infinite for never.
        act: takes the time, and does what is due.
        failed: takes an exception that has ended the thread.
    """

    def __init__(
        self,
        name: str,
        lock: DeferringLock,
        next_due: Callable[[float], float],
        act: Callable[[float], None],
        failed: ThreadFailed | None,
    ) -> None:
        # These never change.
        self._lock = lock
        self._next_due = next_due
        self._act = act
        # Wakes the thread before `_until`.
        self._wakes = threading.Condition(lock.lock)
        # The time until which the thread sleeps.
        self._until = math.inf
        # The thread has to end.
        self._closed = False
        self._thread = guarded_thread(name, self._run, failed)

    def start(self) -> None:
        self._thread.start()

    def wake_by(self, due: float) -> None:
        """Make sure that the thread wakes at `due` or earlier. The caller holds the lock."""
        if due < self._until:
            self._until = due
            self._wakes.notify_all()

    def close(self) -> None:
        """End the thread soon. The caller holds the lock."""
        self._closed = True
        self._wakes.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._closed:
                    return
                now = time.monotonic()
                due = self._next_due(now)
                self._until = due
                if math.isinf(due):
                    self._wakes.wait()
                elif due > now:
                    self._wakes.wait(min(due - now, threading.TIMEOUT_MAX))
                if not self._closed:
                    self._act(time.monotonic())

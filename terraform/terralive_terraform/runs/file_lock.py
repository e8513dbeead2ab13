"""Locks on files and folders. The kernel releases one when the last process that has it ends.

A process that is started with the descriptor has the lock, too:
https://man7.org/linux/man-pages/man2/flock.2.html.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from typing import Final

_POLL_SECONDS: Final = 0.03


def take_lock(
    descriptor: int,
    wait_s: float,
    on_wait: Callable[[], None] = lambda: None,
    check: Callable[[], None] = lambda: None,
) -> bool:
    """Take the lock of an open file or folder, and return whether this has succeeded.

    Args:
        descriptor: the file's descriptor. Closing it releases the lock.
        wait_s: seconds to wait for another process that has the lock.
        on_wait: called once if another process has it.
        check: called again and again meanwhile. An exception of it ends the wait.
    """
    if _try_to_lock(descriptor):
        return True
    on_wait()
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        check()
        time.sleep(_POLL_SECONDS)
        if _try_to_lock(descriptor):
            return True
    return False


def _try_to_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

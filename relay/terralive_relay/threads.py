"""Threads that must not end unseen: an exception that nobody expects is passed on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeAlias

# Takes an exception that nobody expects, in the thread that it has ended.
ThreadFailed: TypeAlias = Callable[[Exception], None]


def guarded_thread(
    name: str, run: Callable[[], None], failed: ThreadFailed | None
) -> threading.Thread:
    """Return a daemon thread, which is not started yet.

    Args:
        name: its name.
        run: its body.
        failed: takes the exception that has ended it; None leaves that to `threading.excepthook`.
    """

    def body() -> None:
        try:
            run()
        except Exception as error:
            if failed is None:
                raise
            failed(error)

    return threading.Thread(target=body, name=name, daemon=True)

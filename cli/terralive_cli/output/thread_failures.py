"""Exceptions that have ended a thread and that nobody else has caught: each is shown once.

The threads that the relay cannot do without end it by themselves (`relay-failed`). The others are
left to this: a worker's connection, a debugger's port, a thread of a library.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from terralive_cli.output import failures
from terralive_cli.output.events import Emit


@contextmanager
def reported(emit: Emit) -> Iterator[None]:
    """Show an exception that ends a thread as an error event, once, while the context lasts.

    https://docs.python.org/3/library/threading.html#threading.excepthook
    """
    # A thread may fail again and again, each time it is started. The hook runs in any thread.
    shown: set[tuple[type[BaseException], str]] = set()
    before = threading.excepthook

    def show(ended: threading.ExceptHookArgs, /) -> None:
        error = ended.exc_value
        if not isinstance(error, Exception):
            return  # SystemExit ends a thread without a word
        key = (type(error), str(error))
        if key not in shown:
            shown.add(key)
            emit(failures.describe(error))

    threading.excepthook = show
    try:
        yield
    finally:
        threading.excepthook = before

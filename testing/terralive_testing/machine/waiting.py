"""Waiting until something is true that another thread, process or machine makes true."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

_PAUSE_SECONDS = 0.02


def eventually(
    check: Callable[[], Found], what: str = "what the test waits for", *, seconds: float = 60
) -> Found:
    """Call `check` again and again until it returns something true, and return that.

    Args:
        check: the condition.
        what: the condition in words, for a failed test's report.
        seconds: the time after which the test fails. A bound, no expectation.
    """
    end = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(_PAUSE_SECONDS)

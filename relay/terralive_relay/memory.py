"""Limits the memory that this process's C library keeps for itself."""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

_ARENAS: Final = 2
_M_ARENA_MAX: Final = -8  # malloc.h


def limit_arenas() -> None:
    """Have all threads share two of glibc's memory arenas. Call it before there are threads.

    By default glibc gives threads up to eight arenas for each processor, and keeps in each the
    memory that was freed there. Payloads of megabytes that pass through a hundred threads would
    leave memory in all of them. With another C library nothing happens.
    See https://man7.org/linux/man-pages/man3/mallopt.3.html.
    """
    # There is no such function on macOS, with musl, and on Windows.
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)

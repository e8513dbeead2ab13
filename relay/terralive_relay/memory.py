"""How this process's C library hands out memory."""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

_ARENAS: Final = 2
_M_ARENA_MAX: Final = -8  # malloc.h


def limit_arenas() -> None:
    """Have all threads share two of glibc's arenas.

    By itself it gives threads up to eight for each processor, and keeps in each what was freed
    there: payloads of megabytes that pass through a hundred threads then leave memory with all of
    them. Elsewhere nothing happens. See https://man7.org/linux/man-pages/man3/mallopt.3.html.
    """
    with contextlib.suppress(
        AttributeError, OSError, TypeError
    ):  # no such function: macOS, musl, Windows
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)

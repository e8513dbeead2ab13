"""Suggestions for mistyped names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, known: Iterable[str]) -> str:
    """Return a suggestion for a mistyped name, ` Did you mean "stage"?`, or ""."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    if not found:
        return ""
    return f' Did you mean "{found[0]}"?'

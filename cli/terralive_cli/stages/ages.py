"""Ages, as `--older-than` takes them and as people read them. Pure."""

from __future__ import annotations

import re
from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_WEEK: Final = 7 * _DAY
_UNITS: Final = {"m": _MINUTE, "h": _HOUR, "d": _DAY, "w": _WEEK}
_AGE: Final = re.compile(r"(\d{1,6})([mhdw])")
# Up to this number of units, an age is shown in the smaller unit (`36 h`).
_FEW: Final = 2


def seconds_of(age: str) -> int | None:
    """Return the seconds of an age such as `3d`, `12h`, `30m` or `2w`; None for another text."""
    found = _AGE.fullmatch(age.strip())
    if found is None:
        return None
    return int(found[1]) * _UNITS[found[2]]


def short_age(seconds: float) -> str:
    """Return an age in one number and one unit: `40 s`, `12 min`, `36 h`, `3 d`."""
    if seconds < _FEW * _MINUTE:
        return f"{max(seconds, 0):.0f} s"
    if seconds < _FEW * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < _FEW * _DAY:
        return f"{seconds / _HOUR:.0f} h"
    return f"{seconds / _DAY:.0f} d"

"""A deadline: a point in time on one process's monotonic clock.

Lambda gives a deadline as wall-clock time, the wire carries it as the time left, because the clocks
of two machines differ. Inside a process it is always this value, so it never changes its meaning.
Pure: both clocks are parameters (`time.monotonic()` and `time.time()`, in seconds).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Self


@dataclass(frozen=True, slots=True, order=True)
class Deadline:
    """A point in time. Earlier deadlines compare as smaller.

    Attributes:
        at: seconds on the monotonic clock of this process; the value means nothing elsewhere.
    """

    at: float

    @classmethod
    def after(cls, remaining_s: float, *, now: float) -> Self:
        """Return the deadline that is `remaining_s` seconds away at `now`."""
        return cls(now + remaining_s)

    @classmethod
    def from_epoch_ms(cls, epoch_ms: int, *, now: float, wall_now: float) -> Self:
        """Return the deadline of a number of milliseconds since the Unix epoch, as Lambda gives it.

        Args:
            epoch_ms: the value of the Runtime API's header `Lambda-Runtime-Deadline-Ms`.
            now: the monotonic clock.
            wall_now: the wall clock at the same moment, in seconds since the Unix epoch.
        """
        return cls(now + (epoch_ms / 1000 - wall_now))

    def epoch_ms(self, *, now: float, wall_now: float) -> int:
        """Return the deadline in milliseconds since the Unix epoch, for the Runtime API's header.

        It is rounded down, as runtimes round the time of day: a handler that asks at once never
        sees more time left than there is.

        Raises:
            OverflowError: the deadline is `NEVER`.
        """
        return math.floor((wall_now + (self.at - now)) * 1000)

    def remaining(self, now: float) -> float:
        """Return the seconds that are left at `now`, at least 0."""
        return max(0.0, self.at - now)

    def has_passed(self, now: float) -> bool:
        return now >= self.at


NEVER: Final = Deadline(math.inf)

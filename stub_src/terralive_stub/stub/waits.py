"""The times for which a stub waits, in seconds. Pure."""

from __future__ import annotations

from typing import Final

from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation
from terralive_stub.stub.session_state import Current, FallingBack, Offered, Owned

# The wait for an acknowledgement: this long, longer for a large payload and for every repetition (a
# link may be slow, not dead), but never more than half of the time that is left.
ACK_SECONDS: Final = 3.0
SECONDS_PER_MEGABYTE: Final = 1.0
_LONGEST_ACK_WAIT: Final = 4.0  # times the first wait
_MEGABYTE: Final = 1024 * 1024
# An owned invocation is asked for this often, and an answer may take this long.
PROBE_SECONDS: Final = 5.0
# The last question before the deadline: does the handler still run?
LAST_QUESTION_SECONDS: Final = 1.5
# Missing chunks of a result are asked for when no further chunk has come for this long.
STALL_SECONDS: Final = 2.0
# The longest wait before attempt 1, 2, …; the last one repeats.
RECONNECT_SECONDS: Final = (0.1, 0.3, 1.0, 2.0, 4.0)
CONNECT_SECONDS: Final = 10.0
# An API that was deployed a moment ago may need this long to accept connections.
HANDSHAKE_REFUSED_SECONDS: Final = 15.0
# A relay that owns the invocation and is gone for as long as a lease lasts does not return.
LOST_SECONDS: Final = 60.0
# A named error needs this long to reach Lambda before its deadline, …
MARGIN_SECONDS: Final = 0.5
# … and gets up to this long if no relay owns the invocation and its timeout is long.
MOST_MARGIN_SECONDS: Final = 2.0
_MARGIN_SHARE: Final = 1 / 20  # of the time that the invocation had
# The fallback: a stub waits for a relay that may return for this part of the invocation's time, and
# for a throttled fallback for this part of the time that is left.
SHARE_OF_TIME: Final = 1 / 3


def longest_before_attempt(failures: int) -> float:
    """Return the longest wait before the next attempt, after so many failures in a row."""
    return RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS) - 1)]


def acknowledge_by(invocation: Invocation, offered: Offered, now: float) -> Deadline:
    """Return the end of the wait for an acknowledgement. It leaves time to send once more."""
    megabytes = len(invocation.event) / _MEGABYTE
    first_wait = ACK_SECONDS + SECONDS_PER_MEGABYTE * megabytes
    repetitions = max(0, offered.times_sent - 1)
    wait = first_wait * min(_LONGEST_ACK_WAIT, 1 + repetitions / 2)
    most = max(MARGIN_SECONDS, invocation.deadline.remaining(now) / 2)
    return Deadline.after(min(wait, most), now=now)


def give_up_at(current: Current) -> Deadline:
    """Return when an invocation ends by a named error unless something arrives.

    Later than the invocation's deadline if Lambda's own timeout is the right answer.
    """
    deadline = current.invocation.deadline
    if isinstance(current.phase, Owned):
        owned = current.phase
        lost_at = owned.confirmed_at + owned.deaf_s + LOST_SECONDS
        confirmed_late = owned.confirmed_at >= deadline.at - LAST_QUESTION_SECONDS
        if confirmed_late and not owned.handler_has_ended:
            return Deadline(lost_at)
        return Deadline(min(lost_at, deadline.at - MARGIN_SECONDS))
    if isinstance(current.phase, FallingBack):
        return Deadline(deadline.at - MARGIN_SECONDS)
    allowed_s = deadline.remaining(current.began)
    margin_s = max(MARGIN_SECONDS, allowed_s * _MARGIN_SHARE)
    return Deadline(deadline.at - min(MOST_MARGIN_SECONDS, margin_s))

"""The decisions about the fallback: when it may answer, and how an invocation ends by it. Pure.

The deployed code must not run where a handler of the same attempt may run at a relay, or may begin
there later. So a stub falls back only if

    1. the broker has found no relay for the offer that the stub sent last, and
    2. no relay can have received an offer of this attempt since the first one was sent. The broker
       tells for how long that is so (`NoRelay.vacant_ms`).

Offers that are still on their way are covered by the broker: a relay that comes later gets no offer
from before it came (`Lease.came_after`).
"""

from __future__ import annotations

from terralive_stub.protocol.deadline import NEVER, Deadline
from terralive_stub.protocol.invocation import Invocation
from terralive_stub.protocol.messages import FellBack, NoRelay
from terralive_stub.stub import waits
from terralive_stub.stub.effects import Effect, Finish, Invoke, Send, shown
from terralive_stub.stub.fallback.answers import Answered
from terralive_stub.stub.session_state import Current, FallingBack, Offered


def version_for(notice: NoRelay, invocation: Invocation) -> str:
    """Return the version that stands for what was invoked; "" if the function has no fallback.

    An alias that the broker does not know was pointed at `$LATEST` before the function was live.
    """
    latest = notice.fallbacks.get("", "")
    return notice.fallbacks.get(invocation.qualifier, latest)


def is_safe(notice: NoRelay, offered: Offered, now: float) -> bool:
    """Tell whether no relay can have received the invocation; see the module's docstring."""
    is_about_last_offer = 0 < notice.sent_ms == offered.sent_ms
    return is_about_last_offer and notice.vacant_ms / 1000 >= now - offered.first_sent


def is_worth_a_wait(notice: NoRelay, current: Current, now: float) -> bool:
    """Tell whether the stub offers the invocation once more, because a relay may return.

    It may wait for a third of the time that the invocation had: the deployed code needs the rest.
    """
    if not notice.retry_ms:
        return False
    allowed_s = current.invocation.deadline.remaining(current.began)
    wait_until = current.began + allowed_s * waits.SHARE_OF_TIME
    return now + notice.retry_ms / 1000 <= wait_until


def ask_again(phase: FallingBack, current: Current, wait_s: float, now: float) -> bool:
    """Set the time at which Lambda is asked once more; return False if that would be too late.

    A stub holds the concurrency that the deployed code waits for, so it waits for a third of the
    time that is left, and no longer.
    """
    if phase.ask_until is None:
        left_s = waits.give_up_at(current).remaining(now)
        phase.ask_until = Deadline.after(left_s * waits.SHARE_OF_TIME, now=now)
    if now + wait_s > phase.ask_until.at:
        return False
    phase.ask_at = Deadline.after(wait_s, now=now)
    return True


def due(current: Current, phase: FallingBack, now: float) -> list[Effect]:
    """Return the next request, if it is due."""
    if phase.ask_at.has_passed(now):
        return [invoke(current, phase)]
    return []


def invoke(current: Current, phase: FallingBack) -> Invoke:
    """Return the effect that asks the deployed code."""
    phase.ask_at = NEVER
    return Invoke(current.invocation, phase.version, waits.give_up_at(current))


def answered(current: Current, answer: Answered, *, connected: bool) -> list[Effect]:
    """Return the effects that end an invocation by the deployed code's answer."""
    effects = shown(answer.log)
    if connected:
        invocation = current.invocation
        told = FellBack(
            invocation.request_id,
            invocation.function,
            answer.outcome.ok,
            attempt=invocation.attempt,
        )
        effects.append(Send(told))
    return [*effects, Finish(answer.outcome)]

"""Comparison of the ledgers: a violation for every broken promise of docs/RELIABILITY.md. Pure.

- lost: a call without an answer
- false: a success that no run of a handler gave for this request and this event
- twice: an attempt that one life of a relay gave to a handler more than once, or two attempts of a
  request id at once. Lambda makes one attempt of a synchronous call, and one more for each retry of
  an asynchronous one. Also a synchronous call that the deployed code answered, if it ran twice or a
  relay ran it, too.
- unnamed: a failure without a name that says what happened
- untold: relay and handlers report different things about a run
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from terralive_testing.soak.ledger import LAMBDAS_TIMEOUT, Call, End, Life, Run

LARGEST_ANSWER = 6 * 1024 * 1024
# An answer may be under way when Lambda's timeout comes. It had this long.
_LAST_SECONDS = 2.0
# The attempts that Lambda makes of an asynchronous event: the app allows one retry.
_ASYNCHRONOUS_ATTEMPTS = 2


class Promise(StrEnum):
    LOST = "lost"
    FALSE = "false"
    TWICE = "twice"
    UNNAMED = "unnamed"
    UNTOLD = "untold"


@dataclass(frozen=True, slots=True)
class Violation:
    promise: Promise
    id: str
    what: str


def judge(calls: Sequence[Call], runs: Sequence[Run], lives: Sequence[Life]) -> list[Violation]:
    """Return every violation."""
    of: dict[str, list[Run]] = defaultdict(list)
    # A fallback has a request id of its own. So its runs are found by their event.
    fallbacks: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.is_fallback:
            fallbacks[run.event].append(run)
        else:
            of[run.id].append(run)
    lived = {life.relay for life in lives}
    found = []
    for call in calls:
        violation = _of_call(call, [*of[call.id], *fallbacks[call.event]], lived)
        if violation is not None:
            found.append(violation)
    found += _fallbacks_twice(calls, of, fallbacks)
    asynchronous = {call.id for call in calls if call.asynchronous}
    for name, own in of.items():
        found += _twice(name, own, is_asynchronous=name in asynchronous)
    return found + [violation for life in lives for violation in _of_life(life, of, runs)]


def _fallbacks_twice(
    calls: Sequence[Call],
    of: Mapping[str, Sequence[Run]],
    fallbacks: Mapping[str, Sequence[Run]],
) -> Iterator[Violation]:
    """Yield the calls that the deployed code answered, and another handler ran for, too.

    A few events are equal. They are not looked at, because their fallbacks cannot be told apart.
    """
    times = Counter(call.event for call in calls)
    for call in calls:
        answered = len(fallbacks[call.event])
        if not answered or times[call.event] > 1:
            continue
        if call.asynchronous:
            if answered > _ASYNCHRONOUS_ATTEMPTS:
                what = f"the deployed code ran {answered} times"
                yield Violation(Promise.TWICE, call.id, what)
        elif answered > 1 or of[call.id]:
            what = f"the deployed code ran {answered} times, and relays {len(of[call.id])} times"
            yield Violation(Promise.TWICE, call.id, what)


def _twice(name: str, runs: Sequence[Run], *, is_asynchronous: bool) -> list[Violation]:
    """Return the violations of a request id that was run too often, or twice at once."""
    allowed = 1
    if is_asynchronous:
        allowed = _ASYNCHRONOUS_ATTEMPTS
    found = []
    for relay, times in Counter(run.relay for run in runs).items():
        if times > allowed:
            what = f"handler run {times} times in the life of relay {relay}"
            found.append(Violation(Promise.TWICE, name, what))
            continue
        # A run without an end was ended with its worker: when, is not known.
        own = sorted((run for run in runs if run.relay == relay), key=lambda run: run.began)
        for former, later in pairwise(own):
            if former.ended is not None and former.ended > later.began:
                what = f"two handlers at once in the life of relay {relay}"
                found.append(Violation(Promise.TWICE, name, what))
    return found


def _of_call(call: Call, runs: Sequence[Run], lived: set[int]) -> Violation | None:
    match call.end:
        case End.NONE:
            return Violation(Promise.LOST, call.id, f"{call.function}: {call.error_type}")
        case End.SUCCESS:
            why = _false(call, runs, lived)
            if why:
                return Violation(Promise.FALSE, call.id, f"{call.function}: {why}")
        case End.ERROR if not _named(call, runs):
            return Violation(
                Promise.UNNAMED, call.id, f"{call.function}: {call.error_type or 'no error type'}"
            )
        case End.REFUSED if call.error_type != "TooManyRequestsException":
            return Violation(
                Promise.UNNAMED, call.id, f"{call.function}: refused with {call.error_type}"
            )
    return None


def _false(call: Call, runs: Sequence[Run], lived: set[int]) -> str:
    """Return the reason why a success is false; "" where it is true."""
    given = [run for run in runs if run.error == "" and run.answer == call.answer]
    if not given:
        return "no run of a handler gave this answer"
    if given[0].event != call.event:
        return "the handler had another event"
    if not given[0].is_fallback and given[0].relay not in lived:
        return "it ran outside of every relay"
    return ""


def _named(call: Call, runs: Sequence[Run]) -> bool:
    """Return whether the name of a failure is true."""
    if call.error_type.startswith("Terralive."):
        return True
    if call.error_type == "Function.ResponseSizeTooLarge":
        return any(run.bytes > LARGEST_ANSWER for run in runs)
    if call.error_type == LAMBDAS_TIMEOUT:  # Lambda's own: only where a handler was really running
        return any(
            run.began <= call.ended and (run.ended or call.ended) > call.ended - _LAST_SECONDS
            for run in runs
        )
    return any(run.error == call.error_type for run in runs if run.error)


def _of_life(life: Life, of: dict[str, list[Run]], runs: Sequence[Run]) -> list[Violation]:
    found = [
        Violation(Promise.TWICE, begun.id, f"relay {life.relay} began {begun} {times} times")
        for begun, times in Counter(life.began).items()
        if times > 1
    ]
    for name, error in life.ended.items():
        mine = [run for run in of[name] if run.relay == life.relay]
        if error == "" and not any(run.error == "" for run in mine):
            found.append(
                Violation(
                    Promise.UNTOLD, name, f"relay {life.relay} told a success, its handler none"
                )
            )
    if not life.killed:  # a kill takes the last words with it
        began = {begun.id for begun in life.began}
        found += [
            Violation(
                Promise.UNTOLD, run.id, f"relay {life.relay} never told of a run of its handler"
            )
            for run in runs
            if run.relay == life.relay and run.id not in began
        ]
    return found

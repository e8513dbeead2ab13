"""Puts the events of invocations in the order in which they are shown. Pure.

Invocations run at once, and their lines come mixed. The invocation whose line was shown last stays
in front: its lines are shown at once. Those of the others wait until it has ended or is silent,
and never long, so that each invocation is a block of few pieces.

Two events wait for what comes next. The end of an invocation waits for `Delivered`, which tells its
round trip. An error that the runtime writes to the log waits for the end, which tells the same
error: then it is left out.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from terralive_cli.output.stream.errors import error_title
from terralive_cli.output.stream.invocations import ERROR_LOG, InvocationShown
from terralive_relay.events import (
    Delivered,
    Event,
    InvocationFinished,
    InvocationStarted,
    LogLine,
    Warned,
)

# After so many seconds without a line, another invocation may come to the front.
QUIET_SECONDS: Final = 0.15
# No line waits longer than this for its turn, and no error for its end.
LONGEST_SECONDS: Final = 0.5
# No end waits longer than this for its round trip. The others wait for it, too.
END_SECONDS: Final = 0.3
# While a block is in front, the others are looked at no more often, because there may be many.
_LOOK_SECONDS: Final = 0.02
# The warning about code that does not load.
_DOES_NOT_LOAD: Final = "code-does-not-load"
_TRACEBACK: Final = "Traceback (most recent call last):"
# The message may have several lines before the traceback.
_MESSAGE_LINES: Final = 20
# Reports of one line: that of Node.js as text, and those of Node.js and Python as JSON.
# https://docs.aws.amazon.com/lambda/latest/dg/nodejs-exceptions.html
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html
_ONE_LINE: Final = re.compile(
    r"\S+\t\S+\tERROR\t(?:Invoke|Uncaught|Unhandled)"
    r'|\{"timestamp": ?"[^"]+", ?"level": ?"ERROR", ?'
    r'(?:"errorMessage"|"requestId": ?"[^"]*", ?"message": ?\{"errorType")'
)
_InvocationEvent: TypeAlias = InvocationStarted | LogLine | InvocationFinished | Delivered


@dataclass(slots=True)
class _Held:
    """An event that is not shown yet, and the time at which it came."""

    event: Event
    since: float


@dataclass(slots=True)
class _Block:
    """The events of one invocation that are not shown yet.

    Attributes:
        held: the events, in their order.
        has_ended: whether its end has come.
    """

    held: deque[_Held] = field(default_factory=deque)
    has_ended: bool = False


class StreamOrder:
    """Takes events and returns those that are to be shown now. Times are monotonic, in seconds."""

    def __init__(self) -> None:
        # By request id; by function for lines outside an invocation. In the order of their oldest
        # event.
        self._blocks: dict[str, _Block] = {}
        # The block whose lines are shown at once, and the time of its last line.
        self._front = ""
        self._front_at = 0.0
        # The time of the last look at all blocks.
        self._looked_at = 0.0

    @property
    def is_holding(self) -> bool:
        """Tell whether an event waits. Then call `take` again soon, without events if need be."""
        return bool(self._blocks)

    def take(self, events: Sequence[Event], now: float) -> list[Event]:
        """Take events, perhaps none, and return those that are to be shown now, in their order."""
        shown: list[Event] = []
        for event in events:
            if isinstance(event, _InvocationEvent):
                self._add(event, now)
                shown += self._due(now)
            else:
                if isinstance(event, Warned) and event.reference == _DOES_NOT_LOAD:
                    self._leave_load_error_out(event)
                shown.append(event)
        if not events:
            shown += self._due(now)
        return shown

    def rest(self) -> list[Event]:
        """Return all events that wait."""
        front = self._blocks.pop(self._front, _Block())
        blocks = [front, *self._blocks.values()]
        rest = [held.event for block in blocks for held in block.held]
        self._blocks.clear()
        self._front = ""
        return rest

    def _add(self, event: _InvocationEvent, now: float) -> None:
        key = event.request_id or event.function
        if isinstance(event, Delivered):
            self._deliver(event, key)
            return
        block = self._blocks.setdefault(key, _Block())
        if isinstance(event, InvocationFinished):
            block.has_ended = True
            if not event.ok:
                self._leave_reports_out(block, event)
        block.held.append(_Held(event, now))

    def _deliver(self, event: Delivered, key: str) -> None:
        """Add the round trip to the end of an invocation, if that is not shown yet."""
        block = self._blocks.get(key)
        if block is None:
            return
        for held in block.held:
            if isinstance(held.event, InvocationFinished):
                at = held.event.at
                held.event = InvocationShown(held.event, event.round_trip_ms, at=at)

    def _leave_load_error_out(self, warning: Warned) -> None:
        """Leave out the runtime's report of an error that a warning tells better."""
        block = self._blocks.get(warning.function)
        if block is None:
            return
        for number, held in enumerate(block.held):
            line = ""
            if isinstance(held.event, LogLine):
                line = held.event.line
            _, _, message = line.removeprefix(ERROR_LOG).partition(": ")
            if line.startswith(ERROR_LOG) and message and message in warning.message:
                # The report is the last that a worker writes which cannot start.
                block.held = deque(list(block.held)[:number])
                break
        if not block.held:
            del self._blocks[warning.function]

    def _leave_reports_out(self, block: _Block, end: InvocationFinished) -> None:
        _leave_out(block, end)
        # Where the code did not load, the runtime has said so outside the invocation.
        outside = self._blocks.get(end.function)
        if outside is not None:
            _leave_out(outside, end)
            if not outside.held:
                del self._blocks[end.function]

    def _due(self, now: float) -> list[Event]:
        """Take the events out that are to be shown now."""
        shown: list[Event] = []
        front = self._blocks.get(self._front)
        if front is not None:
            shown += self._show(self._front, front, now)
        is_busy = bool(self._front) and not self._is_silent(now)
        if is_busy and now - self._looked_at < _LOOK_SECONDS:
            return shown
        self._looked_at = now
        for key, block in list(self._blocks.items()):
            if key == self._front:
                continue
            is_free = not self._front or self._is_silent(now)
            is_late = now - block.held[0].since >= LONGEST_SECONDS
            if is_free or is_late:
                shown += self._show(key, block, now)
        return shown

    def _is_silent(self, now: float) -> bool:
        """Tell whether the invocation in front is silent. One whose end waits is not."""
        front = self._blocks.get(self._front)
        if front is not None and front.has_ended:
            return False
        return now - self._front_at >= QUIET_SECONDS

    def _show(self, key: str, block: _Block, now: float) -> list[Event]:
        """Take the events out of a block that wait for nothing, and put it in front."""
        shown: list[Event] = []
        while block.held and not _waits(block, now):
            shown.append(block.held.popleft().event)
        if shown:
            self._front = key
            self._front_at = now
        if not block.held:
            del self._blocks[key]
            if block.has_ended:
                self._front = ""
        return shown


def _waits(block: _Block, now: float) -> bool:
    """Tell whether the first event of a block waits for what comes next."""
    first = block.held[0]
    waited_s = now - first.since
    if isinstance(first.event, InvocationFinished):
        return waited_s < END_SECONDS
    if waited_s >= LONGEST_SECONDS:
        return False
    return not block.has_ended and _may_be_report(list(block.held))


def _may_be_report(held: Sequence[_Held]) -> bool:
    """Tell whether lines may be the runtime's report of an error that ends the invocation."""
    first = held[0].event
    if not isinstance(first, LogLine) or not _begins_report(first.line):
        return False
    lines = [item.event.line for item in held if isinstance(item.event, LogLine)]
    return _TRACEBACK in lines or len(lines) <= _MESSAGE_LINES


def _begins_report(line: str) -> bool:
    return line.startswith(ERROR_LOG) or _ONE_LINE.match(line) is not None


def _leave_out(block: _Block, end: InvocationFinished) -> None:
    """Leave out the runtime's report of the error that ends the invocation."""
    title = error_title(end.error_type, end.error_message)
    kept: list[_Held] = []
    left_out = 0
    for held in block.held:
        if left_out > 0:
            left_out -= 1
            continue
        line = ""
        if isinstance(held.event, LogLine):
            line = held.event.line
        if line == f"{ERROR_LOG}{title}":
            left_out = _lines_below_title(end)
        elif not (_ONE_LINE.match(line) and end.error_type in line):
            kept.append(held)
    block.held = deque(kept)


def _lines_below_title(end: InvocationFinished) -> int:
    """Return the number of lines of Python's report: the message, a title, the stack trace."""
    message = max(len(end.error_message.splitlines()) - 1, 0)
    stack = sum(max(len(element.splitlines()), 1) for element in end.stack)
    return message + 1 + stack

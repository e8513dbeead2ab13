"""The stub's side of an invocation: (event, now) -> effects. No sockets, no clock, no threads.

A stub has at most one invocation at a time (Lambda's execution environments do) and at most one
connection, which it keeps across invocations. `live.py` is the shell that owns the socket, does
what the effects say and feeds back what happened. Times are seconds of one monotonic clock, the one
of the invocation's deadline.

Invariants:
    1. Every invocation that begins ends in exactly one Finish, unless the handler is known to be
    running near the
       deadline: then Lambda's own timeout ends it.
    2. A Finish with a success carries bytes that a relay sent for this request id.
    3. An invocation is sent in full again (never partly believed) until a relay has acknowledged
       it; after that it is only asked for, never sent again, so that a restarted relay cannot run
       it a second time.
    4. Messages about any other request id change nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeAlias

from terralive_stub.protocol.chunks import (
    Assembler,
    pack_invocation,
    split,
    unpack_logs,
    unpack_outcome,
)
from terralive_stub.protocol.deadline import NEVER
from terralive_stub.protocol.invocation import Invocation, Outcome, Printed
from terralive_stub.protocol.limits import CONNECTION_SECONDS, IDLE_SECONDS
from terralive_stub.protocol.named_errors import ErrorName, describe_no_relay, outcome_for_caller
from terralive_stub.protocol.wire import (
    Ack,
    Chunk,
    Done,
    Kind,
    Message,
    Missing,
    NoRelay,
    Problem,
    ProtocolError,
    Resume,
    Unknown,
)

ACK_SECONDS: Final = 3.0
SECONDS_PER_MEGABYTE: Final = 1.0  # of payload, added to the wait for an acknowledgement
PROBE_SECONDS: Final = 5.0  # how often an acknowledged invocation is asked for
STALL_SECONDS: Final = 2.0  # without a further chunk of the result, the missing ones are asked for
RECONNECT_SECONDS: Final = (
    0.1,
    0.3,
    1.0,
    2.0,
    4.0,
)  # at most, before attempt 1, 2, …; the last one repeats
LOST_SECONDS: Final = (
    60.0  # a relay that acknowledged and is gone for so long (a lease's time) will not come back
)
CONNECT_SECONDS: Final = 10.0
REFUSED_SECONDS: Final = 15.0  # a policy written a moment ago may take so long to reach API Gateway
LAST_QUESTION_SECONDS: Final = 1.5  # before the deadline: whether the handler still runs
MARGIN_SECONDS: Final = 0.5  # a named error needs this long to reach Lambda before its deadline
MOST_MARGIN_SECONDS: Final = (
    2.0  # where nobody has taken it, and there is time to be on the safe side
)
_MEGABYTE: Final = 1024 * 1024
_MOST_PATIENCE: Final = 4.0  # times the first wait


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a connection (closing what is left of an old one).

    Answered by `connected` or `connection_lost`.
    """


@dataclass(frozen=True, slots=True)
class Send:
    message: Message


@dataclass(frozen=True, slots=True)
class Finish:
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Show:
    """Print it, for Lambda's log."""

    text: str


Effect: TypeAlias = Connect | Send | Show | Finish


class _Phase(Enum):
    IDLE = auto()
    OFFERED = auto()  # no relay has acknowledged it yet
    OWNED = auto()  # a relay has


class _Link(Enum):
    DOWN = auto()
    OPENING = auto()
    UP = auto()


class StubSession:
    """See the module's docstring.

    Args:
        app, stage: for the texts of errors.
        jitter: gives a number from 0 to 1. Every wait before a reconnect is such a part of its most
            ("full jitter"): a thousand stubs that lost their connections at one moment do not come
            back at one moment.
            https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    def __init__(
        self, *, app: str, stage: str, jitter: Callable[[], float] = random.random
    ) -> None:
        self._app = app
        self._stage = stage
        self._jitter = jitter
        self._link = _Link.DOWN
        self._opened = self._traffic = self._began = 0.0
        self._phase = _Phase.IDLE
        self._invocation: Invocation | None = None
        self._deadline = NEVER
        self._assembler = Assembler()
        self._offered: tuple[Chunk, ...] = ()
        self._ended = True
        self._connect_at: float | None = None
        self._failures = self._offers = 0
        self._why = ""
        self._ack_by: float | None = None
        self._ask_at: float | None = None
        self._shown = 0  # characters of what the handler has printed
        self._heard = 0.0  # when a relay last said that it owns the invocation
        self._ended_there = False  # its result is on the way: the handler does not run any more

    def begin(self, invocation: Invocation, now: float, *, asleep_s: float = 0.0) -> list[Effect]:
        """Start an invocation; the one before has finished or was ended by Lambda's timeout.

        `asleep_s`: how long the clock of `now` has stood still since then, as it may in a frozen
            environment.
        """
        self._opened -= asleep_s
        self._traffic -= asleep_s
        self._invocation = invocation
        self._began = now
        self._deadline = invocation.deadline
        self._phase = _Phase.OFFERED
        self._ended = False
        self._shown = 0
        self._failures = self._offers = 0
        self._ended_there = False
        self._why = ""
        self._assembler = Assembler()
        self._ack_by = self._ask_at = self._connect_at = None
        worn_out = (
            now - self._opened > CONNECTION_SECONDS - 60 or now - self._traffic > IDLE_SECONDS - 30
        )
        if self._link is _Link.UP and not worn_out:
            return self._offer(now)
        return self._reconnect(now)

    def connected(self, now: float) -> list[Effect]:
        self._link = _Link.UP
        self._opened = self._traffic = now
        if self._ended:
            return []
        return self._offer(now) if self._phase is _Phase.OFFERED else self._ask(now)

    def connection_lost(self, now: float, why: str) -> list[Effect]:
        self._link = _Link.DOWN
        self._why = why
        if self._ended:
            return []
        self._ack_by = self._ask_at = None
        self._connect_at = now + self._backoff()
        return self.tick(now)

    def _backoff(self) -> float:
        most = RECONNECT_SECONDS[min(self._failures, len(RECONNECT_SECONDS) - 1)]
        self._failures += 1
        return most * self._jitter()

    def gateway_failed(self, now: float) -> list[Effect]:
        """API Gateway says that a message of this connection was lost: say it again a little later.

        Not a payload of many chunks: the relay asks for those that it lacks.
        """
        if self._ask_at is None and (self._phase is _Phase.OWNED or len(self._offered) == 1):
            self._ask_at = now + self._backoff()
        return self.tick(now)

    def refused(self, now: float, why: str) -> list[Effect]:
        """The door is shut (HTTP 403).

        A policy attached a moment ago takes some time to reach IAM, so try a bit.
        """
        if now - self._began < REFUSED_SECONDS:
            return self.connection_lost(now, why)
        self._link = _Link.DOWN
        return self._refuse(ErrorName.CANNOT_CONNECT, why)

    def received(self, message: Message, now: float) -> list[Effect]:
        """Take one decoded message."""
        self._traffic = now
        self._failures = 0
        invocation = self._invocation
        if (
            self._ended
            or invocation is None
            or getattr(message, "request_id", None) != invocation.request_id
        ):
            return []
        return self._about_mine(message, invocation, now)

    def _about_mine(self, message: Message, invocation: Invocation, now: float) -> list[Effect]:
        effects: list[Effect] = []
        match message:
            case Ack():
                self._own(now)
            case Chunk(kind=Kind.RESULT):
                effects = self._take_result(message, now)
            case Chunk(kind=Kind.LOGS):
                effects = self._take_logs(message, now)
            case Missing(kind=Kind.INVOKE, parts=parts) if self._phase is _Phase.OFFERED:
                chunks = (
                    self._offered
                )  # the same bytes: packed anew they would not fit the parts that have come
                self._ack_by = now + self._patience(invocation, now)
                effects = [Send(chunks[part]) for part in parts if part < len(chunks)]
            case NoRelay():
                effects = self._no_relay(message, now)
            case Unknown():
                fate = "The relay that had taken this invocation was restarted: whether its handler ran to its end is "
                if self._phase is _Phase.OFFERED:
                    fate = "This relay ran an earlier attempt of this invocation so long ago that its result is "
                effects = self._refuse(
                    ErrorName.RELAY_LOST, f"{fate}not known. It was not run again."
                )
            case Problem(reference=reference, message=text):
                effects = self._refuse(
                    ErrorName.PROTOCOL, f"The broker refused this invocation ({reference}): {text}"
                )
            case _:
                pass
        return effects

    def tick(self, now: float) -> list[Effect]:
        """Do what has become due. The shell calls it at `next_tick` at the latest."""
        if self._ended:
            return []
        if now >= self.give_up_at:
            return self._give_up()
        if self._connect_at is not None and now >= self._connect_at:
            return self._reconnect(now)
        if self._ack_by is not None and now >= self._ack_by:
            opening = self._link is _Link.OPENING
            silent = "no relay acknowledged the invocation in time"
            if self._phase is _Phase.OWNED:
                silent = "nobody answered a question about the invocation"
            self._why = "the connection did not open" if opening else silent
            return self._reconnect(now)
        if self._ask_at is not None and now >= self._ask_at:
            return self._offer(now) if self._phase is _Phase.OFFERED else self._ask(now)
        return [
            Send(Missing(Kind.RESULT, chunk.request_id, chunk.function, parts))
            for chunk, parts in self._assembler.stalled(now, after=STALL_SECONDS)
        ]

    def next_tick(self, now: float) -> float:
        """When `tick` has something to do, at the latest."""
        times = [self.give_up_at, now + STALL_SECONDS]
        times += [due for due in (self._connect_at, self._ack_by, self._ask_at) if due is not None]
        return min(times)

    @property
    def busy(self) -> bool:
        return not self._ended

    @property
    def give_up_at(self) -> float:
        """When the invocation ends by a named error unless something comes, or later than its deadline."""
        if self._phase is _Phase.OWNED:
            lost = self._heard + LOST_SECONDS
            confirmed = (
                self._heard >= self._deadline.at - LAST_QUESTION_SECONDS and not self._ended_there
            )
            return lost if confirmed else min(lost, self._deadline.at - MARGIN_SECONDS)
        allowed = self._deadline.remaining(self._began)
        return self._deadline.at - min(MOST_MARGIN_SECONDS, max(MARGIN_SECONDS, allowed / 20))

    def _give_up(self) -> list[Effect]:
        detail = f" The last trouble was: {self._why}." if self._why else ""
        if self._phase is _Phase.OWNED and self._ended_there:
            return self._refuse(
                ErrorName.RELAY_LOST,
                f"The handler has ended; its result did not arrive in time.{detail}",
            )
        if self._phase is _Phase.OWNED:
            return self._refuse(
                ErrorName.RELAY_LOST,
                f"The relay took this invocation and then could not be reached any more.{detail} Whether its handler "
                "ran to its end is not known.",
            )
        refusal = ErrorName.NOT_DELIVERED if self._link is _Link.UP else ErrorName.CANNOT_CONNECT
        return self._refuse(
            refusal,
            f"The invocation could not be handed to a relay of app {self._app!r}, stage {self._stage!r} before its "
            f"timeout.{detail} Look at `terralive start`'s terminal, or raise the function's timeout.",
        )

    def _reconnect(self, now: float) -> list[Effect]:
        self._link = _Link.OPENING
        self._connect_at = self._ask_at = None
        self._ack_by = now + CONNECT_SECONDS  # a connection that does not open is a lost one
        return [Connect()]

    def _offer(self, now: float) -> list[Effect]:
        invocation = self._invocation
        assert invocation is not None  # noqa: S101  # begin() has set it: only the type checker cannot know
        self._offers += 1
        chunks = self._offered = self._chunks(now)
        self._ask_at = None
        self._ack_by = now + self._patience(invocation, now)
        return [Send(chunk) for chunk in chunks]

    def _patience(self, invocation: Invocation, now: float) -> float:
        """How long to wait for an acknowledgement.

        Not so long that there is no time for a second try.
        """
        wanted = ACK_SECONDS + SECONDS_PER_MEGABYTE * len(invocation.event) / _MEGABYTE
        wanted *= min(_MOST_PATIENCE, 1 + (self._offers - 1) / 2)  # a link may be slow, not dead
        return min(wanted, max(MARGIN_SECONDS, self._deadline.remaining(now) / 2))

    def _ask(self, now: float) -> list[Effect]:
        invocation = self._invocation
        assert invocation is not None  # noqa: S101  # begin() has set it: only the type checker cannot know
        # No answer: the connection may be dead without a sign, so the next question goes over a new
        # one.
        self._ack_by = now + PROBE_SECONDS
        self._ask_at = None
        return [Send(Resume(invocation.request_id, invocation.function_name))]

    def _chunks(self, now: float) -> tuple[Chunk, ...]:
        invocation = self._invocation
        assert invocation is not None  # noqa: S101  # begin() has set it: only the type checker cannot know
        payload = pack_invocation(invocation, now=now)
        return split(Kind.INVOKE, invocation.request_id, invocation.function_name, payload)

    def _own(self, now: float) -> None:
        self._phase = _Phase.OWNED
        self._heard = now
        self._offered = ()
        self._ack_by = None
        last = self._deadline.at - LAST_QUESTION_SECONDS
        self._ask_at = min(now + PROBE_SECONDS, last) if now < last else now + PROBE_SECONDS

    def _take_result(self, chunk: Chunk, now: float) -> list[Effect]:
        try:
            payload = self._assembler.add(chunk, now)
            outcome = unpack_outcome(payload) if payload is not None else None
        except ProtocolError as error:
            return self._refuse(ErrorName.PROTOCOL, f"The relay's answer cannot be read: {error}")
        self._own(now)  # who answers owns it, also where the acknowledgement got lost
        self._ended_there = True
        if outcome is None:
            return []
        self._end()
        return [
            *self._show(outcome.logs),
            Send(Done(chunk.request_id, chunk.function)),
            Finish(outcome),
        ]

    def _take_logs(self, chunk: Chunk, now: float) -> list[Effect]:
        """Show what the handler has printed. What cannot be read is not worth an invocation."""
        try:
            payload = Assembler().add(chunk, now)
            return self._show(unpack_logs(payload)) if payload is not None else []
        except ProtocolError:
            return []

    def _show(self, printed: Printed) -> list[Effect]:
        """Show what of it was not shown yet.

        A message may come twice, and the result repeats the last one.
        """
        fresh = printed.text[max(0, self._shown - printed.start) :]
        if not fresh:
            return []
        gap = (
            "terralive: some lines before this one were lost on their way\n"
            if printed.start > self._shown
            else ""
        )
        self._shown = printed.start + len(printed.text)
        return [Show(gap + fresh)]

    def _no_relay(self, notice: NoRelay, now: float) -> list[Effect]:
        text = describe_no_relay(notice, app=self._app, stage=self._stage)
        self._why = "no relay is connected"
        if self._phase is _Phase.OFFERED:
            if not notice.retry_ms:
                refusal = (
                    ErrorName.NOT_SERVED if notice.reason == "not-served" else ErrorName.NO_RELAY
                )
                return self._refuse(refusal, text)
            self._ack_by = None
            self._ask_at = now + notice.retry_ms / 1000
            return []
        if notice.retry_ms:
            self._ack_by = None
            self._ask_at = now + notice.retry_ms / 1000
            return []
        return self._refuse(
            ErrorName.RELAY_LOST,
            f"The relay stopped after it had taken this invocation: its handler may or may not have run. {text}",
        )

    def _refuse(self, refusal: ErrorName, message: str) -> list[Effect]:
        invocation = self._invocation
        if self._ended or invocation is None:
            return []
        self._end()
        return [Finish(outcome_for_caller(invocation, refusal, message))]

    def _end(self) -> None:
        self._ended = True
        self._ack_by = self._ask_at = self._connect_at = None
        self._assembler = Assembler()
        self._offered = ()
        self._invocation = None
        self._phase = _Phase.IDLE

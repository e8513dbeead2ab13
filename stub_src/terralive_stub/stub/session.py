"""The stub's side of an invocation: (event, now) -> effects. No sockets, no clock, no threads.

A stub has at most one invocation at a time, as every execution environment of Lambda has, and at
most one connection, which it keeps across invocations. `stub.py` is the shell that owns the socket,
carries the effects out and reports what happened. Times are seconds of one monotonic clock, the one
of the invocation's deadline.

Invariants:
    1. Every invocation that begins ends in exactly one Finish. The one exception: the handler is
       known to be running near the deadline. Then Lambda's own timeout ends the invocation.
    2. A Finish with a success carries bytes that a relay sent for this request id, or that the
       deployed code gave for this attempt.
    3. An invocation is sent in full again until a relay has acknowledged it. After that it is only
       asked for, never sent again, so that a restarted relay cannot run it a second time.
    4. Messages about another request id, or another attempt of this one, change nothing.
    5. The environment travels until a relay has acknowledged an invocation that had it. It travels
       again when it has changed, or when a relay asks for it.
    6. The deployed code is asked only if no relay can have received the attempt (`fallback/rules`).
       From then on no message is sent about the attempt but `FellBack`, after its end.
    7. The bytes of a streamed response are of one relay's stream, in order and without a gap. It
       ends in a success only when all of them have arrived, and otherwise in an error.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from terralive_stub.protocol.chunks import Assembler
from terralive_stub.protocol.deadline import NEVER, Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.protocol.messages import (
    Ack,
    Chunk,
    Done,
    EnvironmentMissing,
    Kind,
    Message,
    Missing,
    NoRelay,
    Piece,
    Problem,
    ProtocolError,
    Unknown,
)
from terralive_stub.protocol.named_errors import ErrorName, error_outcome, outcome_for_caller
from terralive_stub.protocol.payloads import unpack_logs, unpack_outcome
from terralive_stub.stub import endings, waits
from terralive_stub.stub.effects import Connect, Effect, Finish, Send, Write, shown
from terralive_stub.stub.endings import Ending
from terralive_stub.stub.fallback import rules
from terralive_stub.stub.fallback.answers import Answer, Answered, NotRun
from terralive_stub.stub.session_state import (
    ConnectionState,
    Current,
    Down,
    FallingBack,
    Offered,
    Opening,
    Owned,
    Up,
)


class StubSession:
    """See the module's docstring.

    Args:
        app: the app's name, for error messages.
        stage: the stage's name, for error messages.
        streams: whether callers of this function take streamed responses; see
            `named_errors.outcome_for_caller`.
        jitter: returns a number from 0 to 1. Every wait before a reconnect is this part of its
            maximum ("full jitter"): a thousand stubs that lose their connections at one moment do
            not come back at one moment.
            https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    def __init__(
        self,
        *,
        app: str,
        stage: str,
        streams: bool = False,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._app = app
        self._stage = stage
        self.streams: Final = streams
        self._jitter = jitter
        # Kept across invocations.
        self._connection: ConnectionState = Down()
        # The digest of the environment that a relay knows: it has acknowledged an invocation that
        # had it. "" for none.
        self._known_environment = ""
        # None between invocations.
        self._current: Current | None = None

    # Events

    def begin(self, invocation: Invocation, now: float, *, asleep_s: float = 0.0) -> list[Effect]:
        """Start an invocation. The one before has finished, or Lambda's timeout has ended it.

        Args:
            invocation: the invocation.
            now: the time.
            asleep_s: for how many seconds the clock of `now` has stood still since the last
                invocation, as it may in a frozen environment.
        """
        current = self._current = Current(invocation, began=now)
        if isinstance(self._connection, Up):
            self._connection.add_sleep(asleep_s)
            if not self._connection.is_worn_out(now):
                return self._resume(current, now)
        return self._reconnect(current, now)

    def connected(self, now: float) -> list[Effect]:
        self._connection = Up(opened=now, last_message=now)
        if self._current is None:
            return []
        return self._resume(self._current, now)

    def connection_lost(self, now: float, reason: str) -> list[Effect]:
        self._connection = Down()
        current = self._current
        if current is None or isinstance(current.phase, FallingBack):
            return []
        current.last_trouble = reason
        current.phase.stop_timers()
        self._connection.reconnect_at = Deadline.after(self._backoff(current), now=now)
        return self.tick(now)

    def handshake_refused(self, now: float, reason: str) -> list[Effect]:
        """API Gateway has refused the connection with HTTP 401 or 403.

        An API that was deployed a moment ago needs time, so the attempt is repeated at first. The
        stub of a debug stack that was deployed anew since has another secret, and never gets in.
        """
        reason = endings.handshake_refused(reason, self._stage)
        current = self._current
        if current is None or now - current.began < waits.HANDSHAKE_REFUSED_SECONDS:
            return self.connection_lost(now, reason)
        self._connection = Down()
        return self._end(current, Ending(ErrorName.CANNOT_CONNECT, reason))

    def gateway_failed(self, now: float) -> list[Effect]:
        """API Gateway reports that a message of this connection was lost: repeat it a little later.

        A payload of many chunks is not repeated: the relay asks for those that it lacks.
        """
        current = self._current
        if current is None:
            return []
        match current.phase:
            case Offered() as offered:
                if offered.send_again_at == NEVER and len(offered.chunks) == 1:
                    offered.send_again_at = Deadline.after(self._backoff(current), now=now)
            case Owned() as owned:
                if owned.ask_at == NEVER:
                    owned.ask_at = Deadline.after(self._backoff(current), now=now)
        return self.tick(now)

    def received(self, message: Message, now: float) -> list[Effect]:
        """Take one decoded message."""
        if isinstance(self._connection, Up):
            self._connection.last_message = now
        current = self._current
        if current is None or isinstance(current.phase, FallingBack):
            return []
        current.failures = 0
        if getattr(message, "request_id", None) != current.invocation.request_id:
            return []
        # A relay or broker of a former terralive names no attempt.
        if getattr(message, "attempt", "") not in {"", current.invocation.attempt}:
            return []
        return self._receive_message(current, message, now)

    def tick(self, now: float) -> list[Effect]:
        """Do what is due. The shell calls it at `next_tick` at the latest."""
        current = self._current
        if current is None:
            return []
        if self.give_up_at.has_passed(now):
            return self._give_up(current)
        if isinstance(current.phase, FallingBack):
            return rules.due(current, current.phase, now)
        effects: list[Effect] = []
        match self._connection:
            case Up():
                effects = self._tick_connected(current, now)
            case Down(reconnect_at=reconnect_at):
                if reconnect_at.has_passed(now):
                    effects = self._reconnect(current, now)
            case Opening(open_by=open_by):
                if open_by.has_passed(now):
                    current.last_trouble = "the connection did not open"
                    effects = self._reconnect(current, now)
        return effects

    def next_tick(self, now: float) -> float:
        """Return the time at which `tick` has something to do, at the latest."""
        times = [self.give_up_at, Deadline.after(waits.STALL_SECONDS, now=now)]
        match self._connection:
            case Down(reconnect_at=reconnect_at):
                times.append(reconnect_at)
            case Opening(open_by=open_by):
                times.append(open_by)
        if self._current is not None:
            times.append(self._current.phase.next_timer())
        return min(times).at

    @property
    def busy(self) -> bool:
        """Tell whether an invocation is under way."""
        return self._current is not None

    @property
    def give_up_at(self) -> Deadline:
        """Return when the invocation ends by a named error unless something arrives.

        `NEVER` without an invocation. Later than the invocation's deadline if Lambda's own timeout
        is the right answer.
        """
        if self._current is None:
            return NEVER
        return waits.give_up_at(self._current)

    # The connection

    def _tick_connected(self, current: Current, now: float) -> list[Effect]:
        match current.phase:
            case Offered() as offered:
                if offered.acknowledge_by.has_passed(now):
                    current.last_trouble = "no relay acknowledged the invocation in time"
                    return self._reconnect(current, now)
                if offered.send_again_at.has_passed(now):
                    return self._send_invocation(current, offered, now)
            case Owned() as owned:
                if owned.answer_by.has_passed(now):
                    current.last_trouble = "nobody answered a question about the invocation"
                    return self._reconnect(current, now)
                if owned.ask_at.has_passed(now):
                    return self._ask(current, owned, now)
        return [
            Send(question) for question in current.missing_parts(now, after_s=waits.STALL_SECONDS)
        ]

    def _reconnect(self, current: Current, now: float) -> list[Effect]:
        current.phase.stop_timers()
        self._connection = Opening(open_by=Deadline.after(waits.CONNECT_SECONDS, now=now))
        return [Connect()]

    def _backoff(self, current: Current) -> float:
        """Return the seconds to wait before the next attempt, and count it."""
        longest = waits.longest_before_attempt(current.failures)
        current.failures += 1
        return longest * self._jitter()

    # Questions to the relay

    def _resume(self, current: Current, now: float) -> list[Effect]:
        """Continue on a connection that has just been opened, or is still open."""
        match current.phase:
            case Offered() as offered:
                return self._send_invocation(current, offered, now)
            case Owned() as owned:
                return self._ask(current, owned, now)
            case FallingBack():
                return []

    def _send_invocation(self, current: Current, offered: Offered, now: float) -> list[Effect]:
        offered.pack(current.invocation, current.began, now, self._known_environment)
        offered.acknowledge_by = waits.acknowledge_by(current.invocation, offered, now)
        return [Send(chunk) for chunk in offered.chunks]

    def _send_parts(self, current: Current, parts: tuple[int, ...], now: float) -> list[Effect]:
        """Send the chunks again that the relay lacks.

        The same bytes: packed anew they would not fit the parts that have arrived.
        """
        offered = current.phase
        if not isinstance(offered, Offered):
            return []
        offered.acknowledge_by = waits.acknowledge_by(current.invocation, offered, now)
        return [Send(offered.chunks[part]) for part in parts if part < len(offered.chunks)]

    def _send_environment(self, current: Current, now: float) -> list[Effect]:
        """Send the invocation again with its environment, unless it is under way already."""
        offered = current.phase
        if not isinstance(offered, Offered) or offered.has_environment:
            return []
        self._known_environment = ""
        return self._send_invocation(current, offered, now)

    @staticmethod
    def _ask(current: Current, owned: Owned, now: float) -> list[Effect]:
        # The connection may be dead without a sign. Without an answer, the next question goes over
        # a new one.
        owned.ask_at = NEVER
        owned.answer_by = Deadline.after(waits.PROBE_SECONDS, now=now)
        return [Send(current.question())]

    # Messages about the invocation under way

    def _receive_message(self, current: Current, message: Message, now: float) -> list[Effect]:
        effects: list[Effect] = []
        match message:
            case Ack():
                self._own(current, now)
            case Piece():
                effects = self._receive_piece(current, message, now)
            case Chunk(kind=Kind.RESULT):
                effects = self._receive_result(current, message, now)
            case Chunk(kind=Kind.LOGS):
                effects = self._receive_logs(current, message, now)
            case Missing(kind=Kind.INVOKE, parts=parts):
                effects = self._send_parts(current, parts, now)
            case EnvironmentMissing():
                effects = self._send_environment(current, now)
            case NoRelay():
                effects = self._receive_no_relay(current, message, now)
            case Unknown():
                was_owned = isinstance(current.phase, Owned)
                effects = self._end(current, endings.unknown_to_relay(owned=was_owned))
            case Problem():
                effects = self._end(current, endings.refused(message))
            case _:
                pass  # a stub does not expect the others, and they change nothing
        return effects

    def _own(self, current: Current, now: float) -> Owned:
        """Record that a relay has just confirmed that it owns the invocation."""
        if isinstance(current.phase, Offered) and current.phase.has_environment:
            self._known_environment = current.invocation.environment_digest
        last_question = current.invocation.deadline.at - waits.LAST_QUESTION_SECONDS
        ask_at = now + waits.PROBE_SECONDS
        if now < last_question:
            ask_at = min(ask_at, last_question)
        if current.stream is not None:
            ask_at = min(ask_at, current.stream.ask_at.at)
        owned = Owned(confirmed_at=now, ask_at=Deadline(ask_at))
        if isinstance(current.phase, Owned):
            owned.handler_has_ended = current.phase.handler_has_ended
        current.phase = owned
        return owned

    def _receive_result(self, current: Current, chunk: Chunk, now: float) -> list[Effect]:
        try:
            payload = current.assembler.add(chunk, now)
            outcome = None
            if payload is not None:
                outcome = unpack_outcome(payload)
        except ProtocolError as error:
            text = f"The relay's answer cannot be read: {error}"
            return self._end(current, Ending(ErrorName.PROTOCOL, text))
        # A relay that sends a result owns the invocation, also if its acknowledgement was lost.
        owned = self._own(current, now)
        owned.handler_has_ended = True
        if outcome is None:
            return []
        if outcome.streamed is None and current.stream is None:
            return self._finish(current, outcome)
        return self._receive_end(current, outcome, now)

    def _receive_piece(self, current: Current, piece: Piece, now: float) -> list[Effect]:
        stream = current.stream_of(piece.relay, piece.content_type)
        if stream is None:
            return []
        data = stream.take(piece, now)
        self._own(current, now)
        effects: list[Effect] = []
        if data:
            effects.append(Write(stream.content_type, data))
        if stream.end is not None and stream.is_complete:
            effects += self._finish(current, stream.end)
        return effects

    def _receive_end(self, current: Current, outcome: Outcome, now: float) -> list[Effect]:
        """Take the result of a streamed response, whose last pieces may be missing."""
        stream = current.take_end(outcome, now)
        if stream is None:
            return self._end(current, endings.ANOTHER_RESPONSE)
        if stream.is_complete:
            return self._finish(current, outcome)
        self._own(current, now)
        return []

    def wrote(self, now: float, *, accepted: bool) -> list[Effect]:
        """Take the end of a `Write`, which may have blocked for a while.

        Args:
            now: the time.
            accepted: whether Lambda has taken the bytes. If not, it takes no other answer either.
        """
        current = self._current
        if current is None or current.stream is None:
            return []
        if not accepted:
            return self._finish(current, current.streamed(endings.NOT_ACCEPTED))
        if isinstance(current.phase, Owned):
            current.phase.deaf_s += now - current.stream.writing_since
        return [Send(told) for told in current.newly_consumed()]

    def _receive_logs(self, current: Current, chunk: Chunk, now: float) -> list[Effect]:
        """Show what the handler has printed. Lines that cannot be read cost no invocation."""
        try:
            payload = Assembler().add(chunk, now)
            if payload is None:
                return []
            return shown(current.not_shown(unpack_logs(payload)))
        except ProtocolError:
            return []

    def _receive_no_relay(self, current: Current, notice: NoRelay, now: float) -> list[Effect]:
        current.last_trouble = "no relay is connected"
        version = ""
        if isinstance(current.phase, Offered):
            if 0 < notice.sent_ms != current.phase.sent_ms:
                return []  # it is about an earlier offer
            if notice.reason == "offered-before":
                # This clock may be slow. The next offer is later than the broker's time.
                current.phase.sent_ms = max(current.phase.sent_ms, notice.until_ms)
            version = rules.version_for(notice, current.invocation)
            is_safe = rules.is_safe(notice, current.phase, now)
            if version and is_safe and not rules.is_worth_a_wait(notice, current, now):
                current.failures = 0
                current.phase = FallingBack(version, notice)
                return [rules.invoke(current, current.phase)]
        if notice.retry_ms:
            retry_at = Deadline.after(notice.retry_ms / 1000, now=now)
            current.phase.stop_timers()
            match current.phase:
                case Offered() as offered:
                    offered.send_again_at = retry_at
                case Owned() as owned:
                    owned.ask_at = retry_at
            return []
        ending = self._no_relay(current, notice)
        if version:
            ending = endings.not_asked(ending)
        return self._end(current, ending)

    def _no_relay(self, current: Current, notice: NoRelay) -> Ending:
        was_owned = isinstance(current.phase, Owned)
        return endings.no_relay(notice, owned=was_owned, app=self._app, stage=self._stage)

    # The fallback

    def fallback_ended(self, answer: Answer, now: float) -> list[Effect]:
        """Take what has come of an `Invoke`."""
        current = self._current
        if current is None or not isinstance(current.phase, FallingBack):
            return []
        phase = current.phase
        if isinstance(answer, Answered):
            self._current = None
            is_connected = isinstance(self._connection, Up)
            return rules.answered(current, answer, connected=is_connected)
        if isinstance(answer, NotRun):
            wait_s = self._backoff(current)
            if rules.ask_again(phase, current, wait_s, now):
                return self.tick(now)
        ending = endings.not_answered(answer, self._no_relay(current, phase.notice))
        return self._end(current, ending)

    # The end

    def _give_up(self, current: Current) -> list[Effect]:
        is_connected = isinstance(self._connection, Up)
        ending = endings.given_up(current, connected=is_connected, app=self._app, stage=self._stage)
        return self._end(current, ending)

    def _finish(self, current: Current, outcome: Outcome) -> list[Effect]:
        """End the invocation by a relay's result, and tell the relay that it has arrived."""
        self._current = None
        invocation = current.invocation
        done = Done(invocation.request_id, invocation.function, attempt=invocation.attempt)
        return [*shown(current.not_shown(outcome.logs)), Send(done), Finish(outcome)]

    def _end(self, current: Current, ending: Ending) -> list[Effect]:
        self._current = None
        streams = self.streams and current.invocation.streams
        outcome = outcome_for_caller(current.invocation, ending.name, ending.text, streams=streams)
        if current.stream is not None and current.stream.received:
            outcome = current.streamed(error_outcome(ending.name, ending.text))
        return [Finish(outcome)]

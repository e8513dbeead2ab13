"""The states of a stub's session: its connection, and the invocation under way with its phase.

Each state holds only what exists in it. Only `session.py` changes them. Times are seconds of one
monotonic clock. A timer is a `Deadline`; `NEVER` means that the timer does not run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from terralive_stub.protocol.chunks import Assembler, split
from terralive_stub.protocol.deadline import NEVER, Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome, Printed, Streamed
from terralive_stub.protocol.limits import CONNECTION_SECONDS, NAT_IDLE_SECONDS
from terralive_stub.protocol.messages import Chunk, Consumed, Kind, Missing, NoRelay, Resume
from terralive_stub.protocol.payloads import pack_invocation
from terralive_stub.stub.streaming.incoming import IncomingStream

# API Gateway ends a connection at its limits, and a NAT gateway earlier still. No invocation begins
# on a connection that is close to them.
_OLD_SECONDS: Final = CONNECTION_SECONDS - 60
_IDLE_SECONDS: Final = NAT_IDLE_SECONDS - 20


@dataclass(slots=True)
class Down:
    """There is no connection.

    Attributes:
        reconnect_at: when the next attempt begins; `NEVER` without an invocation.
    """

    reconnect_at: Deadline = NEVER


@dataclass(slots=True)
class Opening:
    """A connection is being opened.

    Attributes:
        open_by: a connection that is not open by then counts as lost.
    """

    open_by: Deadline


@dataclass(slots=True)
class Up:
    """A connection is open.

    Attributes:
        opened: when it was opened.
        last_message: when its last message arrived.
    """

    opened: float
    last_message: float

    def is_worn_out(self, now: float) -> bool:
        """Tell whether the connection may have ended without a sign, or ends soon."""
        is_old = now - self.opened > _OLD_SECONDS
        is_idle = now - self.last_message > _IDLE_SECONDS
        return is_old or is_idle

    def add_sleep(self, asleep_s: float) -> None:
        """Count time in which the monotonic clock stood still as the connection's age."""
        self.opened -= asleep_s
        self.last_message -= asleep_s


ConnectionState: TypeAlias = Down | Opening | Up


@dataclass(slots=True)
class Offered:
    """No relay has acknowledged the invocation yet.

    Attributes:
        chunks: the invocation as it was sent last; () before it is sent for the first time.
        times_sent: how often it was sent in full.
        first_sent: when it was sent for the first time.
        sent_ms: when it was sent last, as its chunks tell it; 0 if that is not known.
        has_environment: whether the environment was in it when it was sent last.
        acknowledge_by: a connection on which no acknowledgement arrives by then is replaced.
        send_again_at: when the invocation is sent again on the same connection.
    """

    chunks: tuple[Chunk, ...] = ()
    times_sent: int = 0
    first_sent: float = 0.0
    sent_ms: int = 0
    has_environment: bool = False
    acknowledge_by: Deadline = NEVER
    send_again_at: Deadline = NEVER

    def pack(self, invocation: Invocation, began: float, now: float, known: str) -> None:
        """Make the chunks of another offer of the invocation.

        Args:
            invocation: the invocation.
            began: when the session received it.
            now: the time.
            known: the digest of the environment that a relay knows; "" for none.
        """
        digest = invocation.environment_digest
        self.has_environment = not digest or digest != known
        payload = pack_invocation(invocation, now=now, with_environment=self.has_environment)
        if not self.times_sent:
            self.first_sent = now
        if invocation.began_ms:
            # Every offer has another time, so that an answer tells which one it is about.
            sent_ms = invocation.began_ms + int((now - began) * 1000)
            self.sent_ms = max(sent_ms, self.sent_ms + 1)
        self.chunks = split(
            Kind.INVOKE,
            invocation.request_id,
            invocation.function,
            payload,
            attempt=invocation.attempt,
            sent_ms=self.sent_ms,
        )
        self.times_sent += 1
        self.send_again_at = NEVER

    def stop_timers(self) -> None:
        self.acknowledge_by = self.send_again_at = NEVER

    def next_timer(self) -> Deadline:
        return min(self.acknowledge_by, self.send_again_at)


@dataclass(slots=True)
class Owned:
    """A relay has acknowledged the invocation, or has begun to send its result.

    Attributes:
        confirmed_at: when a relay last reported that it owns the invocation.
        ask_at: when the relay is asked for the invocation's state.
        answer_by: a connection on which that question is not answered by then is replaced.
        handler_has_ended: a part of the result has arrived, so the handler does not run any more.
        deaf_s: for how many seconds since then no message could be read, because Lambda took no
            bytes of the response.
    """

    confirmed_at: float
    ask_at: Deadline
    answer_by: Deadline = NEVER
    handler_has_ended: bool = False
    deaf_s: float = 0.0

    def stop_timers(self) -> None:
        self.ask_at = self.answer_by = NEVER

    def next_timer(self) -> Deadline:
        return min(self.ask_at, self.answer_by)


@dataclass(slots=True)
class FallingBack:
    """No relay has received the invocation, and the deployed code is asked to answer it.

    Attributes:
        version: the version of the function that answers.
        notice: the broker's message that there is no relay.
        ask_at: when Lambda is asked again; `NEVER` while it is asked.
        ask_until: it is not asked after that; None before a request was throttled.
    """

    version: str
    notice: NoRelay
    ask_at: Deadline = NEVER
    ask_until: Deadline | None = None

    def stop_timers(self) -> None:
        """Do nothing: the fallback needs no connection."""

    def next_timer(self) -> Deadline:
        return self.ask_at


@dataclass(slots=True)
class Current:
    """The invocation under way.

    Attributes:
        invocation: the invocation itself, with its deadline.
        began: when the session received it.
        phase: whether a relay owns it, or the deployed code answers it.
        assembler: assembles its result.
        stream: its response as it arrives in pieces; None before the first piece.
        printed_characters: how many characters of the handler's output have been printed here.
        last_trouble: what went wrong last, in words for the error message; "" for nothing.
        failures: waits before a reconnect or a repetition since the last message arrived.
    """

    invocation: Invocation
    began: float
    phase: Offered | Owned | FallingBack = field(default_factory=Offered)
    assembler: Assembler = field(default_factory=Assembler)
    stream: IncomingStream | None = None
    printed_characters: int = 0
    last_trouble: str = ""
    failures: int = 0

    def missing_parts(self, now: float, *, after_s: float) -> list[Missing]:
        """Return the questions for parts of the result that have not come for so long."""
        attempt = self.invocation.attempt
        return [
            Missing(Kind.RESULT, chunk.request_id, chunk.function, parts, attempt=attempt)
            for chunk, parts in self.assembler.stalled(now, after=after_s)
        ]

    def stream_of(self, relay: str, content_type: str) -> IncomingStream | None:
        """Return the stream of a relay, which begins now or has begun.

        Returns:
            None if another relay's stream has begun, or if this stub takes none.
        """
        if self.stream is None and self.invocation.streams:
            self.stream = IncomingStream(relay, content_type)
        if self.stream is None or self.stream.relay != relay:
            return None
        return self.stream

    def streamed(self, outcome: Outcome) -> Outcome:
        """Return an outcome as the end of the stream, of which a part is with Lambda already."""
        stream = self.stream
        if stream is None or not stream.received:
            return outcome
        return replace(
            outcome, streamed=Streamed(stream.content_type, stream.received, stream.relay)
        )

    def take_end(self, outcome: Outcome, now: float) -> IncomingStream | None:
        """Take the result of a streamed response, whose last pieces may be missing.

        Returns:
            Its stream; None if it is not the end of the stream that has begun.
        """
        if outcome.streamed is None:
            return None
        stream = self.stream_of(outcome.streamed.relay, outcome.streamed.content_type)
        if stream is None or outcome.streamed.size < stream.received:
            return None
        stream.end = outcome
        stream.notice_gap(now)
        return stream

    def question(self) -> Resume:
        """Return the question for the invocation's state, and for the bytes that are missing."""
        invocation = self.invocation
        resume = Resume(invocation.request_id, invocation.function, attempt=invocation.attempt)
        if self.stream is None:
            return resume
        self.stream.ask_at = NEVER
        return replace(resume, offset=self.stream.received, relay=self.stream.relay)

    def newly_consumed(self) -> list[Consumed]:
        """Return the message about what Lambda has taken of the stream, if it is due."""
        if self.stream is None or not self.stream.newly_consumed():
            return []
        invocation, offset = self.invocation, self.stream.received
        told = Consumed(
            invocation.request_id, invocation.function, offset, attempt=invocation.attempt
        )
        return [told]

    def not_shown(self, printed: Printed) -> str:
        """Return the part of a handler's output that was not shown yet, and count it as shown.

        A message may arrive twice, and the result repeats the last one.
        """
        shown = self.printed_characters
        fresh = printed.text[max(0, shown - printed.start) :]
        if not fresh:
            return ""
        self.printed_characters = printed.start + len(printed.text)
        if printed.start > shown:
            return "terralive: some lines before this one were lost on their way\n" + fresh
        return fresh

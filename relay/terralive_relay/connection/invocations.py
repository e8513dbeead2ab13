"""The relay's invocations: which were run, and what is kept of their results. (message, now) -> effects; no I/O.

Invariants:
    1. A request id is given to a handler at most once in a relay's life, whatever is repeated,
    delayed or reordered.
    2. A finished invocation's result is kept until the stub has said that it arrived or its time is
       over, and repeated whenever it asks. Beyond that it is kept as long as there is room: a retry
       of Lambda's may ask for it.
    3. Everything that is sent about an invocation goes to the connection that asked for it last.
    4. Nothing but the functions of the configuration runs.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from terralive_relay.connection.effects import Effect, Note, Run, Send, Tell
from terralive_relay.connection.journal import Seen
from terralive_relay.describe import describe_delivery, describe_error, describe_trigger
from terralive_relay.events import InvocationFinished, InvocationStarted, Warned
from terralive_stub.protocol.chunks import (
    PAYLOAD_BYTES,
    Assembler,
    pack_logs,
    pack_outcome,
    split,
    unpack_invocation,
)
from terralive_stub.protocol.invocation import NOTHING_PRINTED, Outcome, Printed
from terralive_stub.protocol.limits import SYNCHRONOUS_PAYLOAD_BYTES
from terralive_stub.protocol.named_errors import ErrorName, error_outcome
from terralive_stub.protocol.wire import (
    Ack,
    Chunk,
    Done,
    Kind,
    Message,
    Missing,
    ProtocolError,
    Resume,
    Unknown,
)

STALL_SECONDS: Final = (
    1.0  # without a further chunk of an invocation, the missing ones are asked for
)
ABANDON_SECONDS: Final = (
    30.0  # an invocation that stays incomplete for so long is forgotten; its stub has given up
)
MOST_SECONDS: Final = (
    900.0  # https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
)
KEEP_SECONDS: Final = MOST_SECONDS + 60.0  # results
KEEP_BYTES: Final = 128 * 1024 * 1024
KEEP_SETTLED_BYTES: Final = (
    8 * 1024 * 1024
)  # of results that only a retry of Lambda's could ask for
LATE_SECONDS: Final = 10.0  # after its deadline nobody waits for an invocation any more
AGAIN_SECONDS: Final = 0.5  # before a result is sent to the same connection once more
REMEMBER_IDS: Final = 100_000


@dataclass(slots=True)
class _Entry:
    """One invocation.

    `payload` is None while its handler runs, and after it has been forgotten (`gone`).
    """

    function: str
    peer: str
    payload: bytes | None = None
    gone: bool = False
    allowed_s: float = 0.0  # how long its first attempt might still take
    until: float = 0.0  # when the attempt that came last is over
    answered: bool = False  # by Lambda itself: the handler had no time left
    finished_at: float = 0.0
    sent: tuple[str, float] = ("", 0.0)  # to whom its result went last, and when

    @property
    def finished(self) -> bool:
        return self.payload is not None or self.gone


@dataclass(slots=True)
class Invocations:
    """See the module's docstring.

    Args:
        functions: the names of those that are served.
        say: makes the effect that sends a message.
        seen: request ids that earlier lives have run.
    """

    functions: tuple[str, ...]
    say: Callable[[Message], Send]
    seen: Mapping[str, Seen]
    _entries: OrderedDict[str, _Entry] = field(default_factory=OrderedDict)
    _finished: OrderedDict[str, None] = field(
        default_factory=OrderedDict
    )  # ids with a stored result, oldest first
    _settled: OrderedDict[str, int] = field(
        default_factory=OrderedDict
    )  # those of them nobody waits for: bytes
    _settled_bytes: int = 0
    _open: dict[str, None] = field(default_factory=dict)  # ids that somebody may wait for
    _ends: list[tuple[float, str]] = field(
        default_factory=list
    )  # a heap of when they are over; some stand there twice
    _assembler: Assembler = field(default_factory=Assembler)
    _kept_bytes: int = 0

    def invoke(self, chunk: Chunk, now: float, now_ms: int) -> list[Effect]:
        """Take a part of an invocation; run it when it is whole.

        Raises:
            ProtocolError: it contradicts itself, or names what is not this relay's.
        """
        if chunk.function not in self.functions:
            raise ProtocolError(
                f"{chunk.function!r:.140} is not a function of this project's configuration"
            )
        entry = self._entries.get(chunk.request_id)
        if entry is not None:
            if entry.function != chunk.function:
                raise ProtocolError(f"{chunk.function!r:.140} names another function's invocation")
            entry.peer = chunk.peer
            if chunk.part != 0:
                return []
            return [
                *self._repeated(chunk.request_id, entry, now),
                *self._stand(chunk.request_id, entry, now),
            ]
        payload = self._assembler.add(chunk, now)
        if payload is None:
            return []
        invocation = unpack_invocation(payload, now=now)
        if (invocation.request_id, invocation.function_name) != (chunk.request_id, chunk.function):
            raise ProtocolError("an invocation's payload names another invocation than its chunks")
        self._assembler.discard(chunk.request_id)
        if invocation.deadline.has_passed(now):
            # No entry: Lambda's retry has the same id, and may run.
            warned = Warned(
                "invocation-expired",
                f"{chunk.request_id} came too late and was not run",
                chunk.function,
            )
            return [Tell(warned)]
        allowed_s = invocation.deadline.remaining(now)
        entry = self._entries[chunk.request_id] = _Entry(
            chunk.function, chunk.peer, allowed_s=allowed_s
        )
        self._awaited(chunk.request_id, entry, now + allowed_s)
        trigger = describe_trigger(invocation.event)
        delivery = describe_delivery(invocation.event, invocation.trace_id)
        before = self.seen.get(chunk.request_id, Seen(0, now_ms))
        first_ms = min(before.first_ms, delivery.sent_ms or now_ms)
        started = InvocationStarted(
            chunk.request_id,
            chunk.function,
            trigger.name,
            trigger.summary,
            attempt=max(before.attempts + 1, delivery.attempt),
            age_s=(now_ms - first_ms) / 1000,
        )
        note = Note(chunk.request_id, Seen(before.attempts + 1, before.first_ms))
        return [self.say(self._ack(chunk.request_id, entry)), note, Tell(started), Run(invocation)]

    def finished(
        self,
        request_id: str,
        outcome: Outcome,
        handler_ms: float,
        now: float,
        *,
        answered: bool,
        send: bool,
        waited_ms: float = 0.0,
    ) -> list[Effect]:
        """A handler has ended.

        `answered`: Lambda's own timeout has told the caller; `send`: somebody hears it now.
        """
        entry = self._entries[request_id]
        if len(outcome.body) > SYNCHRONOUS_PAYLOAD_BYTES:
            refused = error_outcome(
                ErrorName.TOO_LARGE,
                f"Response payload size ({len(outcome.body)} bytes) exceeded maximum allowed payload size "
                f"({SYNCHRONOUS_PAYLOAD_BYTES} bytes).",
            )
            outcome = replace(refused, logs=outcome.logs)
        entry.payload = pack_outcome(outcome)
        if len(entry.payload) > PAYLOAD_BYTES:  # the lines are not worth the result
            entry.payload = pack_outcome(replace(outcome, logs=NOTHING_PRINTED))
        entry.answered = answered
        entry.finished_at = now
        self._finished[request_id] = None
        self._kept_bytes += len(entry.payload)
        if (
            entry.until + LATE_SECONDS <= now
        ):  # a debugger had stopped the time here, and not in Lambda
            self._settle(request_id, entry)
        error = describe_error(outcome)
        told = Tell(
            InvocationFinished(
                request_id=request_id,
                function=entry.function,
                ok=outcome.ok,
                error_type=error.type,
                handler_ms=handler_ms,
                error_message=error.message,
                stack=error.stack,
                waited_ms=waited_ms,
            )
        )
        self._forget(now)
        return [*(self._result(request_id, entry, now) if send else []), told]

    def printed(self, request_id: str, printed: Printed) -> list[Effect]:
        """Send what a running handler has printed."""
        entry = self._entries.get(request_id)
        if entry is None or entry.finished:
            return []
        payload = pack_logs(printed)
        return [
            self.say(chunk)
            for chunk in split(Kind.LOGS, request_id, entry.function, payload, peer=entry.peer)
        ]

    def about_result(self, message: Resume | Done | Missing, now: float) -> list[Effect]:
        """Answer a stub's question about an invocation that was acknowledged."""
        entry = self._entries.get(message.request_id)
        if entry is None or entry.function != message.function:
            unknown = Unknown(message.request_id, message.function, message.peer)
            return [self.say(unknown)] if isinstance(message, Resume) else []
        if isinstance(message, Done):
            if message.peer == entry.peer:  # else it is an earlier attempt's, and late
                self._settle(message.request_id, entry)
                self._forget(now)
            return []
        entry.peer = message.peer
        if isinstance(message, Resume):
            return self._stand(message.request_id, entry, now)
        chunks = self._result(message.request_id, entry, now)
        return [chunks[part] for part in message.parts if part < len(chunks)]

    def standing(self, now: float) -> list[Effect]:
        """Say again how everything stands whose result has not arrived.

        What was on its way while the lease moved may have been refused, or have gone down with a
        connection.
        """
        return [
            effect
            for request_id in self._open
            for effect in self._stand(request_id, self._entries[request_id], now, forced=True)
        ]

    def tick(self, now: float, *, may_ask: bool) -> list[Effect]:
        """Ask for what is missing, and forget what is old."""
        while self._ends and self._ends[0][0] + LATE_SECONDS <= now:
            _, request_id = heapq.heappop(self._ends)
            entry = self._entries.get(request_id)
            if entry is not None and entry.until + LATE_SECONDS <= now:
                self._settle(request_id, entry)
        self._forget(now)
        text = "did not arrive whole and was not run; its stub has given up or will send it again"
        effects: list[Effect] = [
            Tell(Warned("invocation-incomplete", f"{request_id} {text}"))
            for request_id in self._assembler.expire(now, after=ABANDON_SECONDS)
        ]
        if may_ask:
            effects += [
                self.say(Missing(Kind.INVOKE, chunk.request_id, chunk.function, parts, chunk.peer))
                for chunk, parts in self._assembler.stalled(now, after=STALL_SECONDS)
            ]
        return effects

    def _repeated(self, request_id: str, entry: _Entry, now: float) -> list[Effect]:
        """Take an invocation that has come before: sent again by its stub, or tried again by Lambda.

        Tell of a retry: the caller of the attempt before has had its answer, or can have none. How
        long it may take stands in its payload, which nobody assembles.
        """
        settled = self._unsettle(request_id)  # this attempt's stub has not got it yet
        again = settled or entry.answered or entry.gone
        self._awaited(
            request_id,
            entry,
            now + (MOST_SECONDS if again or entry.until <= now else entry.allowed_s),
        )
        if not again:
            return []
        entry.answered = False
        what = (
            "that attempt's result is forgotten"
            if entry.gone
            else "that attempt's result was given again"
        )
        text = f"Lambda tries {request_id} again after {now - entry.finished_at:.0f} s; its handler has run here: {what}"
        return [Tell(Warned("retry-not-run", text, entry.function))]

    def _awaited(self, request_id: str, entry: _Entry, until: float) -> None:
        """Somebody waits for this one."""
        entry.until = until
        heapq.heappush(self._ends, (until, request_id))
        if not entry.gone:
            self._open[request_id] = None

    def _settle(self, request_id: str, entry: _Entry) -> None:
        """Nobody waits for this result any more."""
        if entry.payload is not None and request_id not in self._settled:
            self._open.pop(request_id, None)
            self._settled[request_id] = len(entry.payload)
            self._settled_bytes += len(entry.payload)

    def _unsettle(self, request_id: str) -> bool:
        size = self._settled.pop(request_id, None)
        self._settled_bytes -= size or 0
        return size is not None

    def _stand(
        self, request_id: str, entry: _Entry, now: float, *, forced: bool = False
    ) -> list[Effect]:
        """Say how an invocation stands: running, finished, or forgotten."""
        if entry.gone:
            return [self.say(Unknown(request_id, entry.function, entry.peer))]
        if entry.payload is None:
            return [self.say(self._ack(request_id, entry))]
        return self._result(request_id, entry, now, forced=forced)

    @staticmethod
    def _ack(request_id: str, entry: _Entry) -> Ack:
        return Ack(request_id, entry.function, entry.peer)

    def _result(
        self, request_id: str, entry: _Entry, now: float, *, forced: bool = False
    ) -> list[Effect]:
        """Send a result.

        Not what is on its way already, or a flood of small questions would fill our memory.
        """
        if entry.payload is None or (
            not forced and entry.sent[0] == entry.peer and now - entry.sent[1] < AGAIN_SECONDS
        ):
            return []
        entry.sent = (entry.peer, now)
        chunks = split(Kind.RESULT, request_id, entry.function, entry.payload, peer=entry.peer)
        return [self.say(chunk) for chunk in chunks]

    def _forget(self, now: float) -> None:
        """Keep memory bounded: old results first, those that nobody waits for before the others; then old ids.

        Results stand in the order in which they were made, settled ones in the order in which they
        were settled: what is to be forgotten stands at the front, so a tick costs what it forgets.
        """
        while self._settled and (
            self._settled_bytes > KEEP_SETTLED_BYTES or self._kept_bytes > KEEP_BYTES
        ):
            self._drop_result(next(iter(self._settled)))
        while self._finished:
            request_id = next(iter(self._finished))
            if (
                self._kept_bytes <= KEEP_BYTES
                and now - self._entries[request_id].finished_at < KEEP_SECONDS
            ):
                break
            self._drop_result(request_id)
        while len(self._entries) > REMEMBER_IDS and next(iter(self._entries.values())).gone:
            self._entries.popitem(last=False)

    def _drop_result(self, request_id: str) -> None:
        entry = self._entries[request_id]
        self._kept_bytes -= len(entry.payload or b"")
        entry.payload, entry.gone = None, True
        self._finished.pop(request_id, None)
        self._open.pop(request_id, None)
        self._unsettle(request_id)

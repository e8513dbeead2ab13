"""The relay's side of the protocol: (event, now) -> effects. No sockets, no clock, no threads.

`relay.py` is the shell: it owns the transport and the workers, does what the effects say, and feeds back what
happened. `now` is in seconds of a monotonic clock; `now_ms` is this machine's wall clock, for deadlines.

Invariants:
    1. A request id is given to a handler at most once in a relay's life, whatever is repeated, delayed or reordered.
    2. A finished invocation's result is kept until the stub has said that it arrived, and repeated whenever it asks.
    3. Everything that is sent about an invocation goes to the connection that asked for it last.
    4. Nothing but the functions of the configuration runs.
    5. The lease moves to another connection before the one that had it is closed, unless that one has died.

Connections have numbers. The active one holds the lease or asks for it. Ahead of API Gateway's limit of two hours a
candidate opens beside it; once the lease is the candidate's, the active one retires and is heard for a few seconds
more, since brokers may still have messages under way to it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, TypeAlias

from terralive_relay.describe import describe_delivery, describe_error, describe_trigger
from terralive_relay.events import (
    ConnectionChanged,
    ConnectionState,
    InvocationFinished,
    InvocationStarted,
    RelayEvent,
    Warned,
)
from terralive_relay.journal import Seen
from terralive_stub.chunks import Assembler, pack_outcome, split, unpack_invocation
from terralive_stub.invocation import Invocation, Outcome
from terralive_stub.limits import CONNECTION_SECONDS, SYNCHRONOUS_PAYLOAD_BYTES
from terralive_stub.refusals import Refusal, error_outcome
from terralive_stub.wire import (
    Ack,
    Chunk,
    Done,
    Goodbye,
    Heartbeat,
    Hello,
    Kind,
    Message,
    Missing,
    Problem,
    ProtocolError,
    Refused,
    Released,
    Resume,
    TakenOver,
    Undeliverable,
    Unknown,
    Welcome,
)

ANSWER_SECONDS: Final = 10.0  # for a Hello or a Heartbeat; a connection that takes longer is given up
STALL_SECONDS: Final = 1.0  # without a further chunk of an invocation, the missing ones are asked for
ABANDON_SECONDS: Final = 30.0  # an invocation that stays incomplete for so long is forgotten; its stub has given up
KEEP_SECONDS: Final = 16 * 60.0  # results, beyond the longest function timeout
KEEP_BYTES: Final = 128 * 1024 * 1024
RENEW_SECONDS: Final = CONNECTION_SECONDS - 15 * 60.0  # the age at which a connection is replaced
RENEW_AGAIN_SECONDS: Final = 60.0  # after an attempt that failed
RETIRED_SECONDS: Final = 5.0
WAKE_SECONDS: Final = 3.0  # for an answer after this machine slept; the connection has probably died meanwhile
REMEMBER_IDS: Final = 100_000
_SHORTEST_HEARTBEAT_SECONDS: Final = 1.0
_NOT_THERE: Final = object()


@dataclass(frozen=True, slots=True)
class Identity:
    """What a relay says of itself in its Hello. `relay` names this life of this process."""

    relay: str
    functions: tuple[str, ...]
    owner: str
    machine: str
    takeover: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    connection: int
    message: Message


@dataclass(frozen=True, slots=True)
class Run:
    invocation: Invocation


@dataclass(frozen=True, slots=True)
class Note:
    """Remember a request id beyond this life."""

    request_id: str
    seen: Seen


@dataclass(frozen=True, slots=True)
class Tell:
    event: RelayEvent


@dataclass(frozen=True, slots=True)
class Renew:
    """Open a connection beside the present one."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close a connection. Where it was the only one, the transport opens another."""

    connection: int
    why: str


class StopReason(Enum):
    """Why a relay stops by itself."""

    HELD = auto()
    TAKEN_OVER = auto()


@dataclass(frozen=True, slots=True)
class Stop:
    """The stage is somebody else's: `owner` on `machine`, since `since_ms` (0: not known)."""

    reason: StopReason
    owner: str
    machine: str
    since_ms: int = 0


Effect: TypeAlias = Send | Run | Note | Tell | Renew | Close | Stop


@dataclass(slots=True)
class _Entry:
    """One invocation. `payload` is None while its handler runs, and after it has been forgotten (`gone`)."""

    function: str
    peer: str
    payload: bytes | None = None
    gone: bool = False
    answered: bool = False  # by Lambda itself: the handler had no time left
    finished_at: float = 0.0


@dataclass(slots=True)
class RelaySession:
    """See the module's docstring."""

    identity: Identity
    renew_after_s: float = RENEW_SECONDS
    seen: Mapping[str, Seen] = field(default_factory=dict)  # by earlier lives
    _entries: OrderedDict[str, _Entry] = field(default_factory=OrderedDict)
    _finished: OrderedDict[str, None] = field(default_factory=OrderedDict)  # ids with a stored result, oldest first
    _arrived: OrderedDict[str, None] = field(default_factory=OrderedDict)  # those of them that their stubs have
    _assembler: Assembler = field(default_factory=Assembler)
    _active: int | None = None
    _candidate: int | None = None
    _candidate_by: float | None = None
    _retired: dict[int, float] = field(default_factory=dict)  # connections that are to be closed, and when
    _renew_at: float | None = None
    _leased: bool = False
    _was_leased: bool = False
    _lost_at: float | None = None
    _told: set[str] = field(default_factory=set)
    _answer_by: float | None = None
    _heartbeat_at: float | None = None
    _heartbeat_s: float = 20.0
    _kept_bytes: int = 0

    def opened(self, connection: int, now: float) -> list[Effect]:
        """The transport has a new connection."""
        if self._active is None:
            self._active = connection
            self._answer_by = now + ANSWER_SECONDS
            return [self._hello(connection)]
        self._candidate = connection
        self._candidate_by = now + ANSWER_SECONDS
        return [self._hello(connection, renewal=True)]

    def closed(self, connection: int, now: float, why: str, retry_in_s: float | None) -> list[Effect]:
        """A connection has ended, or did not open; unless there is another one, one is opened in `retry_in_s`."""
        if self._retired.pop(connection, None) is not None:
            return []
        if connection == self._active:
            self._active = None
        elif connection == self._candidate:
            self._candidate = self._candidate_by = None
        if self._active is not None:
            return []
        if self._candidate is not None:  # the old one died while the lease was moving: the new one is on its way
            self._active, self._answer_by = self._candidate, self._candidate_by
            self._candidate = self._candidate_by = None
            self._leased = False
            self._heartbeat_at = None
            return []
        if self._lost_at is None:
            self._lost_at = now
            self._told.clear()
        news = why not in self._told  # the first loss, and every other reason why it is not back
        self._told.add(why)
        self._leased = False
        self._answer_by = self._heartbeat_at = self._renew_at = None
        return [Tell(ConnectionChanged(ConnectionState.LOST, why, retry_in_s))] if news else []

    def woke(self, now: float) -> list[Effect]:
        """This machine, or this process, stood still for a while: find out at once whether the connection lives."""
        if self._active is None:
            return []
        self._heartbeat_at = now + self._heartbeat_s
        self._answer_by = now + WAKE_SECONDS
        return [self._say(Heartbeat(self.identity.relay))] if self._leased else [self._hello(self._active)]

    def network_changed(self) -> list[Effect]:
        """This machine has another address: nothing will come over the old connections."""
        alive = [self._active, self._candidate, *self._retired]
        return [Close(number, "this machine's network has changed") for number in alive if number is not None]

    def received(self, connection: int, message: Message, now: float, now_ms: int) -> list[Effect]:
        """Take one decoded message."""
        effects: list[Effect] = []
        match message:
            case Welcome(relay=relay, heartbeat_ms=heartbeat_ms) if relay == self.identity.relay:
                effects = self._welcome(connection, now, heartbeat_ms / 1000)
            case Refused(owner=owner, machine=machine, since_ms=since_ms):
                reason = StopReason.TAKEN_OVER if self._was_leased else StopReason.HELD
                effects = [Stop(reason, owner, machine, since_ms)]
            case TakenOver(owner=owner, machine=machine):
                effects = [Stop(StopReason.TAKEN_OVER, owner, machine)]
            case Released(relay=relay) if relay == self.identity.relay:
                self._leased = False
            case Problem():
                effects = self._problem(connection, message, now)
            case Chunk(kind=Kind.INVOKE):
                effects = self._invoke(message, now, now_ms)
            case Resume() | Done() | Missing(kind=Kind.RESULT):
                effects = self._about_result(message)
            case Undeliverable():
                pass  # the stub comes back by itself and asks
            case _:
                raise ProtocolError(f"a relay does not expect {message.ACTION!r}")
        return effects

    def finished(self, request_id: str, outcome: Outcome, handler_ms: float, now: float, *, send: bool) -> list[Effect]:
        """A handler has ended. `send=False`: Lambda's own timeout has answered the caller already."""
        entry = self._entries[request_id]
        if len(outcome.body) > SYNCHRONOUS_PAYLOAD_BYTES:
            outcome = error_outcome(
                Refusal.TOO_LARGE,
                f"Response payload size ({len(outcome.body)} bytes) exceeded maximum allowed payload size "
                f"({SYNCHRONOUS_PAYLOAD_BYTES} bytes).",
            )
        entry.payload = pack_outcome(outcome)
        entry.answered = not send
        entry.finished_at = now
        self._finished[request_id] = None
        self._kept_bytes += len(entry.payload)
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
            )
        )
        self._forget(now)
        return [*(self._result(request_id, entry) if send and self._leased else []), told]

    def tick(self, now: float) -> list[Effect]:
        """Do what has become due; `next_tick` tells when."""
        effects = self._mind_connections(now)
        self._forget(now)
        effects += [
            Tell(
                Warned(
                    "invocation-incomplete",
                    f"{request_id} did not arrive whole and was not run; its stub has given up or will send it again",
                )
            )
            for request_id in self._assembler.expire(now, after=ABANDON_SECONDS)
        ]
        if self._leased:  # only a relay with the lease may ask
            effects += [
                self._say(Missing(Kind.INVOKE, chunk.request_id, chunk.function, parts, chunk.peer))
                for chunk, parts in self._assembler.stalled(now, after=STALL_SECONDS)
            ]
        return effects

    def _mind_connections(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        silent = "the debug stack did not answer in time"
        if self._active is not None and self._answer_by is not None and now >= self._answer_by:
            self._answer_by = None
            effects.append(Close(self._active, silent))
        elif self._heartbeat_at is not None and now >= self._heartbeat_at:
            self._heartbeat_at = now + self._heartbeat_s
            self._answer_by = now + ANSWER_SECONDS
            effects.append(self._say(Heartbeat(self.identity.relay)))
        if self._candidate is not None and self._candidate_by is not None and now >= self._candidate_by:
            self._candidate_by = None
            effects.append(Close(self._candidate, silent))
        if self._leased and self._renew_at is not None and now >= self._renew_at:
            self._renew_at = now + RENEW_AGAIN_SECONDS
            if self._candidate is None:
                effects.append(Renew())
        for connection, due in self._retired.items():
            if now >= due:
                self._retired[connection] = math.inf
                effects.append(Close(connection, "renewed"))
        return effects

    def next_tick(self, now: float) -> float:
        """When `tick` has something to do, at the latest."""
        due = (self._answer_by, self._heartbeat_at, self._candidate_by, self._renew_at, *self._retired.values())
        return min([now + STALL_SECONDS, *(at for at in due if at is not None)])

    def goodbye(self) -> list[Effect]:
        """Give the lease back; `released` tells when the debug stack knows, and the connection may be closed."""
        return [self._say(Goodbye(self.identity.relay))] if self._leased else []

    @property
    def released(self) -> bool:
        return not self._leased

    def _say(self, message: Message) -> Send:
        """On the active connection; where there is none, it is to be said again after the next Welcome."""
        return Send(self._active or 0, message)

    def _hello(self, connection: int, *, renewal: bool = False) -> Send:
        mine = self.identity
        takeover = mine.takeover and not self._was_leased
        return Send(connection, Hello(mine.relay, mine.functions, mine.owner, mine.machine, takeover, renewal))

    def _problem(self, connection: int, problem: Problem, now: float) -> list[Effect]:
        if problem.reference == "no-lease":
            if connection != self._active:
                return []  # the lease has moved on: what this is about is said again on the other connection
            if self._leased:  # the lease ran out while this machine slept: ask for it again
                self._leased = False
                self._answer_by = now + ANSWER_SECONDS
                return [self._hello(connection)]
            if self._answer_by is not None:
                return []  # about what was sent before; the Hello is on its way
        return [Tell(Warned(problem.reference, problem.message))]

    def _welcome(self, connection: int, now: float, heartbeat_s: float) -> list[Effect]:
        moved = connection == self._candidate
        if moved and self._active is not None:
            self._retired[self._active] = now + RETIRED_SECONDS
            self._active, self._candidate, self._candidate_by = self._candidate, None, None
        elif connection != self._active:
            return []
        self._answer_by = None
        self._heartbeat_s = max(_SHORTEST_HEARTBEAT_SECONDS, heartbeat_s)
        if self._heartbeat_at is None:
            self._heartbeat_at = now + self._heartbeat_s
        if self._leased and not moved:
            return []
        self._renew_at = now + self.renew_after_s
        # What was on its way while the lease moved may have been refused, or have gone down with a connection.
        standing = [
            effect
            for request_id, entry in self._entries.items()
            if not entry.gone and request_id not in self._arrived
            for effect in self._stand(request_id, entry)
        ]
        if self._leased:
            return standing
        self._leased = self._was_leased = True
        away = f"back after {now - self._lost_at:.1f} s" if self._lost_at is not None else ""
        self._lost_at = None
        return [Tell(ConnectionChanged(ConnectionState.CONNECTED, away)), *standing]

    def _invoke(self, chunk: Chunk, now: float, now_ms: int) -> list[Effect]:
        if chunk.function not in self.identity.functions:
            raise ProtocolError(f"{chunk.function!r:.140} is not a function of this project's configuration")
        entry = self._entries.get(chunk.request_id)
        if entry is not None:
            entry.peer = chunk.peer
            if chunk.part != 0:
                return []
            return [*self._retried(chunk.request_id, entry, now), *self._stand(chunk.request_id, entry)]
        payload = self._assembler.add(chunk, now)
        if payload is None:
            return []
        invocation = unpack_invocation(payload, now_ms=now_ms)
        if (invocation.request_id, invocation.function_name) != (chunk.request_id, chunk.function):
            raise ProtocolError("an invocation's payload names another invocation than its chunks")
        self._assembler.discard(chunk.request_id)
        if invocation.deadline_ms <= now_ms:  # no entry: Lambda's retry has the same id, and may run
            warned = Warned("invocation-expired", f"{chunk.request_id} came too late and was not run", chunk.function)
            return [Tell(warned)]
        entry = self._entries[chunk.request_id] = _Entry(chunk.function, chunk.peer)
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
        return [self._say(self._ack(chunk.request_id, entry)), note, Tell(started), Run(invocation)]

    def _retried(self, request_id: str, entry: _Entry, now: float) -> list[Effect]:
        """Tell of a retry of Lambda's: the caller of the attempt before has had its answer, or can have none."""
        arrived = self._arrived.pop(request_id, _NOT_THERE) is not _NOT_THERE  # this attempt's stub has not got it yet
        if not (arrived or entry.answered or entry.gone):
            return []
        entry.answered = False
        what = "that attempt's result is forgotten" if entry.gone else "that attempt's result was given again"
        text = (
            f"Lambda tries {request_id} again after {now - entry.finished_at:.0f} s; its handler has run here: {what}"
        )
        return [Tell(Warned("retry-not-run", text, entry.function))]

    def _about_result(self, message: Resume | Done | Missing) -> list[Effect]:
        entry = self._entries.get(message.request_id)
        if entry is None or entry.function != message.function:
            unknown = Unknown(message.request_id, message.function, message.peer)
            return [self._say(unknown)] if isinstance(message, Resume) else []
        if isinstance(message, Done):
            if message.request_id in self._finished:
                self._arrived[message.request_id] = None
            return []
        entry.peer = message.peer
        if isinstance(message, Resume):
            return self._stand(message.request_id, entry)
        chunks = self._result(message.request_id, entry)
        return [chunks[part] for part in message.parts if part < len(chunks)]

    def _stand(self, request_id: str, entry: _Entry) -> list[Effect]:
        """Say how an invocation stands: running, finished, or forgotten."""
        if entry.gone:
            return [self._say(Unknown(request_id, entry.function, entry.peer))]
        if entry.payload is None:
            return [self._say(self._ack(request_id, entry))]
        return self._result(request_id, entry)

    @staticmethod
    def _ack(request_id: str, entry: _Entry) -> Ack:
        return Ack(request_id, entry.function, entry.peer)

    def _result(self, request_id: str, entry: _Entry) -> list[Effect]:
        if entry.payload is None:
            return []
        chunks = split(Kind.RESULT, request_id, entry.function, entry.payload, peer=entry.peer)
        return [self._say(chunk) for chunk in chunks]

    def _forget(self, now: float) -> None:
        """Keep memory bounded: old results first, those that have arrived before those that have not; then old ids.

        `_finished` holds the ids with a stored result, `_arrived` those whose result has reached its stub, both in
        the order in which that happened: what is to be forgotten stands at the front, so a tick costs what it forgets.
        """
        while self._kept_bytes > KEEP_BYTES and self._arrived:
            self._drop_result(next(iter(self._arrived)))
        while self._finished:
            request_id = next(iter(self._finished))
            if self._kept_bytes <= KEEP_BYTES and now - self._entries[request_id].finished_at < KEEP_SECONDS:
                break
            self._drop_result(request_id)
        while len(self._entries) > REMEMBER_IDS and next(iter(self._entries.values())).gone:
            self._entries.popitem(last=False)

    def _drop_result(self, request_id: str) -> None:
        entry = self._entries[request_id]
        self._kept_bytes -= len(entry.payload or b"")
        entry.payload, entry.gone = None, True
        self._finished.pop(request_id, None)
        self._arrived.pop(request_id, None)

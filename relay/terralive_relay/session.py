"""The relay's side of the protocol: (event, now) -> effects. No sockets, no clock, no threads.

`relay.py` is the shell: it owns the transport and the workers, does what the effects say, and feeds back what
happened. `now` is in seconds of a monotonic clock; `now_ms` is this machine's wall clock, for deadlines.

Invariants:
    1. A request id is given to a handler at most once in a relay's life, whatever is repeated, delayed or reordered.
    2. A finished invocation's result is kept until the stub has said that it arrived, and repeated whenever it asks.
    3. Everything that is sent about an invocation goes to the connection that asked for it last.
    4. Nothing but the functions of the configuration runs.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, TypeAlias

from terralive_relay.describe import describe_error, describe_trigger
from terralive_relay.events import (
    ConnectionChanged,
    ConnectionState,
    InvocationFinished,
    InvocationStarted,
    RelayEvent,
    Warned,
)
from terralive_stub.chunks import Assembler, pack_outcome, split, unpack_invocation
from terralive_stub.invocation import Invocation, Outcome
from terralive_stub.limits import SYNCHRONOUS_PAYLOAD_BYTES
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
REMEMBER_IDS: Final = 100_000


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
    message: Message


@dataclass(frozen=True, slots=True)
class Run:
    invocation: Invocation


@dataclass(frozen=True, slots=True)
class Tell:
    event: RelayEvent


@dataclass(frozen=True, slots=True)
class Drop:
    """Give up this connection and open another."""

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


Effect: TypeAlias = Send | Run | Tell | Drop | Stop


@dataclass(slots=True)
class _Entry:
    """One invocation. `payload` is None while its handler runs, and after it has been forgotten (`gone`)."""

    function: str
    peer: str
    payload: bytes | None = None
    gone: bool = False
    finished_at: float = 0.0


@dataclass(slots=True)
class RelaySession:
    """See the module's docstring."""

    identity: Identity
    _entries: OrderedDict[str, _Entry] = field(default_factory=OrderedDict)
    _finished: OrderedDict[str, None] = field(default_factory=OrderedDict)  # ids with a stored result, oldest first
    _arrived: OrderedDict[str, None] = field(default_factory=OrderedDict)  # those of them that their stubs have
    _assembler: Assembler = field(default_factory=Assembler)
    _leased: bool = False
    _was_leased: bool = False
    _lost_at: float | None = None
    _told: set[str] = field(default_factory=set)
    _answer_by: float | None = None
    _heartbeat_at: float | None = None
    _heartbeat_s: float = 20.0
    _kept_bytes: int = 0

    def connected(self, now: float) -> list[Effect]:
        """The transport has a new connection."""
        self._answer_by = now + ANSWER_SECONDS
        mine = self.identity
        takeover = mine.takeover and not self._was_leased
        return [Send(Hello(mine.relay, mine.functions, mine.owner, mine.machine, takeover))]

    def lost(self, now: float, why: str, retry_in_s: float) -> list[Effect]:
        """The transport's connection is gone; it opens another in `retry_in_s`."""
        if self._lost_at is None:
            self._lost_at = now
            self._told.clear()
        news = why not in self._told  # the first loss, and every other reason why it is not back
        self._told.add(why)
        self._leased = False
        self._answer_by = self._heartbeat_at = None
        return [Tell(ConnectionChanged(ConnectionState.LOST, why, retry_in_s))] if news else []

    def received(self, message: Message, now: float, now_ms: int) -> list[Effect]:
        """Take one decoded message."""
        effects: list[Effect] = []
        match message:
            case Welcome(relay=relay, heartbeat_ms=heartbeat_ms) if relay == self.identity.relay:
                effects = self._welcome(now, heartbeat_ms / 1000)
            case Refused(owner=owner, machine=machine, since_ms=since_ms):
                reason = StopReason.TAKEN_OVER if self._was_leased else StopReason.HELD
                effects = [Stop(reason, owner, machine, since_ms)]
            case TakenOver(owner=owner, machine=machine):
                effects = [Stop(StopReason.TAKEN_OVER, owner, machine)]
            case Released(relay=relay) if relay == self.identity.relay:
                self._leased = False
            case Problem():
                effects = self._problem(message, now)
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
        effects: list[Effect] = []
        if self._answer_by is not None and now >= self._answer_by:
            self._answer_by = None
            return [Drop("the debug stack did not answer in time")]
        if self._heartbeat_at is not None and now >= self._heartbeat_at:
            self._heartbeat_at = now + self._heartbeat_s
            self._answer_by = now + ANSWER_SECONDS
            effects.append(Send(Heartbeat(self.identity.relay)))
        self._assembler.expire(now, after=ABANDON_SECONDS)
        if not self._leased:
            self._forget(now)
            return effects  # only a relay with the lease may ask
        effects += [
            Send(Missing(Kind.INVOKE, chunk.request_id, chunk.function, parts, chunk.peer))
            for chunk, parts in self._assembler.stalled(now, after=STALL_SECONDS)
        ]
        self._forget(now)
        return effects

    def next_tick(self, now: float) -> float:
        """When `tick` has something to do, at the latest."""
        return min([now + STALL_SECONDS, *(due for due in (self._answer_by, self._heartbeat_at) if due is not None)])

    def goodbye(self) -> list[Effect]:
        """Give the lease back; `released` tells when the debug stack knows, and the connection may be closed."""
        return [Send(Goodbye(self.identity.relay))] if self._leased else []

    @property
    def released(self) -> bool:
        return not self._leased

    def _problem(self, problem: Problem, now: float) -> list[Effect]:
        if problem.reference == "no-lease" and self._leased:
            self._leased = False
            return self.connected(now)  # the lease ran out while this machine slept: ask for it again
        if problem.reference == "no-lease" and self._answer_by is not None:
            return []  # about what was sent before; the Hello is on its way
        return [Tell(Warned(problem.reference, problem.message))]

    def _welcome(self, now: float, heartbeat_s: float) -> list[Effect]:
        self._answer_by = None
        self._heartbeat_s = heartbeat_s
        if self._heartbeat_at is None:
            self._heartbeat_at = now + heartbeat_s
        if self._leased:
            return []
        self._leased = self._was_leased = True
        away = f"back after {now - self._lost_at:.1f} s" if self._lost_at is not None else ""
        self._lost_at = None
        waiting = [
            effect
            for request_id in self._finished
            if request_id not in self._arrived
            for effect in self._result(request_id, self._entries[request_id])
        ]
        return [Tell(ConnectionChanged(ConnectionState.CONNECTED, away)), *waiting]

    def _invoke(self, chunk: Chunk, now: float, now_ms: int) -> list[Effect]:
        if chunk.function not in self.identity.functions:
            raise ProtocolError(f"{chunk.function!r:.140} is not a function of this project's configuration")
        entry = self._entries.get(chunk.request_id)
        if entry is not None:
            entry.peer = chunk.peer
            self._arrived.pop(chunk.request_id, None)  # Lambda's retry: its stub is another one
            return self._stand(chunk.request_id, entry) if chunk.part == 0 else []
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
        started = InvocationStarted(chunk.request_id, chunk.function, trigger.name, trigger.summary)
        return [Send(self._ack(chunk.request_id, entry)), Tell(started), Run(invocation)]

    def _about_result(self, message: Resume | Done | Missing) -> list[Effect]:
        entry = self._entries.get(message.request_id)
        if entry is None or entry.function != message.function:
            unknown = Unknown(message.request_id, message.function, message.peer)
            return [Send(unknown)] if isinstance(message, Resume) else []
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
            return [Send(Unknown(request_id, entry.function, entry.peer))]
        if entry.payload is None:
            return [Send(self._ack(request_id, entry))]
        return self._result(request_id, entry)

    @staticmethod
    def _ack(request_id: str, entry: _Entry) -> Ack:
        return Ack(request_id, entry.function, entry.peer)

    @staticmethod
    def _result(request_id: str, entry: _Entry) -> list[Effect]:
        if entry.payload is None:
            return []
        return [Send(chunk) for chunk in split(Kind.RESULT, request_id, entry.function, entry.payload, peer=entry.peer)]

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

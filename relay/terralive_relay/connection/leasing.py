"""The relay's hold on the stage's lease, and over which connection: (event, now) -> effects. No sockets, no clock.

Connections have numbers. The active one holds the lease or asks for it. Ahead of API Gateway's
limit of two hours a candidate opens beside it; once the lease is the candidate's, the active one
retires and is heard for a few seconds more, since brokers may still have messages under way to it.

Invariants:
    1. The lease moves to another connection before the one that had it is closed, unless that one
    has died.
    2. An answer that does not come in time costs the connection; a relay without one does not
    believe in its lease.
    3. A takeover is asked for once in a life, so that two relays cannot take turns.
    4. Every connection that has opened is active, candidate or retired, or `Close` was asked for
    it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from terralive_relay.connection.effects import Close, Effect, Renew, Send, Stop, StopReason, Tell
from terralive_relay.events import ConnectionChanged, ConnectionState, Warned
from terralive_stub.protocol.limits import CONNECTION_SECONDS
from terralive_stub.protocol.wire import (
    Goodbye,
    Heartbeat,
    Hello,
    LeaseRefused,
    Message,
    Problem,
    Released,
    TakenOver,
    Welcome,
)

ANSWER_SECONDS: Final = (
    10.0  # for a Hello or a Heartbeat; a connection that takes longer is given up
)
RENEW_SECONDS: Final = CONNECTION_SECONDS - 15 * 60.0  # the age at which a connection is replaced
RENEW_AGAIN_SECONDS: Final = 60.0  # after an attempt that failed
RETIRED_SECONDS: Final = 5.0
WAKE_SECONDS: Final = (
    5.0  # for an answer after this machine slept; the connection has probably died meanwhile
)
_HEARTBEAT_SECONDS: Final = (1.0, 20.0)  # at least and at most, whatever a broker says
_MOST_NEWS: Final = 5  # reasons that are told while a relay is away


@dataclass(frozen=True, slots=True)
class Identity:
    """What a relay says of itself in its Hello. `relay` names this life of this process."""

    relay: str
    functions: tuple[str, ...]
    owner: str
    machine: str
    takeover: bool = False


@dataclass(slots=True)
class Leasing:
    """See the module's docstring."""

    identity: Identity
    renew_after_s: float = RENEW_SECONDS
    _active: int | None = None
    _candidate: int | None = None
    _candidate_by: float | None = None
    _retired: dict[int, float] = field(
        default_factory=dict
    )  # connections that are to be closed, and when
    _renew_at: float | None = None
    _leased: bool = False
    _stopped: bool = (
        False  # the stage is somebody else's: what becomes of the connection is no news
    )
    _was_leased: bool = False
    _lost_at: float | None = None
    _told: set[str] = field(default_factory=set)
    _answer_by: float | None = None
    _heartbeat_at: float | None = None
    _heartbeat_s: float = 20.0

    @property
    def held(self) -> bool:
        return self._leased

    def say(self, message: Message) -> Send:
        """On the active connection.

        Where there is none, it is to be said again once the lease is held.
        """
        return Send(self._active or 0, message)

    def opened(self, connection: int, now: float) -> list[Effect]:
        """The transport has a new connection."""
        if self._stopped:
            return [Close(connection, "the stage is somebody else's")]
        if self._active is None:
            self._active = connection
            self._answer_by = now + ANSWER_SECONDS
            return [self._hello(connection)]
        before = (
            [Close(self._candidate, "another one has opened")]
            if self._candidate is not None
            else []
        )
        self._candidate = connection
        self._candidate_by = now + ANSWER_SECONDS
        return [*before, self._hello(connection, renewal=True)]

    def closed(
        self, connection: int, now: float, why: str, retry_in_s: float | None
    ) -> list[Effect]:
        """A connection has ended, or did not open.

        Unless there is another one, one is opened in `retry_in_s`.
        """
        if self._retired.pop(connection, None) is not None or self._stopped:
            return []
        if connection == self._active:
            self._active = None
        elif connection == self._candidate:
            self._candidate = self._candidate_by = None
        if self._active is not None:
            return []
        if (
            self._candidate is not None
        ):  # the old one died while the lease was moving: the new one is on its way
            self._active, self._answer_by = self._candidate, self._candidate_by
            self._candidate = self._candidate_by = None
            self._leased = False
            self._heartbeat_at = None
            return []
        if self._lost_at is None:
            self._lost_at = now
            self._told.clear()
        # The first loss, and other reasons why it is not back.
        news = why not in self._told and len(self._told) < _MOST_NEWS
        self._told.add(why)
        self._leased = False
        self._answer_by = self._heartbeat_at = self._renew_at = None
        return [Tell(ConnectionChanged(ConnectionState.LOST, why, retry_in_s))] if news else []

    def woke(self, now: float) -> list[Effect]:
        """This machine, or this process, stood still for a while.

        Find out at once whether the connection lives.
        """
        if self._active is None:
            return []
        self._heartbeat_at = now + self._heartbeat_s
        self._answer_by = now + WAKE_SECONDS
        return (
            [self.say(Heartbeat(self.identity.relay))]
            if self._leased
            else [self._hello(self._active)]
        )

    def network_changed(self) -> list[Effect]:
        """This machine has another address: nothing will come over the old connections."""
        alive = [self._active, self._candidate, *self._retired]
        return [
            Close(number, "this machine's network has changed")
            for number in alive
            if number is not None
        ]

    def received(self, connection: int, message: Message, now: float) -> tuple[list[Effect], bool]:
        """Take a message about the lease.

        True where all that stands is to be said again, over another connection.
        """
        if self._stopped:
            return [], False
        match message:
            case Welcome(relay=relay, heartbeat_ms=heartbeat_ms) if relay == self.identity.relay:
                return self._welcome(connection, now, heartbeat_ms / 1000)
            case LeaseRefused(owner=owner, machine=machine, since_ms=since_ms):
                reason = StopReason.TAKEN_OVER if self._was_leased else StopReason.HELD
                self._stopped = True
                return [Stop(reason, owner, machine, since_ms)], False
            case TakenOver(owner=owner, machine=machine):
                self._stopped = True
                return [Stop(StopReason.TAKEN_OVER, owner, machine)], False
            case Released(relay=relay) if relay == self.identity.relay:
                self._leased = False
            case Problem():
                return self._problem(connection, message, now), False
            case _:
                pass  # about another life
        return [], False

    def tick(self, now: float) -> list[Effect]:
        """Do what has become due."""
        effects: list[Effect] = []
        silent = "the debug stack did not answer in time"
        if self._active is not None and self._answer_by is not None and now >= self._answer_by:
            self._answer_by = None
            effects.append(Close(self._active, silent))
        elif self._heartbeat_at is not None and now >= self._heartbeat_at:
            self._heartbeat_at = now + self._heartbeat_s
            self._answer_by = now + ANSWER_SECONDS
            effects.append(self.say(Heartbeat(self.identity.relay)))
        if (
            self._candidate is not None
            and self._candidate_by is not None
            and now >= self._candidate_by
        ):
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

    def due(self) -> list[float]:
        """When `tick` has something to do."""
        due = (
            self._answer_by,
            self._heartbeat_at,
            self._candidate_by,
            self._renew_at,
            *self._retired.values(),
        )
        return [at for at in due if at is not None]

    def goodbye(self) -> list[Effect]:
        """Give the lease back."""
        return [self.say(Goodbye(self.identity.relay))] if self._leased else []

    def _hello(self, connection: int, *, renewal: bool = False) -> Send:
        mine = self.identity
        takeover = mine.takeover and not self._was_leased
        return Send(
            connection,
            Hello(mine.relay, mine.functions, mine.owner, mine.machine, takeover, renewal),
        )

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

    def _welcome(
        self, connection: int, now: float, heartbeat_s: float
    ) -> tuple[list[Effect], bool]:
        moved = connection == self._candidate
        if moved and self._active is not None:
            self._retired[self._active] = now + RETIRED_SECONDS
            self._active, self._candidate, self._candidate_by = self._candidate, None, None
        elif connection != self._active:
            return [], False
        self._answer_by = None
        shortest, longest = _HEARTBEAT_SECONDS
        self._heartbeat_s = min(longest, max(shortest, heartbeat_s))
        if self._heartbeat_at is None:
            self._heartbeat_at = now + self._heartbeat_s
        if self._leased:
            self._renew_at = now + self.renew_after_s if moved else self._renew_at
            return [], moved
        self._renew_at = now + self.renew_after_s
        self._leased = self._was_leased = True
        away = f"back after {now - self._lost_at:.1f} s" if self._lost_at is not None else ""
        self._lost_at = None
        return [Tell(ConnectionChanged(ConnectionState.CONNECTED, away))], True

"""The relay's lease on the stage, and the connection that holds it: (event, now) -> effects. Pure.

Connections have numbers. The *active* one holds the lease or asks for it. Ahead of API Gateway's
limit of two hours a *candidate* opens beside it. Once the lease is the candidate's, it becomes the
active one, and the former one is *retired*: it stays open for a few seconds more, because brokers
may have messages under way to it.

Invariants:
    1. The lease moves to another connection before the one that had it is closed, unless that one
       has died.
    2. An answer that does not come in time costs the connection; a relay without one does not
       believe in its lease.
    3. A takeover is asked for once in a relay's life, so that two relays cannot take turns.
    4. Every connection that has opened is active, candidate or retired, or `Close` was asked for
       it.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import Final

from terralive_relay.events import ConnectionChanged, ConnectionState, Warned
from terralive_relay.session.effects import (
    Close,
    Effect,
    Publish,
    Renew,
    Send,
    Stop,
    StopReason,
)
from terralive_stub.protocol.limits import CONNECTION_SECONDS
from terralive_stub.protocol.messages import (
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

# A Hello or a Heartbeat is answered in this time, or the connection is given up.
ANSWER_SECONDS: Final = 10.0
# The same, after this machine slept: the connection has probably died meanwhile.
WAKE_SECONDS: Final = 5.0
# The age at which a connection is replaced, and the time before another attempt to replace it.
RENEW_SECONDS: Final = CONNECTION_SECONDS - 15 * 60.0
RENEW_AGAIN_SECONDS: Final = 60.0
# A connection that has been replaced stays open for so long.
RETIRED_SECONDS: Final = 5.0
# The time between heartbeats is the broker's choice, within these.
_SHORTEST_HEARTBEAT_SECONDS: Final = 1.0
_LONGEST_HEARTBEAT_SECONDS: Final = 20.0
# The number of different reasons that are published while the relay has no connection.
_MOST_LOSS_REASONS: Final = 5
_NEVER: Final = math.inf
_NO_ANSWER: Final = "the debug stack did not answer in time"
_log = logging.getLogger("terralive.relay")


@dataclass(frozen=True, slots=True)
class RelayIdentity:
    """The relay's description of itself, which its Hello carries.

    Attributes:
        relay: a random id of this life of this process.
        functions: the ARNs of the functions that it serves.
        owner: the person.
        machine: the machine's name.
        takeover: take the stage over if another relay holds it.
    """

    relay: str
    functions: tuple[str, ...]
    owner: str
    machine: str
    takeover: bool = False


class Leasing:
    """The protocol's half about connections and the lease.

    Args:
        identity: the relay's description of itself.
        renew_after_s: the age at which a connection is replaced.
    """

    def __init__(self, identity: RelayIdentity, renew_after_s: float = RENEW_SECONDS) -> None:
        self._identity = identity
        self._renew_after_s = renew_after_s

        # All times are on the monotonic clock; `_NEVER` while there is nothing to wait for.
        # The active connection's number; None while there is none.
        self._active: int | None = None
        # The time by which the broker answers a Hello or Heartbeat.
        self._answer_by = _NEVER
        # The time of the next Heartbeat.
        self._heartbeat_at = _NEVER
        # The seconds between two Heartbeats, by the expiry of the lease.
        self._heartbeat_s = _LONGEST_HEARTBEAT_SECONDS
        # The time at which the active connection is to be replaced.
        self._renew_at = _NEVER

        # The candidate's number, and the time by which its Hello is answered.
        self._candidate: int | None = None
        self._candidate_by = _NEVER
        # Connections that have been replaced, and the times at which they are closed; infinite
        # once that was asked for.
        self._retired: dict[int, float] = {}

        # Whether this relay has the lease, as far as it knows, and whether it ever had it.
        self._leased = False
        self._was_leased = False
        # Whether the broker passes pieces of streamed responses on.
        self._streams = False
        # The functions in the last Hello of each connection, and those of the lease, as far as the
        # broker has confirmed them.
        self._told: dict[int, tuple[str, ...]] = {}
        self._confirmed: tuple[str, ...] = ()
        # The time at which the last connection was lost; None while there is one.
        self._lost_at: float | None = None
        # The reasons that have been published since then.
        self._published_reasons: set[str] = set()
        # Another relay holds the stage: the ends of connections are not published any more.
        self._stopped = False

    @property
    def held(self) -> bool:
        """Return whether this relay has the lease."""
        return self._leased

    @property
    def relay(self) -> str:
        """Return the relay's id."""
        return self._identity.relay

    @property
    def streams(self) -> bool:
        """Return whether the broker passes pieces of streamed responses on."""
        return self._streams

    @property
    def is_serving(self) -> bool:
        """Return whether this relay has the lease, and the broker knows all of its functions."""
        return self._leased and self._confirmed == self._identity.functions

    def send(self, message: Message) -> Send:
        """Return the effect that sends a message over the active connection.

        If there is none, the message is lost, and is repeated once the lease is held again.
        """
        return Send(self._active or 0, message)

    def serve(self, functions: tuple[str, ...], now: float) -> list[Effect]:
        """Serve other functions from now on, and tell the broker."""
        self._identity = replace(self._identity, functions=functions)
        return self._tell_functions(now)

    def _tell_functions(self, now: float) -> list[Effect]:
        """Send a Hello with the functions, if the broker does not know them.

        One question is open at a time, so that a Welcome cannot be taken for the answer to another
        one. Where a question is open, this is done after its answer.
        """
        active, functions = self._active, self._identity.functions
        if active is None or not self._leased or self._answer_by != _NEVER:
            return []
        if self._told.get(active) == functions:
            return []
        self._answer_by = now + ANSWER_SECONDS
        self._heartbeat_at = now + self._heartbeat_s
        return [self._hello(active)]

    # The transport's events

    def opened(self, connection: int, now: float) -> list[Effect]:
        """Take a new connection of the transport's."""
        if self._stopped:
            return [Close(connection, "another relay holds the stage")]
        if self._active is None:
            self._active = connection
            self._answer_by = now + ANSWER_SECONDS
            return [self._hello(connection)]
        effects: list[Effect] = []
        if self._candidate is not None:
            effects.append(Close(self._candidate, "another one has opened"))
        self._candidate = connection
        self._candidate_by = now + ANSWER_SECONDS
        return [*effects, self._hello(connection, renewal=True)]

    def closed(
        self, connection: int, now: float, why: str, retry_in_s: float | None
    ) -> list[Effect]:
        """Take the end of a connection, or a failed attempt to open one.

        Args:
            connection: its number.
            now: the present time.
            why: the reason, in words for a user.
            retry_in_s: the time until the next attempt; None if there is another connection.
        """
        self._told.pop(connection, None)
        if self._retired.pop(connection, None) is not None or self._stopped:
            return []
        if connection == self._active:
            self._active = None
        elif connection == self._candidate:
            self._candidate = None
            self._candidate_by = _NEVER
        if self._active is not None:
            return []
        if self._candidate is not None:
            # The active one died while the lease was moving: the candidate has asked already.
            self._active = self._candidate
            self._answer_by = self._candidate_by
            self._candidate = None
            self._candidate_by = _NEVER
            self._heartbeat_at = _NEVER
            self._leased = False
            return []
        return self._lost(now, why, retry_in_s)

    def _lost(self, now: float, why: str, retry_in_s: float | None) -> list[Effect]:
        """Record that there is no connection; publish the first loss and each new reason."""
        _log.debug("no connection: %s; next attempt in %s s", why, retry_in_s)
        if self._lost_at is None:
            self._lost_at = now
            self._published_reasons.clear()
        is_new = (
            why not in self._published_reasons and len(self._published_reasons) < _MOST_LOSS_REASONS
        )
        self._published_reasons.add(why)
        self._leased = False
        self._answer_by = _NEVER
        self._heartbeat_at = _NEVER
        self._renew_at = _NEVER
        if not is_new:
            return []
        return [Publish(ConnectionChanged(ConnectionState.LOST, why, retry_in_s))]

    # This machine's events

    def woke(self, now: float) -> list[Effect]:
        """Find out at once whether the connection lives, because this process stood still."""
        if self._active is None:
            return []
        self._heartbeat_at = now + self._heartbeat_s
        self._answer_by = now + WAKE_SECONDS
        if self.is_serving:
            return [self.send(Heartbeat(self._identity.relay))]
        return [self._hello(self._active)]

    def network_changed(self) -> list[Effect]:
        """Close all connections: this machine has another address, so nothing comes over them."""
        effects: list[Effect] = []
        for connection in (self._active, self._candidate, *self._retired):
            if connection is not None:
                effects.append(Close(connection, "this machine's network has changed"))
        return effects

    # Messages

    def received(self, connection: int, message: Message, now: float) -> tuple[list[Effect], bool]:
        """Take a message about the lease.

        Returns:
            The effects; and True if the status of every open invocation is to be sent again,
            because the lease is new or has another connection.
        """
        if self._stopped:
            return [], False
        match message:
            case Welcome(relay=relay, heartbeat_ms=heartbeat_ms) if relay == self._identity.relay:
                self._streams = message.streams
                return self._welcome(connection, now, heartbeat_ms / 1000)
            case LeaseRefused(owner=owner, machine=machine, since_ms=since_ms):
                reason = StopReason.HELD
                if self._was_leased:
                    reason = StopReason.TAKEN_OVER
                self._stop()
                _log.debug("lease refused: %s", reason.name)
                return [Stop(reason, owner, machine, since_ms)], False
            case TakenOver(owner=owner, machine=machine):
                self._stop()
                _log.debug("lease taken over by another relay")
                return [Stop(StopReason.TAKEN_OVER, owner, machine)], False
            case Released(relay=relay) if relay == self._identity.relay:
                self._leased = False
                _log.debug("lease released")
            case Problem():
                return self._problem(connection, message, now), False
            case _:
                pass  # about another relay, or an earlier life of this one
        return [], False

    def _stop(self) -> None:
        """Note that another relay holds the stage: what ends here now is not sent any more.

        A broker may know the earlier lease for a moment, and would take it. Then it would be chance
        which error a caller gets.
        """
        self._stopped = True
        self._leased = False

    def _welcome(
        self, connection: int, now: float, heartbeat_s: float
    ) -> tuple[list[Effect], bool]:
        """Take the broker's answer to a Hello or a Heartbeat: the lease is this relay's."""
        moved = connection == self._candidate
        if moved and self._active is not None:
            self._retired[self._active] = now + RETIRED_SECONDS
            self._active = self._candidate
            self._candidate = None
            self._candidate_by = _NEVER
        elif connection != self._active:
            return [], False

        self._answer_by = _NEVER
        self._confirmed = self._told.get(connection, ())
        heartbeat_s = max(_SHORTEST_HEARTBEAT_SECONDS, heartbeat_s)
        self._heartbeat_s = min(_LONGEST_HEARTBEAT_SECONDS, heartbeat_s)
        if self._heartbeat_at == _NEVER:
            self._heartbeat_at = now + self._heartbeat_s

        if self._leased:
            if moved:
                _log.debug("lease moved to connection %s", connection)
                self._renew_at = now + self._renew_after_s
            return self._tell_functions(now), moved

        _log.debug("lease granted to connection %s", connection)
        self._renew_at = now + self._renew_after_s
        self._leased = True
        self._was_leased = True
        reason = ""
        if self._lost_at is not None:
            reason = f"back after {now - self._lost_at:.1f} s"
        self._lost_at = None
        connected = Publish(ConnectionChanged(ConnectionState.CONNECTED, reason))
        return [connected, *self._tell_functions(now)], True

    def _problem(self, connection: int, problem: Problem, now: float) -> list[Effect]:
        """Take a broker's answer to a message that it did not pass on."""
        _log.debug("connection %s: problem %s", connection, problem.reference)
        if problem.reference != "no-lease":
            return [Publish(Warned(problem.reference, problem.message))]
        if connection != self._active:
            # The lease has moved on, and the message is sent again over the other connection.
            return []
        if self._leased:
            # The lease ran out while this machine slept: ask for it again.
            self._leased = False
            self._answer_by = now + ANSWER_SECONDS
            return [self._hello(connection)]
        if self._answer_by != _NEVER:
            # It is about an earlier message; a Hello is on its way.
            return []
        return [Publish(Warned(problem.reference, problem.message))]

    # Time

    def tick(self, now: float) -> list[Effect]:
        """Do everything that is due."""
        return [
            *self._tick_active(now),
            *self._tick_candidate(now),
            *self._tick_renewal(now),
            *self._tick_retired(now),
        ]

    def _tick_active(self, now: float) -> list[Effect]:
        """Close the active connection if it gives no answer, or send its Heartbeat."""
        if self._active is not None and now >= self._answer_by:
            self._answer_by = _NEVER
            return [Close(self._active, _NO_ANSWER)]
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + self._heartbeat_s
            self._answer_by = now + ANSWER_SECONDS
            return [self.send(Heartbeat(self._identity.relay))]
        return []

    def _tick_candidate(self, now: float) -> list[Effect]:
        """Close the candidate if it gives no answer."""
        if self._candidate is None or now < self._candidate_by:
            return []
        self._candidate_by = _NEVER
        return [Close(self._candidate, _NO_ANSWER)]

    def _tick_renewal(self, now: float) -> list[Effect]:
        """Open a candidate when the active connection is old."""
        if not self._leased or now < self._renew_at:
            return []
        self._renew_at = now + RENEW_AGAIN_SECONDS
        if self._candidate is not None:
            return []
        _log.debug("connection %s is old and is replaced", self._active)
        return [Renew()]

    def _tick_retired(self, now: float) -> list[Effect]:
        """Close connections that have been replaced."""
        effects: list[Effect] = []
        for connection, due in self._retired.items():
            if now >= due:
                self._retired[connection] = math.inf
                effects.append(Close(connection, "renewed"))
        return effects

    def due(self) -> list[float]:
        """Return the times at which `tick` has something to do."""
        times = [self._answer_by, self._heartbeat_at, self._candidate_by, self._renew_at]
        return [*times, *self._retired.values()]

    def goodbye(self) -> list[Effect]:
        """Give the lease back."""
        if not self._leased:
            return []
        return [self.send(Goodbye(self._identity.relay))]

    def _hello(self, connection: int, *, renewal: bool = False) -> Send:
        identity = self._identity
        takeover = identity.takeover and not self._was_leased
        self._told[connection] = identity.functions
        return Send(
            connection,
            Hello(
                identity.relay,
                identity.functions,
                identity.owner,
                identity.machine,
                takeover,
                renewal,
            ),
        )

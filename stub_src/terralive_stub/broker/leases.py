"""Connections' identities and the stage's lease, with the rules about them. Pure.

Times are milliseconds since the Unix epoch, on the broker's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeAlias

from terralive_stub.protocol.messages import (
    Chunk,
    Consumed,
    Done,
    Hello,
    Missing,
    NoRelay,
    Resume,
)
from terralive_stub.protocol.token import Api

LEASE_MS: Final = 60_000
HEARTBEAT_MS: Final = 20_000
# Stubs wait this long for a relay that has lost its connection.
RETURN_MS: Final = 10_000
RETRY_MS: Final = 1_000
# The clocks of two hosts of Lambda differ by less than this.
CLOCK_MS: Final = 250

FromStub: TypeAlias = Chunk | Resume | Consumed | Done | Missing


class LeaseState(StrEnum):
    """The state of a lease."""

    HELD = "held"
    LOST = "lost"  # its connection is gone, but the relay may return
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class ConnectionIdentity:
    """The sender behind a connection, as it was found out at `$connect`.

    Attributes:
        connection: the connection's id at API Gateway.
        api: the API to which it is connected.
        arn: the function's ARN for a stub, the caller's ARN for a relay.
        expires_ms: when API Gateway ends the connection at the latest.
    """

    connection: str
    api: Api
    arn: str
    expires_ms: int

    @property
    def principal(self) -> str:
        """Return the ARN without an assumed role's session name.

        SDKs choose a new session name whenever they renew credentials.
        """
        return principal_of(self.arn)


def principal_of(arn: str) -> str:
    """Return an ARN without the session name in `arn:aws:sts::…:assumed-role/ROLE/SESSION`.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
    """
    match arn.split(":", 5)[-1].split("/"):
        case ["assumed-role", _, _]:
            principal, _, _ = arn.rpartition("/")
            return principal
        case _:
            return arn


@dataclass(frozen=True, slots=True)
class Lease:
    """A relay's registration, of which a stage has at most one.

    Attributes:
        relay: the id of one run of a relay process.
        connection: the relay's connection.
        owner: the person's name.
        machine: the person's machine.
        arn: the caller's ARN. Only the same principal can keep or move the lease.
        functions: the ARNs of the functions that the relay serves.
        state: the lease's state.
        since_ms: when this relay connected first.
        until_ms: when it was lost or released; 0 while it is held.
        expires_ms: when the lease ends unless it is renewed.
        version: the number of its changes, for conditional writes.
        held_ms: since when this relay has got the invocations of these functions without a break;
            0 in a lease of a former terralive.
    """

    relay: str
    connection: str
    owner: str
    machine: str
    arn: str
    functions: frozenset[str]
    state: LeaseState
    since_ms: int
    until_ms: int
    expires_ms: int
    version: int
    held_ms: int = 0

    def live(self, now_ms: int) -> bool:
        """Tell whether the lease keeps other relays out."""
        return self.state is not LeaseState.RELEASED and now_ms < self.expires_ms

    def serves(self, function: str, now_ms: int) -> bool:
        """Tell whether invocations of a function go to this relay now."""
        is_held = self.state is LeaseState.HELD and self.live(now_ms)
        return is_held and function in self.functions

    def came_after(self, message: FromStub) -> bool:
        """Tell whether an invocation was offered before this relay could get it.

        Its stub may have fallen back meanwhile, so such an offer is not delivered. A stub that
        still waits offers it again.
        """
        return 0 < sent_ms(message) < self.held_ms + CLOCK_MS


@dataclass(frozen=True, slots=True)
class Takeover:
    """A lease that a person took from another relay by an explicit request.

    Attributes:
        at_ms: when.
        before: the lease that was taken.
        after: the lease that replaced it.
    """

    at_ms: int
    before: Lease
    after: Lease


def takeover_of(before: Lease | None, after: Lease, now_ms: int) -> Takeover | None:
    """Return the takeover that a new lease is; None if no relay lost a lease that was live."""
    if before is None or before.relay == after.relay or not before.live(now_ms):
        return None
    return Takeover(now_ms, before, after)


def new_lease(
    identity: ConnectionIdentity, hello: Hello, present: Lease | None, now_ms: int
) -> Lease:
    """Return the lease of a relay whose request is granted.

    Args:
        identity: the relay's connection.
        hello: its request.
        present: the lease that is replaced, or None.
        now_ms: the time.
    """
    since_ms = now_ms
    held_ms = now_ms
    if present is not None and present.relay == hello.relay:
        since_ms = present.since_ms
        is_held = present.state is LeaseState.HELD and present.live(now_ms)
        if is_held and hello.renewal and present.functions == frozenset(hello.functions):
            held_ms = present.held_ms
    return Lease(
        relay=hello.relay,
        connection=identity.connection,
        owner=hello.owner,
        machine=hello.machine,
        arn=identity.arn,
        functions=frozenset(hello.functions),
        state=LeaseState.HELD,
        since_ms=since_ms,
        until_ms=0,
        expires_ms=now_ms + LEASE_MS,
        version=0,  # set when it is written
        held_ms=held_ms,
    )


def may_take(present: Lease, identity: ConnectionIdentity, hello: Hello, now_ms: int) -> bool:
    """Tell whether a relay may take the present lease.

    Everybody may take a free lease, or take a lease over by an explicit request. Otherwise the
    relay must belong to the same principal, and be the holder itself, or a new relay of the same
    person and machine whose lease is lost.
    """
    if hello.takeover or not present.live(now_ms):
        return True
    if identity.principal != principal_of(present.arn):
        return False
    if hello.relay == present.relay:
        return True
    is_same_person = hello.owner == present.owner and hello.machine == present.machine
    return present.state is LeaseState.LOST and is_same_person


def renewed(lease: Lease, now_ms: int) -> Lease:
    """Return the lease after a heartbeat."""
    held_ms = lease.held_ms
    if lease.state is not LeaseState.HELD or not lease.live(now_ms):
        held_ms = now_ms
    return replace(lease, state=LeaseState.HELD, expires_ms=now_ms + LEASE_MS, held_ms=held_ms)


def lost(lease: Lease, now_ms: int) -> Lease:
    """Return the lease after the end of its connection."""
    return replace(lease, state=LeaseState.LOST, until_ms=now_ms)


def sent_ms(message: FromStub) -> int:
    """Return when a stub has offered an invocation by this message; 0 for another message."""
    if isinstance(message, Chunk):
        return message.sent_ms
    return 0


def _vacant_ms(lease: Lease, function: str, now_ms: int) -> int:
    """Return for how long no relay can have received an invocation of a function; 0 for unknown.

    The times in the lease are of another broker's clock.
    """
    since_ms = now_ms
    if lease.state is not LeaseState.HELD:
        since_ms = lease.until_ms
    elif not lease.live(now_ms):
        since_ms = lease.expires_ms
    elif function not in lease.functions and lease.held_ms:
        since_ms = lease.held_ms
    return max(0, now_ms - since_ms - CLOCK_MS)


def no_relay(lease: Lease | None, message: FromStub, now_ms: int) -> NoRelay:
    """Return the answer to a stub whose message cannot be delivered."""
    if lease is None:
        never = NoRelay(message.request_id, "", "", 0, 0, 0, "never", message.attempt)
        return replace(never, sent_ms=sent_ms(message), vacant_ms=now_ms)
    reason = str(lease.state)
    until_ms = lease.until_ms
    retry_ms = 0
    match lease.state:
        case LeaseState.HELD if now_ms >= lease.expires_ms:
            reason = "expired"
            until_ms = lease.expires_ms
        case LeaseState.HELD if message.function not in lease.functions:
            reason = "not-served"
        case LeaseState.HELD if lease.came_after(message):
            reason = "offered-before"
            retry_ms = 2 * CLOCK_MS
        case LeaseState.HELD:
            # Its connection has ended a moment ago, and the `$disconnect` event is on its way.
            reason = "unreachable"
            retry_ms = RETRY_MS
        case LeaseState.LOST:
            return_by_ms = min(lease.expires_ms, lease.until_ms + RETURN_MS)
            if now_ms < return_by_ms:
                retry_ms = RETRY_MS
        case LeaseState.RELEASED:
            pass
    if not isinstance(message, Chunk) and lease.state is not LeaseState.RELEASED:
        # The handler runs or has run. The stub decides how long it asks for the result.
        retry_ms = RETRY_MS
    return NoRelay(
        request_id=message.request_id,
        owner=lease.owner,
        machine=lease.machine,
        since_ms=lease.since_ms,
        until_ms=until_ms or now_ms,
        retry_ms=retry_ms,
        reason=reason,
        attempt=message.attempt,
        sent_ms=sent_ms(message),
        vacant_ms=_vacant_ms(lease, message.function, now_ms),
    )

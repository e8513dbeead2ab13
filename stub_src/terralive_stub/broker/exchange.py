"""The broker's decisions: who may send which message to whom.

Table, gateway and clock are passed in. `admission.py` decides who may connect, and under which ARN.
No identity is ever taken from a message.

Rules:
    1. Only a connection to the API `relay` can hold the lease; one relay holds it at a time.
    2. A connection to the API `stub` has its function's ARN and can send messages of that function
       only.
    3. Only the lease's connection receives invocations, and only it can answer them.
    4. An answer goes to a stub connection of the same function only.

A connection's identity never changes, so it is cached for as long as this broker is warm. A cached
lease is used until it expires or is found to be out of date: after a message from another relay
connection, or a delivery to a connection that is gone, it is read again. A warm invocation
therefore needs no table access.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from terralive_stub.broker.leases import (
    HEARTBEAT_MS,
    LEASE_MS,
    ConnectionIdentity,
    FromStub,
    Lease,
    LeaseState,
    lost,
    may_take,
    new_lease,
    no_relay,
    renewed,
    takeover_of,
)
from terralive_stub.broker.services import Conflict, Gateway, Gone, Table
from terralive_stub.protocol.limits import CONNECTION_SECONDS
from terralive_stub.protocol.messages import (
    Ack,
    Chunk,
    Consumed,
    Done,
    EnvironmentMissing,
    FellBack,
    Goodbye,
    Heartbeat,
    Hello,
    Kind,
    LeaseRefused,
    Message,
    Missing,
    NoRelay,
    Piece,
    Problem,
    ProtocolError,
    Released,
    Resume,
    TakenOver,
    Undeliverable,
    Unknown,
    Welcome,
)
from terralive_stub.protocol.token import Api
from terralive_stub.protocol.wire import decode, encode

_CACHED_IDENTITIES: Final = 4096
# Another broker may write the lease at the same moment.
_WRITE_ATTEMPTS: Final = 5

Answer: TypeAlias = Ack | Unknown | Chunk | Piece | Missing | EnvironmentMissing


@dataclass(slots=True)
class Exchange:
    """The decisions of one warm broker.

    Attributes:
        table: the table, which all brokers share.
        gateway: sends messages and closes connections.
        _identities: a cache by connection id; the last used one is at the end.
        _lease: the lease as it was read or written last; None if it is not known.
    """

    table: Table
    gateway: Gateway
    _identities: OrderedDict[str, ConnectionIdentity] = field(default_factory=OrderedDict)
    _lease: Lease | None = None

    # Events of API Gateway

    def connect(self, connection: str, api: Api, arn: str, now_ms: int) -> None:
        """Store the identity of a new connection that was admitted."""
        expires_ms = now_ms + CONNECTION_SECONDS * 1000
        identity = ConnectionIdentity(connection, api, arn, expires_ms)
        self.table.put_identity(identity)
        self._cache(identity)

    def disconnect(self, connection: str, now_ms: int) -> None:
        """Forget a connection; the lease that it held becomes lost."""
        self._identities.pop(connection, None)
        self.table.delete_identity(connection)
        lease = self._read_lease()
        if lease is not None and lease.connection == connection and lease.state is LeaseState.HELD:
            self._write(lost(lease, now_ms), lease)

    def message(self, connection: str, text: str, now_ms: int) -> None:
        """Act on one message. A peer's mistake never raises: the peer receives a Problem."""
        identity = self._identify(connection)
        if identity is None:
            return
        try:
            message = decode(text)
        except ProtocolError as error:
            self._reply(identity, Problem("malformed-message", str(error)))
            return
        try:
            if identity.api is Api.RELAY:
                problem = self._from_relay(identity, message, now_ms)
            else:
                problem = self._from_stub(identity, message, now_ms)
        except ProtocolError as error:
            # The message was within the limit, but with the peer's id added it is not.
            request_id = getattr(message, "request_id", "")
            attempt = getattr(message, "attempt", "")
            problem = Problem("message-too-large", str(error), request_id, attempt)
        if problem is not None:
            self._reply(identity, problem)

    def _from_relay(
        self, identity: ConnectionIdentity, message: Message, now_ms: int
    ) -> Problem | None:
        match message:
            case Hello():
                return self._hello(identity, message, now_ms)
            case Heartbeat(relay=relay):
                return self._heartbeat(identity, relay, now_ms)
            case Goodbye(relay=relay):
                self._goodbye(identity, relay, now_ms)
                return None
            case Ack() | Unknown() | Piece() | EnvironmentMissing() | Missing(kind=Kind.INVOKE):
                return self._deliver_to_stub(identity, message, now_ms)
            case Chunk(kind=Kind.RESULT | Kind.LOGS):
                return self._deliver_to_stub(identity, message, now_ms)
            case _:
                return Problem("not-a-relay-message", f"A relay does not send {message.ACTION!r}.")

    def _from_stub(
        self, identity: ConnectionIdentity, message: Message, now_ms: int
    ) -> Problem | None:
        match message:
            case (
                Chunk(kind=Kind.INVOKE) | Resume() | Consumed() | Done() | Missing(kind=Kind.RESULT)
            ):
                if message.function != identity.arn:
                    return _not_your_function(identity, message)
                with_peer = replace(message, peer=identity.connection)
                self._deliver_to_relay(identity, with_peer, now_ms)
                return None
            case FellBack():
                if message.function != identity.arn:
                    return _not_your_function(identity, message)
                self.table.count_fallback(message.function, ok=message.ok, now_ms=now_ms)
                return None
            case _:
                return Problem("not-a-stub-message", f"A stub does not send {message.ACTION!r}.")

    # The lease

    def _hello(self, identity: ConnectionIdentity, hello: Hello, now_ms: int) -> Problem | None:
        # The `$disconnect` event of the relay's old connection may be writing at this moment.
        for _ in range(_WRITE_ATTEMPTS):
            present = self._read_lease()
            if present is not None:
                actual = self._with_actual_state(present, hello)
                if not may_take(actual, identity, hello, now_ms):
                    refused = LeaseRefused(present.owner, present.machine, present.since_ms)
                    self._reply(identity, refused)
                    return None
            lease = new_lease(identity, hello, present, now_ms)
            if self._write(lease, present):
                takeover = takeover_of(present, lease, now_ms)
                if takeover is not None and hello.takeover:
                    self.table.put_takeover(takeover)
                self._welcome(identity, hello, present, now_ms)
                return None
        return Problem("lease-contended", "Others write the lease all the time; please ask again.")

    def _with_actual_state(self, present: Lease, hello: Hello) -> Lease:
        """Return the lease as a lost one if its connection is gone.

        `$disconnect` events are best effort, and the broker may have failed to process one:
        https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-route-keys-connect-disconnect.html
        Without this, a relay that was killed would keep its owner's next relay out for a minute.
        """
        is_own = present.relay == hello.relay
        if hello.takeover or is_own or present.state is not LeaseState.HELD:
            return present
        probe = Undeliverable("-", "-")  # a relay ignores it
        if self._post_to_relay(present.connection, probe):
            return present
        return replace(present, state=LeaseState.LOST)

    def _welcome(
        self, identity: ConnectionIdentity, hello: Hello, before: Lease | None, now_ms: int
    ) -> None:
        if before is not None and before.connection != identity.connection:
            is_own = before.relay == hello.relay
            if not is_own and before.live(now_ms):
                self._post_to_relay(before.connection, TakenOver(hello.owner, hello.machine))
            # The old connection may be dead without a sign. Another broker that still knows the old
            # lease would continue to post to it.
            if not (is_own and hello.renewal):
                self.gateway.close(Api.RELAY, before.connection)
        self._reply(identity, _welcome(hello.relay, now_ms + LEASE_MS))
        if not hello.renewal:
            for count in self.table.take_fallback_counts():
                self._reply(identity, count)

    def _heartbeat(self, identity: ConnectionIdentity, relay: str, now_ms: int) -> Problem | None:
        present = self._read_lease()
        if present is None or not _is_held_by(present, identity, relay):
            return Problem("no-lease", "This connection does not hold the stage's lease.")
        lease = renewed(present, now_ms)
        if not self._write(lease, present):
            return Problem("no-lease", "The lease was changed by somebody else at this moment.")
        self._reply(identity, _welcome(relay, lease.expires_ms))
        return None

    def _goodbye(self, identity: ConnectionIdentity, relay: str, now_ms: int) -> None:
        # The broker run of a heartbeat may be writing at this moment.
        for _ in range(_WRITE_ATTEMPTS):
            present = self._read_lease()
            if present is None or not _is_held_by(present, identity, relay):
                break
            released = replace(
                present, state=LeaseState.RELEASED, until_ms=now_ms, expires_ms=now_ms
            )
            if self._write(released, present):
                break
        self._reply(identity, Released(relay))

    # Delivery

    def _deliver_to_stub(
        self, identity: ConnectionIdentity, message: Answer, now_ms: int
    ) -> Problem | None:
        lease = self._lease
        if lease is None or lease.connection != identity.connection or not lease.live(now_ms):
            lease = self._read_lease()
        if lease is None or lease.connection != identity.connection:
            text = "Only the holder of the lease can answer."
            return Problem("no-lease", text, message.request_id, message.attempt)
        stub = self._identify(message.peer)
        if stub is None:
            self._reply(identity, Undeliverable(message.request_id, message.peer, message.attempt))
            return None
        if stub.api is not Api.STUB or stub.arn != message.function:
            text = f"That connection is not one of {message.function}."
            return Problem("not-the-asker", text, message.request_id, message.attempt)
        try:
            self.gateway.post(Api.STUB, stub.connection, encode(message))
        except Gone:
            self._identities.pop(stub.connection, None)
            self._reply(identity, Undeliverable(message.request_id, message.peer, message.attempt))
        return None

    def _deliver_to_relay(
        self, identity: ConnectionIdentity, message: FromStub, now_ms: int
    ) -> None:
        lease = self._lease
        if lease is None or not lease.serves(message.function, now_ms):
            lease = self._read_lease()
        while lease is not None and lease.serves(message.function, now_ms):
            if lease.came_after(message):
                break
            if self._post_to_relay(lease.connection, message):
                return
            # The connection is gone. The relay may have a new one meanwhile.
            tried = lease.connection
            lease = self._read_lease()
            if lease is not None and lease.connection == tried:
                lease = self._lose(lease, now_ms)
        if not isinstance(message, Consumed):  # the stub asks by itself if nothing comes any more
            self._reply(identity, self._with_fallbacks(no_relay(lease, message, now_ms), message))

    def _lose(self, lease: Lease, now_ms: int) -> Lease:
        """Record that the lease's connection has ended, in case its `$disconnect` never comes."""
        if lease.state is not LeaseState.HELD:
            return lease
        if not self._write(lost(lease, now_ms), lease):
            return self._read_lease() or lease
        return lost(lease, now_ms)

    def _with_fallbacks(self, notice: NoRelay, message: FromStub) -> NoRelay:
        """Add the versions that may answer, where the stub knows what they are for."""
        if not notice.sent_ms:
            return notice
        replaced = self.table.get_replaced(message.function)
        if replaced is None or not replaced.can_answer:
            return notice
        return replace(notice, fallbacks={**replaced.aliases, "": replaced.version})

    def _post_to_relay(self, connection: str, message: Message) -> bool:
        """Send a message to a relay's connection; False if the connection is gone."""
        try:
            self.gateway.post(Api.RELAY, connection, encode(message))
        except Gone:
            return False
        return True

    def _reply(self, identity: ConnectionIdentity, message: Message) -> None:
        """Send a message to the connection whose message is processed."""
        try:
            self.gateway.post(identity.api, identity.connection, encode(message))
        except Gone:
            self._identities.pop(identity.connection, None)

    # The table and its caches

    def _read_lease(self) -> Lease | None:
        self._lease = self.table.get_lease()
        return self._lease

    def _write(self, lease: Lease, present: Lease | None) -> bool:
        """Replace the present lease; False if another broker has changed it meanwhile."""
        replaces = 0
        if present is not None:
            replaces = present.version
        lease = replace(lease, version=replaces + 1)
        try:
            self.table.put_lease(lease, replaces=replaces)
        except Conflict:
            self._lease = None
            return False
        self._lease = lease
        return True

    def _identify(self, connection: str) -> ConnectionIdentity | None:
        known = self._identities.get(connection)
        if known is None:
            known = self.table.get_identity(connection)
        if known is not None:
            self._cache(known)
        return known

    def _cache(self, identity: ConnectionIdentity) -> None:
        """Cache an identity as the last used one, and drop the least recently used ones."""
        self._identities[identity.connection] = identity
        self._identities.move_to_end(identity.connection)
        while len(self._identities) > _CACHED_IDENTITIES:
            self._identities.popitem(last=False)


def _not_your_function(identity: ConnectionIdentity, message: FromStub | FellBack) -> Problem:
    text = f"{identity.arn} cannot speak for {message.function}."
    return Problem("not-your-function", text, message.request_id, message.attempt)


def _welcome(relay: str, expires_ms: int) -> Welcome:
    return Welcome(relay, expires_ms, HEARTBEAT_MS, streams=True)


def _is_held_by(lease: Lease, identity: ConnectionIdentity, relay: str) -> bool:
    return lease.relay == relay and lease.connection == identity.connection

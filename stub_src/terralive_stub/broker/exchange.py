"""The broker's decisions: who may say what to whom. No AWS SDK here: table, gateway and clock are passed in.

The WebSocket API has two stages, two doors: `relay` and `stub`. IAM decides at `$connect` who may
pass which (a stub's role may only pass `stub`), and API Gateway tells in its request context which
stage a connection came through and, at `$connect`, who the caller is. Nothing about identity is ever
taken from a message.

Rules:
    1. Only a connection through the relay stage can hold the lease; one relay holds it at a time.
    2. A stub's session name is its function's name (Lambda assumes the role under it): a connection
       through the stub stage speaks for that function only.
    3. Only the lease's connection gets invocations, and only it can answer them.
    4. An answer goes to a stub connection of the same function only.

A connection's identity never changes, so it is cached for as long as this broker is warm. A cached
lease is used until
it expires or proves stale: a message from another relay connection, or a delivery to a connection
that is gone, has it read again. One warm invocation therefore costs no table access at all.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Protocol

from terralive_stub.protocol.limits import CONNECTION_SECONDS
from terralive_stub.protocol.wire import (
    Ack,
    Chunk,
    Done,
    Goodbye,
    Heartbeat,
    Hello,
    Kind,
    LeaseRefused,
    Message,
    Missing,
    NoRelay,
    Problem,
    ProtocolError,
    Released,
    Resume,
    TakenOver,
    Undeliverable,
    Unknown,
    Welcome,
    decode,
    encode,
)

LEASE_MS: Final = 60_000
HEARTBEAT_MS: Final = 20_000
RETURN_MS: Final = 10_000  # a relay that lost its connection is waited for so long
RETRY_MS: Final = 1_000
REMEMBER_MS: Final = 30 * 24 * 60 * 60 * 1000  # who was connected last
_CACHED_IDENTITIES: Final = 4096
_ATTEMPTS: Final = 5


class ApiStage(StrEnum):
    """A stage of the WebSocket API."""

    RELAY = "relay"
    STUB = "stub"


class LeaseState(StrEnum):
    HELD = "held"
    LOST = "lost"  # its connection is gone, the relay may be back
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class ConnectionIdentity:
    """Who stands behind a connection, as API Gateway said at `$connect`."""

    connection: str
    api_stage: ApiStage
    arn: str
    expires_ms: int

    @property
    def principal(self) -> str:
        """The ARN without an assumed role's session name, which SDKs choose anew whenever credentials are renewed."""
        return self.arn.rpartition("/")[0] if self.session_name else self.arn

    @property
    def session_name(self) -> str:
        """The session name of an assumed role, or "".

        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
        (arn:aws:sts::…:assumed-role/R/S)
        """
        resource = self.arn.split(":", 5)[-1].split("/")
        return resource[2] if len(resource) == 3 and resource[0] == "assumed-role" else ""  # noqa: PLR2004  # R/S


@dataclass(frozen=True, slots=True)
class Lease:
    """A relay's registration. `version` counts its changes, for conditional writes."""

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

    def live(self, now_ms: int) -> bool:
        return self.state is not LeaseState.RELEASED and now_ms < self.expires_ms


class Gone(Exception):  # noqa: N818  # API Gateway's own word for it: GoneException, HTTP 410
    """The connection does not exist any more."""


class Conflict(Exception):  # noqa: N818  # DynamoDB's ConditionalCheckFailedException
    """Somebody else changed the lease meanwhile."""


class Table(Protocol):
    """The connections table."""

    def put_identity(self, identity: ConnectionIdentity) -> None: ...
    def get_identity(self, connection: str) -> ConnectionIdentity | None: ...
    def delete_identity(self, connection: str) -> None: ...
    def get_lease(self) -> Lease | None: ...
    def put_lease(self, lease: Lease, *, replaces: int) -> None:
        """Write if the stored lease's version is `replaces` (0.

        There is none); else raise Conflict.
        """


class Gateway(Protocol):
    """API Gateway's management API (`@connections`)."""

    def post(self, api_stage: ApiStage, connection: str, text: str) -> None:
        """Raise Gone where the connection does not exist."""

    def close(self, api_stage: ApiStage, connection: str) -> None:
        """Do nothing where the connection does not exist."""


@dataclass(slots=True)
class Exchange:
    """One warm broker."""

    table: Table
    gateway: Gateway
    _identities: OrderedDict[str, ConnectionIdentity] = field(default_factory=OrderedDict)
    _lease: Lease | None = None

    def connect(self, connection: str, stage: str, arn: str, now_ms: int) -> bool:
        """Remember who connects; False refuses the connection."""
        try:
            api_stage = ApiStage(stage)
        except ValueError:
            return False
        identity = ConnectionIdentity(
            connection, api_stage, arn, now_ms + CONNECTION_SECONDS * 1000
        )
        if not arn or (api_stage is ApiStage.STUB and not identity.session_name):
            return False
        self.table.put_identity(identity)
        self._remember(identity)
        return True

    def disconnect(self, connection: str, now_ms: int) -> None:
        self._identities.pop(connection, None)
        self.table.delete_identity(connection)
        lease = self._read_lease()
        if lease is not None and lease.connection == connection and lease.state is LeaseState.HELD:
            self._write(replace(lease, state=LeaseState.LOST, until_ms=now_ms), lease)

    def message(self, connection: str, text: str, now_ms: int) -> None:
        """Act on one message. Never raises for what a peer did: the peer is told."""
        identity = self._identify(connection)
        if identity is None:
            return
        try:
            message = decode(text)
        except ProtocolError as error:
            self._tell(identity, Problem("malformed-message", str(error)))
            return
        act = self._from_relay if identity.api_stage is ApiStage.RELAY else self._from_stub
        try:
            problem = act(identity, message, now_ms)
        except (
            ProtocolError
        ) as error:  # it came in legally, but with the peer's name in it it is too large
            problem = Problem("message-too-large", str(error), getattr(message, "request_id", ""))
        if problem is not None:
            self._tell(identity, problem)

    def _from_relay(
        self, identity: ConnectionIdentity, message: Message, now_ms: int
    ) -> Problem | None:
        match message:
            case Hello():
                self._hello(identity, message, now_ms)
            case Heartbeat(relay=relay):
                return self._heartbeat(identity, relay, now_ms)
            case Goodbye(relay=relay):
                self._goodbye(identity, relay, now_ms)
            case (
                Ack() | Unknown() | Chunk(kind=Kind.RESULT | Kind.LOGS) | Missing(kind=Kind.INVOKE)
            ):
                return self._answer(identity, message)
            case _:
                return Problem("not-a-relay-message", f"A relay does not send {message.ACTION!r}.")
        return None

    def _from_stub(
        self, identity: ConnectionIdentity, message: Message, now_ms: int
    ) -> Problem | None:
        match message:
            case Chunk(kind=Kind.INVOKE) | Resume() | Done() | Missing(kind=Kind.RESULT):
                if message.function != identity.session_name:
                    return Problem(
                        "not-your-function",
                        f"{identity.session_name} cannot speak for {message.function:.140}.",
                        message.request_id,
                    )
                self._deliver(identity, replace(message, peer=identity.connection), now_ms)
                return None
            case _:
                return Problem("not-a-stub-message", f"A stub does not send {message.ACTION!r}.")

    def _hello(self, identity: ConnectionIdentity, hello: Hello, now_ms: int) -> None:
        for _ in range(
            _ATTEMPTS
        ):  # the old connection's $disconnect may be writing at this very moment
            present = self._read_lease()
            if present is not None and not self._may_take(
                self._as_it_is(present, hello), identity, hello, now_ms
            ):
                self._tell(identity, LeaseRefused(present.owner, present.machine, present.since_ms))
                return
            if self._write(self._lease_for(identity, hello, present, now_ms), present):
                self._welcome(identity, hello, present, now_ms)
                return
        self._tell(
            identity,
            Problem("lease-contended", "Others write the lease all the time; please ask again."),
        )

    def _as_it_is(self, present: Lease, hello: Hello) -> Lease:
        """A lease whose connection has gone is a lost one, also where $disconnect did not come or could not be told.

        https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-route-keys-connect-disconnect.html
        ("best-effort"); a relay that was killed must not keep its owner's next one out for a
        minute.
        """
        if hello.takeover or present.state is not LeaseState.HELD or present.relay == hello.relay:
            return present
        alive = self._post_relay(
            present.connection, Undeliverable("-", "-")
        )  # which a relay ignores
        return present if alive else replace(present, state=LeaseState.LOST)

    @staticmethod
    def _lease_for(
        identity: ConnectionIdentity, hello: Hello, present: Lease | None, now_ms: int
    ) -> Lease:
        again = present is not None and present.relay == hello.relay
        return Lease(
            relay=hello.relay,
            connection=identity.connection,
            owner=hello.owner,
            machine=hello.machine,
            arn=identity.arn,
            functions=frozenset(hello.functions),
            state=LeaseState.HELD,
            since_ms=present.since_ms if present is not None and again else now_ms,
            until_ms=0,
            expires_ms=now_ms + LEASE_MS,
            version=0,  # set when it is written
        )

    def _welcome(
        self, identity: ConnectionIdentity, hello: Hello, before: Lease | None, now_ms: int
    ) -> None:
        if before is not None and before.connection != identity.connection and not hello.renewal:
            if before.relay != hello.relay and before.live(now_ms):
                self._post_relay(before.connection, TakenOver(hello.owner, hello.machine))
            # Its end may have come without a sign: a broker with the old lease would go on posting
            # into nothing.
            self.gateway.close(ApiStage.RELAY, before.connection)
        self._tell(identity, Welcome(hello.relay, now_ms + LEASE_MS, HEARTBEAT_MS))

    @staticmethod
    def _may_take(present: Lease, identity: ConnectionIdentity, hello: Hello, now_ms: int) -> bool:
        """A free lease is anybody's, a lost one its owner's new relay's, a held one only an explicit takeover's."""
        if hello.takeover or not present.live(now_ms):
            return True
        if identity.principal != replace(identity, arn=present.arn).principal:
            return False
        if hello.relay == present.relay:
            return True
        same_person = (hello.owner, hello.machine) == (present.owner, present.machine)
        return present.state is LeaseState.LOST and same_person

    def _heartbeat(self, identity: ConnectionIdentity, relay: str, now_ms: int) -> Problem | None:
        lease = self._read_lease()
        if lease is None or lease.relay != relay or lease.connection != identity.connection:
            return Problem("no-lease", "This connection does not hold the stage's lease.")
        renewed = replace(lease, state=LeaseState.HELD, expires_ms=now_ms + LEASE_MS)
        if not self._write(renewed, lease):
            return Problem("no-lease", "The lease was changed by somebody else at this moment.")
        self._tell(identity, Welcome(relay, renewed.expires_ms, HEARTBEAT_MS))
        return None

    def _goodbye(self, identity: ConnectionIdentity, relay: str, now_ms: int) -> None:
        for _ in range(_ATTEMPTS):  # a heartbeat of a moment ago may still be writing
            lease = self._read_lease()
            if lease is None or (lease.relay, lease.connection) != (relay, identity.connection):
                break
            if self._write(
                replace(lease, state=LeaseState.RELEASED, until_ms=now_ms, expires_ms=now_ms), lease
            ):
                break
        self._tell(identity, Released(relay))

    def _answer(
        self, identity: ConnectionIdentity, message: Ack | Unknown | Chunk | Missing
    ) -> Problem | None:
        lease = self._lease
        if lease is None or lease.connection != identity.connection:
            lease = self._read_lease()
        if lease is None or lease.connection != identity.connection:
            return Problem(
                "no-lease", "Only the holder of the lease can answer.", message.request_id
            )
        asked = self._identify(message.peer)
        if asked is None:
            self._tell(identity, Undeliverable(message.request_id, message.peer))
            return None
        if asked.api_stage is not ApiStage.STUB or asked.session_name != message.function:
            return Problem(
                "not-the-asker",
                f"That connection is not one of {message.function:.140}.",
                message.request_id,
            )
        try:
            self.gateway.post(ApiStage.STUB, asked.connection, encode(message))
        except Gone:
            self._identities.pop(asked.connection, None)
            self._tell(identity, Undeliverable(message.request_id, message.peer))
        return None

    def _deliver(
        self, identity: ConnectionIdentity, message: Chunk | Resume | Done | Missing, now_ms: int
    ) -> None:
        lease = self._lease
        fresh = False
        if lease is None or lease.state is not LeaseState.HELD or not lease.live(now_ms):
            lease, fresh = self._read_lease(), True
        if not self._serves(lease, message.function, now_ms) and not fresh:
            lease, fresh = self._read_lease(), True
        while lease is not None and self._serves(lease, message.function, now_ms):
            if self._post_relay(lease.connection, message):
                return
            tried, lease = lease.connection, self._read_lease()
            if lease is None or lease.connection == tried:
                break
        self._tell(identity, self._no_relay(lease, message, now_ms))

    @staticmethod
    def _serves(lease: Lease | None, function: str, now_ms: int) -> bool:
        return (
            lease is not None
            and lease.state is LeaseState.HELD
            and lease.live(now_ms)
            and function in lease.functions
        )

    @staticmethod
    def _no_relay(
        lease: Lease | None, message: Chunk | Resume | Done | Missing, now_ms: int
    ) -> NoRelay:
        if lease is None:
            return NoRelay(message.request_id, "", "", 0, 0, 0, "never")
        reason, retry_ms = str(lease.state), 0
        until_ms = lease.until_ms
        if lease.state is LeaseState.HELD and now_ms >= lease.expires_ms:
            reason, until_ms = "expired", lease.expires_ms
        elif lease.state is LeaseState.HELD and message.function not in lease.functions:
            reason = "not-served"
        elif lease.state is LeaseState.HELD:
            reason, retry_ms = (
                "unreachable",
                RETRY_MS,
            )  # its connection just went, and $disconnect is on its way
        elif lease.state is LeaseState.LOST and now_ms < min(
            lease.expires_ms, lease.until_ms + RETURN_MS
        ):
            retry_ms = RETRY_MS
        if not isinstance(message, Chunk) and lease.state is not LeaseState.RELEASED:
            retry_ms = RETRY_MS  # its handler runs or has run: how long that is worth asking for, the stub knows
        return NoRelay(
            message.request_id,
            lease.owner,
            lease.machine,
            lease.since_ms,
            until_ms or now_ms,
            retry_ms,
            reason,
        )

    def _read_lease(self) -> Lease | None:
        self._lease = self.table.get_lease()
        return self._lease

    def _write(self, lease: Lease, present: Lease | None) -> bool:
        replaces = present.version if present is not None else 0
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
            self._remember(known)
        return known

    def _remember(self, identity: ConnectionIdentity) -> None:
        """Cache it as the last one used.

        Of too many the one that was not used for longest is forgotten.
        """
        self._identities[identity.connection] = identity
        self._identities.move_to_end(identity.connection)
        while len(self._identities) > _CACHED_IDENTITIES:
            self._identities.popitem(last=False)

    def _post_relay(self, connection: str, message: Message) -> bool:
        try:
            self.gateway.post(ApiStage.RELAY, connection, encode(message))
        except Gone:
            return False
        return True

    def _tell(self, identity: ConnectionIdentity, message: Message) -> None:
        try:
            self.gateway.post(identity.api_stage, identity.connection, encode(message))
        except Gone:
            self._identities.pop(identity.connection, None)

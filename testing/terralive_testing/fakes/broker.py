"""The broker's connections table and gateway in memory. The table counts its accesses."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.broker.leases import ConnectionIdentity, Lease, Takeover
from terralive_stub.broker.services import Conflict, Gone
from terralive_stub.protocol.messages import FallbackCount, Message
from terralive_stub.protocol.token import Api
from terralive_stub.protocol.wire import decode


@dataclass
class FakeTable:
    """Keeps the contracts of `exchange.Table` and `admission.AdmissionTable` of the broker."""

    identities: dict[str, ConnectionIdentity] = field(default_factory=dict)
    lease: Lease | None = None
    takeovers: list[Takeover] = field(default_factory=list)
    secret: bytes | None = field(repr=False, default=None)
    nonces: dict[str, int] = field(default_factory=dict)  # with their ends, in milliseconds
    replaced: dict[str, Replaced] = field(default_factory=dict)  # by the function's ARN
    fallback_counts: dict[str, FallbackCount] = field(default_factory=dict)  # the same
    accesses: int = 0

    def put_identity(self, identity: ConnectionIdentity) -> None:
        self.accesses += 1
        self.identities[identity.connection] = identity

    def get_identity(self, connection: str) -> ConnectionIdentity | None:
        self.accesses += 1
        return self.identities.get(connection)

    def delete_identity(self, connection: str) -> None:
        self.accesses += 1
        self.identities.pop(connection, None)

    def get_lease(self) -> Lease | None:
        self.accesses += 1
        return self.lease

    def put_lease(self, lease: Lease, *, replaces: int) -> None:
        self.accesses += 1
        version = 0
        if self.lease is not None:
            version = self.lease.version
        if version != replaces:
            raise Conflict
        self.lease = lease

    def put_takeover(self, takeover: Takeover) -> None:
        self.accesses += 1
        self.takeovers.append(takeover)

    def get_secret(self) -> bytes | None:
        self.accesses += 1
        return self.secret

    def create_secret(self, secret: bytes) -> bytes:
        self.accesses += 1
        self.secret = self.secret or secret
        return self.secret

    def put_nonce(self, nonce: str, expires_ms: int) -> bool:
        self.accesses += 1
        is_new = nonce not in self.nonces
        self.nonces.setdefault(nonce, expires_ms)
        return is_new

    def put_replaced(self, replaced: Replaced) -> None:
        self.accesses += 1
        self.replaced[replaced.function] = replaced

    def get_replaced(self, function: str) -> Replaced | None:
        self.accesses += 1
        return self.replaced.get(function)

    def list_replaced(self) -> list[Replaced]:
        self.accesses += 1
        return [self.replaced[function] for function in sorted(self.replaced)]

    def delete_replaced(self, function: str) -> None:
        self.accesses += 1
        self.replaced.pop(function, None)

    def count_fallback(self, function: str, *, ok: bool, now_ms: int) -> None:
        self.accesses += 1
        before = self.fallback_counts.get(function, FallbackCount(function, 0, 0, now_ms))
        self.fallback_counts[function] = replace(
            before, answered=before.answered + 1, failed=before.failed + int(not ok)
        )

    def take_fallback_counts(self) -> list[FallbackCount]:
        self.accesses += 1
        counts = [self.fallback_counts[function] for function in sorted(self.fallback_counts)]
        self.fallback_counts.clear()
        return counts


@dataclass
class FakeGateway:
    """Keeps messages instead of sending them. `take` returns those of a connection."""

    gone: set[str] = field(default_factory=set)
    closed: list[str] = field(default_factory=list)
    posted: defaultdict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))

    def post(self, api: Api, connection: str, text: str) -> None:
        assert connection.startswith(api), "the wrong API"
        if connection in self.gone:
            raise Gone
        self.posted[connection].append(decode(text))

    def close(self, api: Api, connection: str) -> None:
        del api
        self.closed.append(connection)
        self.gone.add(connection)

    def take(self, connection: str) -> list[Message]:
        return self.posted.pop(connection, [])

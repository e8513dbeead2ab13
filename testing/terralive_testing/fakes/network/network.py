"""A simulated network between brokers and their clients, with a simulated clock and seeded faults.

Everything that happens is an event on one heap. The network checks the rules that must always hold,
and raises AssertionError at once.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from terralive_stub.broker.exchange import Exchange
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.broker.leases import ConnectionIdentity, Lease, Takeover
from terralive_stub.broker.services import Gone
from terralive_stub.protocol.messages import FallbackCount
from terralive_stub.protocol.token import Api
from terralive_testing.fakes.broker import FakeTable
from terralive_testing.fakes.network.handlers import Handlers

EPOCH_MS = 1_700_000_000_000
INTERNAL_ERROR = '{"message": "Internal server error", "connectionId": "c", "requestId": "x"}'
IDENTITY_TROUBLE = "API Gateway answered 500"
CONNECTION_S = 7200.0
PING_NOTICES_S = 30.0


@dataclass(frozen=True)
class Faults:
    """Chances, from 0 to 1, of faults of one message (or one run of a broker)."""

    drop: float = 0.0
    duplicate: float = 0.0
    slow: float = 0.0
    broker: float = 0.0


class BrokerDiedError(Exception):
    """A run of the broker fails: Lambda, DynamoDB or the management API has failed."""


@dataclass(eq=False)
class Link:
    """One WebSocket connection.

    Attributes:
        at_gateway: the gateway takes it for open.
        at_client: the client takes it for open.
        carries: messages get through.
    """

    name: str
    api: Api
    client: Client
    at_gateway: bool = True
    at_client: bool = True
    carries: bool = True


# A connection, and the text of a message; None for the end of the connection.
Item = tuple[Link, str | None]


class Client(Protocol):
    """The client of a connection."""

    def take(self, item: Item) -> None:
        """Take a message, or the end of a connection."""
        ...


class Network:
    """The simulated network. `run` lets time pass."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        self.faults = Faults()
        self.table = FakeTable()
        self.links: dict[str, Link] = {}
        self.handlers = Handlers()
        shaky = ShakyTable(self)
        self.brokers = [Exchange(shaky, self), Exchange(shaky, self)]
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, time: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (max(time, self.now), next(self._numbers), do))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, do = heapq.heappop(self._events)
            do()
        self.now = end

    @property
    def now_ms(self) -> int:
        return EPOCH_MS + int(self.now * 1000)

    def new_attempt(self, request_id: str) -> str:
        """Return the name of another attempt of a request id."""
        return f"{request_id}/{next(self._numbers)}"

    def happens(self, chance: float) -> bool:
        return self.chance.random() < chance

    def latency(self) -> float:
        seconds = 0.0
        if self.happens(self.faults.slow):
            seconds = self.chance.uniform(0.5, 8.0)
        return self.chance.uniform(0.005, 0.06) + seconds

    def copies(self) -> int:
        """Return how many copies of a message arrive: none, one or two."""
        sent = 1
        if self.happens(self.faults.duplicate):
            sent = 2
        return sum(not self.happens(self.faults.drop) for _ in range(sent))

    def shake(self) -> None:
        if self.happens(self.faults.broker):
            raise BrokerDiedError

    # Between client and broker. Every message is a run of the broker, so there is no order.

    def open(self, client: Client, api: Api, arn: str) -> Link | None:
        """Try to open a connection that is admitted. None where the gateway fails."""
        link = Link(f"{api}-{next(self._numbers)}", api, client)
        try:
            self.chance.choice(self.brokers).connect(link.name, api, arn, self.now_ms)
        except BrokerDiedError:
            return None
        self.links[link.name] = link
        self.at(self.now + CONNECTION_S, lambda: self.cut(link))
        return link

    def send(self, link: Link, text: str) -> None:
        _check_attempt(text)
        for _ in range(self.copies()):
            self.at(self.now + self.latency(), lambda: self._arrive(link, text))

    def _arrive(self, link: Link, text: str) -> None:
        if not (link.at_gateway and link.carries):
            return
        try:
            self.chance.choice(self.brokers).message(link.name, text, self.now_ms)
        except BrokerDiedError:
            self._carry(link, INTERNAL_ERROR)

    def post(self, api: Api, connection: str, text: str) -> None:
        """Send a message to a client, as the `@connections` API does for a broker."""
        self.shake()
        _check_attempt(text)
        link = self.links.get(connection)
        if link is None or not link.at_gateway:
            raise Gone
        assert api is link.api, "the wrong stage's endpoint"
        self._carry(link, text)

    def close(self, api: Api, connection: str) -> None:
        del api
        link = self.links.get(connection)
        if link is not None and link.at_gateway:
            if link.carries:
                self.at(self.now + self.latency(), lambda: self.client_notices(link))
            self.gateway_notices(link)

    def _carry(self, link: Link, text: str) -> None:
        for _ in range(self.copies()):
            self.at(self.now + self.latency(), lambda: self._reach(link, text))

    @staticmethod
    def _reach(link: Link, text: str) -> None:
        if link.carries and link.at_client:
            link.client.take((link, text))

    # The end of connections.

    def cut(self, link: Link) -> None:
        """End a connection. Both ends notice it, each after a while."""
        if link.carries:
            link.carries = False
            self.at(self.now + self.latency(), lambda: self.client_notices(link))
            self.at(self.now + self.latency(), lambda: self.gateway_notices(link))

    def silence(self, link: Link, gateway_after_s: float | None) -> None:
        """Let a connection die without a sign. The gateway notices it later, or never."""
        link.carries = False
        if gateway_after_s is not None:
            self.at(self.now + gateway_after_s, lambda: self.gateway_notices(link))
        if link.api is Api.RELAY:  # stubs send no pings
            self.at(
                self.now + self.chance.uniform(10, PING_NOTICES_S),
                lambda: self.client_notices(link),
            )

    def client_notices(self, link: Link) -> None:
        if link.at_client:
            link.at_client = False
            link.client.take((link, None))

    def gateway_notices(self, link: Link) -> None:
        if link.at_gateway:
            link.at_gateway = link.carries = False
            if not self.happens(self.faults.drop):  # $disconnect is sent on a best-effort basis
                self.at(self.now + self.latency(), lambda: self._disconnect(link))

    def _disconnect(self, link: Link) -> None:
        try:
            self.chance.choice(self.brokers).disconnect(link.name, self.now_ms)
        except BrokerDiedError:
            return


def _check_attempt(text: str) -> None:
    """Check that a message about an invocation names its attempt."""
    document = json.loads(text)
    if document.get("request_id", "-") not in {"", "-"}:  # "-" is the broker's probe
        assert document["attempt"].startswith(document["request_id"] + "/"), document["action"]


@dataclass
class ShakyTable:
    """The shared table, whose calls fail at random."""

    network: Network

    def put_identity(self, identity: ConnectionIdentity) -> None:
        self.network.shake()
        self.network.table.put_identity(identity)

    def get_identity(self, connection: str) -> ConnectionIdentity | None:
        self.network.shake()
        return self.network.table.get_identity(connection)

    def delete_identity(self, connection: str) -> None:
        self.network.shake()
        self.network.table.delete_identity(connection)

    def get_lease(self) -> Lease | None:
        self.network.shake()
        return self.network.table.get_lease()

    def put_lease(self, lease: Lease, *, replaces: int) -> None:
        self.network.shake()
        self.network.table.put_lease(lease, replaces=replaces)

    def put_takeover(self, takeover: Takeover) -> None:
        self.network.shake()
        self.network.table.put_takeover(takeover)

    def get_replaced(self, function: str) -> Replaced | None:
        self.network.shake()
        return self.network.table.get_replaced(function)

    def count_fallback(self, function: str, *, ok: bool, now_ms: int) -> None:
        self.network.shake()
        self.network.table.count_fallback(function, ok=ok, now_ms=now_ms)

    def take_fallback_counts(self) -> list[FallbackCount]:
        self.network.shake()
        return self.network.table.take_fallback_counts()

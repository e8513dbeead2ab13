"""Stubs, brokers and relays in a simulated network, with a simulated clock and seeded faults.

The sessions are the real ones. The actors carry out their effects as the shells do (`stub.py`,
`relay.py`, the two transports). Everything that happens is an event on one heap. The network
checks the rules that must always hold, and raises AssertionError at once.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from terralive_relay.connection.effects import Close, Renew, Run, Stop
from terralive_relay.connection.effects import Effect as RelayEffect
from terralive_relay.connection.effects import Send as RelaySend
from terralive_relay.connection.leasing import RelayIdentity
from terralive_relay.connection.session import RelaySession
from terralive_stub.broker.exchange import Exchange, Gone
from terralive_stub.broker.leases import ConnectionIdentity, Lease, Takeover
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.protocol.messages import Ack, Chunk, GatewayError, ProtocolError
from terralive_stub.protocol.payloads import digest_environment
from terralive_stub.protocol.token import Api
from terralive_stub.protocol.wire import decode, encode
from terralive_stub.stub.effects import Connect, Effect, Finish, Send
from terralive_stub.stub.session import LAST_QUESTION_SECONDS, StubSession
from terralive_testing.fakes.broker import FakeTable

KEY = bytes(32)  # of environments' digests
EPOCH_MS = 1_700_000_000_000
RELAY_CLOCK_MS = 7 * 3_600_000  # the clock of the relay's machine is wrong by hours
RELAY_AHEAD_SECONDS = 9_000.0  # and its monotonic clock began at another time
INTERNAL_ERROR = '{"message": "Internal server error", "connectionId": "c", "requestId": "x"}'
CONNECTION_S = 7200.0
PING_NOTICES_S = 30.0
IDENTITY_TROUBLE = "API Gateway answered 500"


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
    client: StubActor | RelayActor
    at_gateway: bool = True
    at_client: bool = True
    carries: bool = True


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

    def open(self, client: StubActor | RelayActor, api: Api, arn: str) -> Link | None:
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


@dataclass
class Handlers:
    """The record of what workers have run.

    Attributes:
        duration_s: how long a handler takes, by request id.
        runs: the number of runs, by the relay's life and request id.
        started: request ids whose handler has started.
        given: the outcomes that handlers have given, by request id.
    """

    duration_s: dict[str, float] = field(default_factory=dict)
    runs: defaultdict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    started: set[str] = field(default_factory=set)
    given: defaultdict[str, list[Outcome]] = field(default_factory=lambda: defaultdict(list))

    def start(self, life: str, invocation: Invocation) -> None:
        self.runs[life, invocation.request_id] += 1
        self.started.add(invocation.request_id)
        assert self.runs[life, invocation.request_id] == 1, (
            f"{invocation.request_id} ran twice in {life}"
        )
        assert invocation.environment["FUNCTION"] == invocation.function, "another's environment"
        digest = digest_environment(invocation.environment, KEY)
        assert digest == invocation.environment_digest, "another process's environment"

    def finish(self, life: str, invocation: Invocation) -> Outcome:
        words = (invocation.request_id, invocation.function_name, len(invocation.event), life)
        body = json.dumps(" ".join(map(str, words))).encode()
        error_type = ""
        if invocation.request_id.endswith("bad"):
            error_type = "OrderError"
        outcome = Outcome(body, error_type)
        self.given[invocation.request_id].append(outcome)
        return outcome


Item = tuple[Link, str | None]


class StubActor:
    """One execution environment of a live function, as Lambda runs and freezes it."""

    def __init__(self, network: Network, function: str) -> None:
        self._network = network
        self.function = function
        self.away_until = 0.0  # its network: a VPC without a way out, for a while
        self.ended: dict[str, Outcome | None] = {}  # None: Lambda's own timeout
        self.invocation: Invocation | None = None
        self.reconnects = 0
        # When a relay last reported that it owns the present invocation.
        self._heard: float | None = None
        self._ended_there = False  # a part of its result has arrived
        self._boots = 0
        self._boot()

    def _boot(self) -> None:
        # Every process has variables of its own, as its log stream's name.
        self._boots += 1
        self.environment = {"FUNCTION": self.function, "PROCESS": str(self._boots)}
        self.session = StubSession(app="orders", stage="dev", jitter=self._network.chance.random)
        self.link: Link | None = None
        self._inbox: list[Item] = []
        self._opening = False
        self._turn = 0

    @property
    def busy(self) -> bool:
        return self.invocation is not None

    def invoke(self, request_id: str, event: bytes, timeout_s: float) -> None:
        """Thaw the environment and run an invocation. Its end is recorded in `ended`."""
        assert not self.busy
        network = self._network
        deadline = network.now + timeout_s
        call = Invocation(
            request_id,
            self.function,
            self.function,
            Deadline(deadline),
            event,
            self.environment,
            environment_digest=digest_environment(self.environment, KEY),
        )
        self.ended.pop(request_id, None)
        self._heard = None
        self._ended_there = False
        # Mostly the reader thread has already noticed what happened while it was frozen. That may
        # be messages about an earlier attempt with this id, which are not about this one.
        if network.happens(0.8):
            self._feed_all()
        self.invocation = call
        network.at(deadline, lambda: self._lambda_timeout(call))
        effects = self.session.begin(call, network.now)
        self._do(effects)
        self._feed_all()

    def take(self, item: Item) -> None:
        self._inbox.append(item)
        if self.busy and not self._opening:
            self._feed_all()

    def _feed_all(self) -> None:
        while self._inbox and not self._opening:
            link, text = self._inbox.pop(0)
            if link is not self.link:
                continue
            if text is None:
                self.link = None
                self._do(self.session.connection_lost(self._network.now, "reset"))
                continue
            try:
                message = decode(text)
            except GatewayError:
                self._do(self.session.gateway_failed(self._network.now))
                continue
            mine = (
                self.invocation is not None
                and getattr(message, "request_id", "") == self.invocation.request_id
            )
            if mine and isinstance(message, Ack | Chunk):
                self._heard = self._network.now
                self._ended_there |= isinstance(message, Chunk)
            self._do(self.session.received(message, self._network.now))

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Finish):
                self._finish(effect.outcome)
            elif isinstance(effect, Connect):
                self._connect()
            elif self.link is not None:
                assert isinstance(effect, Send)
                offered = isinstance(effect.message, Chunk)
                assert not (offered and self._heard is not None), (
                    "an acknowledged invocation was sent again"
                )
                self._network.send(self.link, encode(effect.message))
        self._wake_later()

    def _wake_later(self) -> None:
        self._turn += 1
        turn = self._turn
        if self.busy and not self._opening:
            self._network.at(self.session.next_tick(self._network.now), lambda: self._wake(turn))

    def _wake(self, turn: int) -> None:
        if turn == self._turn:
            self._do(self.session.tick(self._network.now))

    def _connect(self) -> None:
        network = self._network
        if self.link is not None:
            self._hang_up(self.link)
        self._opening = True
        patience = min(10.0, max(0.1, self.session.give_up_at.at - network.now))
        takes = network.latency()
        call = self.invocation
        away = network.now + takes < self.away_until
        done = min(takes, patience)
        if away:
            done = network.chance.choice([0.01, patience])
        network.at(
            network.now + done, lambda: self._connected(call, failed=away or takes > patience)
        )

    def _connected(self, call: Invocation | None, *, failed: bool) -> None:
        if call is not self.invocation:
            return  # Lambda has ended that process
        self._opening = False
        now = self._network.now
        self.link = None
        if not failed:
            self.link = self._network.open(self, Api.STUB, self.function)
        self.reconnects += 1
        if self.link is None:
            self._do(self.session.connection_lost(now, IDENTITY_TROUBLE))
        else:
            self._do(self.session.connected(now))
        self._feed_all()

    def _hang_up(self, link: Link) -> None:
        link.at_client = False
        self.link = None
        if link.carries:
            self._network.at(self._network.now + 0.01, lambda: self._network.gateway_notices(link))

    def _finish(self, outcome: Outcome) -> None:
        call = self.invocation
        assert call is not None, "an invocation has ended twice"
        self.invocation = None
        self.ended[call.request_id] = outcome
        own = outcome.error_type.startswith("Terralive.")
        assert own or outcome in self._network.handlers.given[call.request_id], (
            f"no handler gave {outcome}"
        )

    def _lambda_timeout(self, call: Invocation) -> None:
        if self.invocation is not call:
            return
        running = (
            self._heard is not None and self._heard >= self._network.now - LAST_QUESTION_SECONDS
        )
        assert running, (
            f"{call.request_id}: Lambda's timeout, but no relay reported that the handler runs"
        )
        assert not self._ended_there, (
            f"{call.request_id}: Lambda's timeout, though the handler had ended"
        )
        assert call.request_id in self._network.handlers.started
        self.ended[call.request_id] = None
        self.invocation = None
        if self.link is not None:
            self._hang_up(self.link)
        self._boot()


class RelayActor:
    """One life of one relay process, its transport and its workers."""

    def __init__(
        self,
        network: Network,
        life: str,
        person: str,
        functions: tuple[str, ...],
        *,
        takeover: bool,
        renew_after_s: float = 6300.0,
    ) -> None:
        self._network = network
        self._arn = f"arn:aws:sts::1:assumed-role/Developer-{person}/session"
        self.life, self.person = life, person
        identity = RelayIdentity(life, functions, person, f"{person}s-laptop", takeover)
        self.session = RelaySession(identity, renew_after_s)
        self.stopped: Stop | None = None
        self.dead = False
        self.asleep = False
        self.away_until = 0.0
        self.lines: dict[int, Link | None] = {}  # None: it is opening
        self.losses = 0  # how often there was no connection at all
        self._numbers = itertools.count(1)
        self._inbox: list[Callable[[], None]] = []
        self._turn = 0
        self._attempt = 0
        self._connect()
        self._wake_later()

    @property
    def running(self) -> bool:
        return not self.dead and self.stopped is None

    @property
    def links(self) -> list[Link]:
        return [link for link in self.lines.values() if link is not None]

    @property
    def now(self) -> float:
        """This machine's monotonic clock, in seconds."""
        return self._network.now + RELAY_AHEAD_SECONDS

    def kill(self) -> None:
        """`kill -9`: the kernel closes its connections, its guardian ends its workers."""
        self.dead = True
        for link in self.links:
            self._network.cut(link)

    def sleep(self, seconds: float) -> None:
        """The process stands still (a laptop's lid, a debugger, swapping).

        Time and its peers do not.
        """
        self.asleep = True
        self._network.at(self._network.now + seconds, self._wake_up)

    def _wake_up(self) -> None:
        if self.asleep:
            self.asleep = False
            waiting, self._inbox = self._inbox, []
            for do in waiting:
                self._soon(do)
            if self.running:
                self._do(self.session.leasing.woke(self.now))

    def change_network(self) -> None:
        """Change the address. Open connections are dead, and the shell has noticed it."""
        for link in self.links:
            self._network.silence(link, None)
        self._soon(lambda: self._do(self.session.leasing.network_changed()))

    def renew(self) -> None:
        """Renew the active connection, whose two hours are almost over."""
        if self.running and not self.asleep:
            self._do([Renew()])

    def _soon(self, do: Callable[[], None]) -> None:
        if not self.running:
            return
        if self.asleep:
            self._inbox.append(do)
        else:
            do()

    def take(self, item: Item) -> None:
        self._soon(lambda: self._feed(item))

    def _feed(self, item: Item) -> None:
        link, text = item
        number = next((number for number, mine in self.lines.items() if mine is link), None)
        if not self.running or number is None:
            return
        if text is None:
            self._ended(number, "reset")
            return
        try:
            now_ms = self._network.now_ms + RELAY_CLOCK_MS
            effects = self.session.received(number, decode(text), self.now, now_ms)
        except ProtocolError:
            return
        self._do(effects)

    def _do(self, effects: list[RelayEffect]) -> None:
        for effect in effects:
            match effect:
                case RelaySend(connection=connection, message=message):
                    link = self.lines.get(connection)
                    if link is not None:
                        self._network.send(link, encode(message))
                case Run(invocation=invocation):
                    self._start(invocation)
                case Renew():
                    self._connect()
                case Close(connection=connection, why=why):
                    link = self.lines.get(connection)
                    if link is not None:
                        link.at_client = False
                        self._network.cut(link)
                        self._ended(connection, why)
                case Stop():
                    self.stopped = effect
                    for link in self.links:
                        self._network.cut(link)
                case _:
                    pass
        self._wake_later()

    def _wake_later(self) -> None:
        self._turn += 1
        turn = self._turn
        due = self.session.next_tick(self.now)
        self._network.at(due - RELAY_AHEAD_SECONDS, lambda: self._soon(lambda: self._wake(turn)))

    def _wake(self, turn: int) -> None:
        if turn == self._turn and self.running:
            self._do(self.session.tick(self.now))

    def _start(self, invocation: Invocation) -> None:
        network = self._network
        network.handlers.start(self.life, invocation)
        takes = network.handlers.duration_s.get(invocation.request_id, 0.0)
        left = invocation.deadline.remaining(self.now)
        if takes < left:
            network.at(network.now + takes, lambda: self._soon(lambda: self._finished(invocation)))
        else:
            network.at(network.now + left, lambda: self._soon(lambda: self._timed_out(invocation)))

    def _finished(self, invocation: Invocation) -> None:
        if self.running:
            outcome = self._network.handlers.finish(self.life, invocation)
            self._do(
                self.session.invocations.finished(
                    invocation.request_id, outcome, 1.0, self.now, answered_by_lambda=False
                )
            )

    def _timed_out(self, invocation: Invocation) -> None:
        if self.running:
            outcome = Outcome(b'{"errorType":"Sandbox.Timedout"}', "Sandbox.Timedout")
            self._network.handlers.given[invocation.request_id].append(outcome)
            self._do(
                self.session.invocations.finished(
                    invocation.request_id, outcome, 1.0, self.now, answered_by_lambda=True
                )
            )

    def _ended(self, number: int, why: str) -> None:
        del self.lines[number]
        if self.lines:
            self._do(self.session.leasing.closed(number, self.now, why, None))
            return
        self.losses += 1
        delay = 0.1
        if self._attempt:
            delay = self._network.chance.choice([0.1, 0.5, 1.0, 2.0, 4.0])
        self._attempt += 1
        self._do(self.session.leasing.closed(number, self.now, why, delay))
        self._network.at(self._network.now + delay, lambda: self._soon(self._connect))

    def _connect(self) -> None:
        network = self._network
        number = next(self._numbers)
        self.lines[number] = None
        network.at(
            network.now + network.latency(), lambda: self._soon(lambda: self._connected(number))
        )

    def _connected(self, number: int) -> None:
        if not self.running:
            return
        away = self._network.now < self.away_until
        link = None
        if not away:
            link = self._network.open(self, Api.RELAY, self._arn)
        if link is None:
            self._ended(number, IDENTITY_TROUBLE)
            return
        self.lines[number] = link
        self._attempt = 0
        self._do(self.session.leasing.opened(number, self.now))

"""Stubs, two brokers and relays in simulated time, with all faults of networks and people.

`TERRALIVE_EXPLORE=2000` looks further than the examples that every run repeats.
"""

from __future__ import annotations

import itertools
import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.protocol.token import Api
from terralive_testing.fakes.network.network import CONNECTION_S, Faults, Link, Network
from terralive_testing.fakes.network.relay_actor import RelayActor
from terralive_testing.fakes.network.stub_actor import StubActor

FUNCTIONS = ("fn", "other")
EXPLORE = int(os.environ.get("TERRALIVE_EXPLORE", "0"))
CALM = Faults()


class Stage:
    """One stage with three execution environments and the relays that people start."""

    def __init__(self, seed: int) -> None:
        self.network = Network(seed)
        self.stubs = [StubActor(self.network, function) for function in ("fn", "fn", "other")]
        self._numbers = itertools.count(1)
        self.traffic = False
        self.relay = self.start("ana")

    def has_fallback(self, function: str) -> None:
        self.network.table.put_replaced(Replaced(function, "7", code_sha256="", made=True))

    def start(self, person: str, *, takeover: bool = False) -> RelayActor:
        life = f"{person}-{next(self._numbers)}"
        self.relay = RelayActor(self.network, life, person, FUNCTIONS, takeover=takeover)
        return self.relay

    def invoke(
        self,
        stub: StubActor,
        *,
        timeout_s: float = 30.0,
        handler_s: float = 0.0,
        size: int = 2,
        bad: bool = False,
        stream: bool = False,
    ) -> str:
        request_id = f"r{next(self._numbers)}{'-stream' * stream}{'-bad' * bad}"
        self.network.handlers.duration_s[request_id] = handler_s
        stub.invoke(request_id, self.network.chance.randbytes(size), timeout_s)
        return request_id

    def call_again(self, stub: StubActor) -> None:
        """Traffic.

        Whenever an execution environment is free, a new invocation or Lambda's retry of a failed
        one.
        """
        chance = self.network.chance
        if self.traffic and not stub.busy:
            failed = self.failed(stub.function)
            if failed and chance.random() < 0.2:
                # An asynchronous invocation comes again, with the same request id, to any
                # execution environment of the function.
                former, request_id = chance.choice(failed)
                del former.ended[request_id]
                stub.invoke(request_id, b"{}", 30.0)
            else:
                self.invoke(
                    stub,
                    timeout_s=chance.choice([1.0, 3.0, 10.0, 30.0, 60.0]),
                    handler_s=chance.choice([0.0, 0.1, 1.0, 4.0, 20.0]),
                    size=250_000 if chance.random() < 0.02 else 2,
                    bad=chance.random() < 0.1,
                    stream=chance.random() < 0.2,
                )
        frozen_s = 700.0 if chance.random() < 0.01 else chance.expovariate(1.0)
        if self.traffic:
            self.network.at(self.network.now + frozen_s, lambda: self.call_again(stub))

    def failed(self, function: str) -> list[tuple[StubActor, str]]:
        """Return the failed invocations of a function, with the stub that had each one last."""
        return [
            (stub, request_id)
            for stub in self.stubs
            for request_id, outcome in stub.ended.items()
            if stub.function == function and not (outcome and outcome.ok)
        ]

    def open_links(self, api: Api) -> list[Link]:
        return [link for link in self.network.links.values() if link.api is api and link.carries]

    def settle(self) -> None:
        """The faults are over; a person starts a relay again where theirs has stopped."""
        self.traffic = False
        self.network.faults = CALM
        self.relay.away_until = 0.0
        for stub in self.stubs:
            stub.away_until = 0.0
        self.network.run(95.0)
        if not self.relay.running:
            self.start(self.relay.person, takeover=True)
            self.network.run(5.0)

    def all_succeed(self) -> None:
        for stub in self.stubs:
            assert not stub.busy, "an invocation outlived its deadline"
            request_id = self.invoke(stub, handler_s=0.5)
            self.network.run(20.0)
            outcome = stub.ended.get(request_id)
            assert outcome is not None, "no end"
            assert outcome.ok, outcome.body


class ProtocolNetwork(RuleBasedStateMachine):
    """Invariants are checked by the network itself, at every step.

    After the last one, everything works again.
    """

    @initialize(seed=st.integers(0, 2**32), fallback=st.booleans())
    def begin(self, seed: int, *, fallback: bool) -> None:
        self.stage = Stage(seed)
        self.network = self.stage.network
        if fallback:
            self.stage.has_fallback("fn")
        self.stage.traffic = True
        for stub in self.stage.stubs:
            self.stage.call_again(stub)

    @rule(seconds=st.sampled_from([0.02, 0.1, 0.5, 1.0, 3.0, 5.0, 12.0, 30.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.network.run(seconds)

    @rule(
        drop=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
        duplicate=st.sampled_from([0.0, 0.3]),
        slow=st.sampled_from([0.0, 0.1, 0.5]),
        broker=st.sampled_from([0.0, 0.05, 0.5]),
    )
    def network_gets_worse_or_better(
        self, drop: float, duplicate: float, slow: float, broker: float
    ) -> None:
        self.network.faults = Faults(drop, duplicate, slow, broker)

    @rule(
        api=st.sampled_from(Api),
        silently=st.booleans(),
        gateway_after=st.sampled_from([0.0, 3.0, 25.0, None]),
    )
    def connection_is_lost(self, *, api: Api, silently: bool, gateway_after: float | None) -> None:
        links = self.stage.open_links(api)
        if not links:
            return
        link = self.network.chance.choice(links)
        if silently:
            self.network.silence(link, gateway_after)
        else:
            self.network.cut(link)

    @rule(seconds=st.sampled_from([2.0, 15.0, 80.0]))
    def relay_has_no_network(self, seconds: float) -> None:
        self.stage.relay.away_until = self.network.now + seconds
        for link in self.stage.relay.links:
            self.network.silence(link, None)

    @rule(stub=st.integers(0, 2), seconds=st.sampled_from([1.0, 20.0]))
    def stub_has_no_network(self, stub: int, seconds: float) -> None:
        actor = self.stage.stubs[stub]
        actor.away_until = self.network.now + seconds
        if actor.link is not None:
            self.network.silence(actor.link, 5.0)

    @precondition(lambda self: self.stage.relay.running)
    @rule(seconds=st.sampled_from([2.0, 15.0, 80.0]))
    def relay_stands_still(self, seconds: float) -> None:
        self.stage.relay.sleep(seconds)

    @precondition(lambda self: self.stage.relay.running)
    @rule()
    def relay_changes_its_network(self) -> None:
        self.stage.relay.change_network()

    @precondition(lambda self: self.stage.relay.running)
    @rule()
    def relay_renews_its_connection(self) -> None:
        self.stage.relay.renew()

    @rule(person=st.sampled_from(["ana", "ben"]), takeover=st.booleans())
    def relay_is_killed_and_started_again(self, *, person: str, takeover: bool) -> None:
        self.stage.relay.kill()
        self.network.run(0.5)
        self.stage.start(person, takeover=takeover)

    @precondition(lambda self: self.stage.relay.running)
    @rule(killed=st.booleans(), seconds=st.sampled_from([0.5, 12.0, 30.0]))
    def nobody_is_connected_for_a_while(self, *, killed: bool, seconds: float) -> None:
        if killed:
            self.stage.relay.kill()
        elif not self.stage.relay.asleep:
            self.stage.relay.leave()
        self.network.run(seconds)
        if not self.stage.relay.running:
            self.stage.start("ana", takeover=True)

    @rule()
    def colleague_takes_the_stage_over(self) -> None:
        self.stage.start("ben" if self.stage.relay.person == "ana" else "ana", takeover=True)

    def teardown(self) -> None:
        self.stage.settle()
        self.stage.all_succeed()


ProtocolNetwork.TestCase.settings = settings(
    max_examples=EXPLORE or 300,
    stateful_step_count=30,
    deadline=None,
    derandomize=not EXPLORE,
    database=None,
    phases=(Phase.generate, Phase.shrink)
    if EXPLORE
    else (Phase.generate,),  # shrinking takes minutes
    suppress_health_check=list(HealthCheck),
)
test_whatever_happens_nothing_is_lost_and_everything_works_again_after_it = pytest.mark.timeout(0)(
    ProtocolNetwork.TestCase
)


@pytest.mark.parametrize("seed", range(20))
def test_lost_connections_alone_cost_no_invocation_and_run_no_handler_twice(seed: int) -> None:
    stage = Stage(seed)
    network = stage.network
    network.run(1.0)
    for _ in range(10):
        calls = {stage.invoke(stub, timeout_s=60.0, handler_s=2.0): stub for stub in stage.stubs}
        for _ in range(3):
            network.run(network.chance.uniform(0.0, 2.0))
            links = [link for link in network.links.values() if link.carries]
            if links:
                network.cut(network.chance.choice(links))
        network.run(60.0)
        for request_id, stub in calls.items():
            outcome = stub.ended[request_id]
            assert outcome is not None
            assert outcome.ok, outcome.body
            assert len(network.handlers.started[request_id]) == 1


@pytest.mark.parametrize("seed", range(10))
def test_lost_connections_cost_a_stream_no_byte(seed: int) -> None:
    stage = Stage(seed)
    network = stage.network
    network.run(1.0)
    for _ in range(5):
        calls = {
            stage.invoke(stub, timeout_s=60.0, handler_s=2.0, stream=True): stub
            for stub in stage.stubs
        }
        for _ in range(3):
            network.run(network.chance.uniform(0.0, 2.0))
            links = [link for link in network.links.values() if link.carries]
            if links:
                network.cut(network.chance.choice(links))
        network.run(60.0)
        for request_id, stub in calls.items():
            outcome = stub.ended[request_id]
            assert outcome is not None
            assert outcome.ok, outcome.body
            assert outcome.streamed is not None


@pytest.mark.parametrize("seed", range(5))
def test_a_relay_that_is_restarted_in_the_middle_of_a_stream_ends_it_by_a_named_error(
    seed: int,
) -> None:
    stage = Stage(seed)
    network = stage.network
    network.run(1.0)
    fn = stage.stubs[0]
    network.handlers.pieces = 20
    call = stage.invoke(fn, timeout_s=60.0, handler_s=30.0, stream=True)
    network.run(5.0)
    stage.relay.kill()
    stage.start("ana", takeover=True)
    network.run(60.0)
    outcome = fn.ended[call]
    assert outcome is not None
    assert outcome.error_type == "Terralive.RelayLost"
    assert outcome.streamed is not None


@pytest.mark.parametrize("seed", range(5))
def test_the_two_hour_limit_costs_no_invocation_a_refusal_or_a_second_try(seed: int) -> None:
    """Invocations without a pause over seven hours: the relay is never without a connection."""
    stage = Stage(seed)
    network = stage.network
    network.run(1.0)
    first = stage.open_links(Api.RELAY)
    for _ in range(2500):
        calls = [
            stage.invoke(stub, handler_s=network.chance.choice([0.0, 0.3, 8.0]))
            for stub in stage.stubs
        ]
        network.run(10.0)
        for stub, call in zip(stage.stubs, calls, strict=True):
            outcome = stub.ended[call]
            assert outcome is not None
            assert outcome.ok, outcome.body
    assert stage.relay.losses == 0
    assert network.now > 3 * CONNECTION_S
    assert not set(first) & set(stage.open_links(Api.RELAY))
    assert sum(network.handlers.runs.values()) == len(network.handlers.runs)


@pytest.mark.parametrize("seed", range(8))
def test_once_a_relay_is_back_no_broker_goes_on_posting_to_the_connection_that_died_without_a_sign(
    seed: int,
) -> None:
    stage = Stage(seed)
    network = stage.network
    network.run(1.0)
    for stub in stage.stubs:
        stage.invoke(stub)
    network.run(5.0)  # every broker knows the lease
    stage.relay.change_network()
    network.run(2.0)
    for _ in range(20):
        for stub in stage.stubs:
            call = stage.invoke(stub)
            network.run(1.0)
            assert call in stub.ended, "it took more than one try"


@pytest.mark.parametrize("killed", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_while_nobody_is_connected_the_deployed_code_answers_until_a_relay_is_back(
    seed: int, *, killed: bool
) -> None:
    stage = Stage(seed)
    network = stage.network
    stage.has_fallback("fn")
    network.run(1.0)
    if killed:
        stage.relay.kill()
    else:
        stage.relay.leave()
    network.run(3.0)
    fn, _, other = stage.stubs
    for handler_s in (0.0, 2.0):
        call = stage.invoke(fn, timeout_s=3.0 + handler_s, handler_s=handler_s)
        network.run(10.0)
        outcome = fn.ended[call]
        assert outcome is not None
        assert outcome.ok, outcome.body
        assert b"deployed" in outcome.body
    bad = stage.invoke(fn, bad=True)
    without = stage.invoke(other)
    network.run(20.0)
    assert fn.ended[bad] in network.handlers.given[bad]
    outcome = other.ended[without]
    assert outcome is not None
    assert outcome.error_type == "Terralive.NoRelay"

    count = network.table.fallback_counts["fn"]
    assert (count.answered, count.failed) == (3, 1)
    stage.start("ana")
    network.run(3.0)
    assert network.table.fallback_counts == {}
    call = stage.invoke(fn)
    network.run(10.0)
    outcome = fn.ended[call]
    assert outcome is not None
    assert b"deployed" not in outcome.body


def test_a_handler_that_is_too_slow_for_the_rest_of_the_time_ends_by_a_named_error() -> None:
    stage = Stage(1)
    stage.has_fallback("fn")
    stage.relay.kill()
    stage.network.run(30.0)
    fn = stage.stubs[0]
    call = stage.invoke(fn, timeout_s=3.0, handler_s=2.9)
    stage.network.run(3.0)
    outcome = fn.ended[call]
    assert outcome is not None
    assert outcome.error_type == "Terralive.FallbackLost"

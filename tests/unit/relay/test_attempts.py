"""Whatever stubs send in whatever order: an attempt runs once, and never beside another one.

A relay's session with retries of Lambda, repetitions of stubs, messages of a FIFO queue, lost
connections and handlers that end late. Time is a parameter.

`TERRALIVE_EXPLORE=2000` looks further than the examples that every run repeats.
"""

from __future__ import annotations

import json
import os
import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from terralive_relay.session.effects import Effect, Run, Send
from terralive_relay.session.leasing import RelayIdentity
from terralive_relay.session.session import RelaySession
from terralive_stub.protocol.chunks import CHUNK_BYTES, Assembler, split
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.protocol.messages import (
    Ack,
    Chunk,
    Done,
    Kind,
    Missing,
    Resume,
    Unknown,
    Welcome,
)
from terralive_stub.protocol.payloads import pack_invocation, unpack_outcome

NOW_MS = 1_700_000_000_000
QUEUE = "arn:aws:sqs:us-east-1:123456789012:orders.fifo"
# Two requests are deliveries of one message of a FIFO queue; the third one is no message.
MESSAGES = {"r1": "m1", "r2": "m1", "r3": ""}
REQUESTS = st.sampled_from(sorted(MESSAGES))
NUMBERS = st.integers(1, 4)
PEERS = st.sampled_from(["c1", "c2", "c3"])
EXPLORE = int(os.environ.get("TERRALIVE_EXPLORE", "0"))
FILLING = random.Random(1).randbytes(CHUNK_BYTES).hex()


def chunks_of(request_id: str, number: int, peer: str, *, large: bool) -> tuple[Chunk, ...]:
    """Return the messages of an attempt. Later numbers are later attempts of Lambda."""
    event: dict[str, object] = {"filling": ""}
    if large:
        event["filling"] = FILLING
    if MESSAGES[request_id]:
        record = {"messageId": MESSAGES[request_id], "eventSourceARN": QUEUE}
        event["Records"] = [record]
    call = Invocation(
        request_id, "fn", "fn", Deadline(60.0), json.dumps(event).encode(), began_ms=number * 1000
    )
    payload = pack_invocation(call, now=0.0)
    attempt = f"{request_id}/{number}"
    return split(Kind.INVOKE, request_id, "fn", payload, peer=peer, attempt=attempt)


class Attempts(RuleBasedStateMachine):
    """The driver does what the relay's shell does, and the model is what it has been told to run.

    Handlers that were replaced are dead at once. Their ends are reported later.
    """

    @initialize()
    def begin(self) -> None:
        self.session = RelaySession(RelayIdentity("life", ("fn",), "ana", "laptop"))
        self.now = 0.0
        self.connection = 0
        self.ran: list[str] = []
        # By attempt.
        self.running: dict[str, Invocation] = {}
        self.dead: list[str] = []
        self.ended: dict[str, Outcome] = {}
        self.connects()

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Run):
                self.run(effect.invocation, effect.replaces)
        for effect in effects:
            if isinstance(effect, Send):
                self.check(effect.message)

    def run(self, invocation: Invocation, replaces: tuple[str, ...]) -> None:
        for attempt in replaces:
            if self.running.pop(attempt, None) is None:
                assert attempt in self.dead, "it has reported its end"
            else:
                self.dead.append(attempt)
        request_id, number = invocation.attempt.split("/")
        assert invocation.attempt not in self.ran, "an attempt ran twice"
        earlier = [name for name in self.ran if name.startswith(f"{request_id}/")]
        assert all(name < invocation.attempt for name in earlier), "an attempt of the past ran"
        for other in self.running.values():
            assert other.request_id != request_id, "two handlers of one request at once"
            same = MESSAGES[other.request_id] == MESSAGES[request_id] != ""
            assert not same, "two handlers of one FIFO message at once"
        assert invocation.began_ms == int(number) * 1000
        self.ran.append(invocation.attempt)
        self.running[invocation.attempt] = invocation

    def check(self, message: object) -> None:
        """Check that a message is about the attempt that it names."""
        match message:
            case Ack(attempt=attempt):
                assert attempt in self.running or attempt in self.dead
            case Chunk(kind=Kind.RESULT, attempt=attempt):
                payload = Assembler().add(message, 0.0)
                assert payload is not None
                assert unpack_outcome(payload) == self.ended[attempt], "another attempt's result"
            case Unknown(attempt=attempt):
                assert attempt not in self.running
            case _:
                pass

    @rule(request_id=REQUESTS, number=NUMBERS, peer=PEERS, large=st.booleans(), data=st.data())
    def stub_sends(
        self, request_id: str, number: int, peer: str, *, large: bool, data: st.DataObject
    ) -> None:
        chunks = chunks_of(request_id, number, peer, large=large)
        arrived = data.draw(st.lists(st.sampled_from(chunks), min_size=1, max_size=4))
        for chunk in arrived:
            self.take(self.session.received(self.connection, chunk, self.now, NOW_MS))

    @rule(request_id=REQUESTS, number=NUMBERS, peer=PEERS, kind=st.sampled_from([Resume, Done]))
    def stub_asks(self, request_id: str, number: int, peer: str, kind: type[Resume | Done]) -> None:
        message = kind(request_id, "fn", peer, f"{request_id}/{number}")
        self.take(self.session.received(self.connection, message, self.now, NOW_MS))

    @rule(request_id=REQUESTS, number=NUMBERS, peer=PEERS)
    def stub_lacks_parts(self, request_id: str, number: int, peer: str) -> None:
        attempt = f"{request_id}/{number}"
        message = Missing(Kind.RESULT, request_id, "fn", (0,), peer, attempt)
        self.take(self.session.received(self.connection, message, self.now, NOW_MS))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def handler_ends(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(sorted(self.running)))
        del self.running[attempt]
        self.report(attempt, Outcome(attempt.encode()))

    @precondition(lambda self: self.dead)
    @rule(data=st.data())
    def dead_handler_is_reported(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(sorted(self.dead)))
        self.dead.remove(attempt)
        self.report(attempt, Outcome(b"{}", "Terralive.Replaced"))

    def report(self, attempt: str, outcome: Outcome) -> None:
        self.ended[attempt] = outcome
        self.take(
            self.session.invocations.finished(
                attempt, outcome, 1.0, self.now, answered_by_lambda=False
            )
        )

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.session.tick(self.now))

    @rule()
    def connects(self) -> None:
        if self.connection:
            self.take(self.session.leasing.closed(self.connection, self.now, "reset", 0.1))
        self.connection += 1
        self.take(self.session.leasing.opened(self.connection, self.now))
        welcome = Welcome("life", NOW_MS + 60_000, 20_000)
        self.take(self.session.received(self.connection, welcome, self.now, NOW_MS))

    @invariant()
    def keeps_what_it_has_to(self) -> None:
        store = self.session.invocations.store
        assert sorted(store.entries) == sorted(self.ran)
        assert set(self.running) | set(self.dead) <= {entry.attempt for entry in store.open()}
        assert set(store.results) <= set(self.ended)
        assert (store.result_bytes == 0) == (not store.results)


Attempts.TestCase.settings = settings(
    max_examples=EXPLORE or 100,
    stateful_step_count=40,
    deadline=None,
    derandomize=not EXPLORE,
    database=None,
)
test_an_attempt_runs_once_and_never_beside_another_one = Attempts.TestCase

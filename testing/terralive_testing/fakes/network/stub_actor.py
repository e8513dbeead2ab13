"""A stub in the simulated network.

The session is the real one. The actor carries out its effects as `stub.py` does.
"""

from __future__ import annotations

from dataclasses import replace

from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.protocol.messages import Ack, Chunk, FellBack, GatewayError, Kind, Piece
from terralive_stub.protocol.payloads import digest_environment
from terralive_stub.protocol.token import Api
from terralive_stub.protocol.wire import decode, encode
from terralive_stub.stub.effects import Connect, Effect, Finish, Invoke, Send, Show, Write
from terralive_stub.stub.fallback.answers import Answer, Answered, NotRun, Unclear
from terralive_stub.stub.session import StubSession
from terralive_stub.stub.waits import LAST_QUESTION_SECONDS
from terralive_testing.fakes.network.handlers import KEY
from terralive_testing.fakes.network.network import IDENTITY_TROUBLE, Item, Link, Network


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
        # The process waits for Lambda's API.
        self._invoking = False
        # Lambda takes no more bytes of the stream for a while.
        self._writing = False
        # What Lambda has got of the present invocation's stream.
        self._written = bytearray()
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
            attempt=network.new_attempt(request_id),
            began_ms=network.now_ms,
            streams=True,
        )
        self._written = bytearray()
        self.ended.pop(request_id, None)
        self._heard = None
        self._ended_there = False
        # Mostly the reader thread has already noticed what happened while it was frozen.
        if network.happens(0.8):
            self._feed_all()
        self.invocation = call
        network.at(deadline, lambda: self._lambda_timeout(call))
        effects = self.session.begin(call, network.now)
        self._do(effects)
        self._feed_all()

    def take(self, item: Item) -> None:
        self._inbox.append(item)
        if self.busy and not self._blocked:
            self._feed_all()

    @property
    def _blocked(self) -> bool:
        return self._opening or self._invoking or self._writing

    def _feed_all(self) -> None:
        while self._inbox and not self._blocked:
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
                and getattr(message, "attempt", "") == self.invocation.attempt
            )
            if mine and isinstance(message, Ack | Chunk | Piece):
                self._heard = self._network.now
                self._ended_there |= isinstance(message, Chunk) and message.kind is Kind.RESULT
            self._do(self.session.received(message, self._network.now))

    def _do(self, effects: list[Effect]) -> None:
        for number, effect in enumerate(effects):
            if isinstance(effect, Finish):
                self._finish(effect.outcome)
            elif isinstance(effect, Write):
                self._write(effect, effects[number + 1 :])
                return
            elif isinstance(effect, Connect):
                self._connect()
            elif isinstance(effect, Invoke):
                self._fall_back(effect)
            elif self.link is not None and not isinstance(effect, Show):
                assert isinstance(effect, Send)
                fell_back = self.invocation is not None and (
                    self.invocation.attempt in self._network.handlers.deployed
                )
                assert not fell_back or isinstance(effect.message, FellBack)
                offered = isinstance(effect.message, Chunk)
                assert not (offered and self._heard is not None), (
                    "an acknowledged invocation was sent again"
                )
                self._network.send(self.link, encode(effect.message))
        self._wake_later()

    def _write(self, effect: Write, others: list[Effect]) -> None:
        """Take bytes of a stream, now and then after a while. The other effects follow."""
        network, call = self._network, self.invocation
        self._written += effect.data
        wait_s = 0.0
        if network.happens(network.faults.slow / 5):
            wait_s = network.chance.uniform(0.1, 12.0)
        self._writing = True
        network.at(network.now + wait_s, lambda: self._wrote(call, others))

    def _wrote(self, call: Invocation | None, others: list[Effect]) -> None:
        # After the last bytes, the session has no invocation any more.
        if call is not self.invocation or not self._writing:
            return  # Lambda has ended that process
        self._writing = False
        told = self.session.wrote(self._network.now, accepted=True)
        self._do([*told, *others])
        self._feed_all()

    def _check_stream(self, call: Invocation, outcome: Outcome) -> Outcome:
        """Check that Lambda has got one handler's bytes, and all of them if it is a success.

        Returns:
            The outcome as the handler has given it.
        """
        if outcome.streamed is None:
            assert not self._written, "a stream has begun, and its end is another response"
            return outcome
        stream = (outcome.streamed.relay, call.attempt)
        handlers = self._network.handlers
        written = bytes(self._written)
        assert bytes(handlers.streams[stream][: len(written)]) == written, "other bytes"
        assert len(written) == outcome.streamed.size
        if outcome.ok:
            assert stream in handlers.whole, "a success of a stream that was not written to its end"
            assert written == handlers.streams[stream], "a truncated success"
        return replace(outcome, streamed=None)

    def _wake_later(self) -> None:
        self._turn += 1
        turn = self._turn
        if self.busy and not self._blocked:
            self._network.at(self.session.next_tick(self._network.now), lambda: self._wake(turn))

    def _wake(self, turn: int) -> None:
        if turn == self._turn:
            self._do(self.session.tick(self._network.now))

    def _fall_back(self, effect: Invoke) -> None:
        """Ask the deployed code, which may be throttled, too slow, or lost on its way back."""
        network, call = self._network, effect.invocation
        self._invoking = True
        if network.happens(network.faults.broker):
            network.at(network.now + 0.01, lambda: self._asked(call, NotRun("429", throttled=True)))
            return
        network.handlers.start_deployed(call)
        ends = (
            network.now + network.latency() + network.handlers.duration_s.get(call.request_id, 0.0)
        )
        answered = Answered(network.handlers.give("deployed", call))
        if network.happens(network.faults.drop):
            network.at(min(ends, effect.until.at), lambda: self._asked(call, Unclear("reset")))
        elif ends > effect.until.at:
            network.at(effect.until.at, lambda: self._asked(call, Unclear("too slow")))
        else:
            network.at(ends, lambda: self._asked(call, answered))

    def _asked(self, call: Invocation, answer: Answer) -> None:
        assert call is self.invocation, "an answer outlived its invocation"
        self._invoking = False
        self._do(self.session.fallback_ended(answer, self._network.now))
        self._feed_all()

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
        outcome = self._check_stream(call, outcome)
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
        assert running or self._writing, (
            f"{call.request_id}: Lambda's timeout, but no relay reported that the handler runs"
        )
        assert not self._ended_there, (
            f"{call.request_id}: Lambda's timeout, though the handler had ended"
        )
        handlers = self._network.handlers
        was_taken = call.attempt in handlers.started[call.request_id]
        assert was_taken or call.attempt in handlers.stopped
        self.ended[call.request_id] = None
        self.invocation = None
        if self.link is not None:
            self._hang_up(self.link)
        self._boot()

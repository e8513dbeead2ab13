"""A relay in the simulated network, with its transport and its workers.

The session is the real one. The actor carries out its effects as `relay.py` and the transport do.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from terralive_relay.session.effects import Close, Effect, LetWrite, Renew, Run, Send, Stop
from terralive_relay.session.leasing import RelayIdentity
from terralive_relay.session.session import RelaySession
from terralive_stub.protocol.chunks import WINDOW_BYTES
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.protocol.messages import ProtocolError
from terralive_stub.protocol.token import Api
from terralive_stub.protocol.wire import decode, encode
from terralive_testing.fakes.network.network import IDENTITY_TROUBLE, Item, Link, Network

RELAY_CLOCK_MS = 7 * 3_600_000  # the clock of the relay's machine is wrong by hours
RELAY_AHEAD_SECONDS = 9_000.0  # and its monotonic clock began at another time


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
        self.leaving = False  # no handler begins any more
        self.asleep = False
        self.away_until = 0.0
        self.lines: dict[int, Link | None] = {}  # None: it is opening
        self.losses = 0  # how often there was no connection at all
        self._numbers = itertools.count(1)
        self._inbox: list[Callable[[], None]] = []
        self._at_work: dict[str, Invocation] = {}  # by attempt
        # How many bytes of its stream the stub has consumed, by attempt; None: nobody wants more.
        self._consumed: dict[str, int | None] = {}
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

    def leave(self) -> None:
        """Ctrl-C: it ends its invocations, gives the lease back, and ends a moment later."""
        self.leaving = True
        stopped = Outcome(b'{"errorType":"Terralive.Stopped"}', "Terralive.Stopped")
        for invocation in list(self._at_work.values()):
            if self._was_at_work(invocation):
                self._network.handlers.end(self.life, invocation)
                self._report(invocation, stopped)
        self._soon(lambda: self._do(self.session.leasing.goodbye()))
        self._network.at(self._network.now + 2.0, self.kill)

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

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(connection=connection, message=message):
                    link = self.lines.get(connection)
                    if link is not None:
                        self._network.send(link, encode(message))
                case Run(invocation=invocation, replaces=replaces):
                    self._start(invocation, replaces)
                case LetWrite(attempt=attempt, consumed=consumed):
                    self._consumed[attempt] = consumed
                case Renew():
                    self._connect()
                case Close():
                    self._close(effect)
                case Stop():
                    self.stopped = effect
                    for link in self.links:
                        self._network.cut(link)
                case _:
                    pass
        self._wake_later()

    def _close(self, effect: Close) -> None:
        link = self.lines.get(effect.connection)
        if link is not None:
            link.at_client = False
            self._network.cut(link)
            self._ended(effect.connection, effect.why)

    def _wake_later(self) -> None:
        self._turn += 1
        turn = self._turn
        due = self.session.next_tick(self.now)
        self._network.at(due - RELAY_AHEAD_SECONDS, lambda: self._soon(lambda: self._wake(turn)))

    def _wake(self, turn: int) -> None:
        if turn == self._turn and self.running:
            self._do(self.session.tick(self.now))

    def _start(self, invocation: Invocation, replaces: tuple[str, ...]) -> None:
        network = self._network
        if self.leaving:
            stopped = Outcome(b'{"errorType":"Terralive.Stopped"}', "Terralive.Stopped")
            network.handlers.stopped.add(invocation.attempt)
            self._report(invocation, stopped)
            return
        for attempt in replaces:
            self._replace(self._at_work[attempt])
        network.handlers.start(self.life, invocation)
        self._at_work[invocation.attempt] = invocation
        takes = network.handlers.duration_s.get(invocation.request_id, 0.0)
        left = invocation.deadline.remaining(self.now)
        if invocation.streams and "stream" in invocation.request_id:
            self._consumed[invocation.attempt] = 0
            network.handlers.streams[self.life, invocation.attempt] = bytearray()
            self.session.invocations.stream_began(invocation.attempt, "text/plain")
            pieces = network.handlers.pieces
            if pieces is None:
                pieces = network.chance.choice([0, 1, 3, 20, 60])
            self._write(invocation, pieces, takes / max(1, pieces))
            network.at(network.now + left, lambda: self._soon(lambda: self._timed_out(invocation)))
            return
        if takes < left:
            network.at(network.now + takes, lambda: self._soon(lambda: self._finished(invocation)))
        else:
            network.at(network.now + left, lambda: self._soon(lambda: self._timed_out(invocation)))

    def _write(self, invocation: Invocation, pieces: int, every_s: float) -> None:
        """Write the pieces of a stream, one after the other, as far as the window lets it."""
        network, attempt = self._network, invocation.attempt
        if attempt not in self._at_work or not self.running:
            return
        written = network.handlers.streams[self.life, attempt]
        consumed = self._consumed[attempt]
        size = network.chance.choice([1, 1000, 150_000])
        has_room = consumed is None or len(written) in {consumed, 0}
        if consumed is not None and len(written) + size - consumed <= WINDOW_BYTES:
            has_room = True
        if not pieces:
            network.handlers.whole.add((self.life, attempt))
            self._finished(invocation)
            return
        if has_room:
            pieces -= 1
            data = network.chance.randbytes(size)
            written += data
            self._do(self.session.invocations.written(attempt, data, self.now))
        network.at(
            network.now + max(0.01, every_s),
            lambda: self._soon(lambda: self._write(invocation, pieces, every_s)),
        )

    def _finished(self, invocation: Invocation) -> None:
        if self._was_at_work(invocation):
            outcome = self._network.handlers.finish(self.life, invocation)
            self._report(invocation, outcome)

    def _replace(self, invocation: Invocation) -> None:
        """End a handler at once; its end is reported a moment later."""
        if self._was_at_work(invocation):
            self._network.handlers.end(self.life, invocation)
            outcome = Outcome(b'{"errorType":"Terralive.Replaced"}', "Terralive.Replaced")
            self._network.at(
                self._network.now + 0.001,
                lambda: self._soon(lambda: self._report(invocation, outcome)),
            )

    def _was_at_work(self, invocation: Invocation) -> bool:
        return self.running and self._at_work.pop(invocation.attempt, None) is not None

    def _report(self, invocation: Invocation, outcome: Outcome) -> None:
        if self.running:
            self._do(
                self.session.invocations.finished(
                    invocation.attempt, outcome, 1.0, self.now, answered_by_lambda=False
                )
            )

    def _timed_out(self, invocation: Invocation) -> None:
        if self._was_at_work(invocation):
            self._network.handlers.end(self.life, invocation)
            outcome = Outcome(b'{"errorType":"Sandbox.Timedout"}', "Sandbox.Timedout")
            self._network.handlers.given[invocation.request_id].append(outcome)
            self._do(
                self.session.invocations.finished(
                    invocation.attempt, outcome, 1.0, self.now, answered_by_lambda=True
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

"""The stub's shell: it owns the socket and the clock, and does what `session.py` decides.

Threads: the caller's, which runs everything here, and the connection's reader, which only fills the
inbox. Lambda freezes both between invocations.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from websocket import WebSocketException

from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.protocol.sigv4 import Credentials, sign_upgrade
from terralive_stub.protocol.transport_events import Closed, TextReceived, TransportEvent
from terralive_stub.protocol.wire import GatewayError, ProtocolError, decode, encode
from terralive_stub.stub.session import Connect, Effect, Finish, Send, Show, StubSession
from terralive_stub.stub.transport import (
    CONNECT_TIMEOUT_SECONDS,
    Connection,
    HandshakeRefusedError,
    Inbox,
)

_THAW_SECONDS = 0.05
_IDLE_SECONDS = 1.0
_READER_SECONDS = 0.005
_SHORTEST_CONNECT_SECONDS = 0.1
_PARTING_SECONDS = 1.0  # for the thanks


def _print(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # a closed stdout is not worth an invocation
        print(text, end="", flush=True)  # noqa: T201


@dataclass(slots=True)
class Stub:
    """Answers one invocation after the other through a relay.

    Args:
        url: the debug stack's WebSocket address, through the door for stubs.
        region: its region.
        credentials: gives the role's credentials of this moment.
        session: the decisions.
        show: takes what is to stand in Lambda's log.
    """

    url: str
    region: str
    credentials: Callable[[], Credentials]
    session: StubSession
    show: Callable[[str], None] = _print
    _inbox: Inbox = field(default_factory=queue.SimpleQueue)
    _connection: Connection | None = None
    _numbers: int = 0
    _finished_at: float = 0.0
    _finished_wall: float = 0.0

    def handle(self, invocation: Invocation) -> Outcome:
        """Run one invocation to its end.

        Does not return where Lambda's own timeout is the right answer.
        """
        self._catch_up()
        now = time.monotonic()
        effects = self.session.begin(invocation, now, asleep_s=self._asleep(now))
        while True:
            outcome = self._do(effects)
            if outcome is not None:
                self._finished_at, self._finished_wall = time.monotonic(), time.time()
                return outcome
            effects = self._wait()

    def _asleep(self, now: float) -> float:
        """How far the wall clock has outrun the monotonic one, which stands still in a paused virtual machine."""
        return (
            max(0.0, time.time() - self._finished_wall - (now - self._finished_at))
            if self._finished_wall
            else 0.0
        )

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _catch_up(self) -> None:
        """Let the reader see what happened to the connection while this process was frozen."""
        connection = self._connection
        until = time.monotonic() + _THAW_SECONDS
        while connection is not None and time.monotonic() < until:
            try:
                item = self._inbox.get(
                    timeout=_THAW_SECONDS if connection.unread() else self._courtesy()
                )
            except queue.Empty:
                break
            self._feed(item)
            connection = self._connection

    def _courtesy(self) -> float:
        """After an idle time the reader may hold the connection's end in its hands, not yet in the inbox."""
        now = time.monotonic()
        return (
            _READER_SECONDS if now - self._finished_at + self._asleep(now) > _IDLE_SECONDS else 0.0
        )

    def _wait(self) -> list[Effect]:
        now = time.monotonic()
        try:
            item = self._inbox.get(timeout=max(0.0, self.session.next_tick(now) - now))
        except queue.Empty:
            return self.session.tick(time.monotonic())
        return self._feed(item)

    def _feed(self, event: TransportEvent) -> list[Effect]:
        now = time.monotonic()
        if self._connection is None or event.connection != self._connection.number:
            return self.session.tick(now)  # an event of an older connection
        match event:
            case Closed(reason=reason):
                self.close()  # the connection has ended, but this process still owns its socket
                return self.session.connection_lost(now, reason)
            case TextReceived(text=text):
                return self._receive(text, now)
            case _:
                return self.session.tick(now)

    def _receive(self, text: str, now: float) -> list[Effect]:
        try:
            message = decode(text)
        except GatewayError:
            return self.session.gateway_failed(now)
        except ProtocolError:
            return self.session.tick(now)
        return self.session.received(message, now)

    def _do(self, effects: list[Effect]) -> Outcome | None:
        outcome = None
        pending = list(effects)
        while pending:
            effect = pending.pop(0)
            if isinstance(effect, Finish):
                outcome = effect.outcome
            elif isinstance(effect, Show):
                self.show(effect.text)
            elif isinstance(effect, Connect):
                pending = self._connect() + pending
            elif isinstance(effect, Send) and self._connection is not None:
                now = time.monotonic()
                until = self.session.give_up_at if self.session.busy else now + _PARTING_SECONDS
                if now >= until:  # megabytes over a slow link: the error needs its time
                    return self._do(self.session.tick(now))
                try:
                    self._connection.send(encode(effect.message), until=until)
                except (OSError, WebSocketException) as error:
                    self.close()
                    # What else was to be sent is void, but a result that has come stays one.
                    finish = [item for item in pending if isinstance(item, Finish)]
                    pending = self.session.connection_lost(
                        time.monotonic(), f"{type(error).__name__}: {error}"
                    )
                    pending += finish
        return outcome

    def _connect(self) -> list[Effect]:
        self.close()
        self._numbers += 1
        try:
            headers = sign_upgrade(self.url, self.region, self.credentials(), time.time())
            del headers["Host"]  # the library sends it, the same one
            # A connection that opens after the deadline would leave no time for a named error.
            timeout = max(_SHORTEST_CONNECT_SECONDS, self.session.give_up_at - time.monotonic())
            timeout = min(CONNECT_TIMEOUT_SECONDS, timeout)
            self._connection = Connection(
                self.url, headers, self._numbers, self._inbox, timeout_s=timeout
            )
        except HandshakeRefusedError as error:
            return self.session.refused(time.monotonic(), str(error))
        except (OSError, WebSocketException) as error:
            return self.session.connection_lost(
                time.monotonic(), f"{type(error).__name__}: {error}"
            )
        return self.session.connected(time.monotonic())

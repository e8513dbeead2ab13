"""The stub's shell: it owns the socket and the clocks, and carries out what `session.py` decides.

Threads: the caller's thread, which runs everything here, and the connection's reader thread, which
only fills the inbox. Lambda freezes both between invocations.
"""

from __future__ import annotations

import contextlib
import os
import queue
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol
from urllib.parse import urlsplit

from websocket import WebSocketException

from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.protocol.messages import GatewayError, ProtocolError
from terralive_stub.protocol.payloads import digest_environment
from terralive_stub.protocol.token import HEADER, NONCE_BYTES, Api, make_token
from terralive_stub.protocol.transport_events import Closed, TextReceived, TransportEvent
from terralive_stub.protocol.wire import decode, encode
from terralive_stub.shared.trust_store import untrusted
from terralive_stub.stub.effects import Connect, Effect, Finish, Invoke, Send, Show, Write
from terralive_stub.stub.fallback.answers import Answer
from terralive_stub.stub.fallback.lambda_api import LambdaApi
from terralive_stub.stub.session import StubSession
from terralive_stub.stub.streaming.response import TakesStream
from terralive_stub.stub.transport import (
    CONNECT_TIMEOUT_SECONDS,
    Connection,
    HandshakeRefusedError,
    Inbox,
    connection_within,
    describe,
)

# After Lambda has thawed the process, the reader thread gets this long to report what has happened
# to the connection meanwhile.
_THAW_SECONDS: Final = 0.05
# The socket may be empty because the reader thread has read it but has not reported yet. It gets
# this long, after a pause of more than `_PAUSE_SECONDS`.
_READER_SECONDS: Final = 0.005
_PAUSE_SECONDS: Final = 1.0
_SHORTEST_CONNECT_SECONDS: Final = 0.1
# For a message after the end of the invocation (`Done`).
_LAST_MESSAGE_SECONDS: Final = 1.0
# A part of the 10 seconds of Lambda's init phase, which also has to import this code.
CONNECT_AHEAD_SECONDS: Final = 4.0
_ATTEMPT_BYTES: Final = 9  # of randomness, in the name of an attempt


def _print(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # a closed stdout is not worth an invocation
        print(text, end="", flush=True)  # noqa: T201  # standard output is Lambda's log


class InvokesVersions(Protocol):
    """Lambda's Invoke API; see `LambdaApi`."""

    def invoke(self, invocation: Invocation, version: str, until: Deadline) -> Answer: ...

    def stream(
        self, invocation: Invocation, version: str, until: Deadline, response: TakesStream
    ) -> Answer: ...


@dataclass(slots=True)
class Stub:
    """Answers one invocation after the other through a relay.

    Attributes:
        url: the URL of the debug stack's WebSocket API for stubs.
        key: returns the key of a function's tokens for the function's ARN.
        session: makes the decisions.
        tls: the certificate authorities that its connections trust; None for the system's.
        show: prints a text to Lambda's log.
        lambda_api: invokes the deployed code while no relay is connected.
        _inbox: events of all connections; the reader threads put, this thread gets.
        _connection: the present connection, or None.
        _number: the number of the newest connection, also of one that did not open.
        _function: the ARN of this environment's function, as far as it is known: for certain from
            the first invocation on.
        _environment: the environment of the last invocation. On Lambda it never changes.
        _environment_digest: its digest.
        _finished_at: when the last invocation finished, on the monotonic clock in seconds.
        _finished_wall: the same moment on the wall clock; None before the first invocation.
        _response: takes the bytes of the present invocation's response, if it is streamed.
    """

    url: str
    key: Callable[[str], bytes] = field(repr=False)
    session: StubSession
    tls: ssl.SSLContext | None = None
    show: Callable[[str], None] = _print
    lambda_api: InvokesVersions = field(default_factory=LambdaApi)
    _inbox: Inbox = field(default_factory=queue.SimpleQueue)
    _connection: Connection | None = None
    _number: int = 0
    _function: str = ""
    _environment: Mapping[str, str] = field(repr=False, default_factory=dict)
    _environment_digest: str = ""
    _finished_at: float = 0.0
    _finished_wall: float | None = None
    _response: TakesStream | None = None

    def handle(self, invocation: Invocation, response: TakesStream | None = None) -> Outcome:
        """Run one invocation to its end, and return its outcome.

        Does not return if Lambda's own timeout is the right answer.

        Args:
            invocation: the invocation.
            response: takes the bytes of a streamed response before this returns; None where an
                invocation is answered in one piece (`Invocation.streams` is false).
        """
        self._response = response
        if self._connection is not None and self._function != invocation.function:
            # `connect_ahead` was called for another account's function.
            self.close()
            self.session.connection_lost(time.monotonic(), "it was another function's")
        self._function = invocation.function
        invocation = replace(
            invocation,
            environment_digest=self._digest(invocation),
            attempt=os.urandom(_ATTEMPT_BYTES).hex(),
            began_ms=int(time.time() * 1000),
        )
        self._catch_up()
        now = time.monotonic()
        effects = self.session.begin(invocation, now, asleep_s=self._asleep(now))
        while True:
            outcome = self._carry_out(effects)
            if outcome is not None:
                self._finished_at = time.monotonic()
                self._finished_wall = time.time()
                return outcome
            effects = self._wait()

    def connect_ahead(self, function: str) -> None:
        """Connect in Lambda's init phase, so that the first invocation need not wait for it.

        Try once, for a few seconds of the 10 that the phase may take. Never raise: otherwise the
        first invocation connects, and names what it meets.

        Args:
            function: the ARN of this environment's function.
        """
        self._function = function
        self._number += 1
        with contextlib.suppress(Exception):  # an error here would fail the init phase
            self._connection = connection_within(
                lambda: self._open(CONNECT_AHEAD_SECONDS), CONNECT_AHEAD_SECONDS
            )
            self.session.connected(time.monotonic())
        # Lambda may freeze this process before its first invocation.
        self._finished_at = time.monotonic()
        self._finished_wall = time.time()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abandon(self) -> None:
        """Give up an invocation that has failed in the middle; the next one connects anew."""
        self.close()
        self.session.connection_lost(time.monotonic(), "the stub failed")

    def _digest(self, invocation: Invocation) -> str:
        if not self._environment_digest or invocation.environment != self._environment:
            key = self.key(invocation.function)
            self._environment = invocation.environment
            self._environment_digest = digest_environment(invocation.environment, key)
        return self._environment_digest

    # Frozen environments

    def _asleep(self, now: float) -> float:
        """Return for how many seconds the monotonic clock has stood still since the last outcome.

        It stands still in a paused virtual machine; the wall clock does not.
        """
        if self._finished_wall is None:
            return 0.0
        by_wall_clock = time.time() - self._finished_wall
        by_monotonic_clock = now - self._finished_at
        return max(0.0, by_wall_clock - by_monotonic_clock)

    def _catch_up(self) -> None:
        """Process what happened to the connection while this process was frozen."""
        until = Deadline.after(_THAW_SECONDS, now=time.monotonic())
        while self._connection is not None and not until.has_passed(time.monotonic()):
            if self._connection.unread():
                patience = _THAW_SECONDS
            elif self._was_paused():
                patience = _READER_SECONDS
            else:
                patience = 0.0
            try:
                event = self._inbox.get(timeout=patience)
            except queue.Empty:
                break
            self._process(event)

    def _was_paused(self) -> bool:
        """Tell whether the process may have been frozen since the last outcome."""
        now = time.monotonic()
        return now - self._finished_at + self._asleep(now) > _PAUSE_SECONDS

    # Events

    def _wait(self) -> list[Effect]:
        """Wait for the next event, or until the session has something to do."""
        now = time.monotonic()
        patience = max(0.0, self.session.next_tick(now) - now)
        try:
            event = self._inbox.get(timeout=patience)
        except queue.Empty:
            return self.session.tick(time.monotonic())
        return self._process(event)

    def _process(self, event: TransportEvent) -> list[Effect]:
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

    # Effects

    def _carry_out(self, effects: list[Effect]) -> Outcome | None:
        """Carry out the effects and those that follow from them; return the outcome, if any."""
        outcome = None
        pending = deque(effects)
        while pending:
            effect = pending.popleft()
            match effect:
                case Finish():
                    outcome = effect.outcome
                case Show():
                    self.show(effect.text)
                case Write():
                    pending.extendleft(reversed(self._write(effect)))
                case Invoke():
                    pending.extendleft(reversed(self._fall_back(effect)))
                case Connect():
                    pending.extendleft(reversed(self._connect()))
                case Send():
                    failed = self._send(effect)
                    if failed is not None:
                        # The other messages were for the lost connection, but a result that has
                        # arrived stays the result.
                        finishes = [item for item in pending if isinstance(item, Finish)]
                        pending = deque([*failed, *finishes])
        return outcome

    def _fall_back(self, effect: Invoke) -> list[Effect]:
        invocation, version, until = effect.invocation, effect.version, effect.until
        if self.session.streams and self._response is not None:
            answer = self.lambda_api.stream(invocation, version, until, self._response)
        else:
            answer = self.lambda_api.invoke(invocation, version, until)
        return self.session.fallback_ended(answer, time.monotonic())

    def _write(self, effect: Write) -> list[Effect]:
        accepted = False
        if self._response is not None:
            accepted = self._response.write(effect.content_type, effect.data)
        return self.session.wrote(time.monotonic(), accepted=accepted)

    def _send(self, effect: Send) -> list[Effect] | None:
        """Send a message; return the effects that replace what was to follow, or None if sent."""
        if self._connection is None:
            return None
        now = time.monotonic()
        until = self.session.give_up_at
        if not self.session.busy:
            until = Deadline.after(_LAST_MESSAGE_SECONDS, now=now)
        if until.has_passed(now):
            # Sending megabytes took too long, and the named error needs its time.
            return self.session.tick(now)
        try:
            self._connection.send(encode(effect.message), until=until)
        except (OSError, WebSocketException) as error:
            self.close()
            return self.session.connection_lost(time.monotonic(), describe(error))
        return None

    def _connect(self) -> list[Effect]:
        self.close()
        self._number += 1
        try:
            # A connection that opens after the deadline would leave no time for a named error.
            left_s = self.session.give_up_at.remaining(time.monotonic())
            timeout_s = min(CONNECT_TIMEOUT_SECONDS, max(_SHORTEST_CONNECT_SECONDS, left_s))
            self._connection = self._open(timeout_s)
        except HandshakeRefusedError as error:
            return self.session.handshake_refused(time.monotonic(), str(error))
        except (OSError, WebSocketException, ValueError) as error:
            # ValueError: the settings contain a URL of no WebSocket.
            reason = untrusted(error, urlsplit(self.url).hostname or "") or describe(error)
            return self.session.connection_lost(time.monotonic(), reason)
        return self.session.connected(time.monotonic())

    def _open(self, timeout_s: float) -> Connection:
        return Connection(
            self.url,
            self._headers(),
            self._number,
            self._inbox,
            tls=self.tls,
            timeout_s=timeout_s,
        )

    def _headers(self) -> dict[str, str]:
        """Return the headers of one attempt to connect. The broker accepts each token once."""
        token = make_token(
            Api.STUB,
            self._function,
            self.key(self._function),
            now=time.time(),
            nonce=os.urandom(NONCE_BYTES),
        )
        return {HEADER: token}

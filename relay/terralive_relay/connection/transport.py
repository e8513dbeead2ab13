"""The relay's WebSocket connections: one is kept open, and every event is reported to a callback.

A second connection opens beside it when the session asks for that (`renew`). When the last one
ends, another one follows after a wait that grows and is partly random. Connections have numbers,
and every message names its connection: a message for one that has ended is dropped and never sent
over another.

Threads, all daemons: `relay-transport` owns the connections. It blocks until a connection has ended
or a command comes (open another, try now, stop), or until the next attempt is due. `relay-writer`
is the only thread that sends messages: websocket-client's lock guards frames, and a message may be
several. Each connection has a thread of its own (`connection.py`). An exception that nobody expects
in one of them goes to `failed`, once, and ends all of them.

This module decides nothing about the protocol; `session.py` does.
"""

from __future__ import annotations

import logging
import queue
import random
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeAlias

import websocket

from terralive_relay.connection.connection import Connection, ConnectionSettings
from terralive_relay.threads import ThreadFailed, guarded_thread
from terralive_stub.errors import ConfigurationError
from terralive_stub.protocol.transport_events import Closed, TransportEvent
from terralive_stub.shared.endpoints import websocket_url
from terralive_stub.shared.sigv4 import Credentials
from terralive_stub.shared.timestamps import parse_date_header
from terralive_stub.shared.trust_store import system_and

# The timeout must be shorter than the interval.
PING_INTERVAL_SECONDS: Final = 20
PING_TIMEOUT_SECONDS: Final = 10
CONNECT_TIMEOUT_SECONDS: Final = 10.0
# The waits before attempt 2, 3, …; up to half of each is taken off at random.
BACKOFF_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 4.0)
# After a connection that lasted so long, the waits start anew.
STEADY_SECONDS: Final = 30.0
# A `Date` header has whole seconds, and is some time under way.
_SAME_CLOCK_SECONDS: Final = 3.0
_log = logging.getLogger("terralive.relay")


@dataclass(frozen=True, slots=True)
class ClockRead:
    """A refusal's `Date` header has shown AWS's clock.

    Attributes:
        offset_s: AWS's clock less this machine's, in seconds.
    """

    offset_s: float


Report: TypeAlias = Callable[[TransportEvent | ClockRead], None]


class _Command(Enum):
    """A command to the transport's thread."""

    RENEW = auto()  # open a connection, also beside one that is open
    TRY_NOW = auto()  # make the next attempt now, if one is waited for
    STOP = auto()


class Transport:
    """Keeps a connection open from `start` to `stop`.

    Args:
        url: the address of the debug stack's WebSocket API for relays.
        region: the debug stack's region.
        credentials: returns the caller's present credentials; if it raises, the attempt has failed.
        report: called with every event, in order for each connection, from the transport's threads;
            must not block.
        failed: called once with an exception that nobody expects. No connection follows it.
        token: returns a new token for an attempt at the given time (seconds since the Unix epoch).
        tls: the certificate authorities that are trusted; None for the system's.
        clock: returns this machine's wall clock, in seconds since the Unix epoch.
        clock_offset_s: AWS's clock less this machine's, as far as it is known, in seconds.
        backoff_scale: shortens the waits in tests.
        ping_interval_s: the time between pings.
        ping_timeout_s: the time after which a silent peer is gone; shorter than the interval.

    Raises:
        ConfigurationError: `relay-url-invalid`.
    """

    def __init__(
        self,
        url: str,
        region: str,
        credentials: Callable[[], Credentials],
        report: Report,
        failed: ThreadFailed,
        *,
        token: Callable[[float], str],
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
        clock_offset_s: float = 0.0,
        backoff_scale: float = 1.0,
        ping_interval_s: float = PING_INTERVAL_SECONDS,
        ping_timeout_s: float = PING_TIMEOUT_SECONDS,
    ) -> None:
        url = _valid(url)
        if tls is None and url.startswith("wss:"):
            tls = system_and(())

        # These never change.
        self._report = report
        self._failed = failed
        self._clock = clock
        self._backoff_scale = backoff_scale
        self._settings = ConnectionSettings(
            url=url,
            region=region,
            credentials=credentials,
            token=token,
            now=lambda: self._clock() + self._clock_offset_s,
            tls=tls,
            ping_interval_s=ping_interval_s,
            ping_timeout_s=ping_timeout_s,
        )
        # AWS's clock less this machine's, in seconds. The transport's thread writes it, the
        # connections' threads read it.
        self._clock_offset_s = clock_offset_s
        # Commands, and connections that have ended, for the transport's thread.
        self._commands: queue.SimpleQueue[_Command | Connection] = queue.SimpleQueue()
        # Messages for the writer's thread, each with its connection's number; None ends it.
        self._outbox: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()
        # Guards `_connections` and `_has_failed`.
        self._lock = threading.Lock()
        # Connections by number, from the first attempt to their end. Only the transport's thread
        # changes this.
        self._connections: dict[int, Connection] = {}
        # `failed` was called.
        self._has_failed = False
        # The number of waits since the last connection that lasted; used by the transport's thread.
        self._attempt = 0
        self._jitter = random.Random()  # noqa: S311  # jitter is no secret
        self._thread = guarded_thread("relay-transport", self._run, self._fail)
        self._writer = guarded_thread("relay-writer", self._write, self._fail)

    def start(self) -> None:
        """Start the threads; connecting goes on in the background."""
        websocket.setdefaulttimeout(CONNECT_TIMEOUT_SECONDS)
        self._writer.start()
        self._thread.start()

    def send(self, connection: int, text: str) -> None:
        """Queue a message for a connection; it is dropped if that one has ended."""
        self._outbox.put((connection, text))

    def close(self, connection: int, why: str) -> None:
        """End a connection; `Closed` follows, and another attempt if it was the only one."""
        found = self._connection(connection)
        if found is not None:
            found.close(why)

    def renew(self) -> None:
        """Open another connection beside the present one."""
        self._commands.put(_Command.RENEW)

    def try_now(self) -> None:
        """Make the next attempt now, if one is waited for."""
        self._commands.put(_Command.TRY_NOW)

    def peer(self) -> str:
        """Return the IP address of the newest open connection's peer, or ""."""
        with self._lock:
            connections = list(self._connections.values())
        for connection in reversed(connections):
            peer = connection.peer
            if peer:
                return peer
        return ""

    def stop(self, *, flush_s: float = 1.0) -> None:
        """Send queued messages, for `flush_s` seconds at most, then end connections and threads."""
        if self._thread.ident is None:
            return  # it was never started
        self._outbox.put(None)
        self._writer.join(flush_s)
        self._commands.put(_Command.STOP)
        self._thread.join(CONNECT_TIMEOUT_SECONDS + 1)

    def _connection(self, number: int) -> Connection | None:
        with self._lock:
            return self._connections.get(number)

    def _fail(self, error: Exception) -> None:
        """Pass an exception that nobody expects on, once, and end."""
        with self._lock:
            is_first = not self._has_failed
            self._has_failed = True
        if is_first:
            _log.debug("the transport failed", exc_info=error)
            self._failed(error)
        self._commands.put(_Command.STOP)

    # The transport's thread

    def _run(self) -> None:
        try:
            self._keep_open()
        finally:
            with self._lock:
                connections = list(self._connections.values())
            for connection in connections:
                connection.close("stopped")
            for connection in connections:
                connection.thread.join(CONNECT_TIMEOUT_SECONDS)

    def _keep_open(self) -> None:
        """Open connections until the transport is stopped."""
        number = 0
        # The time of the next attempt; None while a connection is there.
        due: float | None = time.monotonic()
        while True:
            timeout: float | None = None
            if due is not None:
                timeout = max(0.0, due - time.monotonic())
            try:
                command = self._commands.get(timeout=timeout)
            except queue.Empty:
                number += 1
                due = None
                self._open(number)
                continue
            if isinstance(command, Connection):
                due = self._ended(command, due)
            elif command is _Command.STOP:
                return
            elif due is not None or command is _Command.RENEW:
                due = time.monotonic()

    def _open(self, number: int) -> None:
        _log.debug("connection %s: attempt", number)
        connection = Connection(number, self._settings, self._report, self._commands.put)
        with self._lock:
            self._connections[number] = connection
        connection.thread.start()

    def _ended(self, connection: Connection, due: float | None) -> float | None:
        """Report the end of a connection.

        Returns:
            The time of the next attempt; None if none is needed.
        """
        _log.debug("connection %s: ended: %s", connection.number, connection.reason)
        with self._lock:
            del self._connections[connection.number]
            another_is_open = bool(self._connections)
        if connection.failure is not None:
            self._fail(connection.failure)
            return None
        self._read_clock(connection.date_header)
        delay: float | None = None
        if not another_is_open:
            delay = self._next_delay(time.monotonic() - connection.began)
            next_due = time.monotonic() + delay
            if due is None or next_due < due:
                due = next_due
        self._report(Closed(connection.number, connection.reason, delay, connection.refused_with))
        return due

    def _read_clock(self, date_header: str) -> None:
        """Have the next attempts use AWS's clock, as a refusal has shown it.

        AWS refuses a signature whose time differs by more than five minutes:
        https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html
        """
        moment = parse_date_header(date_header)
        if moment is None:
            return
        offset_s = moment - self._clock()
        if abs(offset_s - self._clock_offset_s) > _SAME_CLOCK_SECONDS:
            self._clock_offset_s = offset_s
            self._report(ClockRead(offset_s))

    def _next_delay(self, lasted_s: float) -> float:
        """Return the wait before the next attempt, after a connection that lasted so long."""
        if lasted_s > STEADY_SECONDS:
            self._attempt = 0
        longest = BACKOFF_SECONDS[min(self._attempt, len(BACKOFF_SECONDS) - 1)]
        self._attempt += 1
        return longest * self._backoff_scale * (0.5 + self._jitter.random() / 2)

    # The writer's thread

    def _write(self) -> None:
        while True:
            message = self._outbox.get()
            if message is None:
                return
            number, text = message
            connection = self._connection(number)
            if connection is not None:
                connection.write(text)


def _valid(url: str) -> str:
    """Return the URL of a WebSocket. Raises ConfigurationError."""
    try:
        return websocket_url(url)
    except ValueError as error:
        raise ConfigurationError(
            "relay-url-invalid",
            f"The debug stack's WebSocket address cannot be used: {error}.",
            hint="The address is what the API Gateway of AWS_ENDPOINT_URL says of the debug stack's"
            " API. Check that variable, then run the command again.",
        ) from None

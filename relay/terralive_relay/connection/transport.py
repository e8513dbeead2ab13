"""The relay's WebSocket connections: one is kept open, and every event is reported to a callback.

A second connection opens beside it when the session asks for that (`renew`). When the last one
ends, another one follows after a wait that grows and is partly random. Connections have numbers,
and every message names its connection: a message for one that has ended is dropped and never sent
over another.

Threads, all daemons: `relay-transport` owns the connections. It blocks until a connection has ended
or a command comes (open another, try now, stop), or until the next attempt is due.
`relay-connection-N` runs websocket-client's loop of one connection and blocks on its socket.
`relay-writer` is the only thread that sends messages: websocket-client's lock guards frames, and a
message may be several. websocket-client's own ping thread sends control frames between them, as
RFC 6455 allows. Callbacks of websocket-client only put items into queues: a slow one would end a
healthy connection through a missed pong.

This module decides nothing about the protocol; `session.py` does.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import random
import socket
import threading
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

import websocket
from websocket import ABNF, WebSocketApp, WebSocketBadStatusException, WebSocketException

from terralive_stub.protocol.sigv4 import Credentials, sign_upgrade
from terralive_stub.protocol.transport_events import (
    Closed,
    Opened,
    TextReceived,
    TransportEvent,
)
from terralive_stub.stub.transport import HANDSHAKE_REFUSED, send_text, socket_options

# The timeout must be shorter than the interval.
PING_INTERVAL_SECONDS: Final = 20
PING_TIMEOUT_SECONDS: Final = 10
CONNECT_TIMEOUT_SECONDS: Final = 10.0
# A peer whose TCP acknowledges nothing for so long is gone (where the system can be told so).
UNACKNOWLEDGED_SECONDS: Final = 10
# The waits before attempt 2, 3, …; up to half of each is taken off at random.
BACKOFF_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 4.0)
# After a connection that lasted so long, the waits start anew.
STEADY_SECONDS: Final = 30.0
_BODY_CHARACTERS: Final = 300
_NORMAL_CLOSURE: Final = b"\x03\xe8"  # close code 1000
_log = logging.getLogger("terralive.relay")


class _Command(Enum):
    """A command to the transport's thread."""

    RENEW = auto()  # open a connection, also beside one that is open
    TRY_NOW = auto()  # make the next attempt now, if one is waited for
    STOP = auto()


class Transport:
    """Keeps a connection open from `start` to `stop`.

    Args:
        url: the debug stack's WebSocket address, with the API stage for relays.
        region: the debug stack's region.
        credentials: returns the caller's present credentials; if it raises, the attempt has failed.
        report: called with every event, in order for each connection, from the transport's threads;
            must not block.
        backoff_scale: shortens the waits in tests.
        ping_interval_s: the time between pings.
        ping_timeout_s: the time after which a silent peer is gone; shorter than the interval.
    """

    def __init__(
        self,
        url: str,
        region: str,
        credentials: Callable[[], Credentials],
        report: Callable[[TransportEvent], None],
        *,
        backoff_scale: float = 1.0,
        ping_interval_s: float = PING_INTERVAL_SECONDS,
        ping_timeout_s: float = PING_TIMEOUT_SECONDS,
    ) -> None:
        # These never change; connections read them.
        self.url: Final = url
        self.region: Final = region
        self.credentials: Final = credentials
        self.report: Final = report
        self.ping_interval_s: Final = ping_interval_s
        self.ping_timeout_s: Final = ping_timeout_s
        self._backoff_scale = backoff_scale
        # Commands, and connections that have ended, for the transport's thread.
        self.commands: Final[queue.SimpleQueue[_Command | _Connection]] = queue.SimpleQueue()
        # Messages for the writer's thread, each with its connection's number; None ends it.
        self._outbox: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()
        # Guards `_connections`.
        self._lock = threading.Lock()
        # Connections by number, from the first attempt to their end. Only the transport's thread
        # changes this.
        self._connections: dict[int, _Connection] = {}
        # The number of waits since the last connection that lasted; used by the transport's thread.
        self._attempt = 0
        self._jitter = random.Random()  # noqa: S311  # jitter is no secret
        self._thread = threading.Thread(target=self._run, name="relay-transport", daemon=True)
        self._writer = threading.Thread(target=self._write, name="relay-writer", daemon=True)

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
        self.commands.put(_Command.RENEW)

    def try_now(self) -> None:
        """Make the next attempt now, if one is waited for."""
        self.commands.put(_Command.TRY_NOW)

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
        self.commands.put(_Command.STOP)
        self._thread.join(CONNECT_TIMEOUT_SECONDS + 1)

    def _connection(self, number: int) -> _Connection | None:
        with self._lock:
            return self._connections.get(number)

    # The transport's thread

    def _run(self) -> None:
        number = 0
        # The time of the next attempt; None while a connection is there.
        due: float | None = time.monotonic()
        while True:
            timeout: float | None = None
            if due is not None:
                timeout = max(0.0, due - time.monotonic())
            try:
                command = self.commands.get(timeout=timeout)
            except queue.Empty:
                number += 1
                due = None
                self._open(number)
                continue
            if isinstance(command, _Connection):
                due = self._ended(command, due)
            elif command is _Command.STOP:
                break
            elif due is not None or command is _Command.RENEW:
                due = time.monotonic()
        with self._lock:
            connections = list(self._connections.values())
        for connection in connections:
            connection.close("stopped")
        for connection in connections:
            connection.thread.join(CONNECT_TIMEOUT_SECONDS)

    def _open(self, number: int) -> None:
        _log.debug("connection %s: attempt", number)
        connection = _Connection(number, self)
        with self._lock:
            self._connections[number] = connection
        connection.thread.start()

    def _ended(self, connection: _Connection, due: float | None) -> float | None:
        """Report the end of a connection.

        Returns:
            The time of the next attempt; None if none is needed.
        """
        _log.debug("connection %s: ended: %s", connection.number, connection.reason)
        with self._lock:
            del self._connections[connection.number]
            another_is_open = bool(self._connections)
        delay: float | None = None
        if not another_is_open:
            delay = self._next_delay(time.monotonic() - connection.began)
            next_due = time.monotonic() + delay
            if due is None or next_due < due:
                due = next_due
        self.report(
            Closed(connection.number, connection.reason, delay, connection.handshake_refused)
        )
        return due

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


class _Connection:
    """One connection, in a thread of its own, from its first attempt to its end.

    Args:
        number: its number.
        transport: gives the settings. It is given this connection's `Opened` and `TextReceived`,
            and last, at its end, the connection itself as a command.
    """

    def __init__(self, number: int, transport: Transport) -> None:
        self.number = number
        # API Gateway refused the caller with HTTP 401 or 403. Set by this connection's thread.
        self.handshake_refused = False
        # The peer's IP address while the connection is open. Set by this connection's thread.
        self.peer = ""
        self._transport = transport
        # The time of its first attempt, on the monotonic clock.
        self.began = time.monotonic()
        self.thread = threading.Thread(
            target=self._run, name=f"relay-connection-{number}", daemon=True
        )
        # Guards everything below: this thread, the writer's and callers of `close` use it.
        self._lock = threading.Lock()
        self._app: WebSocketApp | None = None
        # The upgrade is complete. Before that, a frame would spoil it.
        self._open = False
        # The TCP or TLS socket while the connection is open.
        self._raw: socket.socket | None = None
        self._close_requested = False
        # The first reason for its end.
        self._reason = ""

    @property
    def reason(self) -> str:
        """Return the reason for the connection's end, in words for a user."""
        with self._lock:
            return self._reason or "the connection was closed"

    def close(self, why: str) -> None:
        """End the connection, or the attempt to open it, from any thread."""
        with self._lock:
            self._reason = self._reason or why
            self._close_requested = True
            app = self._app
        if app is not None:
            _close(app)

    def write(self, text: str) -> None:
        """Send a message if the connection is open. Only one thread may call this."""
        with self._lock:
            if not self._open or self._app is None:
                return
            connection = self._app.sock
        if connection is None:
            return
        try:
            send_text(connection, text)
        except (OSError, WebSocketException) as error:
            self.close(_describe(error))

    # This connection's thread

    def _run(self) -> None:
        try:
            self._open_and_read()
        finally:
            with self._lock:
                self._app = None
                self._open = False
                raw, self._raw = self._raw, None
            self.peer = ""
            if raw is not None:
                # After a close frame the library leaves it open, and the gateway waits for its end.
                raw.close()
            self._transport.commands.put(self)

    def _open_and_read(self) -> None:
        """Open the connection, and read until it ends."""
        transport = self._transport
        try:
            credentials = transport.credentials()
            headers = sign_upgrade(transport.url, transport.region, credentials, time.time())
        except Exception as error:  # noqa: BLE001  # whatever the credentials' source raises is a failed attempt
            self._set_reason(f"no credentials: {error}")
            return
        # The library sends the same header by itself.
        del headers["Host"]
        app = WebSocketApp(
            transport.url,
            header=headers,
            on_open=self._on_open,
            on_message=lambda _, data: self._on_message(data),
            on_error=lambda _, error: self._on_error(error),
            on_close=lambda _, code, reason: self._on_close(code, reason),
        )
        with self._lock:
            self._app = app
            if self._close_requested:
                return
        app.run_forever(
            ping_interval=transport.ping_interval_s,
            ping_timeout=transport.ping_timeout_s,
            suppress_origin=True,
            sockopt=list(socket_options(UNACKNOWLEDGED_SECONDS)),
        )

    def _on_open(self, app: WebSocketApp) -> None:
        raw: socket.socket | None = app.sock.sock if app.sock is not None else None
        with self._lock:
            self._open = True
            self._raw = raw
            close_requested = self._close_requested
        if close_requested:
            # The request came during the handshake, when there was no connection to close.
            _close(app)
            return
        if raw is not None:
            with contextlib.suppress(OSError):
                self.peer = raw.getpeername()[0]
        _log.debug("connection %s: open", self.number)
        self._transport.report(Opened(self.number))

    def _on_message(self, data: str | bytes) -> None:
        # `on_message` and not `on_data`, whose opcode is that of the last frame: it is not "text"
        # where a message has several.
        if isinstance(data, str):
            self._transport.report(TextReceived(self.number, data))

    def _on_error(self, error: Exception) -> None:
        if not isinstance(error, WebSocketBadStatusException):
            self._set_reason(_describe(error))
            return
        self.handshake_refused = error.status_code in HANDSHAKE_REFUSED
        body = (error.resp_body or b"").decode(errors="replace")[:_BODY_CHARACTERS]
        self._set_reason(f"HTTP {error.status_code} {body}".strip())

    def _on_close(self, code: int | None, reason: str | None) -> None:
        if code is None:
            return
        details = str(code)
        if reason:
            details = f"{code} {reason}"
        self._set_reason(f"API Gateway closed the connection ({details})")

    def _set_reason(self, reason: str) -> None:
        with self._lock:
            self._reason = self._reason or reason


def _describe(error: Exception) -> str:
    """Describe an error for a user, without a class's name or an errno if there is more to say."""
    text = str(getattr(error, "strerror", None) or error).rstrip(".")
    return text or type(error).__name__


def _close(app: WebSocketApp) -> None:
    """End a connection from any thread.

    `app.close()` would read from the socket beside the loop's own thread.
    """
    app.keep_running = False
    connection = app.sock
    if connection is None:
        return
    raw = connection.sock
    if raw is None:
        return
    with contextlib.suppress(OSError, WebSocketException):
        connection.send(_NORMAL_CLOSURE, ABNF.OPCODE_CLOSE)
    with contextlib.suppress(OSError):
        raw.shutdown(socket.SHUT_RDWR)

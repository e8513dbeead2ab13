"""The relay's WebSocket connections: one is kept open, whatever happens; what happens is delivered to a callback.

A second one opens beside it when the session asks for that (`renew`). Where the last one ends,
another follows after a jittered backoff. Connections have numbers, and whoever sends names the
connection: a message for one that has ended is dropped, never sent on another.

Threads, all daemons: `relay-transport` owns the loop and blocks on its wishes (a connection has
ended, open another, hurry, stop) or in the wait before the next attempt; `relay-connection-N` runs
websocket-client's loop of one connection and blocks in its socket; `relay-writer` is the only one
that sends messages, since websocket-client's lock guards frames and a message may be several.
websocket-client's own ping thread sends control frames between them, as RFC 6455 allows. Callbacks
only enqueue: a slow one would kill a healthy connection through a missed pong.

This module decides nothing about the protocol; `session.py` does.
"""

from __future__ import annotations

import contextlib
import queue
import random
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeAlias

import websocket
from websocket import ABNF, WebSocketApp, WebSocketBadStatusException, WebSocketException

from terralive_stub.protocol.sigv4 import Credentials, sign_upgrade
from terralive_stub.stub.transport import send_text, socket_options

PING_INTERVAL_SECONDS: Final = 20
PING_TIMEOUT_SECONDS: Final = 10  # must be shorter than the interval
CONNECT_TIMEOUT_SECONDS: Final = 10.0
UNACKNOWLEDGED_SECONDS: Final = (
    10  # by TCP: then the connection is dead (where the system can be told so)
)
BACKOFF_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 4.0)  # before attempt 2, 3, …; half of it is jitter
STEADY_SECONDS: Final = 30.0  # a connection that lasted so long starts the backoff anew
_FORBIDDEN: Final = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Opened:
    connection: int


@dataclass(frozen=True, slots=True)
class Closed:
    """A connection ended, or did not open. `retry_in_s`: until the next attempt; None where another one is there.

    `forbidden`: the gateway refused this caller (401, 403).
    """

    connection: int
    why: str
    retry_in_s: float | None
    forbidden: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    connection: int
    text: str


Happening: TypeAlias = Opened | Closed | Text


class _State(Enum):
    NEW = auto()
    RUNNING = auto()
    STOPPING = auto()


class _Wish(Enum):
    RENEW = auto()
    HURRY = auto()
    STOP = auto()


class Transport:
    """See the module's docstring.

    Args:
        url: the debug stack's WebSocket address, through the door for relays.
        region: its region.
        credentials: gives the caller's credentials of this moment; may raise, which counts as a
            failed attempt.
        happened: called with everything that happens, in order for each connection, from the
            transport's threads; must not block.
        backoff_scale: shortens the waits in tests.
        ping_interval_s, ping_timeout_s: how soon a silent peer is noticed; the interval must be the
            longer one.
    """

    def __init__(
        self,
        url: str,
        region: str,
        credentials: Callable[[], Credentials],
        happened: Callable[[Happening], None],
        *,
        backoff_scale: float = 1.0,
        ping_interval_s: float = PING_INTERVAL_SECONDS,
        ping_timeout_s: float = PING_TIMEOUT_SECONDS,
    ) -> None:
        self._url = url
        self._region = region
        self._credentials = credentials
        self._happened = happened
        self._scale = backoff_scale
        self._ping = (ping_interval_s, ping_timeout_s)
        self._state = _State.NEW
        self._wishes: queue.SimpleQueue[_Wish | _Line] = queue.SimpleQueue()  # a line: it has ended
        self._outbox: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # guards _lines, which only the loop changes
        self._lines: dict[int, _Line] = {}
        self._attempt = 0
        self._jitter = random.Random()  # noqa: S311  # jitter is no secret
        self._loop = threading.Thread(target=self._run, name="relay-transport", daemon=True)
        self._writer = threading.Thread(target=self._write, name="relay-writer", daemon=True)

    def start(self) -> None:
        websocket.setdefaulttimeout(CONNECT_TIMEOUT_SECONDS)
        self._state = _State.RUNNING
        self._writer.start()
        self._loop.start()

    def send(self, connection: int, text: str) -> None:
        """Queue a message for a connection; it is dropped if that one has ended."""
        self._outbox.put((connection, text))

    def close(self, connection: int, why: str) -> None:
        """End a connection; `Closed` follows, and where it was the only one, the next attempt."""
        line = self._line(connection)
        if line is not None:
            line.hang_up(why)

    def renew(self) -> None:
        """Open another connection beside the present one."""
        self._wishes.put(_Wish.RENEW)

    def hurry(self) -> None:
        """Where the next attempt is being waited for, make it now."""
        self._wishes.put(_Wish.HURRY)

    def peer(self) -> str:
        """The IP address that the newest open connection leads to, or ""."""
        with self._lock:
            lines = list(self._lines.values())
        return next((line.peer for line in reversed(lines) if line.peer), "")

    def stop(self, *, flush_s: float = 1.0) -> None:
        """Send what is queued, close, and end all threads."""
        if self._state is not _State.RUNNING:
            return
        self._state = _State.STOPPING
        self._outbox.put(None)
        self._writer.join(flush_s)
        self._wishes.put(_Wish.STOP)
        self._loop.join(CONNECT_TIMEOUT_SECONDS + 1)

    def _line(self, connection: int) -> _Line | None:
        with self._lock:
            return self._lines.get(connection)

    def _run(self) -> None:
        number = 0
        due: float | None = time.monotonic()  # when to open one
        while True:
            try:
                wish = self._wishes.get(
                    timeout=None if due is None else max(0.0, due - time.monotonic())
                )
            except queue.Empty:
                number, due = number + 1, None
                self._open(number)
                continue
            if isinstance(wish, _Line):
                due = self._ended(wish, due)
            elif wish is _Wish.STOP:
                break
            elif due is not None or wish is _Wish.RENEW:
                due = time.monotonic()
        with self._lock:
            lines = list(self._lines.values())
        for line in lines:
            line.hang_up("stopped")
        for line in lines:
            line.join(CONNECT_TIMEOUT_SECONDS)

    def _open(self, number: int) -> None:
        line = _Line(number, self._happened, self._wishes.put)
        with self._lock:
            self._lines[number] = line
        line.start(self._url, self._region, self._credentials, self._ping)

    def _ended(self, line: _Line, due: float | None) -> float | None:
        """Tell of a connection's end; give when the next one is to be opened, if it is."""
        with self._lock:
            del self._lines[line.number]
            last = not self._lines
        if not last:
            self._happened(Closed(line.number, line.why, None, line.forbidden))
            return due
        now = time.monotonic()
        self._attempt = 0 if now - line.began > STEADY_SECONDS else self._attempt
        delay = BACKOFF_SECONDS[min(self._attempt, len(BACKOFF_SECONDS) - 1)] * self._scale
        delay *= 0.5 + self._jitter.random() / 2
        self._attempt += 1
        self._happened(Closed(line.number, line.why, delay, line.forbidden))
        return now + delay if due is None else min(due, now + delay)

    def _write(self) -> None:
        while (item := self._outbox.get()) is not None:
            number, text = item
            line = self._line(number)
            if line is not None:
                line.write(text)


class _Line:
    """One connection, in a thread of its own, from its first attempt to its end."""

    def __init__(
        self, number: int, happened: Callable[[Happening], None], ended: Callable[[_Line], None]
    ) -> None:
        self.number = number
        self.forbidden = False
        self.began = time.monotonic()
        self.peer = ""
        self._happened = happened
        self._ended = ended
        self._lock = threading.Lock()  # guards what is below, which three threads touch
        self._app: WebSocketApp | None = None
        self._open = False  # the upgrade is through: before that, a frame would spoil it
        self._raw: socket.socket | None = None
        self._hung_up = False
        self._why = ""
        self._thread: threading.Thread | None = None

    @property
    def why(self) -> str:
        with self._lock:
            return self._why or "the connection was closed"

    def start(
        self,
        url: str,
        region: str,
        credentials: Callable[[], Credentials],
        ping: tuple[float, float],
    ) -> None:
        self._thread = threading.Thread(
            target=self._run,
            args=(url, region, credentials, ping),
            name=f"relay-connection-{self.number}",
            daemon=True,
        )
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout_s)

    def hang_up(self, why: str) -> None:
        """End the connection, or the attempt to make one, from any thread."""
        with self._lock:
            self._why = self._why or why
            self._hung_up = True
            app = self._app
        if app is not None:
            _hang_up(app)

    def write(self, text: str) -> None:
        """Send a message if the connection is open; only one thread may call this."""
        with self._lock:
            app = self._app if self._open else None
        if app is None or app.sock is None:
            return
        try:
            send_text(app.sock, text)
        except (OSError, WebSocketException) as error:
            self.hang_up(_words(error))

    def _run(
        self,
        url: str,
        region: str,
        credentials: Callable[[], Credentials],
        ping: tuple[float, float],
    ) -> None:
        try:
            self._stay(url, region, credentials, ping)
        finally:
            with self._lock:
                self._app = None
                self._open = False
                raw, self._raw = self._raw, None
            self.peer = ""
            if raw is not None:
                raw.close()  # after a close frame the library leaves it open, and the gateway waiting
            self._ended(self)

    def _stay(
        self,
        url: str,
        region: str,
        credentials: Callable[[], Credentials],
        ping: tuple[float, float],
    ) -> None:
        """Open the connection and stay in it until it ends."""
        try:
            headers = sign_upgrade(url, region, credentials(), time.time())
        except Exception as error:  # noqa: BLE001  # whatever the credentials' source raises is a failed attempt
            self._note(f"no credentials: {error}")
            return
        del headers["Host"]  # the library sends it, the same one
        app = WebSocketApp(
            url,
            header=headers,
            on_open=self._opened,
            on_message=lambda _, data: self._took(data),
            on_error=lambda _, error: self._failed(error),
            on_close=lambda _, code, reason: self._closed(code, reason),
        )
        with self._lock:
            self._app = app
            if self._hung_up:
                return
        interval, timeout = ping
        options = list(socket_options(UNACKNOWLEDGED_SECONDS))
        app.run_forever(
            ping_interval=interval, ping_timeout=timeout, suppress_origin=True, sockopt=options
        )

    def _opened(self, app: WebSocketApp) -> None:
        raw = app.sock.sock if app.sock is not None else None
        with self._lock:
            self._open = True
            self._raw = raw
            hung_up = self._hung_up
        if hung_up:  # that came while this connection was being made, when there was none to end
            _hang_up(app)
            return
        with contextlib.suppress(OSError):
            self.peer = raw.getpeername()[0] if raw is not None else ""
        self._happened(Opened(self.number))

    def _took(self, data: str | bytes) -> None:
        # From `on_message`: `on_data` names the last frame's opcode, which is no text's where a
        # message has several.
        if isinstance(data, str):
            self._happened(Text(self.number, data))

    def _failed(self, error: Exception) -> None:
        if isinstance(error, WebSocketBadStatusException):
            self.forbidden = error.status_code in _FORBIDDEN
            body = (error.resp_body or b"").decode(errors="replace")[:300]
            self._note(f"HTTP {error.status_code} {body}".strip())
        else:
            self._note(_words(error))

    def _closed(self, code: int | None, reason: str | None) -> None:
        if code is not None:
            self._note(
                f"API Gateway closed the connection ({code}{f' {reason}' if reason else ''})"
            )

    def _note(self, why: str) -> None:
        with self._lock:
            self._why = self._why or why


def _words(error: Exception) -> str:
    """What happened, for a user.

    Without a class's name or the system's number, where there is more to say.
    """
    said = getattr(error, "strerror", None) or str(error)
    return str(said).rstrip(".") or type(error).__name__


def _hang_up(app: WebSocketApp) -> None:
    """End a connection from any thread.

    `app.close()` would read the socket beside the loop's own thread.
    """
    app.keep_running = False
    connection = app.sock
    raw = connection.sock if connection is not None else None
    if connection is None or raw is None:
        return
    with contextlib.suppress(OSError, WebSocketException):
        connection.send(b"\x03\xe8", ABNF.OPCODE_CLOSE)  # 1000, normal closure
    with contextlib.suppress(OSError):
        raw.shutdown(socket.SHUT_RDWR)

"""The relay's WebSocket: it keeps one connection open, whatever happens, and delivers what happens to a callback.

Threads, both daemons: `relay-transport` owns the loop (a fresh `WebSocketApp` per attempt, jittered backoff, explicit
states) and blocks in the socket or in the wait before the next attempt; `relay-writer` is the only one that sends
messages, since websocket-client's lock guards frames and a message may be several. websocket-client's own ping thread
sends control frames between them, as RFC 6455 allows. Callbacks only enqueue: a slow one would kill a healthy
connection through a missed pong.

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

from terralive_stub.sigv4 import Credentials, sign_upgrade
from terralive_stub.transport import send_text

PING_INTERVAL_SECONDS: Final = 20
PING_TIMEOUT_SECONDS: Final = 10  # must be shorter than the interval
CONNECT_TIMEOUT_SECONDS: Final = 10.0
BACKOFF_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)  # before attempt 2, 3, …; half of it is jitter
STEADY_SECONDS: Final = 30.0  # a connection that lasted so long starts the backoff anew
_FORBIDDEN: Final = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Opened:
    pass


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection ended, or did not open. `forbidden`: the gateway refused this caller (401, 403)."""

    why: str
    retry_in_s: float
    forbidden: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    text: str


Happening: TypeAlias = Opened | Closed | Text


class _State(Enum):
    NEW = auto()
    RUNNING = auto()
    STOPPING = auto()


class Transport:
    """See the module's docstring.

    Args:
        url: the debug stack's WebSocket address, through the door for relays.
        region: its region.
        credentials: gives the caller's credentials of this moment; may raise, which counts as a failed attempt.
        happened: called from the transport's thread with everything that happens, in order; must not block.
        backoff_scale: shortens the waits in tests.
        ping_interval_s, ping_timeout_s: how soon a silent peer is noticed; the interval must be the longer one.
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
        self._stopping = threading.Event()
        self._outbox: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # guards _app, _open, _raw, _number and _why, which three threads touch
        self._app: WebSocketApp | None = None
        self._open = False  # the upgrade is through: before that, a frame would spoil it
        self._raw: socket.socket | None = None
        self._number = 0
        self._why = ""
        self._jitter = random.Random()  # noqa: S311  # jitter is no secret
        self._loop = threading.Thread(target=self._run, name="relay-transport", daemon=True)
        self._writer = threading.Thread(target=self._write, name="relay-writer", daemon=True)

    def start(self) -> None:
        self._state = _State.RUNNING
        self._writer.start()
        self._loop.start()

    def send(self, text: str) -> None:
        """Queue a message for the connection of this moment; it is dropped if that connection ends first."""
        self._outbox.put((self._number, text))

    def drop(self, why: str) -> None:
        """Give up the present connection; the loop opens another."""
        with self._lock:
            self._why = why
            app = self._app
        if app is not None:
            _hang_up(app)

    def stop(self, *, flush_s: float = 1.0) -> None:
        """Send what is queued, close, and end both threads."""
        if self._state is not _State.RUNNING:
            return
        self._state = _State.STOPPING
        self._outbox.put(None)
        self._writer.join(flush_s)
        self._stopping.set()
        self.drop("stopped")
        self._loop.join(CONNECT_TIMEOUT_SECONDS + 1)

    def _run(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            opened = time.monotonic()
            forbidden = self._connect_once()
            if self._stopping.is_set():
                break
            attempt = 0 if time.monotonic() - opened > STEADY_SECONDS else attempt
            delay = BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS) - 1)] * self._scale
            delay *= 0.5 + self._jitter.random() / 2
            attempt += 1
            with self._lock:
                why = self._why
            self._happened(Closed(why or "the connection was closed", delay, forbidden))
            self._stopping.wait(delay)

    def _connect_once(self) -> bool:
        """Open a connection and stay in it until it ends; True if the gateway refused this caller."""
        forbidden = False
        with self._lock:
            self._number += 1
            self._why = ""
        try:
            headers = sign_upgrade(self._url, self._region, self._credentials(), time.time())
        except Exception as error:  # noqa: BLE001  # whatever the credentials' source raises is a failed attempt
            self._note(f"no credentials: {error}")
            return False
        del headers["Host"]  # the library sends it, the same one

        def on_error(_: WebSocketApp, error: Exception) -> None:
            nonlocal forbidden
            if isinstance(error, WebSocketBadStatusException):
                forbidden = error.status_code in _FORBIDDEN
                body = (error.resp_body or b"").decode(errors="replace")[:300]
                self._note(f"HTTP {error.status_code} {body}".strip())
            else:
                self._note(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)

        def on_close(_: WebSocketApp, code: int | None, reason: str | None) -> None:
            if code is not None:
                self._note(f"API Gateway closed the connection ({code}{f' {reason}' if reason else ''})")

        app = WebSocketApp(
            self._url,
            header=headers,
            on_open=self._opened,
            on_data=lambda _, data, opcode, __: self._took(data, opcode),
            on_error=on_error,
            on_close=on_close,
        )
        with self._lock:
            self._app = app
        if self._stopping.is_set():
            return False
        websocket.setdefaulttimeout(CONNECT_TIMEOUT_SECONDS)
        interval, timeout = self._ping
        app.run_forever(ping_interval=interval, ping_timeout=timeout, suppress_origin=True)
        with self._lock:
            self._app = None
            self._open = False
            raw, self._raw = self._raw, None
        if raw is not None:
            raw.close()  # after a close frame the library leaves it open, and the gateway waiting
        return forbidden

    def _opened(self, app: WebSocketApp) -> None:
        with self._lock:
            self._open = True
            self._raw = app.sock.sock if app.sock is not None else None
        if self._stopping.is_set():  # stop() came while this connection was being made, when there was none to end
            _hang_up(app)
            return
        self._happened(Opened())

    def _took(self, data: str | bytes, opcode: int) -> None:
        if opcode == ABNF.OPCODE_TEXT:
            self._happened(Text(data if isinstance(data, str) else data.decode(errors="replace")))

    def _note(self, why: str) -> None:
        with self._lock:
            self._why = self._why or why

    def _write(self) -> None:
        while (item := self._outbox.get()) is not None:
            number, text = item
            with self._lock:
                app = self._app if number == self._number and self._open else None
            if app is None or app.sock is None:
                continue
            try:
                send_text(app.sock, text)
            except (OSError, WebSocketException) as error:
                self.drop(f"{type(error).__name__}: {error}")


def _hang_up(app: WebSocketApp) -> None:
    """End a connection from any thread. `app.close()` would read the socket beside the loop's own thread."""
    app.keep_running = False
    connection = app.sock
    raw = connection.sock if connection is not None else None
    if connection is None or raw is None:
        return
    with contextlib.suppress(OSError, WebSocketException):
        connection.send(b"\x03\xe8", ABNF.OPCODE_CLOSE)  # 1000, normal closure
    with contextlib.suppress(OSError):
        raw.shutdown(socket.SHUT_RDWR)

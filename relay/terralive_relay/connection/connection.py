"""One WebSocket connection of the relay, from its first attempt to its end.

Threads: `relay-connection-N` runs websocket-client's loop and blocks on its socket.
websocket-client's own ping thread sends control frames beside the writer's thread, as RFC 6455
allows. Callbacks of websocket-client only report events: a slow one would end a healthy connection
through a missed pong.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from websocket import (
    ABNF,
    WebSocketApp,
    WebSocketBadStatusException,
    WebSocketException,
    WebSocketPayloadException,
)

from terralive_stub.protocol.token import HEADER as TOKEN_HEADER
from terralive_stub.protocol.transport_events import Opened, TextReceived, TransportEvent
from terralive_stub.shared.endpoints import reachable
from terralive_stub.shared.sigv4 import Credentials, sign_upgrade
from terralive_stub.shared.trust_store import untrusted
from terralive_stub.stub.transport import (
    HANDSHAKE_REFUSED,
    NOT_UTF8,
    UpgradeHeaders,
    send_text,
    socket_options,
)

# A peer whose TCP acknowledges nothing for so long is gone (where the system can be told so).
UNACKNOWLEDGED_SECONDS: Final = 10
_BODY_CHARACTERS: Final = 300
_NORMAL_CLOSURE: Final = b"\x03\xe8"  # close code 1000
_log = logging.getLogger("terralive.relay")


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """The settings that all connections of a transport share.

    Attributes:
        url: the debug stack's WebSocket address, with the scheme `ws` or `wss`.
        region: the debug stack's region.
        credentials: returns the caller's present credentials; if it raises, the attempt has failed.
        token: returns a new token for an attempt at the given time.
        now: returns the present time by AWS's clock, in seconds since the Unix epoch.
        tls: the certificate authorities that are trusted; None for a connection without TLS.
        ping_interval_s: the time between pings.
        ping_timeout_s: the time after which a silent peer is gone; shorter than the interval.
    """

    url: str
    region: str
    credentials: Callable[[], Credentials]
    token: Callable[[float], str]
    now: Callable[[], float]
    tls: ssl.SSLContext | None
    ping_interval_s: float
    ping_timeout_s: float


class Connection:
    """One connection, in a thread of its own.

    Args:
        number: its number.
        settings: see `ConnectionSettings`.
        report: takes `Opened` and `TextReceived`, in this connection's thread; must not block.
        ended: called last, in this connection's thread.
    """

    def __init__(
        self,
        number: int,
        settings: ConnectionSettings,
        report: Callable[[TransportEvent], None],
        ended: Callable[[Connection], None],
    ) -> None:
        self.number = number
        # This connection's thread sets the next four.
        # The status with which API Gateway refused the caller, 401 or 403; 0 while it has not.
        self.refused_with = 0
        # The `Date` header of a refusal; "" for none.
        self.date_header = ""
        # A defect of terralive, which ended the connection.
        self.failure: Exception | None = None
        # The peer's IP address while the connection is open.
        self.peer = ""
        self._settings = settings
        self._report_event = report
        self._ended = ended
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
            self.close(self._describe(error))

    # This connection's thread

    def _run(self) -> None:
        try:
            self._open_and_read()
        except Exception as error:  # noqa: BLE001  # the transport reports it and ends
            self._fail(error)
        finally:
            with self._lock:
                self._app = None
                self._open = False
                raw, self._raw = self._raw, None
            self.peer = ""
            if raw is not None:
                # After a close frame the library leaves it open, and the gateway waits for its end.
                raw.close()
            self._ended(self)

    def _open_and_read(self) -> None:
        """Open the connection, and read until it ends."""
        settings = self._settings
        try:
            credentials = settings.credentials()
        except Exception as error:  # noqa: BLE001  # whatever the credentials' source raises is a failed attempt
            self._set_reason(f"no credentials: {error}")
            return
        now = settings.now()
        headers = sign_upgrade(settings.url, settings.region, credentials, now)
        headers[TOKEN_HEADER] = settings.token(now)
        # The library sends the same header by itself.
        del headers["Host"]
        address = reachable(settings.url)
        app = WebSocketApp(
            address.url,
            header=UpgradeHeaders(headers),
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
            host=address.host or None,
            sslopt={"context": settings.tls, "server_hostname": address.name},
            ping_interval=settings.ping_interval_s,
            ping_timeout=settings.ping_timeout_s,
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
        self._report(Opened(self.number))

    def _on_message(self, data: str | bytes) -> None:
        # `on_message` and not `on_data`, whose opcode is that of the last frame: it is not "text"
        # where a message has several.
        if isinstance(data, str):
            self._report(TextReceived(self.number, data))

    def _on_error(self, error: Exception) -> None:
        if not isinstance(error, WebSocketBadStatusException):
            self._set_reason(self._describe(error))
            return
        if error.status_code in HANDSHAKE_REFUSED:
            self.refused_with = error.status_code
        self.date_header = (error.resp_headers or {}).get("date", "")
        body = (error.resp_body or b"").decode(errors="replace")[:_BODY_CHARACTERS]
        self._set_reason(f"HTTP {error.status_code} {body}".strip())

    def _on_close(self, code: int | None, reason: str | None) -> None:
        if code is None:
            return
        details = str(code)
        if reason:
            details = f"{code} {reason}"
        self._set_reason(f"API Gateway closed the connection ({details})")

    def _report(self, event: TransportEvent) -> None:
        """Report an event. websocket-client would hide an exception and go on."""
        try:
            self._report_event(event)
        except Exception as error:  # noqa: BLE001  # the transport reports it and ends
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """End the connection because of a defect of terralive."""
        self.failure = self.failure or error
        self.close(f"the relay failed: {self._describe(error)}")

    def _set_reason(self, reason: str) -> None:
        with self._lock:
            self._reason = self._reason or reason

    def _describe(self, error: Exception) -> str:
        """Describe an error for a user, without a class's name or an errno if there is more."""
        certificate = untrusted(error, urlsplit(self._settings.url).hostname or "")
        if certificate:
            return certificate
        if isinstance(error, WebSocketPayloadException):
            return NOT_UTF8
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

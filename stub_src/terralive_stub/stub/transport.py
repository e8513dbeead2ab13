"""The stub's WebSocket: one connection and one reader thread, which puts its events into a queue.

API Gateway closes a connection with code 1009 after a frame of more than 32 KB, so a longer message
is sent in several frames (RFC 6455, section 5.4). `send_text` does that for the relay's transport
too.
"""

from __future__ import annotations

import contextlib
import queue
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, ItemsView, Mapping
from typing import Final, TypeAlias

import websocket
from websocket import (
    ABNF,
    WebSocket,
    WebSocketBadStatusException,
    WebSocketException,
    WebSocketPayloadException,
)

from terralive_stub.protocol.deadline import NEVER, Deadline
from terralive_stub.protocol.limits import FRAME_BYTES
from terralive_stub.protocol.transport_events import Closed, TextReceived, TransportEvent
from terralive_stub.shared.endpoints import reachable, websocket_url

CONNECT_TIMEOUT_SECONDS: Final = 10.0
# The limit includes the frame's header (at most 14 bytes, RFC 6455 section 5.2).
FRAME_PAYLOAD_BYTES: Final = FRAME_BYTES - 14
# The HTTP statuses with which API Gateway refuses a caller.
HANDSHAKE_REFUSED: Final = frozenset({401, 403})
# The reason for a connection's end, in the place of websocket-client's text: that one repeats the
# message.
NOT_UTF8: Final = "a message was not valid UTF-8"
# API Gateway counts as gone if TCP acknowledges nothing, or takes nothing, for this long.
_UNACKNOWLEDGED_SECONDS: Final = 5
_NO_STATUS_RECEIVED: Final = 1005  # RFC 6455, section 7.1.5
_NORMAL_CLOSURE: Final = b"\x03\xe8"  # 1000
_BODY_CHARACTERS: Final = 300  # of an error response that are worth showing


class HandshakeRefusedError(Exception):
    """API Gateway answered the upgrade with 401 or 403."""


class UpgradeHeaders(dict[str, str]):
    """Headers of one request to upgrade a connection. A redirect fails.

    websocket-client follows redirects, and would send the token and the signature to another
    server. API Gateway never redirects; a proxy may.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(headers)
        # They were given to websocket-client for a request.
        self._sent = False

    def items(self) -> ItemsView[str, str]:  # type: ignore[override]  # dict's own type is private
        if self._sent:
            raise WebSocketException("the answer is a redirect, and API Gateway sends none")
        self._sent = True
        return super().items()


Inbox: TypeAlias = queue.SimpleQueue[TransportEvent]


def socket_options(unacknowledged_s: int) -> tuple[tuple[int, int, int], ...]:
    """Return options that end a connection whose peer acknowledges nothing for so many seconds.

    Without them, a send would block for minutes. Linux has the option, and so Lambda; on other
    systems only pings find a dead connection. https://man7.org/linux/man-pages/man7/tcp.7.html
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return ()
    return ((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unacknowledged_s * 1000),)


def send_text(
    connection: WebSocket, text: str, before_frame: Callable[[], None] = lambda: None
) -> None:
    """Send one text message in frames that API Gateway accepts.

    Only one thread may send on a socket.

    Args:
        connection: the open WebSocket.
        text: the message.
        before_frame: called before each frame.

    Raises:
        WebSocketException, OSError: the connection is gone.
    """
    data = text.encode()
    opcode = ABNF.OPCODE_TEXT
    for start in range(0, max(1, len(data)), FRAME_PAYLOAD_BYTES):
        end = start + FRAME_PAYLOAD_BYTES
        is_last = end >= len(data)
        before_frame()
        connection.send_frame(ABNF(int(is_last), 0, 0, 0, opcode, 1, data[start:end]))
        opcode = ABNF.OPCODE_CONT


class Connection:
    """An open connection.

    Attributes:
        number: the number in its events, which differs from those of earlier connections.
        _inbox: the queue of its events.
        _socket: websocket-client's connection; its lock guards frames.
        _reader: the thread that blocks in `recv` until the connection ends.
    """

    def __init__(
        self,
        url: str,
        headers: dict[str, str],
        number: int,
        inbox: Inbox,
        *,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = CONNECT_TIMEOUT_SECONDS,
    ) -> None:
        """Connect, and start the reader thread.

        Raises:
            HandshakeRefusedError: API Gateway refuses this caller.
            OSError, WebSocketException, ValueError: API Gateway cannot be reached.
        """
        self.number = number
        self._inbox = inbox
        address = reachable(websocket_url(url))
        try:
            self._socket = websocket.create_connection(
                address.url,
                host=address.host or None,
                sslopt={"context": tls, "server_hostname": address.name},
                timeout=timeout_s,
                sockopt=socket_options(_UNACKNOWLEDGED_SECONDS),
                header=UpgradeHeaders(headers),
                suppress_origin=True,
                enable_multithread=True,
            )
        except WebSocketBadStatusException as error:
            if error.status_code in HANDSHAKE_REFUSED:
                body = (error.resp_body or b"").decode(errors="replace")
                raise HandshakeRefusedError(
                    f"API Gateway refused the connection (HTTP {error.status_code}): "
                    f"{body[:_BODY_CHARACTERS]}"
                ) from None
            raise
        self._socket.settimeout(None)
        self._reader = threading.Thread(
            target=self._read, name=f"stub-reader-{number}", daemon=True
        )
        self._reader.start()

    def send(self, text: str, *, until: Deadline = NEVER) -> None:
        """Send a message.

        Args:
            text: the message.
            until: when to give up. (A timeout of the socket would be the reader's, too.)

        Raises:
            WebSocketException, OSError: the connection is gone, or the gateway takes nothing.
        """
        send_text(self._socket, text, lambda: self._wait_until_writable(until))

    def _wait_until_writable(self, until: Deadline) -> None:
        raw = self._socket.sock
        if raw is None:
            return  # closed: sending raises the right error
        left_s = min(_UNACKNOWLEDGED_SECONDS, until.remaining(time.monotonic()))
        try:
            _, writable, _ = select.select([], [raw], [], left_s)
        except ValueError as error:  # the reader has closed the socket at this moment
            raise ConnectionError(str(error)) from error
        if not writable:
            raise TimeoutError("the gateway takes nothing")

    def unread(self) -> bool:
        """Tell whether a message, or the connection's end, waits on the socket.

        After Lambda has thawed a frozen environment, the reader thread may not have run yet.
        """
        raw = self._socket.sock
        if raw is None:
            return True
        try:
            readable, _, _ = select.select([raw], [], [], 0)
        except (OSError, ValueError):  # the reader has closed the socket at this moment
            return True
        return bool(readable)

    def close(self) -> None:
        """Close from this end, and wait for the reader thread's end.

        The socket is shut down first: closing alone would leave the reader blocked in the kernel.
        """
        raw = self._socket.sock
        if raw is not None:
            with contextlib.suppress(OSError, WebSocketException, ValueError):
                _, writable, _ = select.select([], [raw], [], 0)
                if writable:  # a close frame is not worth a wait
                    self._socket.send(_NORMAL_CLOSURE, ABNF.OPCODE_CLOSE)
            with contextlib.suppress(OSError):
                raw.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() is not self._reader:
            self._reader.join(CONNECT_TIMEOUT_SECONDS)
        if raw is not None:
            raw.close()

    def _read(self) -> None:
        """Report messages until the connection ends, then report its end. The reader's thread."""
        try:
            reason = self._read_to_end()
        except (OSError, WebSocketException, ValueError, AttributeError) as error:
            # `ValueError` and `AttributeError`: `close` has taken the socket away at this moment.
            reason = describe(error)
        raw = self._socket.sock
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.shutdown(socket.SHUT_RDWR)  # the gateway need not wait for this end's close
        self._inbox.put(Closed(self.number, reason))

    def _read_to_end(self) -> str:
        """Report messages until API Gateway closes the connection; return its reason."""
        while True:
            opcode, data = self._socket.recv_data()
            if opcode == ABNF.OPCODE_CLOSE:
                return _describe_close(data)
            if opcode == ABNF.OPCODE_TEXT:
                self._inbox.put(TextReceived(self.number, data.decode(errors="replace")))


def connection_within(open_connection: Callable[[], Connection], seconds: float) -> Connection:
    """Open a connection in a thread of its own, because resolving a name has no timeout.

    Raises:
        TimeoutError: it was not open in time. A connection that opens later is closed.
        Exception: what `open_connection` raises.
    """
    # Guards the two lists: what has come of the attempt, and whether the caller has given up.
    lock = threading.Lock()
    results: list[Connection | Exception] = []
    given_up: list[bool] = []
    done = threading.Event()

    def run() -> None:
        result: Connection | Exception
        try:
            result = open_connection()
        except Exception as error:  # noqa: BLE001  # the caller raises it
            result = error
        with lock:
            results.append(result)
            is_late = bool(given_up)
        done.set()
        if is_late and isinstance(result, Connection):
            result.close()

    threading.Thread(target=run, name="stub-connects", daemon=True).start()
    done.wait(seconds)
    with lock:
        if not results:
            given_up.append(True)
            raise TimeoutError(f"the connection was not open within {seconds:.0f} s")
        (result,) = results
    if isinstance(result, Exception):
        raise result
    return result


def describe(error: Exception) -> str:
    """Describe the reason of a connection's end, never with the content of a message."""
    text = str(error)
    if isinstance(error, WebSocketPayloadException):
        text = NOT_UTF8
    return f"{type(error).__name__}: {text}"


def _describe_close(data: bytes) -> str:
    """Describe a close frame: two bytes of status code and a text, or nothing."""
    code = _NO_STATUS_RECEIVED
    if len(data) > 1:
        code = int.from_bytes(data[:2], "big")
    text = data[2:].decode(errors="replace")
    return f"API Gateway closed the connection ({code} {text})"

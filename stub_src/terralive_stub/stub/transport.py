"""The stub's WebSocket: one connection, one reader thread, messages and its end delivered into a queue.

Frames of more than 32 KB make API Gateway close the connection with 1009, so a longer message
leaves in several frames (RFC 6455, section 5.4); `send_text` does that for the relay's transport
too.
"""

from __future__ import annotations

import contextlib
import math
import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Final, TypeAlias

import websocket
from websocket import ABNF, WebSocket, WebSocketBadStatusException, WebSocketException

from terralive_stub.protocol.limits import FRAME_BYTES
from terralive_stub.protocol.transport_events import Closed, TextReceived, TransportEvent

CONNECT_TIMEOUT_SECONDS: Final = 10.0
# The limit is the frame's, so its header (at most 14 bytes, RFC 6455 section 5.2) has to fit in as
# well.
FRAME_PAYLOAD_BYTES: Final = FRAME_BYTES - 14
_FORBIDDEN: Final = frozenset({401, 403})
_UNACKNOWLEDGED_SECONDS: Final = 5


class HandshakeRefusedError(Exception):
    """API Gateway answered the upgrade with 401 or 403."""


Inbox: TypeAlias = queue.SimpleQueue[TransportEvent]


def socket_options(unacknowledged_s: int) -> tuple[tuple[int, int, int], ...]:
    """Have the system end a connection whose peer acknowledges nothing for so long; a send would block for minutes.

    Linux (so Lambda) can; elsewhere only pings find out.
    https://man7.org/linux/man-pages/man7/tcp.7.html
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return ()
    return ((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unacknowledged_s * 1000),)


def send_text(
    connection: WebSocket, text: str, before_frame: Callable[[], None] = lambda: None
) -> None:
    """Send one text message in frames that API Gateway accepts. Only one thread may send on a socket.

    Raises:
        WebSocketException, OSError: the connection is gone.
    """
    data = text.encode()
    starts = range(0, max(1, len(data)), FRAME_PAYLOAD_BYTES)
    for start in starts:
        piece = data[start : start + FRAME_PAYLOAD_BYTES]
        opcode = ABNF.OPCODE_TEXT if start == 0 else ABNF.OPCODE_CONT
        last = start + FRAME_PAYLOAD_BYTES >= len(data)
        before_frame()
        connection.send_frame(ABNF(int(last), 0, 0, 0, opcode, 1, piece))


class Connection:
    """An open connection. `number` tells its messages from those of the connections before it."""

    def __init__(
        self,
        url: str,
        headers: dict[str, str],
        number: int,
        inbox: Inbox,
        *,
        timeout_s: float = CONNECT_TIMEOUT_SECONDS,
    ) -> None:
        """Connect.

        Raises:
            HandshakeRefusedError: the gateway refuses this caller.
            OSError, WebSocketException: it cannot be reached, or not now.
        """
        self.number = number
        self._inbox = inbox
        try:
            self._socket = websocket.create_connection(
                url,
                timeout=timeout_s,
                sockopt=socket_options(_UNACKNOWLEDGED_SECONDS),
                header=headers,
                suppress_origin=True,
                enable_multithread=True,
            )
        except WebSocketBadStatusException as error:
            if error.status_code in _FORBIDDEN:
                body = (error.resp_body or b"").decode(errors="replace")[:300]
                raise HandshakeRefusedError(
                    f"API Gateway refused the connection (HTTP {error.status_code}): {body}"
                ) from None
            raise
        self._socket.settimeout(None)
        self._reader = threading.Thread(
            target=self._read, name=f"stub-reader-{number}", daemon=True
        )
        self._reader.start()

    def send(self, text: str, *, until: float = math.inf) -> None:
        """Send a message.

        Args:
            text: it.
            until: when to give up, on the monotonic clock. The socket's own timeout would be the
                reader's, too.

        Raises:
            WebSocketException, OSError: the connection is gone, or the gateway takes nothing.
        """

        def wait() -> None:
            raw = self._socket.sock
            left = min(_UNACKNOWLEDGED_SECONDS, max(0.0, until - time.monotonic()))
            try:
                takes = raw is None or select.select([], [raw], [], left)[1]
            except ValueError as error:  # the reader has closed it at this moment
                raise ConnectionError(str(error)) from error
            if not takes:
                raise TimeoutError("the gateway takes nothing")

        send_text(self._socket, text, wait)

    def unread(self) -> bool:
        """Tell whether something (a message, or the connection's end) waits on the socket at this moment.

        After Lambda has thawed a frozen environment the reader thread may not have run yet.
        """
        raw = self._socket.sock
        try:
            return raw is None or bool(select.select([raw], [], [], 0)[0])
        except (OSError, ValueError):  # the reader, thawed at the same moment, has closed it
            return True

    def close(self) -> None:
        """Close from this end.

        The reader ends at once; closing alone would leave it blocked in the kernel.
        """
        raw = self._socket.sock
        if raw is not None:
            with contextlib.suppress(OSError, WebSocketException, ValueError):
                if select.select([], [raw], [], 0)[1]:  # else a farewell would wait for room
                    self._socket.send(b"\x03\xe8", ABNF.OPCODE_CLOSE)  # 1000, normal closure
            with contextlib.suppress(OSError):
                raw.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() is not self._reader:
            self._reader.join(CONNECT_TIMEOUT_SECONDS)
        if raw is not None:
            raw.close()

    def _read(self) -> None:
        try:
            while True:
                opcode, data = self._socket.recv_data()
                if opcode == ABNF.OPCODE_CLOSE:
                    code = int.from_bytes(data[:2], "big") if len(data) > 1 else 1005
                    why = f"API Gateway closed the connection ({code} {data[2:].decode(errors='replace')})".strip()
                    break
                if opcode == ABNF.OPCODE_TEXT:
                    self._inbox.put(TextReceived(self.number, data.decode(errors="replace")))
        except (OSError, WebSocketException, ValueError, AttributeError) as error:
            why = f"{type(error).__name__}: {error}"
        raw = self._socket.sock
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.shutdown(socket.SHUT_RDWR)  # the gateway need not wait for our end of it
        self._inbox.put(Closed(self.number, why))

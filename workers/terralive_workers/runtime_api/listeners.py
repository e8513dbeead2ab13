"""Listening sockets on 127.0.0.1, and a thread for each connection to them.

It knows nothing of what is said over a connection.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Final

_JOIN_SECONDS: Final = 5.0


class Listeners:
    """Listening sockets, one thread that accepts connections, and one per connection (daemons).

    Args:
        name: the name of the accepting thread; `NAME-connection` is that of the others.
        serve: serves one connection to its end, in its own thread. Takes the connection, which is
            closed afterwards, and the key of its port.
    """

    def __init__(self, name: str, serve: Callable[[socket.socket, str], None]) -> None:
        # These never change.
        self._name = name
        self._serve = serve

        # Guards the three attributes below it. Never held while a connection is served.
        self._lock = threading.Lock()
        # The listening sockets, by key.
        self._ports: dict[str, socket.socket] = {}
        # The open connections, each with the thread that serves it.
        self._connections: dict[socket.socket, threading.Thread] = {}
        # Set once, by `close`.
        self._closed = False

        # Holds the listening sockets and `_wake_read`. A key's data is the port's key, and None for
        # `_wake_read`.
        self._selector = selectors.DefaultSelector()
        # A byte in this pair makes the accepting thread look at `_closed` and at new sockets.
        self._wake_read, self._wake_write = socket.socketpair()
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._acceptor = threading.Thread(target=self._accept, name=name, daemon=True)
        self._acceptor.start()

    def open(self, key: str, port: int = 0) -> str:
        """Listen on a port, or on a free one. Return its address: `127.0.0.1:PORT`.

        Raises:
            OSError: the port is taken.
        """
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
        # The selector tells when a connection waits. A peer that leaves before `accept` must not
        # block the accepting thread.
        listener.setblocking(False)
        with self._lock:
            self._ports[key] = listener
            self._selector.register(listener, selectors.EVENT_READ, key)
        self._wake()
        host, number = listener.getsockname()[:2]
        return f"{host}:{number}"

    def close_port(self, key: str) -> None:
        """Stop to listen on a port, if there is one with this key. Connections stay open."""
        with self._lock:
            listener = self._ports.pop(key, None)
            if listener is not None:
                self._selector.unregister(listener)
                listener.close()

    def close(self) -> None:
        """End every connection and every thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            connections = dict(self._connections)
        self._wake()
        self._acceptor.join(_JOIN_SECONDS)
        for connection, thread in connections.items():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(_JOIN_SECONDS)
        for owned in (*self._ports.values(), self._wake_read, self._wake_write):
            owned.close()
        self._selector.close()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_write.send(b"x")

    def _accept(self) -> None:
        """Accept connections until `close` is called: the thread `NAME`."""
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._wake_read.recv(4096)
                    if self._closed:
                        return
                    continue
                listener = key.fileobj
                if isinstance(listener, socket.socket):
                    self._accept_one(listener, str(key.data))

    def _accept_one(self, listener: socket.socket, key: str) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            # The peer has left already, or the port was closed in the meantime.
            return
        connection.setblocking(True)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        thread = threading.Thread(
            target=self._serve_connection,
            args=(connection, key),
            name=f"{self._name}-connection",
            daemon=True,
        )
        with self._lock:
            if self._closed:
                connection.close()
                return
            self._connections[connection] = thread
        thread.start()

    def _serve_connection(self, connection: socket.socket, key: str) -> None:
        """Serve one connection: the thread `NAME-connection`."""
        try:
            self._serve(connection, key)
        finally:
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()

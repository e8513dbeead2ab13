"""Lambda's Runtime API (version 2018-06-01) on 127.0.0.1, from which workers get their invocations.

It accepts connections, and finds the `WorkerClient` that was registered for the worker; `calls.py`
translates requests to calls of it. It decides nothing itself: the relay's pool or the sandbox
decides which worker gets which invocation.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

A worker finds its Runtime API in `AWS_LAMBDA_RUNTIME_API`, which has one of two forms:
`127.0.0.1:PORT/SECRET` on the port that all workers share (for terralive's own bootstraps; no other
program on this machine can guess the secret), or `127.0.0.1:PORT` on a port of the worker's own
(for clients that split the variable into host and port). On such a port, connections of other users
of this machine are refused (`loopback.py`), and requests of web pages in the user's own browser.

It must never log an event, a response, an error's message or a worker's secret, and never make a
worker wait for anything but its next invocation and the reader of its streamed response.
"""

from __future__ import annotations

import contextlib
import io
import logging
import secrets
import selectors
import socket
import threading
from typing import Final

from terralive_workers import loopback
from terralive_workers.guardian import Guardian
from terralive_workers.runtime_api import calls
from terralive_workers.runtime_api.http_messages import (
    BadRequestError,
    Body,
    Stream,
    format_response,
    read_head,
)
from terralive_workers.runtime_api.worker_client import WorkerClient

_log = logging.getLogger("terralive.workers")

_JOIN_SECONDS: Final = 5.0
# A connection is read in pieces of this size.
_READ_BYTES: Final = 64 * 1024
_FORBIDDEN: Final = format_response(
    403,
    {"Content-Type": "text/plain"},
    b"Another user of this machine runs this function.",
    keep_alive=False,
)
_FORBIDDEN_TO_PAGES: Final = format_response(
    403,
    {"Content-Type": "text/plain"},
    b"A web page has no access to this function.",
    keep_alive=False,
)


class RuntimeApi:
    """The Runtime API of all workers of one relay or one sandbox.

    Owns one thread that accepts connections, one thread per connection (all daemons), and the
    guardian of the workers' processes.
    """

    def __init__(self) -> None:
        # Guards the four attributes below it. Never held while a `WorkerClient` is called.
        self._lock = threading.Lock()
        # The registered workers, by their secret.
        self._clients: dict[str, WorkerClient] = {}
        # The listening sockets of the workers that have a port of their own, by their secret.
        self._own_ports: dict[str, socket.socket] = {}
        # The open connections, each with the thread that serves it.
        self._connections: dict[socket.socket, threading.Thread] = {}
        # Set once, by `close`.
        self._closed = False

        # Kills the workers when this process ends. Public, for the code that starts them.
        self.guardian: Final = Guardian()
        # Holds the listening sockets and `_wake_read`. A key's data is the worker's secret, "" for
        # the shared port, and None for `_wake_read`.
        self._selector = selectors.DefaultSelector()
        # A byte in this pair makes the accepting thread look at `_closed` and at new sockets.
        self._wake_read, self._wake_write = socket.socketpair()
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        # The listening socket of the port that all workers share.
        self._shared_port = _listen()
        self._selector.register(self._shared_port, selectors.EVENT_READ, "")
        self._acceptor = threading.Thread(target=self._accept, name="runtime-api", daemon=True)
        self._acceptor.start()
        _log.debug("the Runtime API listens on %s", self.address)

    @property
    def address(self) -> str:
        """Address of the shared port: `127.0.0.1:PORT`."""
        return _address(self._shared_port)

    def register(self, client: WorkerClient, *, own_port: bool = False) -> tuple[str, str]:
        """Register a worker. Return its secret id and its value of `AWS_LAMBDA_RUNTIME_API`."""
        worker_id = secrets.token_hex(16)
        with self._lock:
            self._clients[worker_id] = client
            if not own_port:
                return worker_id, f"{self.address}/{worker_id}"
            listener = _listen()
            self._own_ports[worker_id] = listener
            self._selector.register(listener, selectors.EVENT_READ, worker_id)
        self._wake()
        return worker_id, _address(listener)

    def unregister(self, worker_id: str) -> None:
        """Forget a worker. New requests of it are answered with 404."""
        with self._lock:
            self._clients.pop(worker_id, None)
            listener = self._own_ports.pop(worker_id, None)
            if listener is not None:
                self._selector.unregister(listener)
                listener.close()

    def close(self) -> None:
        """End every connection and every thread.

        Close the owners of the workers first: a worker that still lives loses its connection.
        """
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
        listeners = [self._shared_port, *self._own_ports.values()]
        for owned in (*listeners, self._wake_read, self._wake_write):
            owned.close()
        self._selector.close()
        self.guardian.close()
        _log.debug("the Runtime API is closed")

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_write.send(b"x")

    def _accept(self) -> None:
        """Accept connections until `close` is called: the thread `runtime-api`."""
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

    def _accept_one(self, listener: socket.socket, worker_id: str) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            # The peer has left already, or the worker was unregistered in the meantime.
            return
        connection.setblocking(True)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        thread = threading.Thread(
            target=self._serve,
            args=(connection, worker_id),
            name="runtime-api-connection",
            daemon=True,
        )
        with self._lock:
            if self._closed:
                connection.close()
                return
            self._connections[connection] = thread
        thread.start()

    def _serve(self, connection: socket.socket, worker_id: str) -> None:
        """Answer the requests of one connection: the thread `runtime-api-connection`."""
        try:
            if worker_id and not loopback.is_own(connection):
                _log.debug("a connection to a worker's port is refused: it is another user's")
                connection.sendall(_FORBIDDEN)
                return
            with io.BufferedReader(connection.makefile("rb", buffering=0), _READ_BYTES) as stream:
                goes_on = True
                while goes_on:
                    goes_on = self._serve_one(connection, stream, worker_id)
        except BadRequestError as error:
            _log.debug("a connection to the Runtime API ends: %s", error)
        except OSError:
            pass  # The worker has ended. Its `Process` reports that.
        finally:
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()

    def _serve_one(self, connection: socket.socket, stream: Stream, worker_id: str) -> bool:
        """Answer one request. Return whether the connection stays open for another one.

        `worker_id` is "" on the shared port, where the path begins with the worker's secret.
        """
        request = read_head(stream)
        if request is None:
            return False
        if request.waits_for_continue:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = Body(stream, request)
        path = request.path
        if worker_id and request.is_of_web_page:
            _log.debug("a request to a worker's port is refused: it is a web page's")
            body.read(0)
            connection.sendall(_FORBIDDEN_TO_PAGES)
            return False
        if not worker_id:
            worker_id, _, rest = path.lstrip("/").partition("/")
            path = f"/{rest}"
        with self._lock:
            client = self._clients.get(worker_id)
        if client is None:
            _log.debug("a request to the Runtime API comes from no registered worker: 404")
            body.read(0)
            answer: bytes | None = calls.not_found(request)
        else:
            answer = calls.answer(client, path, request, body)
        if answer is None:
            return False
        connection.sendall(answer)
        return request.keep_alive


def _listen() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    # The selector tells when a connection waits. A peer that leaves before `accept` must not block
    # the accepting thread.
    listener.setblocking(False)
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"{host}:{port}"

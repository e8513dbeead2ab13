"""Lambda's Runtime API (version 2018-06-01) on 127.0.0.1, from which workers get their invocations.

It finds the `WorkerClient` that was registered for the worker at the other end of a connection;
`calls.py` translates requests to calls of it. It decides nothing itself: the relay's pool or the
sandbox decides which worker gets which invocation.
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

import io
import logging
import secrets
import socket
import threading
from typing import Final

from terralive_workers import loopback
from terralive_workers.extensions.endpoints import Extensions
from terralive_workers.guardian import Guardian
from terralive_workers.runtime_api import calls
from terralive_workers.runtime_api.http_messages import (
    BadRequestError,
    Body,
    Stream,
    format_response,
    read_head,
)
from terralive_workers.runtime_api.listeners import Listeners
from terralive_workers.runtime_api.worker_client import WorkerClient

_log = logging.getLogger("terralive.workers")

# The key of the port that all workers share. The others have their worker's secret as key.
_SHARED: Final = ""
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

    Owns one thread that accepts connections, one thread per connection (all daemons), the guardian
    of the workers' processes, and the extensions of the workers.
    """

    def __init__(self) -> None:
        # Guards the attribute below it. Never held while a `WorkerClient` is called.
        self._lock = threading.Lock()
        # The registered workers, by their secret.
        self._clients: dict[str, WorkerClient] = {}

        # Kills the workers when this process ends. Public, for the code that starts them.
        self.guardian: Final = Guardian()
        # Serves extensions to the workers. Public, for the code that starts them.
        self.extensions: Final = Extensions()
        self._listeners = Listeners("runtime-api", self._serve)
        # Address of the shared port: `127.0.0.1:PORT`.
        self.address: Final = self._listeners.open(_SHARED)
        _log.debug("the Runtime API listens on %s", self.address)

    def register(self, client: WorkerClient, *, own_port: bool = False) -> tuple[str, str]:
        """Register a worker. Return its secret id and its value of `AWS_LAMBDA_RUNTIME_API`."""
        worker_id = secrets.token_hex(16)
        with self._lock:
            self._clients[worker_id] = client
        if own_port:
            return worker_id, self._listeners.open(worker_id)
        return worker_id, f"{self.address}/{worker_id}"

    def unregister(self, worker_id: str) -> None:
        """Forget a worker. New requests of it are answered with 404."""
        with self._lock:
            self._clients.pop(worker_id, None)
        self._listeners.close_port(worker_id)

    def close(self) -> None:
        """End every connection and every thread.

        Close the owners of the workers first: a worker that still lives loses its connection.
        """
        self._listeners.close()
        self.extensions.close()
        self.guardian.close()
        _log.debug("the Runtime API is closed")

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

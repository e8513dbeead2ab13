"""The Lambda Runtime API (2018-06-01) on loopback: the door through which workers get their invocations.

It translates HTTP to four calls on whoever registered a worker, and decides nothing itself: who
gets which invocation is the pool's business. Paths, headers and status codes are those of
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html.

A worker reaches its own API under `AWS_LAMBDA_RUNTIME_API`, in one of two forms:
`127.0.0.1:PORT/<secret>` on the common port (our own bootstraps: nobody else on this machine can
guess it), or `127.0.0.1:PORT` on a port of its own (official clients that take the variable apart
as host and port).

It must never log an event, a response or a header, and never block a worker on anything but its
next invocation.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import secrets
import selectors
import socket
import threading
from enum import IntEnum
from typing import Final, Protocol

from terralive_stub.protocol.invocation import Invocation
from terralive_workers import http_messages as http1
from terralive_workers.guardian import Guardian

# The limit that Lambda itself names in its error message, 100 bytes above 6 MiB.
RESPONSE_BYTES: Final = 6_291_556
_VERSION: Final = "/2018-06-01/runtime"
_ERROR_TYPE: Final = "lambda-runtime-function-error-type"
_CAUSE: Final = "lambda-runtime-function-xray-error-cause"
_ERROR_BODY: Final = "lambda-runtime-function-error-body"
_JOIN_SECONDS: Final = 5.0


class PostResult(IntEnum):
    """What became of a worker's message; the values are the Runtime API's status codes."""

    ACCEPTED = 202
    UNKNOWN_REQUEST = 400
    WRONG_STATE = 403


class WorkerClient(Protocol):
    """One worker as the Runtime API sees it. Called from the threads of that worker's connections."""

    def next_invocation(self) -> Invocation | None:
        """Block until there is an invocation; None when the worker is to end."""
        ...

    def respond(self, request_id: str, body: bytes) -> PostResult: ...
    def fail(self, request_id: str, error_type: str, body: bytes) -> PostResult: ...
    def fail_init(self, error_type: str, body: bytes, cause: str = "") -> PostResult: ...


class RuntimeApi:
    """One per relay or sandbox.

    Owns one accept thread, and one thread per worker connection (all daemons).
    """

    def __init__(self) -> None:
        # Guards everything below it: who is registered, open sockets and their threads.
        self._lock = threading.Lock()
        self._clients: dict[str, WorkerClient] = {}
        self._own_ports: dict[str, socket.socket] = {}
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._closed = False
        self.guardian: Final = Guardian()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._common = _listener()
        self._selector.register(self._common, selectors.EVENT_READ, "")
        self._acceptor = threading.Thread(target=self._accept, name="runtime-api", daemon=True)
        self._acceptor.start()

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`."""
        return _address(self._common)

    def register(self, client: WorkerClient, *, own_port: bool = False) -> tuple[str, str]:
        """Let a worker in; returns (its secret id, its `AWS_LAMBDA_RUNTIME_API`)."""
        worker_id = secrets.token_hex(16)
        with self._lock:
            self._clients[worker_id] = client
            if not own_port:
                return worker_id, f"{self.address}/{worker_id}"
            listener = self._own_ports[worker_id] = _listener()
            self._selector.register(listener, selectors.EVENT_READ, worker_id)
        self._wake()
        return worker_id, _address(listener)

    def unregister(self, worker_id: str) -> None:
        with self._lock:
            self._clients.pop(worker_id, None)
            listener = self._own_ports.pop(worker_id, None)
            if listener is not None:
                self._selector.unregister(listener)
                listener.close()

    def close(self) -> None:
        """End every connection and thread.

        Workers still alive find the API gone. Close the pools first.
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
        for listener in (
            self._common,
            *self._own_ports.values(),
            self._wake_read,
            self._wake_write,
        ):
            listener.close()
        self._selector.close()
        self.guardian.close()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_write.send(b"x")

    def _accept(self) -> None:
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
        except (
            OSError
        ):  # the peer was faster gone than we came, or the worker was unregistered meanwhile
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
        try:
            with connection.makefile("rb", buffering=64 * 1024) as stream:
                while self._serve_one(connection, stream, worker_id):
                    pass
        except (OSError, http1.BadRequestError):
            pass  # the worker is gone or speaks no HTTP; its process is watched elsewhere
        finally:
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()

    def _serve_one(self, connection: socket.socket, stream: http1.Stream, worker_id: str) -> bool:
        request = http1.read_request(
            stream,
            body_limit=RESPONSE_BYTES + 1,
            send_continue=lambda: connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n"),
        )
        if request is None:
            return False
        path = request.path
        if not worker_id:
            worker_id, _, rest = path.lstrip("/").partition("/")
            path = f"/{rest}"
        with self._lock:
            client = self._clients.get(worker_id)
        answer = _not_found(request) if client is None else _route(client, path, request)
        if answer is None:
            return False
        connection.sendall(answer)
        return request.keep_alive


def _route(client: WorkerClient, path: str, request: http1.Request) -> bytes | None:
    """Answer one request; None ends the connection without an answer."""
    if not path.startswith(_VERSION):
        return _not_found(request)
    match path[len(_VERSION) :].strip("/").split("/"):
        case ["invocation", "next"] if request.method == "GET":
            invocation = client.next_invocation()
            return None if invocation is None else next_response(invocation)
        case ["invocation", request_id, "response"] if request.method == "POST":
            return _respond(client, request_id, request)
        case ["invocation", request_id, "error"] if request.method == "POST":
            return _fail(client, request_id, request)
        case ["init", "error"] if request.method == "POST":
            error_type, cause = (request.headers.get(name, "") for name in (_ERROR_TYPE, _CAUSE))
            return _verdict(request, client.fail_init(error_type, request.body, cause))
        case _:
            return _not_found(request)


def _respond(client: WorkerClient, request_id: str, request: http1.Request) -> bytes:
    if request.body_bytes > RESPONSE_BYTES:
        return _too_large(client, request_id, request)
    error_type = request.headers.get(_ERROR_TYPE)
    if error_type:  # a streamed response that broke off says so in its trailers
        return _verdict(
            request, client.fail(request_id, error_type, _trailing_error(request, error_type))
        )
    return _verdict(request, client.respond(request_id, request.body))


def _fail(client: WorkerClient, request_id: str, request: http1.Request) -> bytes:
    if request.body_bytes > RESPONSE_BYTES:
        return _too_large(client, request_id, request)
    error_type = request.headers.get(_ERROR_TYPE) or "Unhandled"
    return _verdict(request, client.fail(request_id, error_type, request.body))


def _too_large(client: WorkerClient, request_id: str, request: http1.Request) -> bytes:
    error_type = "Function.ResponseSizeTooLarge"
    message = (
        f"Response payload size exceeded maximum allowed payload size ({RESPONSE_BYTES} bytes)."
    )
    verdict = client.fail(request_id, error_type, error_document(error_type, message))
    if verdict is not PostResult.ACCEPTED:
        return _verdict(request, verdict)
    return _json(request, 413, {"errorMessage": message, "errorType": "RequestEntityTooLarge"})


def next_response(invocation: Invocation) -> bytes:
    """The answer to `/invocation/next`.

    Optional headers are left out when they are empty, as Lambda does.
    """
    headers = {
        "Content-Type": "application/json",
        "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
        "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
        "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
    }
    optional = {
        "Lambda-Runtime-Trace-Id": invocation.trace_id,
        "Lambda-Runtime-Client-Context": invocation.client_context,
        "Lambda-Runtime-Cognito-Identity": invocation.cognito_identity,
    }
    headers |= {name: value for name, value in optional.items() if value}
    return http1.response(200, headers, invocation.event)


def error_document(error_type: str, message: str) -> bytes:
    """The body of an error that the service itself makes, not the handler's runtime."""
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()


def _trailing_error(request: http1.Request, error_type: str) -> bytes:
    with contextlib.suppress(binascii.Error, ValueError):
        return base64.b64decode(
            request.headers.get(_ERROR_BODY, ""), validate=True
        ) or error_document(error_type, "")
    return error_document(error_type, "")


def _verdict(request: http1.Request, verdict: PostResult) -> bytes:
    match verdict:
        case PostResult.ACCEPTED:
            return _json(request, 202, {"status": "OK"})
        case PostResult.UNKNOWN_REQUEST:
            document = {"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"}
        case PostResult.WRONG_STATE:
            document = {
                "errorMessage": "State transition is not allowed",
                "errorType": "InvalidStateTransition",
            }
    return _json(request, int(verdict), document)


def _not_found(request: http1.Request) -> bytes:
    return _json(request, 404, {"errorMessage": "no such resource", "errorType": "NotFound"})


def _json(request: http1.Request, status: int, document: dict[str, str]) -> bytes:
    body = json.dumps(document).encode()
    return http1.response(
        status, {"Content-Type": "application/json"}, body, keep_alive=request.keep_alive
    )


def _listener() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    listener.setblocking(
        False
    )  # the selector says when; a peer that left in between must not block the thread
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"{host}:{port}"

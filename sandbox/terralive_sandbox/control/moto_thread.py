"""The control plane: moto's applications behind one thread, called through WSGI.

One thread owns moto's state, so a conditional write is atomic and requests never race. SQS, whose
receive blocks, has threads of its own. The data planes read moto's objects from any thread, and
change them through `ControlPlane.call`.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from http import HTTPStatus
from typing import Final, ParamSpec, TypeVar
from urllib.parse import unquote_to_bytes

from flask import Flask
from moto.backends import SERVICE_NAMES
from moto.core.request import Request as MotoRequest
from moto.core.routing import get_service_router
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.exceptions import NotFound
from werkzeug.test import run_wsgi_app

from terralive_sandbox.access.sigv4 import Request
from terralive_sandbox.responses import Response

P = ParamSpec("P")
T = TypeVar("T")

_log: Final = logging.getLogger("terralive.sandbox")

# Receives of SQS that can wait at the same time.
_QUEUE_THREADS: Final = 32
# Services whose protocol carries the operation in method and path.
_REST_SERVICES: Final = frozenset({"lambda", "s3", "apigateway", "scheduler"})
# Two versions of API Gateway are signed for by one name; paths of the newer one start so.
_V2_PATH: Final = "/v2/"
# moto takes the account from this header. The sandbox sets it; a client's own is dropped.
_ACCOUNT_HEADER: Final = "X_MOTO_ACCOUNT_ID"
_DROPPED_HEADERS: Final = frozenset({"CONTENT_LENGTH", "TRANSFER_ENCODING", _ACCOUNT_HEADER})


class ControlPlane:
    """Answers every request that is not for a data plane.

    Its methods may be called from any thread, except by functions that `call` runs: these would
    wait for themselves.

    Args:
        port: the loopback port that moto takes for its own.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._application = DomainDispatcherApplication(_backend_app)
        # The one thread that changes moto's state.
        self._owner = ThreadPoolExecutor(1, thread_name_prefix="sandbox-control")
        # The threads of SQS.
        self._queues = ThreadPoolExecutor(_QUEUE_THREADS, thread_name_prefix="sandbox-queues")

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function on the thread that owns moto's state."""
        return self._owner.submit(function, *args, **kwargs)

    async def call_async(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on the thread that owns moto's state, and wait on the event loop."""
        return await asyncio.wrap_future(self._owner.submit(function, *args, **kwargs))

    def answer(self, request: Request, service: str, account: str) -> Future[Response]:
        """Let moto answer a request with the state of an account.

        The future raises NotImplementedError for an operation that moto lacks.
        """
        threads = self._queues if service == "sqs" else self._owner
        return threads.submit(self._answer, request, service, account)

    def operation(self, request: Request, service: str) -> str | None:
        """Return the operation of a request whose protocol carries it in method and path."""
        if service not in _REST_SERVICES:
            return None
        model = service
        if service == "apigateway" and request.path.startswith(_V2_PATH):
            model = "apigatewayv2"
        try:
            operation, _ = get_service_router(model).match(MotoRequest(self._environ(request)))
        except (NotFound, NotImplementedError):
            return None
        return str(operation.name)

    def close(self) -> None:
        """Run nothing more; do not wait for what runs."""
        self._owner.shutdown(wait=False, cancel_futures=True)
        self._queues.shutdown(wait=False, cancel_futures=True)

    def _environ(self, request: Request) -> dict[str, object]:
        """Build WSGI's environment of a request.

        https://peps.python.org/pep-3333/#environ-variables
        """
        raw_uri = f"{request.path}?{request.query}" if request.query else request.path
        environ: dict[str, object] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
            "RAW_URI": raw_uri,
            "QUERY_STRING": request.query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self._port),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(request.body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "CONTENT_LENGTH": str(len(request.body)),
        }
        for name, value in request.headers:
            key = name.upper().replace("-", "_")
            if key in _DROPPED_HEADERS:
                continue
            if key == "CONTENT_TYPE":
                environ[key] = value
                continue
            key = f"HTTP_{key}"
            if key in environ:
                value = f"{environ[key]},{value}"  # noqa: PLW2901 - the values so far and this one
            environ[key] = value
        return environ

    def _answer(self, request: Request, service: str, account: str) -> Response:
        environ = {**self._environ(request), f"HTTP_{_ACCOUNT_HEADER}": account}
        chunks, status_line, headers = run_wsgi_app(self._application, environ, buffered=True)
        status = int(status_line.split(" ", 1)[0])
        body = b"".join(chunks)
        if status == HTTPStatus.NOT_FOUND and _is_unknown_path(request, service, body):
            _log.debug("moto has no path %s %s (%s)", request.method, request.path, service)
            raise NotImplementedError("moto does not know this path")
        headers.remove("Connection")
        if request.method != "HEAD":
            headers.remove("Content-Length")
        return status, list(headers), body


def _is_unknown_path(request: Request, service: str, body: bytes) -> bool:
    """Return whether a 404 means that moto lacks the path, not that a resource does not exist."""
    if body.startswith(b"<!doctype html>"):
        return True  # Flask's own page
    # Moto answers without a body where only another service of that name has the path.
    return not body and service != "s3" and request.method != "HEAD"


def _backend_app(service: SERVICE_NAMES | None) -> Flask:
    if service is None:
        raise NotImplementedError("moto does not know this service.")
    return create_backend_app(service)

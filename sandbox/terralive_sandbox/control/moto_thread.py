"""The control plane: moto's applications behind one thread, called as WSGI.

One thread owns moto's state, so a conditional write is atomic and requests never race; SQS alone,
whose receive blocks, has threads of its own. The data planes read moto's objects from anywhere and
change them through `call`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar
from urllib.parse import unquote_to_bytes

from flask import Flask
from moto.backends import SERVICE_NAMES
from moto.core.request import Request as MotoRequest
from moto.core.routing import get_service_router
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.exceptions import NotFound

from terralive_sandbox.access.sigv4 import Request

P = ParamSpec("P")
T = TypeVar("T")
Answer = tuple[int, list[tuple[str, str]], bytes]

_QUEUE_THREADS = 32
_REST_SERVICES = {"lambda", "s3", "apigateway", "scheduler"}
_DATA_MODELS = {"apigateway": "apigatewayv2"}


class ControlPlane:
    """Answers every request that is not the data plane's.

    `port` is the loopback port it seems to listen on.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._application = DomainDispatcherApplication(_backend_app)
        self._owner = ThreadPoolExecutor(1, thread_name_prefix="sandbox-control")
        self._queues = ThreadPoolExecutor(_QUEUE_THREADS, thread_name_prefix="sandbox-queues")

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run on the thread that owns moto's state."""
        return self._owner.submit(function, *args, **kwargs)

    def answer(self, request: Request, service: str) -> Future[Answer]:
        """Answer as moto does.

        The future raises NotImplementedError for an operation that moto lacks.
        """
        threads = self._queues if service == "sqs" else self._owner
        return threads.submit(self._answer, request, service)

    def operation(self, request: Request, service: str) -> str | None:
        """The operation's name of a request whose protocol carries it in method and path."""
        if service not in _REST_SERVICES:
            return None
        model = _DATA_MODELS.get(service, service) if request.path.startswith("/v2/") else service
        try:
            operation, _ = get_service_router(model).match(MotoRequest(self._environ(request)))
        except (NotFound, NotImplementedError):
            return None
        return str(operation.name)

    def close(self) -> None:
        self._owner.shutdown(wait=False, cancel_futures=True)
        self._queues.shutdown(wait=False, cancel_futures=True)

    def _environ(self, request: Request) -> dict[str, object]:
        environ: dict[str, object] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
            "RAW_URI": request.path + (f"?{request.query}" if request.query else ""),
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
            if key == "CONTENT_TYPE":
                environ[key] = value
            elif key not in {"CONTENT_LENGTH", "TRANSFER_ENCODING", "X_MOTO_ACCOUNT_ID"}:
                key = f"HTTP_{key}"
                environ[key] = f"{environ[key]},{value}" if key in environ else value
        return environ

    def _answer(self, request: Request, service: str) -> Answer:
        started: list[tuple[int, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], error: object = None
        ) -> Callable[[bytes], object]:
            del error
            started.append((int(status.split(" ", 1)[0]), headers))
            return io.BytesIO().write

        chunks: Iterable[bytes] = self._application(self._environ(request), start_response)
        body = b"".join(chunks)
        status, headers = started[-1]
        # Flask's own page, or moto's answer without a word where only another service of that name
        # has the path.
        no_path = body.startswith(b"<!doctype html>") or (
            not body and service != "s3" and request.method != "HEAD"
        )
        if status == 404 and no_path:  # noqa: PLR2004 - see above
            raise NotImplementedError("moto does not know this path")
        return (
            status,
            [(k, v) for k, v in headers if k.lower() not in {"content-length", "connection"}],
            body,
        )


def _backend_app(service: SERVICE_NAMES | None) -> Flask:
    if service is None:
        raise NotImplementedError("moto does not know this service.")
    return create_backend_app(service)

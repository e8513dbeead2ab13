"""The one loopback port: each request goes to a data plane or, once verified, to the control plane.

Threads: the event loop (API Gateway and everything that waits), one thread that owns moto's state,
and those of the functions' processes. Requests from outside are authenticated and authorized before
moto sees them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import re
import signal
import socket
import sys
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Final, cast
from urllib.parse import unquote

import uvicorn

from terralive_sandbox import info as info_file
from terralive_sandbox.access import identity, sigv4
from terralive_sandbox.apigateway import function_urls
from terralive_sandbox.apigateway.function_urls import FunctionUrls
from terralive_sandbox.apigateway.http.gateway import HttpGateway
from terralive_sandbox.apigateway.http.service_integrations import ServiceIntegrations
from terralive_sandbox.apigateway.integration import Gateway
from terralive_sandbox.apigateway.rest.custom_integrations import CustomIntegrations
from terralive_sandbox.apigateway.websocket.connections import Connections
from terralive_sandbox.apigateway.websocket.management import ManagementApi
from terralive_sandbox.apigateway.websocket.socket import Socket
from terralive_sandbox.control import moto_gaps
from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.faults import FaultRules
from terralive_sandbox.front import code_links, messages
from terralive_sandbox.front.admin import Admin
from terralive_sandbox.front.aws_api import AwsApi
from terralive_sandbox.front.http_protocol import HttpProtocol
from terralive_sandbox.functions.asynchronous import AsynchronousInvocations
from terralive_sandbox.functions.invoke_api import stopping
from terralive_sandbox.functions.registry import Functions
from terralive_sandbox.info import SandboxInfo
from terralive_sandbox.refusals import PATH as REFUSALS_PATH
from terralive_sandbox.refusals import Refusals
from terralive_sandbox.responses import (
    Answer,
    StreamedResponse,
    error_response,
)
from terralive_sandbox.triggers.deliveries import Deliveries
from terralive_sandbox.triggers.event_source_mappings.mapping_pollers import MappingPollers
from terralive_sandbox.triggers.rules.clock import Clock

_log: Final = logging.getLogger("terralive.sandbox")

_HTTP_PATH: Final = re.compile(r"/_sandbox/http/(?P<api>[^/]+)/(?P<stage>[^/]+)(?P<path>/.*)?")
_CONNECTIONS_PATH: Final = re.compile(
    r"(?:/_sandbox/management/(?P<api>[^/]+)/(?P<stage>[^/]+))?/@connections/(?P<id>.+)"
)
_KEEP_ALIVE_SECONDS: Final = 75
_SHUTDOWN_SECONDS: Final = 2
# uvicorn has a flag for its start, but no event.
_POLL_SECONDS: Final = 0.005


class Sandbox:
    """Everything of one run, as an ASGI application. Build it on the event loop, then `serve` it.

    Args:
        port: the loopback port that clients use.
        region: the region that the sandbox's users work in; other regions work, too.
        time_scale: a factor for the waiting times of API Gateway and Lambda.
        concurrency: the number of executions that an account may have at once in a region.
    """

    def __init__(self, port: int, region: str, *, time_scale: float, concurrency: int) -> None:
        endpoint = f"http://127.0.0.1:{port}"
        moto_gaps.configure()
        self._control = ControlPlane(port)
        # The faults that tests ask for. `Admin` changes them.
        self.faults = FaultRules()
        # Requests without permission.
        refusals = Refusals()
        # Lambda
        self._functions = Functions(
            endpoint,
            self._control,
            time_scale=time_scale,
            concurrency=concurrency,
            on_invoke=self.faults.on_invoke,
        )
        self._asynchronous = AsynchronousInvocations(self._functions, self._control, refusals)
        self._aws = AwsApi(self._control, self._functions, self._asynchronous, refusals)
        # API Gateway and function URLs
        self._gateway = Gateway(self._functions, refusals, time_scale=time_scale)
        services = ServiceIntegrations(self._control, self._aws.answer_whole)
        custom = CustomIntegrations(
            self._gateway, self._control, self._aws.answer_whole, self._asynchronous
        )
        self._http = HttpGateway(self._gateway, services, custom)
        self.connections = Connections(self._gateway, self.faults)
        self._management = ManagementApi(self._gateway, self.connections)
        self._urls = FunctionUrls(self._functions, refusals)
        # What services send to functions, queues and topics
        deliveries = Deliveries(self._functions, self._asynchronous, refusals)
        fire = functools.partial(moto_gaps.fire, deliveries)
        self._clock = Clock(self._control, moto_gaps.timetables, fire, scale=time_scale)
        self._mappings = MappingPollers(self._control, self._functions, refusals)
        self._code = code_links.CodeLinks(endpoint)
        moto_gaps.apply(
            deliveries, self._clock.changed, self._mappings, concurrency, self._code.link
        )
        # The addresses and keys of this run. They do not change. moto has no state before.
        self.info = _create_info(self._control, endpoint, region)
        # The addresses that are not a data plane's
        self._admin = Admin(
            self.info, self.connections, self.faults, refusals, self._functions.occupy
        )

    async def close(self) -> None:
        """End everything: what starts new work first, the control plane last."""
        self._clock.close()
        self._mappings.close()
        self._asynchronous.close()
        await self._functions.close()
        self._control.close()

    async def __call__(
        self, scope: messages.Scope, receive: messages.Receive, send: messages.Send
    ) -> None:
        """Answer one request, as ASGI asks an application."""
        if scope["type"] != "http":
            return
        body = await messages.read_body(receive)
        if body is None:
            return  # the client is gone
        if len(body) > messages.BODY_BYTES:
            await messages.send_response(send, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, [], b"")
            return
        request = messages.request_of(scope, body)
        client = cast("tuple[str, int] | None", scope.get("client"))
        source_ip = client[0] if client else "127.0.0.1"
        started = time.monotonic()
        try:
            answer = await self._answer(request, source_ip)
        except asyncio.CancelledError:
            # The sandbox ends while this request waits. uvicorn's own answer is not one of AWS's.
            error = stopping()
            answer = error_response(error.status, error.code, error.message)
        except Exception:  # noqa: BLE001 - whatever it is, the client gets an answer, the log the cause
            traceback.print_exc()
            answer = error_response(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "InternalFailure",
                "The sandbox failed; see its log.",
            )
        if isinstance(answer, StreamedResponse):
            _log.debug("%s %s: %d, streamed", request.method, request.path, answer.status)
            is_head = request.method == "HEAD"
            await messages.send_stream(scope, receive, send, answer, is_head=is_head)
            return
        status, headers, content = answer
        # `terralive start` asks for refusals every second.
        if request.path != REFUSALS_PATH:
            milliseconds = (time.monotonic() - started) * 1000
            _log.debug("%s %s: %d (%.0f ms)", request.method, request.path, status, milliseconds)
        await messages.send_response(
            send, status, headers, content, is_head=request.method == "HEAD"
        )

    async def _answer(self, request: sigv4.Request, source_ip: str) -> Answer:
        """Answer a request by its path. Everything below no known path is AWS."""
        http = _HTTP_PATH.fullmatch(request.path)
        if http:
            stage, path = unquote(http["stage"]), http["path"] or "/"
            return await self._http.answer(http["api"], stage, path, request, source_ip)
        url = function_urls.PATH.fullmatch(request.path)
        if url:
            return await self._urls.answer(url, request, source_ip)
        connection = _CONNECTIONS_PATH.fullmatch(request.path)
        if connection:
            stage = connection["stage"] and unquote(connection["stage"])
            connection_id = unquote(connection["id"])
            return await self._management.answer(
                connection["api"] or "", stage, connection_id, request
            )
        if request.path.startswith(code_links.PREFIX):
            return self._code.answer(request.path)
        if request.path.startswith("/_sandbox/"):
            return self._admin.answer(request)
        return await self._aws.answer(request)


def _create_info(control: ControlPlane, endpoint: str, region: str) -> SandboxInfo:
    """Create the developer's user, and return what clients have to know."""
    key, secret = control.call(identity.create_developer).result()
    base = f"{endpoint}/_sandbox"
    websocket_base = base.replace("http://", "ws://", 1)
    return SandboxInfo(
        endpoint=endpoint,
        region=region,
        pid=os.getpid(),
        http_url=f"{base}/http/{{api}}/{{stage}}",
        websocket_url=f"{websocket_base}/websocket/{{api}}/{{stage}}",
        management_url=f"{base}/management/{{api}}/{{stage}}",
        access_key_id=key,
        secret_access_key=secret,
        account_id=identity.ACCOUNT,
        id=uuid.uuid4().hex,
    )


async def serve(
    info_path: Path,
    *,
    port: int,
    region: str,
    with_parent: bool,
    time_scale: float,
    concurrency: int,
) -> None:
    """Run a sandbox until a signal or, with a parent, the end of stdin.

    Args:
        info_path: the file that has the sandbox's address while it runs.
        port: its port; 0 is a free one.
        region: its region.
        with_parent: whether the end of stdin ends it.
        time_scale: a factor for the waiting times of API Gateway and Lambda.
        concurrency: the number of executions that an account may have at once in a region.
    """
    listener = socket.create_server(("127.0.0.1", port))
    # Accepted connections inherit it. asyncio sets it only where a socket names its protocol, which
    # this one does not.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    port = listener.getsockname()[1]
    sandbox = Sandbox(port, region, time_scale=time_scale, concurrency=concurrency)
    try:
        server = _Server(_uvicorn_config(sandbox))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        if with_parent:
            _stop_at_end_of_stdin(server)
        running = asyncio.create_task(server.serve([listener]))
        while not server.started and not running.done():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(_POLL_SECONDS)
        info_file.write(sandbox.info, info_path)
        _log.debug("sandbox %s serves port %d", sandbox.info.id, port)
        try:
            await running
        finally:
            await asyncio.to_thread(_remove, info_path, sandbox.info)
            _log.debug("sandbox %s ends", sandbox.info.id)
    finally:
        listener.close()
        await sandbox.close()


def _uvicorn_config(sandbox: Sandbox) -> uvicorn.Config:
    return uvicorn.Config(
        cast("Callable[..., Awaitable[None]]", sandbox),
        http=HttpProtocol,
        ws=cast("type[asyncio.Protocol]", _socket_class(sandbox.connections)),
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        # The client's address is that of its socket, whatever X-Forwarded-For says.
        proxy_headers=False,
    )


class _Server(uvicorn.Server):
    """uvicorn's server without its handling of signals, which belongs to `serve`.

    uvicorn raises a signal again before `serve` has ended everything.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Stop; at a second call, without waiting for requests."""
        self.force_exit = self.should_exit
        self.should_exit = True


def _remove(info_path: Path, info: SandboxInfo) -> None:
    """Remove the file, unless it names another sandbox by now."""
    with contextlib.suppress(OSError, ValueError):
        if SandboxInfo.from_json(info_path.read_text()).id == info.id:
            info_path.unlink()


def _socket_class(connections: Connections) -> object:
    """Return the class that uvicorn makes an object of for each upgrade request."""

    class Connection(Socket):
        """A WebSocket connection that uvicorn knows, so that its shutdown waits for it."""

        def __init__(
            self, config: object, server_state: uvicorn.server.ServerState, app_state: object
        ) -> None:
            del config, app_state
            super().__init__(connections)
            self._server_state = server_state
            server_state.connections.add(cast("uvicorn.server.Protocols", self))

        def connection_lost(self, exc: Exception | None) -> None:
            self._server_state.connections.discard(cast("uvicorn.server.Protocols", self))
            super().connection_lost(exc)

    return Connection


def _stop_at_end_of_stdin(server: _Server) -> None:
    loop = asyncio.get_running_loop()

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            loop.remove_reader(sys.stdin)
            server.stop()

    loop.add_reader(sys.stdin, read)

"""The one loopback port: routes requests to the data planes or, once verified, to the control plane.

Threads: the event loop (everything of the gateway), one that owns moto's state, those of function
pools and their Runtime API. Outside requests are authenticated and authorized here, before moto
sees them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import re
import secrets
import signal
import socket
import sys
import traceback
import uuid
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import TypeAlias, cast
from urllib.parse import unquote

import uvicorn

from terralive_sandbox import info as info_file
from terralive_sandbox.access import identity, sigv4
from terralive_sandbox.admin import Admin
from terralive_sandbox.apigateway import function_urls as functionurls
from terralive_sandbox.apigateway.function_urls import FunctionUrls
from terralive_sandbox.apigateway.http.gateway import HttpGateway
from terralive_sandbox.apigateway.integration import Gateway
from terralive_sandbox.apigateway.websocket.connections import Connections
from terralive_sandbox.apigateway.websocket.socket import Socket
from terralive_sandbox.aws_api import AwsApi
from terralive_sandbox.control import moto_gaps
from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.faults import FaultRules
from terralive_sandbox.functions.asynchronous import AsynchronousInvocations
from terralive_sandbox.functions.logs import LogWriter
from terralive_sandbox.functions.registry import Functions
from terralive_sandbox.http_protocol import HEADER_NAMES, HttpProtocol
from terralive_sandbox.info import SandboxInfo
from terralive_sandbox.responses import Headers, Response, error_response
from terralive_sandbox.triggers.deliveries import Deliveries
from terralive_sandbox.triggers.event_source_mappings.mapping_pollers import MappingPollers
from terralive_sandbox.triggers.rules.clock import Clock

Message: TypeAlias = MutableMapping[str, object]
Scope: TypeAlias = MutableMapping[str, object]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

_HTTP = re.compile(r"/_sandbox/http/(?P<api>[^/]+)/(?P<stage>[^/]+)(?P<path>/.*)?")
_MANAGE = re.compile(
    r"(?:/_sandbox/management/(?P<api>[^/]+)/(?P<stage>[^/]+))?/@connections/(?P<id>.+)"
)
_BODY_BYTES = 80 * 1024 * 1024


class Sandbox:
    """Everything of one run, as an ASGI application. Build it on the event loop, then `serve` it.

    Args:
        endpoint: the address that it will be reached at.
        port: that address's port.
        time_scale: what API Gateway's and Lambda's waiting times are multiplied by.
        concurrency: how many executions the account may have at once.
    """

    def __init__(
        self,
        endpoint: str,
        port: int,
        region: str,
        *,
        time_scale: float = 1.0,
        concurrency: int = 1000,
    ) -> None:
        moto_gaps.configure()
        self._control = ControlPlane(port)
        key, secret = self._control.call(identity.create_developer).result()
        base = f"{endpoint}/_sandbox"
        self.info = SandboxInfo(
            endpoint=endpoint, region=region, pid=os.getpid(),
            http_url=f"{base}/http/{{api}}/{{stage}}",
            websocket_url=f"{base}/websocket/{{api}}/{{stage}}".replace("http://", "ws://", 1),
            management_url=f"{base}/management/{{api}}/{{stage}}",
            access_key_id=key, secret_access_key=secret, account_id=identity.ACCOUNT, id=uuid.uuid4().hex,
        )  # fmt: skip
        self._log_writer = LogWriter(self._control.call, region)
        self.faults = FaultRules()
        self._functions = Functions(
            endpoint, region, self._control, self._log_writer.write,
            time_scale=time_scale, concurrency=concurrency, on_invoke=self.faults.on_invoke,
        )  # fmt: skip
        self._asynchronous = AsynchronousInvocations(self._functions, self._control)
        self._gateway = Gateway(region, self._functions, time_scale=time_scale)
        self._http = HttpGateway(self._gateway)
        self.connections = Connections(self._gateway, self.faults)
        deliveries = Deliveries(self._functions, self._asynchronous)
        fire = functools.partial(moto_gaps.events.fire_scheduled, deliveries)
        self._clock = Clock(self._control, moto_gaps.events.scheduled_rules, fire, scale=time_scale)
        self._mappings = MappingPollers(self._control, self._functions)
        moto_gaps.apply(deliveries, self._clock.changed, self._mappings)
        self._admin = Admin(self.info, self.connections, self.faults)
        self._urls = FunctionUrls(self._functions)
        self._aws = AwsApi(self._control, self._functions, self._asynchronous)

    async def close(self) -> None:
        self._clock.close()
        self._mappings.close()
        self._asynchronous.close()
        self._log_writer.close()
        await self._functions.close()
        self._control.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += cast("bytes", message.get("body", b""))
            more = bool(message.get("more_body", False))
            if len(body) > _BODY_BYTES:
                await _send(send, 413, [], b"")
                return
        request = sigv4.Request(
            str(scope["method"]),
            cast("bytes", scope["raw_path"]).decode("latin-1"),
            cast("bytes", scope["query_string"]).decode("latin-1"),
            tuple(
                (k.decode("latin-1"), v.decode("latin-1"))
                for k, v in cast("list[tuple[bytes, bytes]]", scope["headers"])
            ),
            bytes(body),
            cast("tuple[str, ...]", scope.get(HEADER_NAMES, ())),
        )
        client = cast("tuple[str, int] | None", scope.get("client"))
        try:
            status, headers, content = await self._answer(
                request, client[0] if client else "127.0.0.1"
            )
        except Exception:  # noqa: BLE001 - whatever broke, the client gets an answer and the log the reason
            traceback.print_exc()
            status, headers, content = error_response(
                500, "InternalFailure", "The sandbox failed; see its log."
            )
        await _send(send, status, headers, content)

    async def _answer(self, request: sigv4.Request, source_ip: str) -> Response:
        if found := _HTTP.fullmatch(request.path):
            return await self._http.answer(
                found["api"], unquote(found["stage"]), found["path"] or "/", request, source_ip
            )
        if found := functionurls.PATH.fullmatch(request.path):
            return await self._urls.answer(found, request, source_ip)
        if found := _MANAGE.fullmatch(request.path):
            api, stage = found["api"] or "", found["stage"]
            return await self.connections.manage(
                api, unquote(stage) if stage else None, unquote(found["id"]), request
            )
        if request.path.startswith("/_sandbox/"):
            return self._admin.answer(request)
        return await self._aws.answer(request)


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    names = {name.lower() for name, _ in headers}
    if not names & {"x-amzn-requestid", "apigw-requestid"}:
        headers = [*headers, ("x-amzn-requestid", secrets.token_hex(16))]
    encoded = [
        (k.lower().encode("latin-1"), v.encode("latin-1", "replace"))
        for k, v in headers
        if k.lower() != "content-length"
    ]
    if status in {
        204,
        304,
    }:  # these have no body, whatever a function gives: the client takes it for the next answer
        body = b""
    else:
        encoded.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


async def serve(
    info_path: Path,
    *,
    port: int,
    region: str,
    with_parent: bool,
    time_scale: float = 1.0,
    concurrency: int = 1000,
) -> None:
    """Run a sandbox until a signal, or the end of stdin with a parent.

    Its address stands in `info_path` meanwhile.
    """
    listener = socket.create_server(("127.0.0.1", port))
    # Accepted connections inherit it; asyncio sets it only where a socket names its protocol, which
    # this one does not.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    port = listener.getsockname()[1]
    sandbox = Sandbox(
        f"http://127.0.0.1:{port}", port, region, time_scale=time_scale, concurrency=concurrency
    )
    try:
        config = uvicorn.Config(
            cast("Callable[..., Awaitable[None]]", sandbox), http=HttpProtocol, lifespan="off",
            log_level="warning", access_log=False, server_header=False, date_header=True, timeout_keep_alive=75,
            ws=cast("type[asyncio.Protocol]", _socket_factory(sandbox.connections)), timeout_graceful_shutdown=2,
            proxy_headers=False,  # who asks is whose socket it is, whatever X-Forwarded-For claims
        )  # fmt: skip
        server = _Server(config)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        if with_parent:
            _stop_at_end_of_stdin(server)
        running = asyncio.create_task(server.serve([listener]))
        while not server.started and not running.done():  # noqa: ASYNC110 - uvicorn offers a flag, no event
            await asyncio.sleep(0.005)
        info_file.write(sandbox.info, info_path)
        try:
            await running
        finally:
            await asyncio.to_thread(_remove, info_path, sandbox.info)
    finally:
        listener.close()
        await sandbox.close()


class _Server(uvicorn.Server):
    """Leaves signals to `serve`.

    Uvicorn's own handling raises them again, before everything is put away.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


def _remove(info_path: Path, info: SandboxInfo) -> None:
    """Remove the file, unless it names another sandbox by now."""
    with contextlib.suppress(OSError, ValueError):
        if SandboxInfo.from_json(info_path.read_text()).id == info.id:
            info_path.unlink()


def _socket_factory(connections: Connections) -> object:
    class Connection(Socket):
        """What uvicorn makes for an upgrade request."""

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
    descriptor = sys.stdin.fileno()

    def read() -> None:
        if not os.read(descriptor, 1024):
            loop.remove_reader(descriptor)
            server.stop()

    loop.add_reader(descriptor, read)

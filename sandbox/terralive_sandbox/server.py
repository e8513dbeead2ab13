"""The one loopback port: routes requests to the data planes or, once verified, to the control plane.

Threads: the event loop (everything of the gateway), one that owns moto's state, those of function pools and their
Runtime API. Outside requests are authenticated and authorized here, before moto sees them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
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
from urllib.parse import parse_qsl, unquote

import uvicorn

from . import gate, httpapi, identity, lambdas, logs, moto_gaps, sigv4
from . import info as info_file
from .connections import Connections
from .control import ControlPlane
from .frames import Socket
from .gateway import Gateway
from .info import SandboxInfo
from .lambdas import Functions, InvokeError

Message: TypeAlias = MutableMapping[str, object]
Scope: TypeAlias = MutableMapping[str, object]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Headers: TypeAlias = list[tuple[str, str]]
Answer: TypeAlias = tuple[int, Headers, bytes]

_HTTP = re.compile(r"/_sandbox/http/(?P<api>[^/]+)/(?P<stage>[^/]+)(?P<path>/.*)?")
_MANAGE = re.compile(r"(?:/_sandbox/management/(?P<api>[^/]+)/(?P<stage>[^/]+))?/@connections/(?P<id>.+)")
_INVOKE = re.compile(r"/2015-03-31/functions/(?P<name>[^/]+)/invocations/?")
_BODY_BYTES = 80 * 1024 * 1024


class Sandbox:
    """Everything of one run, as an ASGI application. Build it, then `serve` it.

    Args:
        endpoint: the address that it will be reached at.
        port: that address's port.
        time_scale: what API Gateway's and Lambda's waiting times are multiplied by.
    """

    def __init__(self, endpoint: str, port: int, region: str, *, time_scale: float = 1.0) -> None:
        moto_gaps.configure()
        self._control = ControlPlane(port)
        key, secret = self._control.call(identity.create_developer).result()
        self._loop: asyncio.AbstractEventLoop | None = None
        base = f"{endpoint}/_sandbox"
        self.info = SandboxInfo(
            endpoint=endpoint, region=region, pid=os.getpid(),
            http_url=f"{base}/http/{{api}}/{{stage}}",
            websocket_url=f"{base}/websocket/{{api}}/{{stage}}".replace("http://", "ws://", 1),
            management_url=f"{base}/management/{{api}}/{{stage}}",
            access_key_id=key, secret_access_key=secret, account_id=identity.ACCOUNT, id=uuid.uuid4().hex,
        )  # fmt: skip
        self._functions = Functions(endpoint, region, self._write_log, time_scale=time_scale)
        self._gateway = Gateway(region, self._functions, time_scale=time_scale)
        self.connections = Connections(self._gateway)
        moto_gaps.apply(self._trigger)

    def close(self) -> None:
        self._functions.close()
        self._control.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self._loop = asyncio.get_running_loop()
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
        )
        client = cast("tuple[str, int] | None", scope.get("client"))
        try:
            status, headers, content = await self._answer(request, client[0] if client else "127.0.0.1")
        except Exception:  # noqa: BLE001 - whatever broke, the client gets an answer and the log the reason
            traceback.print_exc()
            status, headers, content = _error(500, "InternalFailure", "The sandbox failed; see its log.")
        await _send(send, status, headers, content)

    async def _answer(self, request: sigv4.Request, source_ip: str) -> Answer:
        if found := _HTTP.fullmatch(request.path):
            return await self._http(found, request, source_ip)
        if found := _MANAGE.fullmatch(request.path):
            api, stage = found["api"] or "", found["stage"]
            status, headers, body = await self.connections.manage(
                api, unquote(stage) if stage else None, unquote(found["id"]), request
            )
            return status, [*headers.items(), ("content-type", "application/json")], body
        if request.path.startswith("/_sandbox/"):
            return self._admin(request)
        return await self._aws(request)

    async def _http(self, found: re.Match[str], request: sigv4.Request, source_ip: str) -> Answer:
        stage, path = unquote(found["stage"]), found["path"] or "/"
        if stage == "~":
            stage, path = self._gateway.split_stage(found["api"], path)
        target = self._gateway.find(found["api"], stage, "HTTP")
        if target is None:
            return _error(404, "", "Not Found")
        asked = httpapi.HttpRequest(request.method, path, request.query, request.headers, request.body, source_ip)
        response = await self._gateway.http(target, asked, request)
        return response.status, list(response.headers), response.body

    def _admin(self, request: sigv4.Request) -> Answer:
        if request.path == "/_sandbox/health":
            return _json(200, {"id": self.info.id, "pid": self.info.pid})
        if request.header("x-terralive-sandbox") != self.info.id:
            return _error(403, "AccessDenied", "The header x-terralive-sandbox has to name this sandbox's id.")
        if request.path == "/_sandbox/faults/drop-connections" and request.method == "POST":
            try:
                ids = json.loads(request.body)["connections"] if request.body else None
            except (ValueError, KeyError, TypeError):
                return _error(400, "ValidationException", 'The body is empty or {"connections": [id, …]}.')
            return _json(200, {"dropped": self.connections.drop(ids)})
        return _error(404, "NotEmulatedBySandbox", f"There is no {request.path} here.")

    async def _aws(self, request: sigv4.Request) -> Answer:
        """Verify who asks for what, then let moto answer, or run a function."""
        service = sigv4.service_of(request)
        operation = None
        try:
            caller, signed = await self._on_control(identity.authenticate, request)
            operation = self._control.operation(request, service)
            for asked in gate.asks_for(request, signed, caller.account, operation):
                identity.require(caller, asked)
                if asked.action == "sts:AssumeRole" and asked.resources:
                    identity.require_trust(caller, asked.resources[0])
        except sigv4.SignatureError as error:
            status, headers, body = gate.refusal(request, service, error.code, error.message, 403)
            return status, list(headers.items()), body
        except identity.AccessDeniedError as error:
            code = {"sns": "AuthorizationError", "s3": "AccessDenied", "iam": "AccessDenied", "sts": "AccessDenied"}
            status = 400 if request.header("x-amz-target") else 403
            name = code.get(service, "AccessDeniedException")
            status, headers, body = gate.refusal(request, service, name, str(error), status)
            return status, list(headers.items()), body
        if request.path.startswith("/moto-api"):
            return _error(403, "AccessDenied", "moto's own API is closed in the sandbox.")
        if service == "lambda" and request.method == "POST" and (found := _INVOKE.fullmatch(request.path)):
            return await self._invoke(unquote(found["name"]), request)
        try:
            return await asyncio.wrap_future(self._control.answer(request, service))
        except NotImplementedError as error:
            asked_for = operation or request.header("x-amz-target") or f"{request.method} {request.path}"
            message = f"terralive's sandbox does not emulate {service} {asked_for}: {error}"
            status, headers, body = gate.refusal(request, service, "NotEmulatedBySandbox", message, 501)
            return status, list(headers.items()), body

    async def _invoke(self, name: str, request: sigv4.Request) -> Answer:
        qualifier = dict(parse_qsl(request.query)).get("Qualifier")
        kind = request.header("x-amz-invocation-type") or "RequestResponse"
        request_id = str(uuid.uuid4())
        base = [("x-amzn-requestid", request_id)]
        try:
            function = self._functions.find(name, qualifier)
            arn = function.function_arn if qualifier is None else f"{_unqualified(function.function_arn)}:{qualifier}"
            if kind == "DryRun":
                return 204, base, b""
            if not _is_json(request.body):
                return _error(400, "InvalidRequestContentException", "Could not parse request body into json.")
            if kind == "Event":
                await self._functions.deliver(arn, request.body, request_id=request_id)
                return 202, base, b""
            context = request.header("x-amz-client-context") or ""
            result = await self._functions.invoke(
                function, request.body, arn=arn, request_id=request_id, client_context=context
            )
        except InvokeError as error:
            return _error(error.status, error.code, error.message)
        tail = request.header("x-amz-log-type") == "Tail"
        return 200, [*base, *lambdas.invoke_headers(result, tail=tail).items()], result.body

    async def _on_control(
        self, function: Callable[[sigv4.Request], tuple[identity.Caller, sigv4.Signed]], request: sigv4.Request
    ) -> tuple[identity.Caller, sigv4.Signed]:
        return await asyncio.wrap_future(self._control.call(function, request))

    def _write_log(self, group: str, stream: str, lines: list[tuple[int, str]], documents: tuple[str, ...]) -> None:
        with contextlib.suppress(RuntimeError):  # the sandbox has stopped
            self._control.call(logs.put, self.info.region, group, stream, lines, documents)

    def _trigger(self, function_arn: str, event: dict[str, object], service: str, source_arn: str) -> None:
        """Invoke asynchronously for a service; called on the control plane's thread."""
        try:
            function = self._functions.find(function_arn)
        except InvokeError as error:
            sys.stderr.write(f"{source_arn} -> {function_arn}: {error.message}\n")
            return
        if not self._functions.allows(function, service, source_arn):
            sys.stderr.write(f"{source_arn} may not invoke {function_arn}: aws_lambda_permission is missing\n")
            return
        if self._loop is not None:
            work = self._functions.deliver(function_arn, json.dumps(event).encode())
            asyncio.run_coroutine_threadsafe(work, self._loop)


def _unqualified(arn: str) -> str:
    return ":".join(arn.split(":")[:7])


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body or b"{}")
    except ValueError:
        return False
    return True


def _json(status: int, value: object) -> Answer:
    return status, [("content-type", "application/json")], json.dumps(value).encode()


def _error(status: int, code: str, message: str) -> Answer:
    body = (
        json.dumps({"message": message, "Message": message}).encode()
        if code
        else json.dumps({"message": message}).encode()
    )
    headers = [("content-type", "application/json")]
    return status, [*headers, ("x-amzn-errortype", code)] if code else headers, body


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    names = {name.lower() for name, _ in headers}
    if "x-amzn-requestid" not in names:
        headers = [*headers, ("x-amzn-requestid", secrets.token_hex(16))]
    encoded = [
        (k.lower().encode("latin-1"), v.encode("latin-1", "replace"))
        for k, v in headers
        if k.lower() != "content-length"
    ]
    if status not in {204, 304}:
        encoded.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


async def serve(info_path: Path, *, port: int, region: str, with_parent: bool, time_scale: float = 1.0) -> None:
    """Run a sandbox until a signal, or the end of stdin with a parent; its address stands in `info_path` meanwhile."""
    listener = socket.create_server(("127.0.0.1", port))
    # Accepted connections inherit it; asyncio sets it only where a socket names its protocol, which this one does not.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    port = listener.getsockname()[1]
    sandbox = Sandbox(f"http://127.0.0.1:{port}", port, region, time_scale=time_scale)
    try:
        config = uvicorn.Config(
            cast("Callable[..., Awaitable[None]]", sandbox), http="h11", lifespan="off", log_level="warning",
            access_log=False, server_header=False, date_header=True, timeout_keep_alive=75,
            ws=cast("type[asyncio.Protocol]", _socket_factory(sandbox.connections)), timeout_graceful_shutdown=2,
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
        await asyncio.to_thread(sandbox.close)


class _Server(uvicorn.Server):
    """Leaves signals to `serve`: uvicorn's own handling raises them again, before everything is put away."""

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

        def __init__(self, config: object, server_state: uvicorn.server.ServerState, app_state: object) -> None:
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

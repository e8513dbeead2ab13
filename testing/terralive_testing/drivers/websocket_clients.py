"""WebSocket clients: the `websockets` library, Node.js's own client, and a bare TCP connection."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus
from websockets.frames import Opcode
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from terralive_sandbox.info import SandboxInfo
from terralive_terraform.runs.node import OLDEST_MAJOR, from_pypi, major_version
from terralive_testing.deployers.sandbox import Aws
from terralive_testing.drivers.signed_requests import signed_headers

PATIENCE = 30.0


@contextmanager
def client(
    url: str,
    headers: dict[str, str] | None = None,
    *,
    subprotocols: Sequence[str] = (),
    close_timeout: float = 10,
) -> Iterator[ClientConnection]:
    """Open a connection with the `websockets` library, without what it does by itself."""
    with connect(
        url,
        additional_headers=headers,
        compression=None,
        proxy=None,
        max_size=None,
        close_timeout=close_timeout,
        open_timeout=PATIENCE,
        subprotocols=[Subprotocol(name) for name in subprotocols] or None,
        ping_interval=None,
    ) as connection:
        yield connection


def ask(connection: ClientConnection, text: str) -> dict[str, object]:
    """Send a message and return the next one, which is a JSON object."""
    connection.send(text)
    answer = json.loads(connection.recv(timeout=PATIENCE))
    assert isinstance(answer, dict)
    return answer


def upgrade_status(url: str, headers: dict[str, str]) -> int:
    """Return the status of the answer to an upgrade request; 101 accepts it."""
    try:
        with client(url, headers):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def send_frames(connection: ClientConnection, *frames: tuple[Opcode, bytes, bool]) -> None:
    """Send frames: the opcode, the data, and whether the frame is the last of its message."""
    for opcode, data, fin in frames:
        with connection.protocol_mutex:
            if opcode is Opcode.TEXT:
                connection.protocol.send_text(data, fin)
            elif opcode is Opcode.BINARY:
                connection.protocol.send_binary(data, fin)
            else:
                connection.protocol.send_continuation(data, fin)
            connection.send_data()


def signed(url: str, aws: Aws, *, service: str = "execute-api", **others: str) -> dict[str, str]:
    """Return the headers of an upgrade request that botocore signs.

    It takes the developer's keys, unless `key`, `secret` or `token` say otherwise.
    """
    keys = {
        "AccessKeyId": others.get("key", aws.info.access_key_id),
        "SecretAccessKey": others.get("secret", aws.info.secret_access_key),
    }
    if "token" in others:
        keys["SessionToken"] = others["token"]
    return signed_headers(aws.info, url.replace("ws://", "http://", 1), keys, service=service)


@contextmanager
def raw(info: SandboxInfo) -> Iterator[socket.socket]:
    """Open a TCP connection to the sandbox's port."""
    with socket.create_connection(
        ("127.0.0.1", urlsplit(info.endpoint).port or 0), timeout=PATIENCE
    ) as connection:
        yield connection


def upgrade_request(url: str, *more: str) -> bytes:
    """Return the bytes of an upgrade request."""
    parts = urlsplit(url)
    key = base64.b64encode(os.urandom(16)).decode()
    target = parts.path
    if parts.query:
        target += f"?{parts.query}"
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *more,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def head_of(connection: socket.socket) -> bytes:
    """Return the sandbox's answer up to the end of its headers."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(4096)
        if not more:
            break
        received += more
    return received


def two_way(aws: Aws, api: str, *keys: str) -> None:
    """Give routes a route response, so that a function's answer goes back to the client."""
    for route in aws.apis.get_routes(ApiId=api)["Items"]:
        if route["RouteKey"] in keys:
            aws.apis.create_route_response(
                ApiId=api, RouteId=route["RouteId"], RouteResponseKey="$default"
            )
            aws.apis.update_route(
                ApiId=api, RouteId=route["RouteId"], RouteResponseSelectionExpression="$default"
            )


def node() -> str:
    """Return a Node that has a WebSocket client (22 or newer). Skip the test if there is none."""
    for candidate in (shutil.which("node"), from_pypi()):
        if candidate and major_version(candidate) >= OLDEST_MAJOR:
            return candidate
    pytest.skip("there is no Node 22 or newer")


def run_node(script: str, *arguments: str) -> list[object]:
    """Run a script and return what it printed: one JSON value a line."""
    ended = subprocess.run(
        [node(), "--input-type=module", "-e", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]

"""Streamed responses at the Runtime API: of a socket, of Node.js, and of a custom runtime."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from textwrap import dedent

import pytest

from terralive_stub.protocol.invocation import Invocation
from terralive_stub.protocol.limits import STREAMED_RESPONSE_BYTES
from terralive_testing.drivers.workers import invocation
from terralive_workers.launch import NODE_BOOTSTRAP
from terralive_workers.runtime_api.server import RuntimeApi
from terralive_workers.runtime_api.worker_client import PostResult, StreamedResponse

RESPONSE = "/2018-06-01/runtime/invocation/r-1/response"
NODE = shutil.which("node") or ""
needs_node = pytest.mark.skipif(not NODE, reason="there is no node on PATH")


class Reader:
    """Takes a streamed response. Each piece waits until the test lets it in."""

    def __init__(self) -> None:
        self.pieces: SimpleQueue[bytes] = SimpleQueue()
        self.gate = threading.Semaphore(0)
        self.wants_more = True
        self.content_type = ""
        # "end", or the error's type and document.
        self.endings: SimpleQueue[tuple[str, bytes]] = SimpleQueue()

    def write(self, piece: bytes) -> bool:
        self.pieces.put(piece)
        assert self.gate.acquire(timeout=20)
        return self.wants_more

    def end(self) -> PostResult:
        return self.fail("end", b"")

    def fail(self, error_type: str, body: bytes) -> PostResult:
        self.endings.put((error_type, body))
        return PostResult.ACCEPTED

    def open(self) -> None:
        """Let everything in from now on."""
        self.gate.release(10_000)

    def left(self) -> bytes:
        """Return the pieces that are there, joined."""
        joined = b""
        while not self.pieces.empty():
            joined += self.pieces.get()
        return joined


class StreamingClient:
    """The client of one worker with one invocation, which takes a response piece by piece."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.invocations: SimpleQueue[Invocation | None] = SimpleQueue()

    def next_invocation(self) -> Invocation | None:
        return self.invocations.get()

    def respond(self, request_id: str, body: bytes) -> PostResult:
        raise AssertionError(f"{request_id} is not streamed: {body!r}")

    def fail(self, request_id: str, error_type: str, body: bytes, causes: str = "") -> PostResult:
        del causes
        raise AssertionError(f"{request_id} is not streamed: {error_type}: {body!r}")

    def fail_init(self, error_type: str, body: bytes, cause: str = "") -> PostResult:
        raise AssertionError(f"{error_type}: {body!r} {cause}")

    def begin_stream(self, request_id: str, content_type: str) -> StreamedResponse | PostResult:
        if request_id != "r-1":
            return PostResult.UNKNOWN_REQUEST
        self.reader.content_type = content_type
        return self.reader


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    api = RuntimeApi()
    yield api
    api.close()


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def streaming(api: RuntimeApi, reader: Reader) -> Iterator[tuple[socket.socket, str]]:
    """A connection of a worker, and the start of a streamed response up to the first chunk."""
    worker_id, address = api.register(StreamingClient(reader), own_port=True)
    host, port = address.split(":")
    head = (
        f"POST {RESPONSE} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        "Content-Type: application/x-test\r\n"
        "Lambda-Runtime-Function-Response-Mode: streaming\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=20) as raw:
        yield raw, head
    api.unregister(worker_id)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def status(raw: socket.socket) -> int:
    """Read one response of the Runtime API."""
    response = http.client.HTTPResponse(raw)
    response.begin()
    response.read()
    return response.status


def is_closed(raw: socket.socket) -> bool:
    try:
        return raw.recv(100) == b""
    except ConnectionResetError:
        return True


def sent_until_full(raw: socket.socket, data: bytes) -> int:
    """Send data again and again while the socket takes it. Return the number of bytes."""
    raw.setblocking(False)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while sent < 150_000_000:
            sent += raw.send(data[sent % len(data) :])
    return sent


def test_each_piece_of_a_streamed_response_arrives_before_the_next_is_written(
    streaming: tuple[socket.socket, str], reader: Reader
) -> None:
    raw, head = streaming
    reader.open()
    raw.sendall(head.encode())
    for piece in (b"one", b"two", b"three"):
        raw.sendall(chunk(piece))
        assert reader.pieces.get(timeout=20) == piece
    assert reader.endings.empty()
    assert reader.content_type == "application/x-test"
    raw.sendall(b"0\r\n\r\n")
    assert reader.endings.get(timeout=20) == ("end", b"")
    assert status(raw) == 202
    # The connection is kept.
    raw.sendall(head.encode() + chunk(b"again") + b"0\r\n\r\n")
    assert reader.pieces.get(timeout=20) == b"again"
    assert status(raw) == 202


def test_a_runtime_cannot_write_on_while_the_reader_of_its_stream_does_not_read(
    streaming: tuple[socket.socket, str], reader: Reader
) -> None:
    raw, head = streaming
    raw.sendall(head.encode() + chunk(b"first"))
    assert reader.pieces.get(timeout=20) == b"first"
    # The reader holds the first piece. The kernel's buffers fill up, and that is all.
    large = chunk(b"x" * 1_000_000)
    sent = sent_until_full(raw, large)
    assert sent < 150_000_000
    assert reader.pieces.empty()
    raw.settimeout(20)
    reader.open()
    raw.sendall(large[sent % len(large) :] + b"0\r\n\r\n")
    assert reader.endings.get(timeout=20) == ("end", b"")
    chunks = sent // len(large) + 1
    assert len(reader.left()) == chunks * 1_000_000


def test_an_error_in_the_middle_of_a_stream_comes_after_its_pieces(
    streaming: tuple[socket.socket, str], reader: Reader
) -> None:
    raw, head = streaming
    reader.open()
    document = b'{"errorType": "Oops", "errorMessage": "midway"}'
    encoded = base64.b64encode(document)
    raw.sendall(
        head.encode() + chunk(b"half") + b"0\r\nLambda-Runtime-Function-Error-Type: Oops\r\n"
        b"Lambda-Runtime-Function-Error-Body: " + encoded + b"\r\n\r\n"
    )
    assert reader.endings.get(timeout=20) == ("Oops", document)
    assert reader.left() == b"half"
    assert status(raw) == 202


@pytest.mark.parametrize("rest", [b"", b"5\r\nha", b"4\r\nhalf\r\n", b"0\r\n"])
def test_a_worker_that_dies_in_the_middle_truncates_its_stream(
    streaming: tuple[socket.socket, str], reader: Reader, rest: bytes
) -> None:
    raw, head = streaming
    reader.open()
    raw.sendall(head.encode() + chunk(b"first ") + rest)
    raw.shutdown(socket.SHUT_RDWR)
    error_type, body = reader.endings.get(timeout=20)
    assert error_type == json.loads(body)["errorType"] == "Runtime.TruncatedResponse"
    assert b"first half".startswith(reader.left())


def test_a_stream_that_nobody_wants_any_more_is_not_read_on(
    streaming: tuple[socket.socket, str], reader: Reader
) -> None:
    raw, head = streaming
    reader.wants_more = False
    reader.open()
    raw.sendall(head.encode() + chunk(b"first"))
    assert is_closed(raw)
    assert reader.left() == b"first"
    assert reader.endings.empty()


def test_a_stream_of_an_invocation_that_is_over_is_refused(
    streaming: tuple[socket.socket, str], reader: Reader
) -> None:
    raw, head = streaming
    raw.sendall(head.replace("r-1", "r-0").encode() + chunk(b"late") + b"0\r\n\r\n")
    assert status(raw) == 400
    assert reader.pieces.empty()


@pytest.mark.parametrize(("excess", "expected"), [(0, 202), (1, 413)])
def test_a_streamed_response_has_a_limit_of_its_own(
    streaming: tuple[socket.socket, str], reader: Reader, excess: int, expected: int
) -> None:
    raw, head = streaming
    reader.open()
    part = b"x" * (STREAMED_RESPONSE_BYTES // 10)
    raw.sendall(head.encode())
    for _ in range(10):
        raw.sendall(chunk(part))
    if excess:
        raw.sendall(chunk(b"x"))
    raw.sendall(b"0\r\n\r\n")
    assert status(raw) == expected
    error_type, _ = reader.endings.get(timeout=20)
    assert error_type == ("Function.ResponseSizeTooLarge" if excess else "end")
    received = 0
    while not reader.pieces.empty():
        received += len(reader.pieces.get())
    assert received == STREAMED_RESPONSE_BYTES


# A custom runtime as AWS's documentation describes it. Its handler writes a piece, waits for the
# file `gate`, and writes the rest.
CUSTOM = """
    import http.client, os, pathlib, sys, time
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    asked = api.getresponse()
    asked.read()
    request_id = asked.headers["Lambda-Runtime-Aws-Request-Id"]

    def pieces():
        yield b"first "
        while not pathlib.Path("gate").exists():
            time.sleep(0.01)
        yield b"rest"

    headers = {
        "Lambda-Runtime-Function-Response-Mode": "streaming",
        "Transfer-Encoding": "chunked",
        "Content-Type": "text/plain",
    }
    path = f"/2018-06-01/runtime/invocation/{request_id}/response"
    api.request("POST", path, pieces(), headers, encode_chunked=True)
    print(api.getresponse().status)
    """
NODE_HANDLER = """
    const fs = require('fs')
    exports.handler = awslambda.streamifyResponse(async (event, stream) => {
      stream.setContentType('text/plain')
      stream.write('first ')
      while (!fs.existsSync('gate')) await new Promise((go) => setTimeout(go, 10))
      stream.write('rest')
      stream.end()
    })
    """
NODE_WRITER = """
    const { once } = require('events')
    exports.handler = awslambda.streamifyResponse(async (event, stream) => {
      let written = 0
      while (stream.write('x'.repeat(50_000))) written += 50_000
      console.log('full')
      await once(stream, 'drain')
      console.log('drained')
      stream.end()
    })
    """

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(api: RuntimeApi, reader: Reader, tmp_path: Path) -> Iterator[Start]:
    """Start a runtime in a folder, with one invocation. It ends after that."""
    client = StreamingClient(reader)
    client.invocations.put(replace(invocation({}), request_id="r-1"))
    worker_id, address = api.register(client, own_port=True)
    started: list[subprocess.Popen[str]] = []

    def start(command: Sequence[str], file: str, code: str) -> subprocess.Popen[str]:
        (tmp_path / file).write_text(dedent(code))
        environment = {**os.environ, "AWS_LAMBDA_RUNTIME_API": address}
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    client.invocations.put(None)
    for process in started:
        process.kill()
        process.communicate(timeout=20)
    api.unregister(worker_id)


NODE_COMMAND = (NODE, str(NODE_BOOTSTRAP), "app.handler")


@pytest.mark.parametrize(
    "runtime",
    [
        pytest.param(((sys.executable, "client.py"), "client.py", CUSTOM), id="custom"),
        pytest.param((NODE_COMMAND, "app.js", NODE_HANDLER), id="node", marks=needs_node),
    ],
)
def test_the_first_byte_arrives_before_the_handler_ends(
    start: Start, reader: Reader, tmp_path: Path, runtime: tuple[Sequence[str], str, str]
) -> None:
    reader.open()
    start(*runtime)
    assert reader.pieces.get(timeout=20) == b"first "
    # The handler waits for this file.
    (tmp_path / "gate").touch()
    assert reader.endings.get(timeout=20) == ("end", b"")
    assert (reader.left(), reader.content_type) == (b"rest", "text/plain")


@needs_node
def test_a_node_handler_waits_for_drain_while_nobody_reads_its_stream(
    start: Start, reader: Reader
) -> None:
    process = start(NODE_COMMAND, "app.js", NODE_WRITER)
    assert process.stdout is not None
    assert process.stdout.readline().endswith("full\n")
    reader.open()
    assert process.stdout.readline().endswith("drained\n")
    assert reader.endings.get(timeout=20) == ("end", b"")


@needs_node
def test_a_process_that_is_killed_in_the_middle_truncates_its_stream(
    start: Start, reader: Reader
) -> None:
    reader.open()
    process = start(NODE_COMMAND, "app.js", NODE_HANDLER)
    assert reader.pieces.get(timeout=20) == b"first "
    process.kill()
    error_type, body = reader.endings.get(timeout=20)
    assert error_type == json.loads(body)["errorType"] == "Runtime.TruncatedResponse"

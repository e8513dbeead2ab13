"""The stub as Lambda runs it, in a process of its own: its zip under two runtimes, and its image.

The debug stack behind it is a WebSocket server that answers as broker and relay would.
"""

from __future__ import annotations

import ctypes
import http
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from terralive_stub.protocol.chunks import Assembler, split
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome, Streamed
from terralive_stub.protocol.messages import Ack, Chunk, Kind, Piece
from terralive_stub.protocol.payloads import pack_outcome, unpack_invocation
from terralive_stub.protocol.token import HEADER, Api, Token, check_token
from terralive_stub.protocol.wire import decode, encode
from terralive_terraform.artifacts import (
    STUB_HANDLER,
    StubCoordinates,
    build_stub_zip,
    write_stub_image,
)
from terralive_testing.machine.hosts import CLOUD, Link, hosts
from terralive_testing.machine.waiting import eventually
from terralive_workers.launch import PYTHON_BOOTSTRAP
from terralive_workers.runtime_api.server import RuntimeApi
from terralive_workers.runtime_api.worker_client import PostResult, StreamedResponse

RUNTIMES = {
    "bootstrap": (sys.executable, str(PYTHON_BOOTSTRAP), STUB_HANDLER),
    "awslambdaric": (sys.executable, "-m", "awslambdaric", STUB_HANDLER),
}
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKID",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
    "AWS_REGION": "eu-west-1",
    "AWS_LAMBDA_FUNCTION_NAME": "orders",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/orders",
    "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[$LATEST]abc",
    "PYTHONDONTWRITEBYTECODE": "1",
}
# As `python3 -m MODULE` in the image, where nothing else is installed.
FROM_HERE_ALONE = """
import runpy, sys
sys.path.insert(0, "")
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
# A wall clock that a test can set forward: the process asks for the time as ever.
CLOCK = """
import time
from pathlib import Path

ahead, told = Path(__file__).with_name("ahead"), time.time
time.time = lambda: told() + (float(ahead.read_text()) if ahead.exists() else 0)
"""

ARN = "arn:aws:lambda:eu-west-1:1:function:orders"
TEXT = "text/event-stream"
SECRET = bytes(range(32))


class DebugStack:
    """Broker and relay in one.

    Acknowledges, and answers with what `outcomes` has, or with the event itself. Before that come
    the pieces of a streamed response.
    """

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.pieces: dict[str, tuple[bytes, ...]] = {}
        self.ran: list[Invocation] = []
        self.connections: list[ServerConnection] = []
        self.headers: list[Mapping[str, str]] = []
        self.with_environment: list[str] = []
        self._environments: dict[str, Mapping[str, str]] = {}
        self._assembler = Assembler()

    def __call__(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        assert connection.request is not None
        self.headers.append(connection.request.headers)
        try:
            for text in connection:
                self._take(connection, str(text))
        except ConnectionClosed:
            return

    def _take(self, connection: ServerConnection, text: str) -> None:
        message = decode(text)
        payload = self._assembler.add(message, 0.0) if isinstance(message, Chunk) else None
        if payload is None:
            return
        known = set(self._environments)
        invocation = unpack_invocation(payload, now=0.0, environment_of=self._environments.get)
        self._environments[invocation.environment_digest] = invocation.environment
        if invocation.environment_digest not in known:
            self.with_environment.append(invocation.request_id)
        if invocation.request_id not in {
            known.request_id for known in self.ran
        }:  # as a relay: what is repeated runs once
            self.ran.append(invocation)
        connection.send(encode(Ack(invocation.request_id, ARN)))
        outcome = self.outcomes.get(invocation.request_id, Outcome(invocation.event))
        offset = 0
        for data in self.pieces.get(invocation.request_id, ()):
            assert invocation.streams
            piece = Piece(invocation.request_id, ARN, "life", TEXT, offset, data)
            connection.send(encode(piece))
            offset += len(data)
        for chunk in split(Kind.RESULT, invocation.request_id, ARN, pack_outcome(outcome)):
            connection.send(encode(chunk))


@dataclass
class Stream:
    """A streamed response as Lambda gets it."""

    world: Lambda
    request_id: str
    content_type: str
    pieces: list[bytes] = field(default_factory=list)

    def write(self, piece: bytes) -> bool:
        self.pieces.append(piece)
        return True

    def end(self) -> PostResult:
        return self.world.respond(self.request_id, b"".join(self.pieces))

    def fail(self, error_type: str, body: bytes) -> PostResult:
        return self.world.fail(self.request_id, error_type, body)


@dataclass
class Lambda:
    """Lambda as one execution environment sees it: invocations one by one, and their answers."""

    stack: DebugStack = field(default_factory=DebugStack)
    pid: int = 0
    init_is_over: threading.Event = field(default_factory=threading.Event)
    invocations: queue.SimpleQueue[Invocation | None] = field(default_factory=queue.SimpleQueue)
    answers: queue.SimpleQueue[tuple[str, str, bytes]] = field(default_factory=queue.SimpleQueue)
    streams: list[Stream] = field(default_factory=list)

    def next_invocation(self) -> Invocation | None:
        self.init_is_over.set()
        return self.invocations.get()

    def respond(self, request_id: str, body: bytes) -> PostResult:
        self.answers.put((request_id, "", body))
        return PostResult.ACCEPTED

    def begin_stream(self, request_id: str, content_type: str) -> StreamedResponse:
        self.streams.append(Stream(self, request_id, content_type))
        return self.streams[-1]

    def fail(self, request_id: str, error_type: str, body: bytes, causes: str = "") -> PostResult:
        del causes
        self.answers.put((request_id, error_type, body))
        return PostResult.ACCEPTED

    def fail_init(self, error_type: str, body: bytes, cause: str = "") -> PostResult:  # noqa: ARG002
        self.answers.put(("init", error_type, body))
        return PostResult.ACCEPTED

    def invoke(
        self,
        request_id: str,
        event: bytes = b'{"a": 1}',
        *,
        clock_ahead_s: float = 0,
        timeout_s: float = 25,
    ) -> tuple[str, bytes]:
        """The error's type, or "", and the body."""
        deadline = Deadline.after(clock_ahead_s + timeout_s, now=time.monotonic())
        self.invocations.put(Invocation(request_id, "orders", ARN, deadline, event))
        answered, error_type, body = self.answers.get(timeout=30)
        assert answered == request_id, body
        return error_type, body


@contextmanager
def execution_environment(
    folder: Path,
    runtime: str,
    link: Link | None = None,
    *,
    arn_prefix: str = "",
    handshake: Callable[[], http.HTTPStatus | None] = lambda: None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Lambda]:
    """Run the stub beside a debug stack, or, where there is a link, at its other end.

    Args:
        folder: a folder for the stub.
        runtime: one of `RUNTIMES`, or `image`.
        link: the link between the stub and the debug stack.
        arn_prefix: the ARN of a function in the debug stack's account and region, without the name.
        handshake: called for each connection; its result refuses the connection.
        environment: environment variables beside the usual ones.
    """

    def process_request(connection: ServerConnection, request: Request) -> Response | None:
        del request
        status = handshake()
        if status is None:
            return None
        return connection.respond(status, "")

    task = folder / "task"
    if runtime == "awslambdaric":
        pytest.importorskip(
            "runtime_client", reason="awslambdaric's native client is not built here"
        )
    world = Lambda()
    with link.cloud.entered() if link else nullcontext():
        server = serve(
            world.stack,
            CLOUD if link else "127.0.0.1",
            0,
            compression=None,
            max_size=2**20,
            close_timeout=1,
            process_request=process_request,
        )
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        host, port = server.socket.getsockname()
        url = f"ws://{host}:{port}/stub"
        coordinates = StubCoordinates(url, "orders", "dev", SECRET, arn_prefix)
        command = unpack(coordinates, runtime, task)
        (task / "sitecustomize.py").write_text(CLOCK)
        with link.laptop.entered() if link else nullcontext():
            api = RuntimeApi()
            _, address = api.register(world, own_port=True)
            process = subprocess.Popen(
                command,
                cwd=task,
                env={
                    **ENVIRONMENT,
                    **environment,
                    "AWS_LAMBDA_RUNTIME_API": address,
                    "PYTHONPATH": str(task),
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        world.pid = process.pid
        try:
            yield world
        finally:
            process.kill()
            process.wait()
            world.invocations.put(None)
            api.close()
            server.shutdown()
            thread.join()


def unpack(coordinates: StubCoordinates, runtime: str, task: Path) -> tuple[str, ...]:
    """Put into the task's folder what Lambda would; the command line that it runs."""
    if runtime == "image":
        write_stub_image(task)
        (entry,) = re.findall("^ENTRYPOINT (.*)", (task / "Dockerfile").read_text(), re.MULTILINE)
        python, *arguments = json.loads(entry)
        assert python == "/var/lang/bin/python3"
        own = coordinates.image_command(coordinates.image_key(ARN))
        return sys.executable, "-I", "-S", "-c", FROM_HERE_ALONE, *arguments[1:], *own
    artifact = build_stub_zip(coordinates, task.parent)
    with zipfile.ZipFile(artifact.path) as archive:
        archive.extractall(task)
    return RUNTIMES[runtime]


@pytest.fixture(params=[*RUNTIMES, "image"])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lambda]:
    with execution_environment(tmp_path, str(request.param)) as world:
        yield world


def test_invocations_reach_the_relay_and_their_results_the_caller_over_one_connection(
    world: Lambda,
) -> None:
    for name in ("r1", "r2", "r3"):
        error, body = world.invoke(name, b'{"order": "\xc3\xa4"}')
        assert (error, json.loads(body)) == ("", {"order": "ä"})
    stack = world.stack
    assert len(stack.connections) == 1
    assert [invocation.request_id for invocation in stack.ran] == ["r1", "r2", "r3"]
    assert stack.ran[0].function_arn == ARN
    assert stack.ran[0].environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "128"
    assert 0 < stack.ran[0].deadline.remaining(0.0) <= 25  # as time left
    assert stack.with_environment == ["r1"], "it travels once"
    assert stack.ran[2].environment == stack.ran[0].environment


def test_a_streamed_response_reaches_lambda_in_pieces_and_an_error_in_its_middle(
    world: Lambda,
) -> None:
    pieces = (b"one ", bytes(range(256)) * 300, b"three")
    size = len(b"".join(pieces))
    world.stack.pieces["r1"] = pieces
    world.stack.outcomes["r1"] = Outcome(b"", streamed=Streamed(TEXT, size, "life"))
    assert world.invoke("r1") == ("", b"".join(pieces))
    assert world.streams[0].content_type == TEXT
    assert world.streams[0].pieces[0] == b"one "

    world.stack.pieces["r2"] = (b"one ",)
    error = Outcome(b'{"errorType":"OrderError"}', "OrderError", streamed=Streamed(TEXT, 4, "life"))
    world.stack.outcomes["r2"] = error
    assert world.invoke("r2") == ("OrderError", error.body)
    assert world.streams[1].pieces == [b"one "]

    world.stack.outcomes["r3"] = Outcome(b"", streamed=Streamed(TEXT, 0, "life"))
    assert world.invoke("r3") == ("", b"")
    assert world.invoke("r4")[0] == "", "the next one is answered as a whole"
    assert len(world.streams) == 3


def test_an_errors_name_that_no_header_can_hold_costs_neither_the_invocation_nor_the_next(
    world: Lambda,
) -> None:
    world.stack.outcomes["r1"] = Outcome(
        b'{"errorType":"Odd","errorMessage":""}', "Odd\r\nb: \u202e\x00"
    )
    assert world.invoke("r1")[0] == "Oddb:"
    assert world.invoke("r2")[0] == ""


def test_the_upgrade_carries_a_token_for_the_function_and_none_of_the_roles_credentials(
    world: Lambda,
) -> None:
    world.invoke("r1")
    (headers,) = world.stack.headers
    token = check_token(headers[HEADER], Api.STUB, SECRET, now=time.time())
    assert isinstance(token, Token)
    assert token.subject == ARN
    assert not {"Authorization", "X-Amz-Security-Token", "X-Amz-Date"} & set(headers)


def test_the_handlers_error_reaches_the_caller_by_its_own_name(world: Lambda) -> None:
    document = {"errorType": "OrderError", "errorMessage": "no such order", "stackTrace": []}
    world.stack.outcomes["r1"] = Outcome(json.dumps(document).encode(), "OrderError")
    error, body = world.invoke("r1")
    assert error == "OrderError"
    found = json.loads(body)
    assert (found["errorType"], found["errorMessage"]) == ("OrderError", "no such order")
    assert world.invoke("r2")[0] == ""


def closes(connection: ServerConnection) -> None:
    connection.protocol.send_close(1001, "Going away")
    connection.socket.sendall(b"".join(connection.protocol.data_to_send()))


def ends(connection: ServerConnection) -> None:
    connection.socket.shutdown(socket.SHUT_RDWR)


def ends_within_a_message(connection: ServerConnection) -> None:
    connection.socket.sendall(
        b'\x81\x7e\x03\xe8{"action": "res'
    )  # a text frame of 1,000 bytes (RFC 6455, section 5.2)
    connection.socket.shutdown(socket.SHUT_RDWR)


def resets(connection: ServerConnection) -> None:
    """By connect(2) to AF_UNSPEC, which is 0.

    Closing would wait for the server's own thread, which reads this.
    """
    assert ctypes.CDLL(None).connect(connection.socket.fileno(), bytes(16), 16) == 0


@contextmanager
def frozen(world: Lambda) -> Iterator[ServerConnection]:
    """Lambda stops the stub's process between invocations. Gives the connection that it had."""
    (connection,) = world.stack.connections
    os.kill(world.pid, signal.SIGSTOP)
    try:
        yield connection
    finally:
        os.kill(world.pid, signal.SIGCONT)


def costs_one_reconnect(world: Lambda, *, clock_ahead_s: float = 0) -> None:
    error, body = world.invoke("r2", clock_ahead_s=clock_ahead_s)
    assert (error, json.loads(body)) == ("", {"a": 1})
    assert len(world.stack.connections) == 2
    assert [invocation.request_id for invocation in world.stack.ran] == ["r1", "r2"]


@pytest.mark.parametrize("farewell", [closes, ends, ends_within_a_message, resets])
def test_a_connection_that_ends_while_lambda_has_frozen_the_stub_costs_one_reconnect(
    world: Lambda, farewell: Callable[[ServerConnection], None]
) -> None:
    assert world.invoke("r1")[0] == ""
    with frozen(world) as connection:
        farewell(connection)
    costs_one_reconnect(world)


@pytest.mark.parametrize("dead_to", ["gateway", "both"])
def test_a_connection_that_dies_without_a_sign_while_lambda_has_frozen_the_stub_costs_one_reconnect(
    tmp_path: Path, dead_to: str
) -> None:
    """The gateway has given it up unheard, so what is sent is answered by a reset.

    Or nothing ever answers.
    """
    with (
        hosts() as (link,),
        execution_environment(tmp_path, "bootstrap", link) as world,
    ):
        assert world.invoke("r1")[0] == ""
        with frozen(world) as connection:
            if dead_to == "gateway":
                link.swallow()
                resets(connection)
                link.clean()
            else:
                link.move()
        costs_one_reconnect(world)


def test_a_connection_that_got_too_old_while_all_clocks_but_the_walls_stood_still_is_not_used(
    tmp_path: Path,
) -> None:
    with execution_environment(tmp_path, "bootstrap") as world:
        assert world.invoke("r1")[0] == ""
        with frozen(world):
            (tmp_path / "task" / "ahead").write_text("7200")
        costs_one_reconnect(world, clock_ahead_s=7200)


ARN_PREFIX = ARN.removesuffix("orders")
SLOW_HANDSHAKE_SECONDS = 1.5


@contextmanager
def initialized(folder: Path, **options: Any) -> Iterator[Lambda]:  # noqa: ANN401  # of `execution_environment`
    """Run the stub of a zip, and wait for the end of its init phase."""
    with execution_environment(folder, "bootstrap", **options) as world:
        assert world.init_is_over.wait(60)
        yield world


def has_connected(world: Lambda) -> None:
    """Wait until the debug stack has seen the connection of the init phase."""
    eventually(lambda: world.stack.connections, "the stub has connected")
    assert len(world.stack.connections) == 1


def test_a_function_of_three_seconds_answers_at_its_first_call_however_long_connecting_takes(
    tmp_path: Path,
) -> None:
    """An init phase is no part of the function's timeout."""

    def handshake() -> None:
        time.sleep(SLOW_HANDSHAKE_SECONDS)

    with initialized(tmp_path, arn_prefix=ARN_PREFIX, handshake=handshake) as world:
        has_connected(world)
        assert world.invoke("r1", timeout_s=3)[0] == ""
        assert world.invoke("r2", timeout_s=3)[0] == ""
    (headers,) = world.stack.headers
    token = check_token(headers[HEADER], Api.STUB, SECRET, now=time.time())
    assert isinstance(token, Token)
    assert token.subject == ARN


@pytest.mark.parametrize("kind", ["provisioned-concurrency", "snap-start"])
def test_no_connection_is_opened_long_before_the_first_invocation(
    tmp_path: Path, kind: str
) -> None:
    environment = {"AWS_LAMBDA_INITIALIZATION_TYPE": kind}
    with initialized(tmp_path, arn_prefix=ARN_PREFIX, environment=environment) as world:
        assert world.stack.connections == []
        assert world.invoke("r1")[0] == ""
    assert len(world.stack.connections) == 1


@pytest.mark.parametrize("prefix", ["", ARN_PREFIX.replace("eu-west-1", "us-east-1")])
def test_a_stub_that_cannot_know_its_arn_connects_with_the_first_invocation(
    tmp_path: Path, prefix: str
) -> None:
    with initialized(tmp_path, arn_prefix=prefix) as world:
        assert world.stack.connections == []
        assert world.invoke("r1")[0] == ""


def test_a_function_of_another_account_connects_anew_as_itself(tmp_path: Path) -> None:
    other = ARN_PREFIX.replace(":1:", ":2:")
    with initialized(tmp_path, arn_prefix=other) as world:
        has_connected(world)
        assert world.invoke("r1")[0] == ""
        assert world.invoke("r2")[0] == ""
    _, headers = world.stack.headers
    token = check_token(headers[HEADER], Api.STUB, SECRET, now=time.time())
    assert isinstance(token, Token)
    assert token.subject == ARN


def test_a_refused_connection_does_not_fail_the_init_phase(tmp_path: Path) -> None:
    """API Gateway may refuse many environments that start at once (HTTP 429)."""
    refusals = [http.HTTPStatus.TOO_MANY_REQUESTS]

    def handshake() -> http.HTTPStatus | None:
        if refusals:
            return refusals.pop()
        return None

    with initialized(tmp_path, arn_prefix=ARN_PREFIX, handshake=handshake) as world:
        assert refusals == []
        assert world.stack.connections == []
        assert world.invoke("r1")[0] == ""


def test_a_handshake_that_never_ends_does_not_fail_the_init_phase(tmp_path: Path) -> None:
    first = threading.Lock()

    def handshake() -> None:
        if first.acquire(blocking=False):
            release.wait(60)

    release = threading.Event()
    with initialized(tmp_path, arn_prefix=ARN_PREFIX, handshake=handshake) as world:
        assert world.stack.connections == []
        assert world.invoke("r1")[0] == ""
        release.set()


def test_a_connection_that_ends_between_init_and_the_first_invocation_costs_one_reconnect(
    tmp_path: Path,
) -> None:
    with initialized(tmp_path, arn_prefix=ARN_PREFIX) as world:
        has_connected(world)
        with frozen(world) as connection:
            ends(connection)
        assert world.invoke("r1")[0] == ""
        assert len(world.stack.connections) == 2


def test_a_first_invocation_hours_after_init_opens_another_connection(tmp_path: Path) -> None:
    with initialized(tmp_path, arn_prefix=ARN_PREFIX) as world:
        has_connected(world)
        with frozen(world):
            (tmp_path / "task" / "ahead").write_text("7200")
        assert world.invoke("r1", clock_ahead_s=7200)[0] == ""
        assert len(world.stack.connections) == 2


def test_six_megabytes_pass_through_untouched_by_any_json(tmp_path: Path) -> None:
    event = (
        b'{"a":   "' + bytes(97 + number % 26 for number in range(6 * 1024 * 1024 - 100)) + b'"}'
    )
    with execution_environment(tmp_path, "bootstrap") as world:
        error, body = world.invoke("r1", event)
    assert error == ""
    assert body == event


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("wss://x", "eu-west-1", "orders", "dev"), "takes settings of version v2"),
        (("wss://x", "eu-west-1", "orders", "dev"), "has settings of version v1"),
        (("v3", "wss://x", "orders", "dev", "00", "more"), "has settings of version v3"),
        (("v2", "wss://x", "orders", "dev"), "Build the image again"),
        ((), "This is terralive's stub"),
    ],
)
def test_an_image_with_settings_of_another_version_says_so_to_the_caller(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    write_stub_image(tmp_path)
    world, api = Lambda(), RuntimeApi()
    try:
        _, address = api.register(world, own_port=True)
        ended = subprocess.run(
            [sys.executable, "-m", "terralive_stub.container", *arguments],
            cwd=tmp_path,
            env={**ENVIRONMENT, "AWS_LAMBDA_RUNTIME_API": address},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        answered, error_type, body = world.answers.get(timeout=10)
    finally:
        api.close()
    assert (answered, error_type) == ("init", "Terralive.StubImage")
    assert words in json.loads(body)["errorMessage"]
    assert words in ended.stderr
    assert ended.returncode == 1

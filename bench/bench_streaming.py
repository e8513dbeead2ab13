"""Measure a streamed response: the time to its first byte, and its throughput.

A custom runtime streams through a whole relay, a sandbox's gateway and the real broker to the real
stub, which runs in this process and in the place of Lambda takes the bytes. A direct HTTP server
streams the same bytes to a client. Both are measured in turns. Nothing is asserted about times.
Run: python bench/bench_streaming.py [--responses 30] [--megabytes 10]
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

from common import show, show_title, summarize

from terralive_relay.relay import Relay
from terralive_relay.session.leasing import RelayIdentity
from terralive_relay.settings import RelaySettings
from terralive_sandbox.info import SandboxInfo
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation
from terralive_stub.protocol.token import function_key
from terralive_stub.shared.sigv4 import Credentials
from terralive_stub.stub.stub import Stub
from terralive_stub.stub.takeover import make_stub
from terralive_testing.deployers.sandbox import Aws, running_sandbox
from terralive_testing.deployers.stage import Stage, deploy
from terralive_workers.function import LocalFunction

MEGABYTE = 1024 * 1024
PIECE_BYTES = 64 * 1024
WARM_UPS = 3
LARGE = 3
PATIENCE_SECONDS = 240.0
# The event is the number of bytes.
RUNTIME = f"""
import http.client, os

connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
top = "/2018-06-01/runtime/invocation/"
while True:
    connection.request("GET", top + "next")
    answer = connection.getresponse()
    left = int(answer.read())
    request_id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
    connection.putrequest("POST", top + request_id + "/response")
    connection.putheader("Content-Type", "application/octet-stream")
    connection.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    while left:
        piece = bytes(min(left, {PIECE_BYTES}))
        connection.send(b"%x\\r\\n%b\\r\\n" % (len(piece), piece))
        left -= len(piece)
    connection.send(b"0\\r\\n\\r\\n")
    connection.getresponse().read()
"""


@dataclass
class Times:
    """When a response began, and when its first and its last byte came.

    As a `TakesStream`, it notes the times of a stub's response.
    """

    began: float = field(default_factory=time.perf_counter)
    first: float = 0.0
    last: float = 0.0
    size: int = 0

    def write(self, content_type: str, data: bytes) -> bool:
        del content_type
        self.last = time.perf_counter()
        if not self.size:
            self.first = self.last
        self.size += len(data)
        return True


class Server(BaseHTTPRequestHandler):
    """Streams as many bytes as the path says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # the name that the base class calls
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        left = int(self.path[1:])
        while left:
            piece = bytes(min(left, PIECE_BYTES))
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            left -= len(piece)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def serve_directly(tell: Connection) -> None:
    server = HTTPServer(("127.0.0.1", 0), Server)
    tell.send(server.server_port)
    server.serve_forever()


def run_relay(info: SandboxInfo, stage: Stage, arn: str, folder: Path, ready: Event) -> None:
    function = LocalFunction(
        name=stage.functions["fn"],
        arn=stage.arns["fn"],
        address="aws_lambda_function.fn",
        runtime="provided.al2023",
        handler="any",
        path=folder,
        python=Path(sys.executable),
        command=(sys.executable, "client.py"),
    )
    identity = RelayIdentity("bench", (function.arn,), "bench", "bench")
    settings = RelaySettings(
        stage.url, info.region, stage.name, identity, (function,), arn, stage.secret
    )
    keys = Credentials(info.access_key_id, info.secret_access_key)
    relay = Relay(settings, lambda: keys, lambda _: None)
    relay.start()
    relay.wait_connected(60)
    ready.set()
    relay.wait()


@contextmanager
def processes(aws: Aws, stage: Stage, folder: Path) -> Iterator[int]:
    """Run the relay and the direct server; return the server's port."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    here, there = context.Pipe()
    relay = context.Process(target=run_relay, args=(aws.info, stage, aws.caller_arn, folder, ready))
    server = context.Process(target=serve_directly, args=(there,), daemon=True)
    relay.start()
    server.start()
    try:
        port = here.recv()
        if not ready.wait(60):
            raise SystemExit("the relay is not connected")
        yield port
    finally:
        for process in (relay, server):
            process.terminate()
            process.join()


def through_terralive(stub: Stub, arn: str, size: int) -> Times:
    deadline = Deadline.after(PATIENCE_SECONDS, now=time.monotonic())
    request_id = os.urandom(8).hex()
    environment = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKID"}
    call = Invocation(
        request_id,
        arn.rpartition(":")[2],
        arn,
        deadline,
        str(size).encode(),
        environment,
        streams=True,
    )
    times = Times()
    outcome = stub.handle(call, times)
    if not outcome.ok or times.size != size:
        raise SystemExit(f"a response is wrong: {outcome!r}, {times.size} bytes")
    return times


def directly(port: int, size: int) -> Times:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    times = Times()
    connection.request("GET", f"/{size}")
    response = connection.getresponse()
    while data := response.read1(PIECE_BYTES):
        times.write("", data)
    connection.close()
    return times


def measure(ways: dict[str, Callable[[int], Times]], responses: int, megabytes: int) -> None:
    """Measure both ways in turns, and print the figures."""
    first: dict[str, list[float]] = {name: [] for name in ways}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(WARM_UPS + responses):
        for name, ask in ways.items():
            times = ask(100)
            if number >= WARM_UPS:
                first[name].append(times.first - times.began)
    # The first large ones meet cold brokers, as many as there are pieces in a window.
    for number in range(WARM_UPS + LARGE):
        for name, ask in ways.items():
            times = ask(megabytes * MEGABYTE)
            if number >= WARM_UPS:
                rates[name].append(megabytes / (times.last - times.began))
    ours, theirs = (summarize(first[name]).median_ms for name in ("terralive", "direct"))
    show("time to first byte, median", f"{ours:.1f} ms", f"direct server {theirs:.1f} ms")
    rate, other = (statistics.median(rates[name]) for name in ("terralive", "direct"))
    beside = f"direct server {other:.0f} MB/s; Lambda streams 2 MB/s after the first 6 MB"
    show(f"throughput of {megabytes} MB, median", f"{rate:.1f} MB/s", beside)


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--responses", type=int, default=30)
    parser.add_argument("--megabytes", type=int, default=10)
    options = parser.parse_args()
    show_title("A streamed response, through terralive and from a direct server")
    with tempfile.TemporaryDirectory() as name, running_sandbox(Path(name)) as info:
        aws = Aws(info, checked=False)
        stage = deploy(aws, Path(name) / "zips", {"fn": int(PATIENCE_SECONDS)})
        (Path(name) / "client.py").write_text(RUNTIME)
        arn = stage.arns["fn"]
        with processes(aws, stage, Path(name)) as port:
            stub = make_stub(
                stage.stub_url, "test", stage.name, lambda _: function_key(stage.secret, arn)
            )
            ways: dict[str, Callable[[int], Times]] = {
                "terralive": lambda size: through_terralive(stub, arn, size),
                "direct": lambda size: directly(port, size),
            }
            try:
                measure(ways, options.responses, options.megabytes)
            finally:
                stub.close()


if __name__ == "__main__":
    main()

"""Count what an invocation costs on its way: messages, broker runs, table accesses, time.

Terraform deploys the product's own debug stacks into a sandbox. Counts are exact
(terralive_testing.oracles.costs). The relay's time is a ratio: a client that plays a stub invokes
in two debug stacks in turns, through the same gateway. In one of them the real relay runs a handler
that does nothing. In the other one an echo holds the lease, which sends every chunk back at once
and does nothing else. Nothing is asserted about times.
Run: python bench/bench_protocol.py [--invocations 200] [--large 5]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import queue
import statistics
import string
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

import websocket
from common import ALLOW_EVERYTHING, show, show_title, summarize

from terralive_relay.relay import Relay
from terralive_relay.session.leasing import RelayIdentity
from terralive_relay.settings import RelaySettings
from terralive_sandbox.info import SandboxInfo
from terralive_sandbox.process import SandboxProcess
from terralive_stub.protocol.chunks import split
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation
from terralive_stub.protocol.messages import Chunk, Done, Heartbeat, Hello, Kind
from terralive_stub.protocol.payloads import pack_invocation
from terralive_stub.protocol.transport_events import TextReceived
from terralive_stub.protocol.wire import decode, encode
from terralive_stub.shared.sigv4 import Credentials
from terralive_stub.stub.transport import Connection, Inbox, send_text
from terralive_terraform.artifacts import STUB_HANDLER, StubCoordinates, build_stub_zip
from terralive_testing.deployers import debug_stack
from terralive_testing.deployers.sandbox import Aws
from terralive_testing.drivers.signed_requests import relay_headers, stub_headers
from terralive_testing.oracles.costs import Costs, cost, counted, of_several
from terralive_workers.function import LocalFunction

FUNCTION = "noop"
ARN = f"arn:aws:lambda:us-east-1:123456789012:function:{FUNCTION}"
HANDLER = "def handler(event, context):\n    return event\n"
KILOBYTE = 1024
MEGABYTE = 1024 * 1024
LARGE = 6 * MEGABYTE
FUNCTION_TIMEOUT_SECONDS = 240
HEARTBEAT_SECONDS = 20
# Between two invocations: the work that the first one leaves behind is no part of the second one.
REST_SECONDS = 0.05
WARM_UPS = 10
# The counts of a warm invocation are taken from so many.
COUNTED = 5
# A bound for a machine that is busy with other things.
PATIENCE_SECONDS = 240.0


@dataclass(frozen=True)
class Stage:
    """A deployed debug stack."""

    info: SandboxInfo
    outputs: dict[str, str]
    secret: bytes
    developer_arn: str


def developer(info: SandboxInfo) -> Credentials:
    return Credentials(info.access_key_id, info.secret_access_key)


def relay(stage: Stage, folder: Path, ready: Event, over: Event) -> None:
    """Run the real relay as `terralive start` does, without a terminal: a process of its own."""
    function = LocalFunction(
        name=FUNCTION,
        arn=ARN,
        address=FUNCTION,
        runtime="python3.12",
        handler="app.handler",
        path=folder,
        python=Path(sys.executable),
    )
    identity = RelayIdentity(uuid.uuid4().hex, (ARN,), "ana", "bench")
    url = stage.outputs["relay_url"]
    settings = RelaySettings(
        url,
        stage.info.region,
        "bench",
        identity,
        (function,),
        stage.developer_arn,
        stage.secret,
    )
    running = Relay(settings, lambda: developer(stage.info), lambda _: None)
    running.start()
    running.wait_connected(PATIENCE_SECONDS)
    ready.set()
    parent = multiprocessing.parent_process()
    while not over.wait(1):
        if parent is None or not parent.is_alive():
            break
    running.stop()


def echo(stage: Stage, _: Path, ready: Event, over: Event) -> None:
    """Send every chunk back as a result's, and keep the lease: a process in the relay's place."""
    info = stage.info
    url = stage.outputs["relay_url"]
    headers = relay_headers(url, info.region, developer(info), stage.developer_arn, stage.secret)
    connection = websocket.create_connection(url, header=headers, suppress_origin=True)
    relay_id = uuid.uuid4().hex
    send_text(connection, encode(Hello(relay_id, (ARN,), "ana", "bench")))
    connection.settimeout(1)
    last_heartbeat = time.monotonic()
    while not over.is_set():
        if time.monotonic() - last_heartbeat > HEARTBEAT_SECONDS:
            last_heartbeat = time.monotonic()
            send_text(connection, encode(Heartbeat(relay_id)))
        try:
            message = json.loads(connection.recv())
        except websocket.WebSocketTimeoutException:
            continue
        if message["action"] == "chunk":
            message["kind"] = "result"
            send_text(connection, json.dumps(message, separators=(",", ":")))
        elif message["action"] == "welcome":
            ready.set()
    connection.close()


@contextmanager
def serving(
    program: Callable[[Stage, Path, Event, Event], None], stage: Stage, folder: Path
) -> Iterator[None]:
    """Run `relay` or `echo` in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    over = context.Event()
    process = context.Process(target=program, args=(stage, folder, ready, over))
    process.start()
    try:
        assert ready.wait(PATIENCE_SECONDS), f"{program.__name__} did not get the lease"
        yield
    finally:
        over.set()
        process.join()


class Caller:
    """Plays a stub: one connection to the API `stub`, one invocation at a time."""

    def __init__(self, stage: Stage, role: str) -> None:
        """Connect, and take the credentials of `role`, which invocations carry."""
        keys = Aws(stage.info).role_keys(role, FUNCTION)
        self._credentials = Credentials(
            keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]
        )
        # Everything that the connection receives.
        self._inbox: Inbox = queue.SimpleQueue()
        headers = stub_headers(ARN, stage.secret)
        self._connection = Connection(stage.outputs["stub_url"], headers, 1, self._inbox)

    def ask(self, event: bytes) -> float:
        """Return the seconds from an invocation's first chunk to the last chunk of its result."""
        request_id = str(uuid.uuid4())
        texts = self._chunks(request_id, event)
        began = time.perf_counter()
        for text in texts:
            self._connection.send(text)
        self._await_result(request_id)
        took = time.perf_counter() - began
        self._connection.send(encode(Done(request_id, ARN)))
        time.sleep(REST_SECONDS)
        return took

    def close(self) -> None:
        self._connection.close()

    def _chunks(self, request_id: str, event: bytes) -> list[str]:
        variables = {
            "AWS_ACCESS_KEY_ID": self._credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self._credentials.secret_access_key,
            "AWS_SESSION_TOKEN": self._credentials.session_token,
            "AWS_REGION": "us-east-1",
        }
        now = time.monotonic()
        deadline = Deadline.after(PATIENCE_SECONDS, now=now)
        invocation = Invocation(request_id, FUNCTION, ARN, deadline, event, variables)
        payload = pack_invocation(invocation, now=now)
        return [encode(chunk) for chunk in split(Kind.INVOKE, request_id, ARN, payload)]

    def _await_result(self, request_id: str) -> None:
        """Wait for all chunks of the result. The first one says how many there are."""
        received = 0
        parts = None
        while received != parts:
            item = self._inbox.get(timeout=PATIENCE_SECONDS)
            assert isinstance(item, TextReceived), item
            message = decode(item.text)
            if isinstance(message, Chunk):
                assert message.request_id == request_id
                received += 1
                parts = message.parts


def json_text(size: int) -> bytes:
    """Return a JSON text of `size` bytes that can hardly be compressed.

    It consists of random characters that need no escape.
    """
    everything = string.digits + string.ascii_letters + string.punctuation
    characters = everything.replace('"', "").replace("\\", "").encode()
    table = bytes(characters[byte % len(characters)] for byte in range(256))
    return b'"' + os.urandom(size - 2).translate(table) + b'"'


def show_costs(name: str, costs: Costs) -> None:
    incoming = costs["stub in"] + costs["relay in"]
    outgoing = costs["stub out"] + costs["relay out"]
    shares = f"in by the stub {costs['stub in']}, by the relay {costs['relay in']}"
    show(f"{name}: messages in, out", f"{incoming}, {outgoing}", shares)
    accesses = f"table reads {costs['reads']}, writes {costs['writes']}"
    show("  broker runs", f"{costs['runs']}", accesses)


def in_turns(callers: dict[str, Caller], event: bytes, count: int) -> dict[str, list[float]]:
    """Return the seconds that each caller's invocations take.

    They take turns: when the machine is busy, it is busy for all of them.
    """
    durations: dict[str, list[float]] = {kind: [] for kind in callers}
    for _ in range(count):
        for kind, caller in callers.items():
            durations[kind].append(caller.ask(event))
    return durations


def invoke(aws: Aws, event: bytes) -> float:
    """Invoke the live function through the whole path. Return the seconds that it takes."""
    began = time.perf_counter()
    answer = aws.lambda_.invoke(FunctionName=FUNCTION, Payload=event)["Payload"].read()
    took = time.perf_counter() - began
    assert answer == event, answer[:1000]
    return took


def measure_costs(aws: Aws, live: Stage) -> None:
    """Count the messages, broker runs and table accesses of one invocation."""
    print("One invocation, through the real stub, broker and relay")
    small = json_text(KILOBYTE)
    big = json_text(LARGE)
    apis = debug_stack.apis(live.outputs)
    with counted(aws, apis, live.outputs["broker_name"]) as so_far:
        show_costs("1 KB, stub and broker cold", cost(so_far, lambda: invoke(aws, small)))
        for _ in range(WARM_UPS):
            invoke(aws, small)
        warm = of_several(cost(so_far, lambda: invoke(aws, small)) for _ in range(COUNTED))
        show_costs("1 KB, warm", warm)
        # Step by step, the broker gets as many execution environments as 6 MB has chunks.
        for size in range(1, 7):
            invoke(aws, json_text(size * MEGABYTE))
        warm = of_several(cost(so_far, lambda: invoke(aws, big)) for _ in range(COUNTED))
        show_costs("6 MB each way, warm", warm)


def measure_small(aws: Aws, callers: dict[str, Caller], count: int) -> None:
    """Compare the relay with an echo, on invocations of 1 KB."""
    event = json_text(KILOBYTE)
    in_turns(callers, event, WARM_UPS)
    durations = in_turns(callers, event, count)
    by_relay = summarize(durations["relay"])
    by_echo = summarize(durations["echo"])
    ratio = by_relay.median_ms / by_echo.median_ms
    beside = f"{ratio:.2f} x an echo in the relay's place ({by_echo.median_ms:.1f} ms)"
    show("1 KB by the relay, median", f"{by_relay.median_ms:.1f} ms", beside)
    ratio = by_relay.late_ms / by_echo.late_ms
    beside = f"{ratio:.2f} x ({by_echo.late_ms:.1f} ms)"
    show("  95th percentile", f"{by_relay.late_ms:.1f} ms", beside)

    for _ in range(WARM_UPS):
        invoke(aws, event)
    whole = summarize([invoke(aws, event) for _ in range(count)])
    beside = f"95th percentile {whole.late_ms:.1f} ms"
    show("1 KB, the whole path from Invoke, median", f"{whole.median_ms:.1f} ms", beside)


def measure_large(aws: Aws, callers: dict[str, Caller], count: int) -> None:
    """Compare the relay with an echo, on invocations of 6 MB each way."""
    event = json_text(LARGE)
    in_turns(callers, event, 1)
    durations = in_turns(callers, event, count)
    relay_s = statistics.median(durations["relay"])
    echo_s = statistics.median(durations["echo"])
    ratio = relay_s / echo_s
    beside = f"{ratio:.2f} x an echo that sends each chunk back as it comes ({echo_s:.2f} s)"
    show("6 MB each way by the relay, median", f"{relay_s:.2f} s", beside)
    whole_s = statistics.median(invoke(aws, event) for _ in range(count))
    show("6 MB each way, the whole path, median", f"{whole_s:.2f} s")


def deploy_stub(aws: Aws, stage: Stage, folder: Path) -> None:
    """Deploy the live function, whose code is the stub."""
    url = stage.outputs["stub_url"]
    stub = build_stub_zip(StubCoordinates(url, "bench", "bench", stage.secret), folder)
    aws.function(
        stub.path.read_bytes(),
        handler=STUB_HANDLER,
        timeout=FUNCTION_TIMEOUT_SECONDS,
        name=FUNCTION,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--invocations", type=int, default=200, help="of 1 KB")
    parser.add_argument("--large", type=int, default=5, help="invocations of 6 MB")
    options = parser.parse_args()
    show_title("The protocol")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        code = folder / "code"
        code.mkdir()
        (code / "app.py").write_text(HANDLER, "utf-8")
        running = SandboxProcess.start(folder / "sandbox.json", log_path=folder / "sandbox.log")
        stack.callback(running.stop)
        aws = Aws(running.info, checked=False)
        stages: dict[str, Stage] = {}
        for program in (relay, echo):
            kind = program.__name__
            outputs = debug_stack.outputs(debug_stack.deploy(running.info, folder / kind, kind))
            secret = debug_stack.secret(aws, outputs)
            stages[kind] = Stage(running.info, outputs, secret, aws.caller_arn)
            stack.enter_context(serving(program, stages[kind], code))
        deploy_stub(aws, stages["relay"], folder / "stub")
        role = aws.role(ALLOW_EVERYTHING)
        callers = {kind: Caller(stage, role) for kind, stage in stages.items()}
        for caller in callers.values():
            stack.callback(caller.close)
        measure_costs(aws, stages["relay"])
        count = options.invocations
        print(f"Time, {count} invocations of 1 KB and {options.large} of 6 MB each way, in turns")
        measure_small(aws, callers, count)
        measure_large(aws, callers, options.large)


if __name__ == "__main__":
    main()

"""What an invocation costs on its way: messages, broker runs, table accesses, and the relay's own time.

The debug stacks are the product's own, deployed by Terraform into a sandbox. Counts are exact
(terralive_testing.oracles.costs). The relay's time is a ratio: one client that plays a stub asks in
turns, through the same gateway, a stage where the real relay runs a no-op handler, and a stage
where a program holds the lease that sends every chunk back at once and does nothing else. Nothing
is asserted of times.
Run: PYTHONPATH=tests python bench/bench_protocol.py [--invocations 200] [--large 5]
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
from common import Deployer, milliseconds, say

from terralive_relay.connection.leasing import RelayIdentity
from terralive_relay.relay import Relay, RelaySettings
from terralive_sandbox.info import SandboxInfo
from terralive_sandbox.process import SandboxProcess
from terralive_stub.protocol.chunks import split
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation
from terralive_stub.protocol.payloads import pack_invocation
from terralive_stub.protocol.sigv4 import Credentials, sign_upgrade
from terralive_stub.protocol.transport_events import TextReceived
from terralive_stub.protocol.wire import Chunk, Done, Heartbeat, Hello, Kind, decode, encode
from terralive_stub.stub.transport import Connection, Inbox, send_text
from terralive_terraform.artifacts import STUB_HANDLER, StubCoordinates, build_stub_zip
from terralive_testing.deployers import debug_stack
from terralive_testing.deployers.sandbox import Aws
from terralive_testing.oracles.costs import Costs, cost, counted, of_several
from terralive_workers.function import LocalFunction

FUNCTION = "noop"
HANDLER = "def handler(event, context):\n    return event\n"
KILOBYTE, LARGE = 1024, 6 * 1024 * 1024
HEARTBEAT_SECONDS = 20
REST_SECONDS = (
    0.05  # between two invocations: what the one before leaves to do is no part of the next
)
WARM_UPS = 10
COUNTED = 5
PATIENCE = 240.0  # seconds, on a machine that is busy with other things


@dataclass(frozen=True)
class Stage:
    """A deployed debug stack."""

    info: SandboxInfo
    outputs: dict[str, str]

    def sign(self, door: str, credentials: Credentials) -> tuple[str, dict[str, str]]:
        """The door's address and the headers of its upgrade."""
        url = self.outputs[f"{door}_url"]
        headers = sign_upgrade(url, self.info.region, credentials, time.time())
        del headers["Host"]  # the library sends it, the same one
        return url, headers


def developer(info: SandboxInfo) -> Credentials:
    return Credentials(info.access_key_id, info.secret_access_key)


def relay(stage: Stage, folder: Path, ready: Event, over: Event) -> None:
    """The real relay, in a process of its own, as `terralive start` has it but for what is printed."""
    function = LocalFunction(
        name=FUNCTION,
        address=FUNCTION,
        runtime="python3.12",
        handler="app.handler",
        path=folder,
        python=Path(sys.executable),
    )
    identity = RelayIdentity(uuid.uuid4().hex, (FUNCTION,), "ana", "bench")
    settings = RelaySettings(
        stage.outputs["relay_url"], stage.info.region, "bench", identity, (function,)
    )
    running = Relay(settings, lambda: developer(stage.info), lambda _: None)
    running.start()
    running.wait_connected(PATIENCE)
    ready.set()
    parent = multiprocessing.parent_process()
    while not over.wait(1) and parent is not None and parent.is_alive():
        pass
    running.stop()


def echo(stage: Stage, _: Path, ready: Event, over: Event) -> None:
    """In a relay's place: sends every chunk back as a result's, and keeps its lease."""
    url, headers = stage.sign("relay", developer(stage.info))
    connection = websocket.create_connection(url, header=headers, suppress_origin=True)
    life = uuid.uuid4().hex
    send_text(connection, encode(Hello(life, (FUNCTION,), "ana", "bench")))
    connection.settimeout(1)
    beat = time.monotonic()
    while not over.is_set():
        if time.monotonic() - beat > HEARTBEAT_SECONDS:
            beat = time.monotonic()
            send_text(connection, encode(Heartbeat(life)))
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
    ready, over = context.Event(), context.Event()
    process = context.Process(target=program, args=(stage, folder, ready, over))
    process.start()
    try:
        assert ready.wait(PATIENCE), f"{program.__name__} did not get the lease"
        yield
    finally:
        over.set()
        process.join()


class Caller:
    """Plays a stub: one connection through the stub door, one invocation at a time."""

    def __init__(self, stage: Stage, role: str) -> None:
        self._inbox: Inbox = queue.SimpleQueue()
        keys = Aws(stage.info).sts.assume_role(RoleArn=role, RoleSessionName=FUNCTION)[
            "Credentials"
        ]
        self._credentials = Credentials(
            keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]
        )
        url, headers = stage.sign("stub", self._credentials)
        self._connection = Connection(url, headers, 1, self._inbox)

    def ask(self, event: bytes) -> float:
        """Seconds from an invocation's first chunk to its result's last one."""
        request_id = str(uuid.uuid4())
        variables = {
            "AWS_ACCESS_KEY_ID": self._credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self._credentials.secret_access_key,
            "AWS_SESSION_TOKEN": self._credentials.session_token,
            "AWS_REGION": "us-east-1",
        }
        now = time.monotonic()
        invocation = Invocation(
            request_id, FUNCTION, "arn", Deadline.after(PATIENCE, now=now), event, variables
        )
        payload = pack_invocation(invocation, now=now)
        texts = [encode(chunk) for chunk in split(Kind.INVOKE, request_id, FUNCTION, payload)]
        began = time.perf_counter()
        for text in texts:
            self._connection.send(text)
        left = -1
        while left != 0:
            item = self._inbox.get(timeout=PATIENCE)
            assert isinstance(item, TextReceived), item
            message = decode(item.text)
            if isinstance(message, Chunk):
                assert message.request_id == request_id
                left = (message.parts if left < 0 else left) - 1
        took = time.perf_counter() - began
        self._connection.send(encode(Done(request_id, FUNCTION)))
        time.sleep(REST_SECONDS)
        return took

    def close(self) -> None:
        self._connection.close()


def text_of(size: int) -> bytes:
    """A JSON text that compresses as little as one can.

    Random characters, all that need no escape.
    """
    characters = (
        (string.digits + string.ascii_letters + string.punctuation)
        .translate({34: None, 92: None})
        .encode()
    )
    table = bytes(characters[byte % len(characters)] for byte in range(256))
    return b'"' + os.urandom(size - 2).translate(table) + b'"'


def several(so_far: Callable[[], Costs], invoke: Callable[[], object]) -> Costs:
    """What a warm invocation costs."""
    return of_several(cost(so_far, invoke) for _ in range(COUNTED))


def say_costs(what: str, costs: Costs) -> None:
    incoming, outgoing = (costs[f"stub {way}"] + costs[f"relay {way}"] for way in ("in", "out"))
    shares = f"in by the stub {costs['stub in']}, by the relay {costs['relay in']}"
    say(f"{what}: messages in, out", f"{incoming}, {outgoing}", shares)
    say(
        "  broker runs",
        f"{costs['runs']}",
        f"table reads {costs['reads']}, writes {costs['writes']}",
    )


def in_turns(callers: dict[str, Caller], event: bytes, count: int) -> dict[str, list[float]]:
    """Seconds of each, one invocation after the other: a busy machine is busy for all of them."""
    durations: dict[str, list[float]] = {kind: [] for kind in callers}
    for _ in range(count):
        for kind, caller in callers.items():
            durations[kind].append(caller.ask(event))
    return durations


def measure(
    deploy: Deployer, live: Stage, callers: dict[str, Caller], count: int, large: int
) -> None:
    functions = deploy.client("lambda")

    def invoke(event: bytes) -> float:
        began = time.perf_counter()
        answer = functions.invoke(FunctionName=FUNCTION, Payload=event)["Payload"].read()
        took = time.perf_counter() - began
        assert answer == event, answer[:1000]
        return took

    small, big = text_of(KILOBYTE), text_of(LARGE)
    print("One invocation, through the real stub, broker and relay")
    with counted(Aws(deploy.info), live.outputs["api_id"], live.outputs["broker_name"]) as so_far:
        say_costs("1 KB, stub and broker cold", cost(so_far, lambda: invoke(small)))
        for _ in range(WARM_UPS):
            invoke(small)
        say_costs("1 KB, warm", several(so_far, lambda: invoke(small)))
        for size in range(
            1, 7
        ):  # the broker's environments become more step by step, as many as 6 MB has chunks
            invoke(text_of(size * 1024 * 1024))
        say_costs("6 MB each way, warm", several(so_far, lambda: invoke(big)))
    print(f"Time, {count} invocations of 1 KB and {large} of 6 MB each way, in turns")
    in_turns(callers, small, WARM_UPS)
    durations = in_turns(callers, small, count)
    (relay_ms, late), (echo_ms, echo_late) = (
        milliseconds(durations[kind]) for kind in ("relay", "echo")
    )
    beside = f"{relay_ms / echo_ms:.2f} x an echo in the relay's place ({echo_ms:.1f} ms)"
    say("1 KB by the relay, median", f"{relay_ms:.1f} ms", beside)
    say("  95th percentile", f"{late:.1f} ms", f"{late / echo_late:.2f} x ({echo_late:.1f} ms)")
    for _ in range(WARM_UPS):
        invoke(small)
    whole_ms, whole_late = milliseconds([invoke(small) for _ in range(count)])
    say(
        "1 KB, the whole path from Invoke, median",
        f"{whole_ms:.1f} ms",
        f"95th percentile {whole_late:.1f} ms",
    )
    in_turns(callers, big, 1)
    durations = in_turns(callers, big, large)
    relay_s, echo_s = (statistics.median(durations[kind]) for kind in ("relay", "echo"))
    beside = (
        f"{relay_s / echo_s:.2f} x an echo that sends each chunk back as it comes ({echo_s:.2f} s)"
    )
    say("6 MB each way by the relay, median", f"{relay_s:.2f} s", beside)
    say(
        "6 MB each way, the whole path, median",
        f"{statistics.median(invoke(big) for _ in range(large)):.2f} s",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--invocations", type=int, default=200, help="of 1 KB")
    parser.add_argument("--large", type=int, default=5, help="invocations of 6 MB")
    options = parser.parse_args()
    print(f"The protocol, on {os.cpu_count()} processors, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        running = SandboxProcess.start(folder / "sandbox.json", log_path=folder / "sandbox.log")
        stack.callback(running.stop)
        deploy = Deployer(running.info)
        (folder / "code").mkdir()
        (folder / "code" / "app.py").write_text(HANDLER, "utf-8")
        stages: dict[str, Stage] = {}
        for program in (relay, echo):
            kind = program.__name__
            outputs = debug_stack.outputs(debug_stack.deploy(running.info, folder / kind, kind))
            stages[kind] = Stage(running.info, outputs)
            stack.enter_context(serving(program, stages[kind], folder / "code"))
        live = stages["relay"]
        stub = build_stub_zip(
            StubCoordinates(live.outputs["stub_url"], running.info.region, "bench", "bench"),
            folder / "stub",
        )
        deploy.zipped(FUNCTION, stub.path.read_bytes(), STUB_HANDLER)
        callers = {kind: Caller(stage, deploy.role) for kind, stage in stages.items()}
        for caller in callers.values():
            stack.callback(caller.close)
        measure(deploy, live, callers, options.invocations, options.large)


if __name__ == "__main__":
    main()

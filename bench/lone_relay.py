"""Run a whole relay in a process of its own, while this process plays its debug stack.

There is no sandbox, no API Gateway and no stub: this process sends the messages that a broker would
pass on, and so measures the relay alone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import re
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from websockets.sync.server import ServerConnection, serve

from terralive_relay.relay import Relay
from terralive_relay.session.leasing import RelayIdentity
from terralive_relay.settings import RelaySettings
from terralive_stub.protocol.chunks import Assembler, split
from terralive_stub.protocol.messages import (
    Chunk,
    Done,
    Goodbye,
    Heartbeat,
    Hello,
    Kind,
    Released,
    Welcome,
)
from terralive_stub.protocol.payloads import pack_invocation, unpack_outcome
from terralive_stub.protocol.wire import decode, encode
from terralive_stub.shared.sigv4 import Credentials
from terralive_testing.drivers.workers import invocation
from terralive_testing.machine.processes import descendants, running
from terralive_workers.function import LocalFunction

PATIENCE_SECONDS = 60.0
# The fields of a Welcome: a lease that never expires (epoch milliseconds), and a heartbeat every
# 20 seconds.
LEASE_EXPIRES_MS = 2**40
HEARTBEAT_MS = 20_000


@dataclass(frozen=True)
class Usage:
    """The resources that a relay's process uses at one moment, without its workers.

    A figure that the system does not report is 0.
    """

    cpu_seconds: float
    megabytes: float
    threads: int
    sockets: int


@dataclass(frozen=True)
class Leftovers:
    """Things in the relay's process that are still there after the relay has stopped."""

    threads: tuple[str, ...]
    sockets: int


class LoneRelay:
    """One relay, as its debug stack sees it. `ask` may be called from many threads."""

    def __init__(self, control: Connection) -> None:
        # Things that the relay has not closed, in words. "" until it has stopped, and if there are
        # none.
        self.left = ""
        # The pipe to the relay's process: True asks for its `Usage`, False ends it.
        self._control = control
        # The relay's connections, when they have said hello.
        self._connected: queue.SimpleQueue[ServerConnection] = queue.SimpleQueue()
        # Guards `_connection`, and keeps the messages of one invocation together.
        self._sending = threading.Lock()
        # The relay's connection, from the first invocation on.
        self._connection: ServerConnection | None = None
        # A place for the result of each invocation that is under way, by its request id.
        self._results: dict[str, queue.SimpleQueue[bytes]] = {}

    def ask(self, function: str, event: object = None) -> float:
        """Send one invocation of a function, by its ARN.

        Return the milliseconds until its result is complete.
        """
        sent = replace(invocation(event, seconds=PATIENCE_SECONDS), function_arn=function)
        payload = pack_invocation(sent, now=time.monotonic())
        chunks = split(Kind.INVOKE, sent.request_id, function, payload, peer="stub")
        texts = [encode(chunk) for chunk in chunks]
        result: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._results[sent.request_id] = result
        with self._sending:
            if self._connection is None:
                self._connection = self._connected.get(timeout=PATIENCE_SECONDS)
            began = time.perf_counter()
            for text in texts:
                self._connection.send(text)
        received = result.get(timeout=PATIENCE_SECONDS)
        took = (time.perf_counter() - began) * 1000
        outcome = unpack_outcome(received)
        assert outcome.ok, outcome.body
        return took

    def usage(self) -> Usage:
        """Ask the relay's process for the resources that it uses now."""
        self._control.send(True)
        usage = self._control.recv()
        assert isinstance(usage, Usage)
        return usage

    def stop(self) -> Leftovers:
        """Stop the relay, and return what it has left in its process."""
        self._control.send(False)
        left = self._control.recv()
        assert isinstance(left, Leftovers)
        return left

    def serve(self, connection: ServerConnection) -> None:
        """Play API Gateway, the broker and every stub for one connection."""
        assembler = Assembler()
        for text in connection:
            match decode(str(text)):
                case Hello(relay=relay):
                    connection.send(encode(Welcome(relay, LEASE_EXPIRES_MS, HEARTBEAT_MS)))
                    self._connected.put(connection)
                case Heartbeat(relay=relay):
                    connection.send(encode(Welcome(relay, LEASE_EXPIRES_MS, HEARTBEAT_MS)))
                case Goodbye(relay=relay):
                    connection.send(encode(Released(relay)))
                case Chunk() as chunk:
                    payload = assembler.add(chunk, 0.0)
                    if payload is not None:
                        assembler.discard(chunk.request_id)
                        self._results.pop(chunk.request_id).put(payload)
                        connection.send(encode(Done(chunk.request_id, chunk.function, chunk.peer)))
                case _:
                    pass


@contextmanager
def lone_relay(functions: tuple[LocalFunction, ...]) -> Iterator[LoneRelay]:
    """Run a relay that serves these functions. Set its `left` when it has stopped."""
    here, there = multiprocessing.Pipe()
    relay = LoneRelay(here)
    with serve(relay.serve, "127.0.0.1", 0, compression=None, max_size=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/relay"
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=_run, args=(url, functions, there))
        process.start()
        yield relay
        assert process.pid is not None
        workers = descendants(process.pid)
        left = relay.stop()
        process.join()
        server.shutdown()
    parts = list(left.threads)
    if left.sockets:
        parts.append(f"{left.sockets} sockets")
    processes = running(workers)
    if processes:
        parts.append(f"{len(processes)} processes")
    relay.left = ", ".join(parts)


def _run(url: str, functions: tuple[LocalFunction, ...], control: Connection) -> None:
    """Run the relay until the other end of `control` asks to stop: the relay's process."""
    arns = tuple(function.arn for function in functions)
    identity = RelayIdentity("bench", arns, "ana", "bench")
    settings = RelaySettings(
        url, "eu-west-1", "bench", identity, functions, "arn:aws:iam::1:user/ana", bytes(32)
    )
    sockets_before = _usage().sockets
    relay = Relay(settings, lambda: Credentials("AKID", "secret"), lambda _: None)
    relay.start()
    relay.wait_connected(PATIENCE_SECONDS)
    while control.recv():
        control.send(_usage())
    relay.stop()
    own_thread = threading.current_thread()
    threads = tuple(thread.name for thread in threading.enumerate() if thread is not own_thread)
    control.send(Leftovers(threads, _usage().sockets - sockets_before))


def _usage() -> Usage:
    """Return the resources that this process uses."""
    cpu_seconds = time.process_time()
    status = Path("/proc/self/status")
    if not status.exists():
        # Not Linux: the most memory so far, in bytes on macOS and in KiB elsewhere.
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if sys.platform != "darwin":
            memory *= 1024
        return Usage(cpu_seconds, memory / 2**20, threads=0, sockets=0)
    text = status.read_text("utf-8")
    found = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", text, re.MULTILINE))
    return Usage(cpu_seconds, int(found["VmRSS"]) / 1024, int(found["Threads"]), _open_sockets())


def _open_sockets() -> int:
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        # The descriptor of this very listing is closed again.
        with contextlib.suppress(OSError):
            if str(descriptor.readlink()).startswith("socket:"):
                count += 1
    return count

"""A whole relay in a process of its own, while this process plays its debug stack.

No sandbox, no gateway, no stub.
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
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path

from websockets.sync.server import ServerConnection, serve

from terralive_relay.connection.leasing import RelayIdentity
from terralive_relay.relay import Relay, RelaySettings
from terralive_stub.protocol.chunks import Assembler, split
from terralive_stub.protocol.payloads import pack_invocation, unpack_outcome
from terralive_stub.protocol.sigv4 import Credentials
from terralive_stub.protocol.wire import (
    Chunk,
    Done,
    Goodbye,
    Heartbeat,
    Hello,
    Kind,
    Released,
    Welcome,
    decode,
    encode,
)
from terralive_testing.drivers.workers import invocation
from terralive_testing.machine.processes import descendants, running
from terralive_workers.function import LocalFunction

_PATIENCE = 60.0


@dataclass(frozen=True)
class Taken:
    """What a relay's process takes at one moment, without its workers.

    What the system does not tell is 0.
    """

    cpu_seconds: float
    megabytes: float
    threads: int
    sockets: int


@dataclass
class LoneRelay:
    """One relay, seen from its debug stack. `ask` may be called from many threads."""

    control: Connection
    left: str = ""  # what is still there after it has stopped
    _connected: queue.SimpleQueue[ServerConnection] = field(default_factory=queue.SimpleQueue)
    _connection: ServerConnection | None = None
    _answers: dict[str, queue.SimpleQueue[bytes]] = field(default_factory=dict)
    _sending: threading.Lock = field(
        default_factory=threading.Lock
    )  # one invocation's messages after the other's

    def ask(self, function: str, event: object = None) -> float:
        """Milliseconds from an invocation's first message to its result's last one."""
        sent = replace(invocation(event, seconds=_PATIENCE), function_name=function)
        payload = pack_invocation(sent, now=time.monotonic())
        texts = [
            encode(chunk)
            for chunk in split(Kind.INVOKE, sent.request_id, function, payload, peer="stub")
        ]
        answer = self._answers[sent.request_id] = queue.SimpleQueue()
        with self._sending:
            if self._connection is None:
                self._connection = self._connected.get(timeout=_PATIENCE)
            began = time.perf_counter()
            for text in texts:
                self._connection.send(text)
        outcome = answer.get(timeout=_PATIENCE)
        took = (time.perf_counter() - began) * 1000
        assert unpack_outcome(outcome).ok, unpack_outcome(outcome).body
        return took

    def takes(self) -> Taken:
        self.control.send(True)
        taken = self.control.recv()
        assert isinstance(taken, Taken)
        return taken

    def serve(self, connection: ServerConnection) -> None:
        """Play the gateway, the broker and every stub."""
        assembler = Assembler()
        for text in connection:
            match decode(str(text)):
                case Hello(relay=relay):
                    connection.send(encode(Welcome(relay, 2**40, 20_000)))
                    self._connected.put(connection)
                case Heartbeat(relay=relay):
                    connection.send(encode(Welcome(relay, 2**40, 20_000)))
                case Goodbye(relay=relay):
                    connection.send(encode(Released(relay)))
                case Chunk() as chunk:
                    payload = assembler.add(chunk, 0.0)
                    if payload is not None:
                        assembler.discard(chunk.request_id)
                        self._answers.pop(chunk.request_id).put(payload)
                        connection.send(encode(Done(chunk.request_id, chunk.function, chunk.peer)))
                case _:
                    pass


@contextmanager
def lone_relay(functions: tuple[LocalFunction, ...]) -> Iterator[LoneRelay]:
    here, there = multiprocessing.Pipe()
    relay = LoneRelay(here)
    with serve(relay.serve, "127.0.0.1", 0, compression=None, max_size=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/relay"
        process = multiprocessing.get_context("spawn").Process(
            target=_run, args=(url, functions, there)
        )
        process.start()
        yield relay
        assert process.pid is not None
        workers = descendants(process.pid)
        here.send(False)
        after = here.recv()
        process.join()
        server.shutdown()
    threads, sockets = after
    counted = {"sockets": sockets, "processes": len(running(workers))}
    relay.left = ", ".join(
        [*threads, *(f"{count} {what}" for what, count in counted.items() if count)]
    )


def _run(url: str, functions: tuple[LocalFunction, ...], control: Connection) -> None:
    """Be the relay's process.

    Tell what it takes when asked for it; and in the end, what has not been closed.
    """
    identity = RelayIdentity(
        "bench", tuple(function.name for function in functions), "ana", "bench"
    )
    settings = RelaySettings(url, "eu-west-1", "bench", identity, functions)
    before = _taken().sockets
    relay = Relay(settings, lambda: Credentials("AKID", "secret"), lambda _: None)
    relay.start()
    relay.wait_connected(_PATIENCE)
    while control.recv():
        control.send(_taken())
    relay.stop()
    threads = [
        thread.name for thread in threading.enumerate() if thread is not threading.current_thread()
    ]
    control.send((threads, _taken().sockets - before))


def _taken() -> Taken:
    cpu = time.process_time()
    status = Path("/proc/self/status")
    if not status.exists():
        unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, the most so far
        return Taken(cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 0, 0)
    found = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", status.read_text("utf-8"), re.MULTILINE))
    return Taken(cpu, int(found["VmRSS"]) / 1024, int(found["Threads"]), _sockets())


def _sockets() -> int:
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the listing's own is closed again
            count += str(descriptor.readlink()).startswith("socket:")
    return count

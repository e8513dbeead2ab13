"""Several hosts in one test, with links that can be cut, slowed and made lossy.

A host is a Linux network namespace. Sockets, processes and threads that a thread creates inside
`with host.entered():` are on that host. A link is a veth pair between a laptop and the one cloud,
so its faults are the kernel's. A namespace lives as long as its file descriptor and its processes:
a test that was killed leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

CLOUD: Final = "10.77.0.1"
_NEW_NETWORK: Final = 0x40000000  # CLONE_NEWNET (sched.h)
_HERE: Final = "/proc/thread-self/ns/net"
# Classic BPF for `tc`: the first drops every packet, the second drops a packet if a random number
# is below the limit.
_DROP_ALL: Final = "1,6 0 0 2"
_DROP_SOME: Final = "4,32 0 0 4294963256,37 0 1 {limit},6 0 0 0,6 0 0 2"
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)


class Host:
    """One host, with a network of its own."""

    def __init__(self) -> None:
        with _returning():
            _call(_libc.unshare(_NEW_NETWORK))
            self.descriptor = os.open(_HERE, os.O_RDONLY)
        self.run("ip", "link", "set", "lo", "up")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Enter the host: new sockets, processes and threads of this thread are on it."""
        with _returning():
            _call(_libc.setns(self.descriptor, _NEW_NETWORK))
            yield

    def run(self, *command: str) -> None:
        with self.entered():
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if "Specified qdisc kind is unknown" in done.stderr:
            pytest.skip(f"this kernel cannot: {' '.join(command)}")
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"

    def close(self) -> None:
        os.close(self.descriptor)


@contextmanager
def _returning() -> Iterator[None]:
    before = os.open(_HERE, os.O_RDONLY)
    try:
        yield
    finally:
        _call(_libc.setns(before, _NEW_NETWORK))
        os.close(before)


def _call(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Link:
    """A laptop and its link to the cloud."""

    def __init__(self, cloud: Host) -> None:
        self.cloud = cloud
        self.laptop = Host()
        number = next(_numbers)
        self._end = f"veth{number}"
        self._networks = itertools.cycle([f"10.78.{number}", f"10.79.{number}"])
        laptop = f"/proc/{os.getpid()}/fd/{self.laptop.descriptor}"
        add = ["ip", "link", "add", self._end, "type", "veth"]
        cloud.run(*add, "peer", "name", "eth0", "netns", laptop)
        cloud.run("ip", "link", "set", self._end, "up")
        self.move()

    def down(self) -> None:
        """Switch the laptop's network off."""
        self.laptop.run("ip", "link", "set", "eth0", "down")

    def up(self) -> None:
        """Switch it on, in the network where it was."""
        self.laptop.run("ip", "link", "set", "eth0", "up")
        self.laptop.run("ip", "route", "replace", "default", "via", f"{self._network}.1")

    def move(self) -> None:
        """Move the laptop to another network: a new address, and its old connections are dead."""
        self._network = next(self._networks)
        for host, end, address in ((self.cloud, self._end, "1"), (self.laptop, "eth0", "2")):
            host.run("ip", "address", "flush", "dev", end)
            host.run("ip", "address", "add", f"{self._network}.{address}/24", "dev", end)
        self.up()

    def swallow(self) -> None:
        """Drop all packets in both directions, without a sign to either end."""
        self._at_arrival(_DROP_ALL)

    def lossy(self, share: float) -> None:
        """Drop this share (0 to 1) of the packets, each way, at random."""
        self._at_arrival(_DROP_SOME.format(limit=int(share * 2**32)))

    def shape(self, *discipline: str) -> None:
        """Set the queueing discipline of both ends, in the words of `tc`.

        Skips the test where the kernel does not have the discipline.
        """
        self.cloud.run("tc", "qdisc", "replace", "dev", self._end, "root", *discipline)
        self.laptop.run("tc", "qdisc", "replace", "dev", "eth0", "root", *discipline)

    def clean(self) -> None:
        """Let every packet through again, at once."""
        for host, end in ((self.cloud, self._end), (self.laptop, "eth0")):
            for what in ("clsact", "root"):
                with host.entered():
                    subprocess.run(
                        ["tc", "qdisc", "del", "dev", end, what], capture_output=True, check=False
                    )

    def received(self) -> int:
        """Return the number of bytes that the laptop has received so far."""
        with self.laptop.entered():
            rows = Path("/proc/thread-self/net/dev").read_text().splitlines()
        return next(int(row.split()[1]) for row in rows if row.strip().startswith("eth0:"))

    def close(self) -> None:
        self.laptop.close()

    def _at_arrival(self, bytecode: str) -> None:
        """Filter at arrival: a sender notices a packet that is dropped where it leaves."""
        self.clean()
        for host, end in ((self.cloud, self._end), (self.laptop, "eth0")):
            host.run("tc", "qdisc", "add", "dev", end, "clsact")
            host.run(
                "tc", "filter", "add", "dev", end, "ingress", "bpf", "da", "bytecode", bytecode
            )


@contextmanager
def hosts(count: int = 1) -> Iterator[list[Link]]:
    """Create the cloud, at the address CLOUD, and laptops with a link each.

    Skips the test where this machine allows no network namespaces.
    """
    if sys.platform != "linux" or os.geteuid() or not (shutil.which("ip") and shutil.which("tc")):
        pytest.skip("network namespaces need Linux, root and iproute2")
    try:
        cloud = Host()
    except PermissionError:
        pytest.skip("this machine does not allow network namespaces")
    with ExitStack() as stack:
        stack.callback(cloud.close)
        cloud.run("ip", "address", "add", f"{CLOUD}/32", "dev", "lo")
        links = []
        for _ in range(count):
            link = Link(cloud)
            links.append(link)
            stack.callback(link.close)
        yield links


@contextmanager
def forwarder(cloud: Host, port: int) -> Iterator[None]:
    """Forward the cloud's address to a server that listens on loopback, on the same port."""
    loop = asyncio.new_event_loop()

    def serve() -> None:
        with cloud.entered(), contextlib.closing(loop):
            loop.run_until_complete(_forward(port, ready, stop))

    ready, stop = threading.Event(), asyncio.Event()
    thread = threading.Thread(target=serve, name="forwarder")
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


async def _forward(port: int, ready: threading.Event, stop: asyncio.Event) -> None:
    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                data = await source.read(65536)
                if not data:
                    break
                target.write(data)
                await target.drain()
        target.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        there, back = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(pump(reader, back), pump(there, writer))
        finally:
            for end in (back, writer):
                end.transport.abort()

    tasks: set[asyncio.Task[None]] = set()
    server = await asyncio.start_server(accept, CLOUD, port)
    ready.set()
    await stop.wait()
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

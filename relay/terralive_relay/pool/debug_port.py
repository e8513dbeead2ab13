"""The port of one debugged function: open from the start to the end, whichever worker is behind it.

A debugger may attach before there is a worker, and after a change of code there is another one. Its
connection is held until a worker lets it in on a port of its own, and bytes go back and forth from
then on. What listens behind a worker's port may be a process that escapes the worker's group
(debugpy's adapter does): it ends with its connection, and that one ends with us.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Final

from terralive_stub.errors import ConfigurationError

_HOST: Final = "127.0.0.1"
_READ: Final = 64 * 1024
_RETRY_SECONDS: Final = 0.05


def listen(function: str, port: int) -> socket.socket:
    """Open a function's port for debuggers.

    Raises:
        ConfigurationError: it is in use.
    """
    try:
        return socket.create_server((_HOST, port))
    except OSError as error:
        raise ConfigurationError(
            "debug-port-in-use",
            f"{function} cannot be debugged on port {port} of {_HOST}: {error.strerror or error}.",
            hint="End what uses the port, or choose another one: `--debug FUNCTION:PORT`.",
        ) from None


class DebugPort:
    """Passes debuggers on to a function's newest worker. One thread, with an event loop of its own.

    Raises:
        ConfigurationError: the port is in use.
    """

    def __init__(self, function: str, port: int) -> None:
        self._listener = listen(function, port)
        self._worker = 0  # the newest worker's own port; one thread writes it, the other reads it
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"debug-port-{function}", daemon=True
        )
        self._thread.start()

    def for_worker(self) -> int:
        """Choose the port of a worker that is about to start: who attaches from now on gets there."""
        with socket.create_server((_HOST, 0)) as free:
            self._worker = free.getsockname()[1]
        return self._worker

    def close(self) -> None:
        """End every connection and the thread."""
        with contextlib.suppress(RuntimeError):  # closed already
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        # Not asyncio's own server: it forgets a connection that comes while it closes (Python
        # 3.11).
        self._listener.setblocking(False)
        over = asyncio.ensure_future(self._over.wait())
        connections: set[asyncio.Task[None]] = set()
        with self._listener:
            while not over.done():
                accepting = asyncio.ensure_future(self._loop.sock_accept(self._listener))
                await asyncio.wait({over, accepting}, return_when=asyncio.FIRST_COMPLETED)
                if not accepting.done():
                    accepting.cancel()
                    break
                task = asyncio.ensure_future(self._attached(accepting.result()[0]))
                connections.add(task)
                task.add_done_callback(connections.discard)
        await asyncio.sleep(0)  # so that every one has begun, and can close what it was given
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _attached(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            debugger, to_debugger = await asyncio.open_connection(sock=connection)
            with contextlib.closing(to_debugger):
                await self._pass_on(debugger, to_debugger)
            await to_debugger.wait_closed()

    async def _pass_on(
        self, debugger: asyncio.StreamReader, to_debugger: asyncio.StreamWriter
    ) -> None:
        worker, to_worker = await self._connected()
        with contextlib.closing(to_worker):
            pumps = {
                asyncio.ensure_future(_pump(debugger, to_worker)),
                asyncio.ensure_future(_pump(worker, to_debugger)),
            }
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            if self._worker:
                with contextlib.suppress(OSError):
                    return await asyncio.open_connection(_HOST, self._worker)
            await asyncio.sleep(_RETRY_SECONDS)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_READ):
            writer.write(data)
            await writer.drain()

"""The port of one debugged function. It stays open while workers come and go behind it.

A debugger may attach before there is a worker, and after a change of code there is another worker.
The debugger's connection waits until a worker accepts it on a port of its own; from then on bytes
are passed in both directions. The process that listens on a worker's port may have left the
worker's process group (debugpy's adapter does): it ends with its connection, and that connection
ends with this process.

Connections of other users of this machine are refused. They could still attach to the worker's own
port, so `--debug` is refused on a machine that others use (`terralive_cli.functions.debugging`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_workers import loopback

_HOST: Final = "127.0.0.1"
_READ_BYTES: Final = 64 * 1024
_RETRY_SECONDS: Final = 0.05
_log = logging.getLogger("terralive.relay")


def listen(function: str, port: int) -> socket.socket:
    """Open a function's port for debuggers, on 127.0.0.1.

    Raises:
        ConfigurationError: the port is in use.
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
    """Passes debuggers on to a function's newest worker. One thread with an event loop of its own.

    Args:
        function: the function's name.
        port: the port for debuggers.

    Raises:
        ConfigurationError: the port is in use.
    """

    def __init__(self, function: str, port: int) -> None:
        self._listener = listen(function, port)
        # The newest worker's own port, 0 before the first one. The pool's threads write it, and
        # this object's thread reads it.
        self._worker_port = 0
        self._loop = asyncio.new_event_loop()
        # Set in the loop's thread when all is to end.
        self._closing = asyncio.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"debug-port-{function}", daemon=True
        )
        self._thread.start()

    def for_worker(self) -> int:
        """Return a free port for a new worker. Debuggers that attach from now on get there."""
        with socket.create_server((_HOST, 0)) as free:
            self._worker_port = free.getsockname()[1]
        return self._worker_port

    def close(self) -> None:
        """End every connection and the thread."""
        with contextlib.suppress(RuntimeError):  # closed already
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        # asyncio's own server forgets a connection that comes while it closes (Python 3.11).
        self._listener.setblocking(False)
        closing = asyncio.ensure_future(self._closing.wait())
        connections: set[asyncio.Task[None]] = set()
        with self._listener:
            while not closing.done():
                accepting = asyncio.ensure_future(self._loop.sock_accept(self._listener))
                await asyncio.wait({closing, accepting}, return_when=asyncio.FIRST_COMPLETED)
                if not accepting.done():
                    accepting.cancel()
                    break
                task = asyncio.ensure_future(self._serve_debugger(accepting.result()[0]))
                connections.add(task)
                task.add_done_callback(connections.discard)
        # Every task has to begin before it is cancelled, so that it closes its connection.
        await asyncio.sleep(0)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _serve_debugger(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            if not loopback.is_own(connection):
                _log.debug("a debugger's connection is refused: it is another user's")
                return
            debugger, to_debugger = await asyncio.open_connection(sock=connection)
            with contextlib.closing(to_debugger):
                await self._pass_on(debugger, to_debugger)
            await to_debugger.wait_closed()

    async def _pass_on(
        self, debugger: asyncio.StreamReader, to_debugger: asyncio.StreamWriter
    ) -> None:
        worker, to_worker = await self._connect_to_worker()
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

    async def _connect_to_worker(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            if self._worker_port:
                with contextlib.suppress(OSError):
                    return await asyncio.open_connection(_HOST, self._worker_port)
            await asyncio.sleep(_RETRY_SECONDS)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while True:
            data = await reader.read(_READ_BYTES)
            if not data:
                return
            writer.write(data)
            await writer.drain()

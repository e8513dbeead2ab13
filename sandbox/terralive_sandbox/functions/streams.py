"""Streamed responses: on their way from a function's process to the caller, piece by piece.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from terralive_sandbox.functions.invoke_api import InvokeResponse


class ResponseStream:
    """Holds the next piece of a response. It belongs to the event loop.

    One piece waits at most, so a function's process is not read faster than its caller reads.
    """

    def __init__(self) -> None:
        # The response's type. That of a response that is not streamed stays.
        self.content_type = "application/json"
        # The next piece, or None at the end.
        self._next: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        # True once nobody reads any more. The function runs on, as on Lambda.
        self._closed = False

    async def put(self, piece: bytes | None) -> None:
        """Wait until there is room for a piece (None: the end), and put it there."""
        if not self._closed:
            await self._next.put(piece)

    async def get(self) -> bytes | None:
        """Wait for the next piece. Return None at the end."""
        return await self._next.get()

    def close(self) -> None:
        """Drop what comes from now on."""
        self._closed = True
        if not self._next.empty():
            self._next.get_nowait()


class StreamedInvocation:
    """One invocation whose response is read while its function runs. Build it on the event loop.

    Args:
        invoke: runs the invocation, with the stream that takes a streamed response.
    """

    def __init__(self, invoke: Callable[[ResponseStream], Awaitable[InvokeResponse]]) -> None:
        self._invoke = invoke
        self._stream = ResponseStream()
        # A piece that was read to see whether there is one.
        self._first: bytes | None = None
        # Runs until the invocation is over, also when nobody reads any more.
        self._running = asyncio.create_task(self._run())

    @property
    def content_type(self) -> str:
        """The type of the response, known once `begins` has returned."""
        return self._stream.content_type

    async def begins(self) -> bool:
        """Wait for the first piece. Return False if the response has none."""
        self._first = await self._stream.get()
        return self._first is not None

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Return the pieces after `begins`. A response that is not streamed is one piece."""
        piece = self._first
        try:
            while piece is not None:
                yield piece
                piece = await self._stream.get()
        finally:
            self._stream.close()

    def abandon(self) -> None:
        """Read no more. The function runs on, as on Lambda."""
        self._stream.close()

    async def result(self) -> InvokeResponse:
        """Return the result. Its body is the error of a function that failed.

        Raises:
            InvokeError: Lambda does not run the invocation.
        """
        return await self._running

    async def _run(self) -> InvokeResponse:
        try:
            response = await self._invoke(self._stream)
            if response.body and not response.function_error:
                await self._stream.put(response.body)
            return response
        finally:
            await self._stream.put(None)

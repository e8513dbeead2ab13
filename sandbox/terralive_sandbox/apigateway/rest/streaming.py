"""REST APIs whose Lambda proxy integrations stream the function's response.

https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from terralive_sandbox.apigateway import streamed_answers
from terralive_sandbox.apigateway.failures import (
    Failure,
    IntegrationError,
    function_failed,
    refused,
)
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError
from terralive_sandbox.apigateway.rest import events as rest_events
from terralive_sandbox.functions.invoke_api import InvokeError
from terralive_sandbox.functions.streams import StreamedInvocation
from terralive_sandbox.responses import BrokenStreamError, StreamedResponse

# The end of the URI of an integration that streams.
PATH: Final = "/response-streaming-invocations"
# An integration's timeout may be longer than that of one that does not stream.
_LONGEST_SECONDS: Final = 15 * 60.0
_IDLE_SECONDS: Final = 5 * 60.0
_IDLE_SECONDS_AT_EDGE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The times that a client waits.

    Attributes:
        total: seconds until the end of the response.
        idle: seconds without a piece of it.
    """

    total: float
    idle: float

    @classmethod
    def of(cls, milliseconds: int, endpoint_types: list[str], time_scale: float) -> Limits:
        """Return the limits of an integration.

        Args:
            milliseconds: its timeout.
            endpoint_types: the types of the API's endpoint.
            time_scale: a factor for all times.
        """
        idle = _IDLE_SECONDS
        if "EDGE" in endpoint_types:
            idle = _IDLE_SECONDS_AT_EDGE
        total = min(_LONGEST_SECONDS, milliseconds / 1000)
        return cls(total * time_scale, idle * time_scale)


async def response_of(
    invocation: StreamedInvocation, function: str, limits: Limits
) -> StreamedResponse:
    """Return the response of a function once its status and headers are known.

    Args:
        invocation: the invocation, which has just begun.
        function: the function, for the log.
        limits: how long the client waits.

    Raises:
        IntegrationError: the function failed before, it took too long, or its response does not
            begin with a prelude.
    """
    ends_at = asyncio.get_running_loop().time() + limits.total
    pieces = invocation.pieces()
    try:
        async with asyncio.timeout(min(limits.total, limits.idle)):
            if not await invocation.begins():
                raise await _without_body(invocation, function)
            prelude, body = await streamed_answers.read_prelude(pieces)
        status, headers = streamed_answers.status_and_headers(prelude, has_lists=True)
    except TimeoutError as error:
        invocation.abandon()
        raise IntegrationError(Failure.TIMED_OUT, f"{function} took too long") from error
    except MalformedAnswerError as error:
        invocation.abandon()
        text = f"malformed answer of {function}: {error}"
        raise IntegrationError(Failure.MALFORMED, text) from error
    rest = streamed_answers.unbroken(invocation, body, pieces)
    return StreamedResponse(
        status, rest_events.remapped(headers), _in_time(rest, limits.idle, ends_at)
    )


async def _without_body(invocation: StreamedInvocation, function: str) -> IntegrationError:
    """Return the failure of an invocation that ended without a response."""
    try:
        result = await invocation.result()
    except InvokeError as error:
        return refused(error)
    if result.function_error:
        return function_failed(function, result.body)
    return IntegrationError(Failure.MALFORMED, f"the answer of {function} is empty")


async def _in_time(
    pieces: AsyncGenerator[bytes, None], idle_s: float, ends_at: float
) -> AsyncGenerator[bytes, None]:
    """Yield the pieces of a body.

    Raises:
        BrokenStreamError: one of them comes too late, or the function fails after them.
    """
    loop = asyncio.get_running_loop()
    async with aclosing(pieces):
        while True:
            try:
                async with asyncio.timeout_at(min(loop.time() + idle_s, ends_at)):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError as late:
                raise BrokenStreamError from late
            yield piece

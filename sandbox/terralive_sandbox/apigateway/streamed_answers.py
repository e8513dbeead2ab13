"""Read a function's streamed answer to an HTTP request: its status, headers and cookies, its body.

An answer of the type `application/vnd.awslambda.http-integration-response` begins with a JSON
document (the prelude) and eight NUL bytes. Any other answer is the body of a 200.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

from terralive_sandbox.apigateway import proxy_responses
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError
from terralive_sandbox.functions.streams import StreamedInvocation
from terralive_sandbox.responses import BrokenStreamError, Headers

PRELUDE_TYPE: Final = "application/vnd.awslambda.http-integration-response"
_PRELUDE_END: Final = bytes(8)
# API Gateway's limit of a prelude, which is taken for function URLs, too:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
_PRELUDE_BYTES: Final = 16 * 1024


async def read_prelude(pieces: AsyncIterator[bytes]) -> tuple[bytes, bytes]:
    """Read the pieces of an answer up to the end of its prelude.

    Returns:
        The prelude, and the part of the body that came with it.

    Raises:
        MalformedAnswerError: the answer has no prelude, or one that is too long.
    """
    begun = b""
    async for piece in pieces:
        begun += piece
        prelude, end, body = begun.partition(_PRELUDE_END)
        if len(prelude) > _PRELUDE_BYTES:
            raise MalformedAnswerError(f"its prelude has more than {_PRELUDE_BYTES} bytes")
        if end:
            return prelude, body
    raise MalformedAnswerError("it ends before the eight NUL bytes after its prelude")


def status_and_headers(prelude: bytes, *, has_lists: bool) -> tuple[int, Headers]:
    """Return the status and the headers that a prelude describes.

    Args:
        prelude: a JSON object.
        has_lists: whether it may have `multiValueHeaders`, which REST APIs document and function
            URLs do not.

    Raises:
        MalformedAnswerError: it is not a JSON object, or a part of it has the wrong type.
    """
    try:
        value = json.loads(prelude)
    except ValueError as broken:
        raise MalformedAnswerError("its prelude is not JSON") from broken
    if not isinstance(value, dict):
        raise MalformedAnswerError("its prelude is no object")
    headers = proxy_responses.cookies(value.get("cookies"))
    if has_lists:
        headers += proxy_responses.merged_headers(value)
    else:
        headers += proxy_responses.headers(value.get("headers"))
    if not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "application/octet-stream"))
    return proxy_responses.status(value.get("statusCode", 200)), headers


async def unbroken(
    invocation: StreamedInvocation, first: bytes, pieces: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    """Yield the pieces of a body, of which `first` has come with the prelude.

    Raises:
        BrokenStreamError: the function fails after them.
    """
    async with aclosing(pieces):
        if first:
            yield first
        async for piece in pieces:
            yield piece
    if (await invocation.result()).function_error:
        raise BrokenStreamError

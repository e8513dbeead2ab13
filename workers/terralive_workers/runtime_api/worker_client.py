"""The two sides of the Runtime API: what it calls for a worker, and what it gets back.

The relay's pool and the sandbox's execution environments are `WorkerClient`s.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
from enum import IntEnum
from typing import Final, Protocol

from terralive_stub.protocol.invocation import Invocation
from terralive_stub.protocol.limits import RESPONSE_BYTES

# A header of terralive's own bootstraps: the exceptions that led to an error, for people. It is
# JSON text in base64: a list of objects with `errorType`, `errorMessage`, `stackTrace` and
# `relation` (`cause`, `context` or `part`). Lambda's runtimes tell nobody of these exceptions.
CAUSES_HEADER: Final = "terralive-error-causes"
# Error types of responses, in Lambda's words.
TOO_LARGE: Final = "Function.ResponseSizeTooLarge"
TRUNCATED: Final = "Runtime.TruncatedResponse"


class PostResult(IntEnum):
    """Result of an outcome that a worker posts. The values are the Runtime API's status codes."""

    ACCEPTED = 202
    UNKNOWN_REQUEST = 400
    WRONG_STATE = 403
    TOO_LARGE = 413


class StreamedResponse(Protocol):
    """Takes the pieces of one streamed response. The thread of one connection calls it.

    Exactly one of `end` and `fail` is called last, unless `write` has returned False.
    """

    def write(self, piece: bytes) -> bool:
        """Take the next piece; it has at least one byte.

        It may block: the worker's socket is not read meanwhile. Return False if the worker is to
        end: nothing more of this response is read, and its connection is closed. Return True if
        only the caller is gone: Lambda lets a handler run on then.
        """
        ...

    def end(self) -> PostResult:
        """Note that the response is complete."""
        ...

    def fail(self, error_type: str, body: bytes) -> PostResult:
        """Note that the response ends here, with an error.

        Args:
            error_type: of the trailers; or `Runtime.TruncatedResponse` if the worker's connection
                ended in the middle, or `Function.ResponseSizeTooLarge`.
            body: the JSON document of the error.
        """
        ...


class WorkerClient(Protocol):
    """Receives the calls of one worker. The threads of that worker's connections call it."""

    def next_invocation(self) -> Invocation | None:
        """Block until there is an invocation. Return None when the worker is to end."""
        ...

    def respond(self, request_id: str, body: bytes) -> PostResult:
        """Take the handler's response to this invocation."""
        ...

    def begin_stream(self, request_id: str, content_type: str) -> StreamedResponse | PostResult:
        """Return what takes a streamed response to this invocation, or why none is taken.

        Args:
            request_id: the invocation.
            content_type: the response's type as the runtime names it, or "". The type
                `application/vnd.awslambda.http-integration-response` announces a prelude.
        """
        ...

    def fail(self, request_id: str, error_type: str, body: bytes, causes: str = "") -> PostResult:
        """Take the error of this invocation.

        Args:
            request_id: the invocation.
            error_type: the type of the error.
            body: the runtime's JSON document of it.
            causes: the exceptions that led to it (`CAUSES_HEADER`), in JSON text, or "".
        """
        ...

    def fail_init(self, error_type: str, body: bytes, cause: str = "") -> PostResult:
        """Take the error of a worker that cannot start. `cause` is its X-Ray cause (JSON text)."""
        ...


class BufferedClient(Protocol):
    """The part of a `WorkerClient` that takes outcomes as a whole."""

    def respond(self, request_id: str, body: bytes) -> PostResult: ...
    def fail(self, request_id: str, error_type: str, body: bytes) -> PostResult: ...


class CollectedResponse:
    """A `StreamedResponse` that collects the pieces and gives a client the body as a whole.

    Its limit is that of a buffered response, because that is what the caller gets.

    Args:
        client: gets the response or the error.
        request_id: the invocation.
    """

    def __init__(self, client: BufferedClient, request_id: str) -> None:
        self._client = client
        self._request_id = request_id
        # The pieces; at most one byte more than Lambda's limit.
        self._body = bytearray()

    def write(self, piece: bytes) -> bool:
        """Keep the piece."""
        self._body += piece[: RESPONSE_BYTES + 1 - len(self._body)]
        return True

    def end(self) -> PostResult:
        """Give the client the body."""
        if len(self._body) <= RESPONSE_BYTES:
            return self._client.respond(self._request_id, bytes(self._body))
        document = error_document(TOO_LARGE, too_large_message(RESPONSE_BYTES))
        result = self._client.fail(self._request_id, TOO_LARGE, document)
        if result is PostResult.ACCEPTED:
            return PostResult.TOO_LARGE
        return result

    def fail(self, error_type: str, body: bytes) -> PostResult:
        """Give the client the error in the place of the body."""
        return self._client.fail(self._request_id, error_type, body)


def collected(client: BufferedClient, request_id: str) -> StreamedResponse:
    """Return a streamed response that a client gets as one body, by `respond` or `fail`."""
    return CollectedResponse(client, request_id)


def error_document(error_type: str, message: str) -> bytes:
    """Format an error that the service itself makes, not the runtime in the worker."""
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()


def truncated_document() -> bytes:
    """Return the error of a worker whose connection ended in the middle of its response."""
    text = "The runtime's connection ended before its response was complete."
    return error_document(TRUNCATED, text)


def too_large_message(limit: int) -> str:
    """Return Lambda's message about a response above a limit in bytes."""
    return f"Response payload size exceeded maximum allowed payload size ({limit} bytes)."

"""HTTP responses of the sandbox as values: status, headers and body."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TypeAlias

Headers: TypeAlias = list[tuple[str, str]]
Response: TypeAlias = tuple[int, Headers, bytes]


class BrokenStreamError(Exception):
    """A streamed body ends before it is complete. The client loses its connection."""


@dataclass(frozen=True, slots=True)
class StreamedResponse:
    """A response whose body is sent piece by piece.

    Attributes:
        status: the HTTP status.
        headers: the headers.
        pieces: the body. It may raise BrokenStreamError.
    """

    status: int
    headers: Headers
    pieces: AsyncGenerator[bytes, None]


Answer: TypeAlias = Response | StreamedResponse


def json_response(status: int, value: object) -> Response:
    """Return a response with a JSON document."""
    return status, [("content-type", "application/json")], json.dumps(value).encode()


def error_response(status: int, code: str, message: str) -> Response:
    """Return an error of a JSON API, with the error's name in the header that SDKs read."""
    headers = [("content-type", "application/json"), ("x-amzn-errortype", code)]
    return status, headers, json.dumps({"message": message, "Message": message}).encode()

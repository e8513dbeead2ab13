"""HTTP requests and responses as every kind of API sees them: values without a socket."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to an API.

    Attributes:
        method: in capitals.
        path: percent-encoded; it starts below the stage.
        query: percent-encoded, without the question mark.
        headers: names and values as the client sent them.
        body: the bytes of the body, empty if there is none.
        source_ip: the client's address.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source_ip: str

    def header(self, name: str) -> str:
        """Return the first value of a header (`name` in lower case), or an empty string."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return ""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response with its header names in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class GatewayResponseError(Exception):
    """API Gateway itself answers, without the integration's response.

    AWS calls this a gateway response.

    Attributes:
        response: the answer that the client gets. The exception's text is for the log.
    """

    def __init__(self, response: HttpResponse, why: str = "") -> None:
        super().__init__(why or response.body.decode())
        self.response = response


def message_response(status: int, message: str) -> HttpResponse:
    """Return API Gateway's short JSON answer: `{"message": …}`."""
    body = json.dumps({"message": message}, separators=(",", ":")).encode()
    return HttpResponse(status, (("content-type", "application/json"),), body)


def not_emulated(what: str) -> GatewayResponseError:
    """Return the error for a feature that the sandbox does not emulate."""
    return GatewayResponseError(message_response(501, f"NotEmulatedBySandbox: {what}"))

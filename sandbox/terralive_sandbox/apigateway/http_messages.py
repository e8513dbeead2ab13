"""HTTP requests and responses as every kind of API sees them: values without a socket."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NamedTuple

from terralive_sandbox.access import sigv4
from terralive_sandbox.responses import Headers


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
        received: the request as it came, for the check of its signature.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source_ip: str
    received: sigv4.Request

    @classmethod
    def below(cls, path: str, received: sigv4.Request, source_ip: str) -> HttpRequest:
        """Return a request as an API sees it; `path` is the part of the path below the stage."""
        headers = received.sent_headers()
        method, query, body = received.method, received.query, received.body
        return cls(method, path, query, headers, body, source_ip, received)

    def header(self, name: str) -> str:
        """Return the first value of a header (`name` in lower case), or an empty string."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return ""


class HttpResponse(NamedTuple):
    """A response with its header names in lower case."""

    status: int
    headers: Headers
    body: bytes


class GatewayResponseError(Exception):
    """API Gateway itself answers, without the integration's response.

    AWS calls this a gateway response.

    Args:
        status: the HTTP status.
        message: the text for the client; None is null.
        why: the exception's text, for the log. Without it, it is the body of the response.
        error_type: the value of `x-amzn-ErrorType`, if the response has this header.
        key: the field of the message; it is `Message` when IAM denies, and in Lambda's errors.
    """

    def __init__(
        self,
        status: int,
        message: str | None,
        why: str = "",
        *,
        error_type: str = "",
        key: str = "message",
    ) -> None:
        body = json.dumps({key: message}, separators=(",", ":"))
        super().__init__(why or body)
        # The status without gateway responses, which may change it.
        self.status = status
        # The response that the client gets.
        self.response = HttpResponse(status, [("content-type", "application/json")], body.encode())
        if error_type:
            self.response.headers.append(("x-amzn-errortype", error_type))


def not_emulated(what: str) -> GatewayResponseError:
    """Return the error for a feature that the sandbox does not emulate."""
    return GatewayResponseError(501, f"NotEmulatedBySandbox: {what}")

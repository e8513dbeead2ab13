"""A streamed response to one invocation, as the stub gives it to Lambda's Runtime API.

One chunked request, which begins with the first piece. An error in the middle goes into its
trailers. https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

from __future__ import annotations

import base64
import http.client
from dataclasses import dataclass
from typing import Final, Protocol

from terralive_stub.protocol.invocation import Outcome
from terralive_stub.protocol.named_errors import ErrorName, error_outcome

ERROR_TYPE: Final = "Lambda-Runtime-Function-Error-Type"
ERROR_BODY: Final = "Lambda-Runtime-Function-Error-Body"
ACCEPTED: Final = 202
_HEADER_CHARACTERS: Final = 256
# An error's document in a trailer. Lambda limits the size of all headers together.
_ERROR_BODY_BYTES: Final = 48 * 1024
_OCTETS: Final = "application/octet-stream"


class TakesStream(Protocol):
    """The response to one invocation, if it is streamed; see `StreamedResponse.write`."""

    def write(self, content_type: str, data: bytes) -> bool: ...


@dataclass(slots=True)
class StreamedResponse:
    """The response to one invocation. Nothing is sent before its first bytes or its end.

    Attributes:
        connection: the connection to the Runtime API, without a request under way.
        path: the path of the request.
        is_begun: whether the request has begun.
        is_broken: whether Lambda does not take it any more.
    """

    connection: http.client.HTTPConnection
    path: str
    is_begun: bool = False
    is_broken: bool = False

    def write(self, content_type: str, data: bytes) -> bool:
        """Send bytes. Block while Lambda takes none.

        Returns:
            False if Lambda does not take them.
        """
        self._begin(content_type)
        if data:
            self._send(b"%x\r\n%b\r\n" % (len(data), data))
        return not self.is_broken

    def finish(self, outcome: Outcome) -> bool:
        """End the response, with an error in its trailers if the outcome is one.

        A stream that has begun never ends in a success of another response.

        Returns:
            False if Lambda does not accept it.
        """
        content_type = ""
        if outcome.streamed is not None:
            content_type = outcome.streamed.content_type
        elif outcome.ok:
            outcome = error_outcome(ErrorName.PROTOCOL, "The response broke off.")
        self._begin(content_type)
        trailers = ""
        if outcome.ok:
            self.write(content_type, outcome.body)
        else:
            document = base64.b64encode(outcome.body[:_ERROR_BODY_BYTES]).decode()
            trailers = (
                f"{ERROR_TYPE}: {header_value(outcome.error_type, 'Unhandled')}\r\n"
                f"{ERROR_BODY}: {document}\r\n"
            )
        self._send(f"0\r\n{trailers}\r\n".encode())
        return self._is_accepted()

    def _begin(self, content_type: str) -> None:
        if self.is_begun or self.is_broken:
            return
        self.is_begun = True
        try:
            self.connection.putrequest("POST", self.path, skip_accept_encoding=True)
            self.connection.putheader("Content-Type", header_value(content_type, _OCTETS))
            self.connection.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
            self.connection.putheader("Transfer-Encoding", "chunked")
            self.connection.putheader("Trailer", f"{ERROR_TYPE}, {ERROR_BODY}")
            self.connection.endheaders()
        except (OSError, http.client.HTTPException):
            self._break()

    def _send(self, data: bytes) -> None:
        if self.is_broken:
            return
        try:
            self.connection.send(data)
        except (OSError, http.client.HTTPException):
            self._break()

    def _is_accepted(self) -> bool:
        """Read Lambda's answer. Lambda's page says to close the connection after a stream."""
        if self.is_broken:
            return False
        try:
            answer = self.connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            self.connection.close()
        return answer.status == ACCEPTED

    def _break(self) -> None:
        self.is_broken = True
        self.connection.close()


def header_value(value: str, otherwise: str) -> str:
    """Return the part of a text that fits into a header.

    The text comes from the relay, and `http.client` raises an error for other characters.
    """
    printable = ""
    for character in value:
        if character.isascii() and character.isprintable():
            printable += character
    return printable[:_HEADER_CHARACTERS].strip() or otherwise

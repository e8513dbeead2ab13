"""A response of the deployed code that is passed on to Lambda while it arrives."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from terralive_stub.protocol.invocation import Outcome, Streamed
from terralive_stub.protocol.named_errors import HTTP_STREAM, PRELUDE_END, ErrorName, error_outcome
from terralive_stub.shared.json_documents import Json, parse_object, text
from terralive_stub.stub.fallback.answers import Answer, Answered
from terralive_stub.stub.streaming.event_stream import EventReader, EventStreamError
from terralive_stub.stub.streaming.response import TakesStream

_EVENT_STREAM: Final = "application/vnd.amazon.eventstream"
_OCTETS: Final = "application/octet-stream"
_PRELUDE_BYTES: Final = 16 * 1024  # the most that API Gateway takes


@dataclass(slots=True)
class PassedOn:
    """The pieces of one response.

    Attributes:
        response: takes them.
        is_http: whether an HTTP caller waits for the response, which may have a prelude.
        size: the number of bytes that it has got.
        content_type: their type; "" before the first one.
        _held: the first bytes, while they do not tell the type.
    """

    response: TakesStream
    is_http: bool
    size: int = 0
    content_type: str = ""
    _held: bytearray = field(default_factory=bytearray)

    def take(self, content_type: str, parts: Iterable[bytes]) -> tuple[Outcome, str]:
        """Pass a response on until it is complete.

        Args:
            content_type: the type of Lambda's own answer.
            parts: the bytes of that answer, as they arrive.

        Returns:
            The outcome, and the end of the log as Lambda encodes it.

        Raises:
            EventStreamError: the answer is no event stream, or ends in the middle.
            OSError, http.client.HTTPException: it cannot be read.
        """
        reader = EventReader()
        complete: tuple[Outcome, str] | None = None
        for part in parts:
            for event in reader.feed(part):
                match event.name:
                    case "PayloadChunk":
                        self._pass_on(content_type, event.payload)
                    case "InvokeComplete":
                        document = parse_object(event.payload)
                        complete = self._outcome(document), text(document, "LogResult")
                    case name:
                        raise EventStreamError(f"Lambda ended the response by {name!r:.60}")
        if complete is None:
            raise EventStreamError("the response ended in the middle")
        return complete

    def end(self, answer: Answer) -> Answer:
        """Return the answer; after the first bytes, whatever it is, as the end of the stream."""
        if not self.size or isinstance(answer, Answered):
            return answer
        text_of_error = f"The deployed code's response broke off: {answer.reason}."
        return Answered(self._as_stream(error_outcome(ErrorName.FALLBACK_LOST, text_of_error)))

    def _pass_on(self, content_type: str, data: bytes) -> None:
        """Pass bytes on. The first ones wait until they tell their type."""
        self._held += data
        if not self.content_type:
            self.content_type = self._type(content_type)
        if self.content_type:
            self._write()

    def _write(self) -> None:
        self.size += len(self._held)
        self.response.write(self.content_type, bytes(self._held))
        self._held.clear()

    def _type(self, content_type: str) -> str:
        """Return the response's type; "" if the first bytes do not tell it yet.

        Lambda's API does not tell the type of what is in an event stream.
        """
        if content_type and not content_type.startswith(_EVENT_STREAM):
            return content_type
        if not self.is_http:
            return _OCTETS
        has_prelude = begins_with_prelude(bytes(self._held[:_PRELUDE_BYTES]))
        if has_prelude is None and len(self._held) < _PRELUDE_BYTES:
            return ""
        if has_prelude:
            return HTTP_STREAM
        return _OCTETS

    def _outcome(self, document: Mapping[str, Json]) -> Outcome:
        """Return the end that Lambda tells."""
        if self._held:
            self.content_type = _OCTETS
            self._write()
        error_type = text(document, "ErrorCode")
        if not error_type:
            return self._as_stream(Outcome(b""))
        details = text(document, "ErrorDetails")
        body = details.encode()
        if not parse_object(body):
            body = json.dumps({"errorType": error_type, "errorMessage": details}).encode()
        outcome = Outcome(body, error_type)
        if not self.size:
            return outcome
        return self._as_stream(outcome)

    def _as_stream(self, outcome: Outcome) -> Outcome:
        streamed = Streamed(self.content_type, self.size)
        return Outcome(outcome.body, outcome.error_type, streamed=streamed)


def begins_with_prelude(data: bytes) -> bool | None:
    """Tell whether a response begins with status and headers; None if more bytes have to tell."""
    if not data.startswith(b"{"):
        return False
    try:
        document = data.decode("latin-1")
        _, end = json.JSONDecoder().raw_decode(document)
    except (ValueError, RecursionError):
        return None
    rest = data[end : end + len(PRELUDE_END)]
    if rest == PRELUDE_END:
        return True
    if PRELUDE_END.startswith(rest):
        return None
    return False

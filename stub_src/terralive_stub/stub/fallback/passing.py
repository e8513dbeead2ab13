"""A response of the deployed code that is passed on to Lambda while it arrives."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
        size: the number of bytes that it has got.
        content_type: their type; "" before the first one.
    """

    response: TakesStream
    size: int = 0
    content_type: str = ""

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
        for part in parts:
            for event in reader.feed(part):
                match event.name:
                    case "PayloadChunk":
                        self._pass_on(content_type, event.payload)
                    case "InvokeComplete":
                        document = parse_object(event.payload)
                        return self._outcome(document), text(document, "LogResult")
                    case name:
                        raise EventStreamError(f"Lambda ended the response by {name!r:.60}")
        raise EventStreamError("the response ended in the middle")

    def end(self, answer: Answer) -> Answer:
        """Return the answer; after the first bytes, whatever it is, as the end of the stream."""
        if not self.size or isinstance(answer, Answered):
            return answer
        text_of_error = f"The deployed code's response broke off: {answer.reason}."
        return Answered(self._as_stream(error_outcome(ErrorName.FALLBACK_LOST, text_of_error)))

    def _pass_on(self, content_type: str, data: bytes) -> None:
        if not self.content_type:
            self.content_type = _type_of(content_type, data)
        self.size += len(data)
        self.response.write(self.content_type, data)

    def _outcome(self, document: Mapping[str, Json]) -> Outcome:
        """Return the end that Lambda tells."""
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


def _type_of(content_type: str, first: bytes) -> str:
    """Return the type of a response, which the type of an event stream does not tell."""
    if content_type and not content_type.startswith(_EVENT_STREAM):
        return content_type
    if first.startswith(b"{") and PRELUDE_END in first[:_PRELUDE_BYTES]:
        return HTTP_STREAM
    return _OCTETS

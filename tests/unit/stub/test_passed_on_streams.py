"""A response of the deployed code that a stub passes on while it arrives."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass, field

import pytest
from botocore.eventstream import EventStreamBuffer

from terralive_stub.protocol.invocation import Outcome, Streamed
from terralive_stub.protocol.named_errors import HTTP_STREAM
from terralive_stub.stub.fallback.answers import Answered, NotRun, Unclear
from terralive_stub.stub.fallback.passing import PassedOn
from terralive_stub.stub.streaming.event_stream import EventReader, EventStreamError

EVENT_STREAM = "application/vnd.amazon.eventstream"
OCTETS = "application/octet-stream"


def event(name: str, payload: bytes, kind: str = "event") -> bytes:
    headers = b""
    for key, value in ((":message-type", kind), (f":{kind}-type", name)):
        headers += struct.pack("!B", len(key)) + key.encode()
        headers += struct.pack("!BH", 7, len(value)) + value.encode()
    head = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    head += struct.pack("!I", zlib.crc32(head))
    message = head + headers + payload
    return message + struct.pack("!I", zlib.crc32(message))


def chunk(payload: bytes) -> bytes:
    return event("PayloadChunk", payload)


def complete(**document: str) -> bytes:
    return event("InvokeComplete", json.dumps(document).encode())


@dataclass
class Taken:
    pieces: list[tuple[str, bytes]] = field(default_factory=list)

    def write(self, content_type: str, data: bytes) -> bool:
        self.pieces.append((content_type, data))
        return True


def test_an_event_stream_is_read_as_botocore_reads_it_however_it_is_cut() -> None:
    data = chunk(b"one") + chunk(b"") + chunk(bytes(70_000)) + complete(ErrorCode="Oops")
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    responses = [item.to_response_dict() for item in buffer]
    expected = [(item["headers"][":event-type"], item["body"]) for item in responses]
    for size in (1, 7, 1000, len(data)):
        reader = EventReader()
        found = [
            (item.name, item.payload)
            for start in range(0, len(data), size)
            for item in reader.feed(data[start : start + size])
        ]
        assert found == expected


@pytest.mark.parametrize("at", [0, 5, 9, 14, 40, -1])
def test_a_broken_event_is_no_event(at: int) -> None:
    data = bytearray(chunk(b"one two three"))
    data[at] ^= 0x55
    with pytest.raises(EventStreamError):
        list(EventReader().feed(bytes(data)))


def test_pieces_are_passed_on_as_they_arrive_and_the_end_has_their_size_and_the_log() -> None:
    taken = Taken()
    passing = PassedOn(taken, is_http=True)

    def parts() -> list[bytes]:
        return [chunk(b"one "), chunk(b"two") + complete(LogResult="bG9n")]

    outcome, log = passing.take(EVENT_STREAM, parts())
    assert taken.pieces == [(OCTETS, b"one "), (OCTETS, b"two")]
    assert outcome == Outcome(b"", streamed=Streamed(OCTETS, 7))
    assert log == "bG9n"


PRELUDE = b'{"statusCode":201}' + bytes(8)


@pytest.mark.parametrize("cut", [1, 5, 18, 20, 26, 28])
def test_a_response_with_a_prelude_keeps_its_meaning_however_it_is_cut(cut: int) -> None:
    taken = Taken()
    body = PRELUDE + b"body"
    parts = [chunk(body[:cut]), chunk(body[cut:]), complete()]
    outcome, _ = PassedOn(taken, is_http=True).take(EVENT_STREAM, parts)
    assert {content_type for content_type, _ in taken.pieces} == {HTTP_STREAM}
    assert b"".join(data for _, data in taken.pieces) == body
    assert outcome.streamed == Streamed(HTTP_STREAM, len(body))


@pytest.mark.parametrize(
    "body", [b"{", b"{}", b'{"a":1}\n{"b":2}', b'{"a":1}' + bytes(7), b"text", b"{" * 20_000]
)
def test_a_response_without_a_prelude_is_passed_on_as_bytes(body: bytes) -> None:
    taken = Taken()
    outcome, _ = PassedOn(taken, is_http=True).take(EVENT_STREAM, [chunk(body), complete()])
    assert taken.pieces == [(OCTETS, body)]
    assert outcome.streamed == Streamed(OCTETS, len(body))


def test_an_error_before_the_first_byte_is_an_error_and_one_after_it_an_error_in_the_middle() -> (
    None
):
    error = {"errorType": "OrderError", "errorMessage": "no such order"}
    end = complete(ErrorCode="Unhandled", ErrorDetails=json.dumps(error))
    outcome, _ = PassedOn(Taken(), is_http=False).take(EVENT_STREAM, [end])
    assert (outcome.error_type, outcome.streamed) == ("Unhandled", None)
    assert json.loads(outcome.body) == error
    outcome, _ = PassedOn(Taken(), is_http=False).take(EVENT_STREAM, [chunk(b"one"), end])
    assert (outcome.error_type, outcome.streamed) == ("Unhandled", Streamed(OCTETS, 3))


@pytest.mark.parametrize("last", [b"", event("ServiceException", b"{}", kind="exception")])
def test_a_response_that_breaks_off_is_never_a_complete_one(last: bytes) -> None:
    passing = PassedOn(Taken(), is_http=False)
    with pytest.raises(EventStreamError):
        passing.take(EVENT_STREAM, [chunk(b"one"), last])
    answer = passing.end(Unclear("the connection was lost"))
    assert isinstance(answer, Answered)
    assert answer.outcome.error_type == "Terralive.FallbackLost"
    assert answer.outcome.streamed == Streamed(OCTETS, 3)


def test_without_a_byte_the_answer_stays_what_it_is() -> None:
    answer = NotRun("429", throttled=True)
    assert PassedOn(Taken(), is_http=False).end(answer) is answer

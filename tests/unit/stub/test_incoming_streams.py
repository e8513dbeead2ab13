"""A streamed response as the caller of a live function gets it, whatever happens to its messages.

Time is a parameter.
"""

from __future__ import annotations

import itertools
import json
import random

import pytest

from terralive_stub.protocol.chunks import CONSUMED_BYTES, WINDOW_BYTES, split
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome, Streamed
from terralive_stub.protocol.messages import Ack, Consumed, Done, Kind, Piece, Resume, Unknown
from terralive_stub.protocol.payloads import pack_outcome
from terralive_stub.stub.effects import Effect, Finish, Send, Write
from terralive_stub.stub.session import StubSession
from terralive_stub.stub.streaming.incoming import GAP_SECONDS
from terralive_stub.stub.waits import LOST_SECONDS

HTTP = json.dumps({"requestContext": {"http": {"method": "GET", "path": "/"}}}).encode()
TEXT = "text/event-stream"


class Caller:
    """A stub's session, and what Lambda has got of the response."""

    def __init__(self, event: bytes = b"{}", *, deadline: float = 900.0) -> None:
        self.session = StubSession(app="orders", stage="dev", jitter=lambda: 0.0)
        call = Invocation("r1", "fn", "fn", Deadline(deadline), event, attempt="a1", streams=True)
        self.session.begin(call, 0.0)
        self.session.connected(0.1)
        self.session.received(Ack("r1", "fn", attempt="a1"), 0.2)
        self.body = b""
        self.outcome: Outcome | None = None
        self.sent: list[object] = []

    def is_answered(self) -> bool:
        return self.outcome is not None

    def ending(self) -> Outcome:
        assert self.outcome is not None
        return self.outcome

    def take(self, effects: list[Effect], now: float) -> None:
        for effect in effects:
            match effect:
                case Write(content_type=content_type, data=data):
                    assert content_type == TEXT
                    self.body += data
                    self.take(self.session.wrote(now, accepted=True), now)
                case Finish(outcome=outcome):
                    self.outcome = outcome
                case Send(message=message):
                    self.sent.append(message)
                case _:
                    pass

    def piece(self, offset: int, data: bytes, *, relay: str = "life", now: float = 1.0) -> None:
        piece = Piece("r1", "fn", relay, TEXT, offset, data, attempt="a1")
        self.take(self.session.received(piece, now), now)

    def end(self, size: int, error_type: str = "", *, relay: str = "life") -> None:
        outcome = Outcome(b"{}" if error_type else b"", error_type)
        outcome = Outcome(outcome.body, error_type, streamed=Streamed(TEXT, size, relay))
        for chunk in split(Kind.RESULT, "r1", "fn", pack_outcome(outcome), attempt="a1"):
            self.take(self.session.received(chunk, 2.0), 2.0)


def test_pieces_are_written_as_they_come_and_the_result_ends_the_response() -> None:
    caller = Caller()
    caller.piece(0, b"one ")
    assert caller.body == b"one "
    caller.piece(4, b"two")
    assert caller.body == b"one two"
    assert not caller.is_answered()
    caller.end(7)
    assert caller.outcome == Outcome(b"", streamed=Streamed(TEXT, 7, "life"))
    assert caller.sent == [Done("r1", "fn", attempt="a1")]


@pytest.mark.parametrize("seed", range(20))
def test_repeated_reordered_and_differently_cut_pieces_give_the_same_bytes(seed: int) -> None:
    chance = random.Random(seed)
    body = chance.randbytes(500)
    cuts = []
    for _ in range(3):
        at = sorted({0, *(chance.randrange(500) for _ in range(8)), 500})
        cuts += [(start, body[start:end]) for start, end in itertools.pairwise(at)]
    chance.shuffle(cuts)
    caller = Caller()
    for offset, data in cuts:
        caller.piece(offset, data)
    caller.end(500)
    assert caller.body == body
    assert caller.ending().ok


def test_a_result_that_overtakes_the_last_piece_waits_for_it_and_asks() -> None:
    caller = Caller()
    caller.piece(0, b"one ")
    caller.end(7)
    assert not caller.is_answered()
    now = 2.0 + GAP_SECONDS
    assert caller.session.next_tick(2.0) <= now
    caller.take(caller.session.tick(now), now)
    assert caller.sent == [Resume("r1", "fn", attempt="a1", offset=4, relay="life")]
    caller.piece(4, b"two")
    assert caller.body == b"one two"
    assert caller.outcome is not None


def test_a_result_that_never_gets_its_bytes_is_no_success() -> None:
    caller = Caller(deadline=20.0)
    caller.piece(0, b"one ")
    caller.end(7)
    now = 2.0
    while not caller.is_answered():
        now = caller.session.next_tick(now)
        caller.take(caller.session.tick(now), now)
    assert caller.ending().error_type == "Terralive.RelayLost"
    assert caller.ending().streamed == Streamed(TEXT, 4, "life")
    assert now <= 20.0


def test_an_error_in_the_middle_comes_with_the_bytes_before_it() -> None:
    caller = Caller()
    caller.piece(0, b"one ")
    caller.end(4, "OrderError")
    assert caller.body == b"one "
    assert caller.outcome == Outcome(b"{}", "OrderError", streamed=Streamed(TEXT, 4, "life"))


def test_an_empty_stream_is_a_stream() -> None:
    caller = Caller()
    caller.end(0)
    assert caller.outcome == Outcome(b"", streamed=Streamed(TEXT, 0, "life"))


def test_pieces_of_another_relay_are_never_mixed_in() -> None:
    caller = Caller()
    caller.piece(0, b"one ")
    caller.piece(4, b"from another handler", relay="other")
    assert caller.body == b"one "
    caller.take(caller.session.received(Unknown("r1", "fn", attempt="a1"), 3.0), 3.0)
    assert caller.ending().error_type == "Terralive.RelayLost"
    assert caller.ending().streamed is not None


@pytest.mark.parametrize("streamed", [True, False])
def test_the_result_of_another_relay_ends_a_stream_that_has_begun_in_an_error(
    *, streamed: bool
) -> None:
    caller = Caller()
    caller.piece(0, b"one ")
    if streamed:
        caller.end(4, relay="other")
    else:
        for chunk in split(Kind.RESULT, "r1", "fn", pack_outcome(Outcome(b"1")), attempt="a1"):
            caller.take(caller.session.received(chunk, 2.0), 2.0)
    assert caller.ending().error_type == "Terralive.RelayLost"


def test_more_bytes_than_the_result_names_are_an_error() -> None:
    caller = Caller()
    caller.piece(0, b"one ")
    caller.end(2)
    assert caller.ending().error_type == "Terralive.RelayLost"


def test_a_relay_that_is_lost_in_the_middle_is_an_error_and_no_503_for_an_http_caller() -> None:
    caller = Caller(HTTP)
    caller.piece(0, b"one ")
    now = 1.0
    while not caller.is_answered():
        now = caller.session.next_tick(now)
        caller.take(caller.session.tick(now), now)
    assert caller.ending().error_type == "Terralive.RelayLost"
    assert now <= 1.0 + LOST_SECONDS


def test_before_the_first_byte_an_http_caller_still_gets_a_503() -> None:
    caller = Caller(HTTP)
    caller.take(caller.session.received(Unknown("r1", "fn", attempt="a1"), 3.0), 3.0)
    assert caller.outcome is not None
    assert json.loads(caller.ending().body)["statusCode"] == 503
    assert caller.ending().streamed is None


def test_a_relay_is_told_what_is_consumed_a_few_times_in_each_window() -> None:
    caller = Caller()
    piece = bytes(CONSUMED_BYTES // 2)
    for number in range(4):
        caller.piece(number * len(piece), piece)
    assert caller.sent == [
        Consumed("r1", "fn", CONSUMED_BYTES, attempt="a1"),
        Consumed("r1", "fn", 2 * CONSUMED_BYTES, attempt="a1"),
    ]


def test_pieces_far_ahead_are_not_kept() -> None:
    caller = Caller()
    for number in range(1, 60):
        caller.piece(number * 90_000, bytes(90_000))
    caller.piece(0, bytes(90_000))
    assert len(caller.body) <= 2 * WINDOW_BYTES


def test_a_response_that_lambda_does_not_take_any_more_is_over_for_the_relay_too() -> None:
    caller = Caller()
    caller.piece(0, b"one ")
    caller.take(caller.session.wrote(1.0, accepted=False), 1.0)
    assert caller.sent == [Done("r1", "fn", attempt="a1")]
    assert caller.outcome is not None
    assert not caller.ending().ok


def test_a_lambda_that_takes_bytes_slowly_does_not_make_the_relay_look_lost() -> None:
    caller = Caller()
    piece = Piece("r1", "fn", "life", TEXT, 0, b"one ", attempt="a1")
    caller.session.received(piece, 1.0)
    slow = 1.0 + 2 * LOST_SECONDS
    caller.take(caller.session.wrote(slow, accepted=True), slow)
    caller.take(caller.session.tick(slow), slow)
    assert not caller.is_answered()


def test_a_stub_that_takes_no_pieces_ignores_them() -> None:
    session = StubSession(app="orders", stage="dev")
    session.begin(Invocation("r1", "fn", "fn", Deadline(60.0), b"{}", attempt="a1"), 0.0)
    session.connected(0.1)
    assert session.received(Piece("r1", "fn", "life", TEXT, 0, b"1", attempt="a1"), 1.0) == []

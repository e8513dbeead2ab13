"""A streamed response on its way from a handler to its stub. Time is a parameter."""

from __future__ import annotations

import threading
from dataclasses import replace

from terralive_relay.events import InvocationFinished
from terralive_relay.session.effects import Effect, LetWrite, Publish, Run, Send
from terralive_relay.session.leasing import RelayIdentity
from terralive_relay.session.session import RelaySession
from terralive_relay.streaming.outgoing import AGAIN_SECONDS, GATHER_SECONDS
from terralive_relay.streaming.response import OutgoingResponse, PieceWritten, StreamBegan
from terralive_stub.protocol.chunks import CHUNK_BYTES, WINDOW_BYTES, split
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome, Streamed
from terralive_stub.protocol.messages import (
    Ack,
    Chunk,
    Consumed,
    Done,
    Kind,
    Message,
    Piece,
    Resume,
    Unknown,
    Welcome,
)
from terralive_stub.protocol.payloads import pack_invocation, unpack_outcome

TEXT = "text/event-stream"
NOW_MS = 1_700_000_000_000
WELCOME = Welcome("life", 60_000, 20_000, streams=True)


def live(welcome: Welcome = WELCOME, *, streams: bool = True) -> tuple[RelaySession, Run]:
    session = RelaySession(RelayIdentity("life", ("fn",), "ana", "laptop"))
    session.leasing.opened(1, 0.0)
    session.received(1, welcome, 0.1, NOW_MS)
    call = Invocation("r1", "fn", "fn", Deadline(60.0), b"{}", streams=streams)
    (chunk,) = split(
        Kind.INVOKE, "r1", "fn", pack_invocation(call, now=0.0), peer="c1", attempt="a1"
    )
    effects = session.received(1, chunk, 1.0, NOW_MS)
    (run,) = [effect for effect in effects if isinstance(effect, Run)]
    return session, run


def streaming() -> RelaySession:
    session, _ = live()
    session.invocations.stream_began("a1", TEXT)
    return session


def sent(effects: list[Effect]) -> list[Message]:
    return [effect.message for effect in effects if isinstance(effect, Send)]


def piece(offset: int, data: bytes, peer: str = "c1") -> Piece:
    return Piece("r1", "fn", "life", TEXT, offset, data, peer, "a1")


def finish(session: RelaySession, outcome: Outcome, now: float = 2.0) -> list[Effect]:
    return session.invocations.finished("a1", outcome, 1.0, now, answered_by_lambda=False)


def test_the_first_bytes_leave_at_once_and_small_pieces_after_them_travel_together() -> None:
    session = streaming()
    assert sent(session.invocations.written("a1", b"one ", 1.0)) == [piece(0, b"one ")]
    assert sent(session.invocations.written("a1", b"two ", 1.01)) == []
    assert sent(session.invocations.written("a1", b"three", 1.02)) == []
    due = session.next_tick(1.02)
    assert due <= 1.0 + GATHER_SECONDS
    assert sent(session.tick(due)) == [piece(4, b"two three")]


def test_full_pieces_do_not_wait() -> None:
    session = streaming()
    session.invocations.written("a1", b"1", 1.0)
    full = bytes(CHUNK_BYTES)
    effects = session.invocations.written("a1", full + full + b"12345", 1.0)
    assert sent(effects) == [piece(1, full), piece(1 + CHUNK_BYTES, full)]


def test_the_result_follows_the_last_bytes_and_has_their_number() -> None:
    session = streaming()
    session.invocations.written("a1", b"one ", 1.0)
    session.invocations.written("a1", b"two", 1.0)
    effects = finish(session, Outcome(b""))
    last, result = sent(effects)
    assert last == piece(4, b"two")
    assert isinstance(result, Chunk)
    assert unpack_outcome(result.data) == Outcome(b"", streamed=Streamed(TEXT, 7, "life"))
    (event,) = [
        effect.event
        for effect in effects
        if isinstance(effect, Publish) and isinstance(effect.event, InvocationFinished)
    ]
    assert event.streamed_bytes == 7


def test_an_error_after_the_first_bytes_is_an_error_in_the_middle() -> None:
    session = streaming()
    session.invocations.written("a1", b"one ", 1.0)
    (result,) = sent(finish(session, Outcome(b"{}", "Sandbox.Timedout")))
    assert isinstance(result, Chunk)
    expected = Outcome(b"{}", "Sandbox.Timedout", streamed=Streamed(TEXT, 4, "life"))
    assert unpack_outcome(result.data) == expected


def test_after_the_end_of_an_attempt_no_byte_is_added() -> None:
    session = streaming()
    finish(session, Outcome(b"{}", "Terralive.Stopped"))
    assert session.invocations.written("a1", b"late", 2.0) == []


def test_a_stub_that_asks_gets_the_bytes_from_there_on() -> None:
    session = streaming()
    session.invocations.written("a1", b"one ", 1.0)
    session.invocations.written("a1", b"two", 2.0)
    question = Resume("r1", "fn", "c2", "a1", offset=4, relay="life")
    effects = session.received(1, question, 3.0, NOW_MS)
    assert sent(effects) == [Ack("r1", "fn", "c2", "a1"), piece(4, b"two", "c2")]
    # Many questions do not fill the memory with pieces under way.
    again = session.received(1, question, 3.1, NOW_MS)
    assert sent(again) == [Ack("r1", "fn", "c2", "a1")]
    later = session.received(1, question, 3.0 + AGAIN_SECONDS, NOW_MS)
    assert sent(later) == [Ack("r1", "fn", "c2", "a1"), piece(4, b"two", "c2")]


def test_a_stub_that_has_got_bytes_of_another_relay_is_told_that_this_one_does_not_know() -> None:
    session = streaming()
    session.invocations.written("a1", b"one ", 1.0)
    question = Resume("r1", "fn", "c1", "a1", offset=2, relay="former")
    assert sent(session.received(1, question, 2.0, NOW_MS)) == [Unknown("r1", "fn", "c1", "a1")]


def test_what_a_stub_has_consumed_lets_the_handler_go_on_and_is_not_kept() -> None:
    session = streaming()
    session.invocations.written("a1", bytes(WINDOW_BYTES), 1.0)
    consumed = Consumed("r1", "fn", WINDOW_BYTES // 2, "c1", "a1")
    assert session.received(1, consumed, 2.0, NOW_MS) == [LetWrite("a1", WINDOW_BYTES // 2)]
    entry = session.invocations.store.get("a1")
    assert entry is not None
    assert entry.stream is not None
    assert entry.stream.kept_bytes == WINDOW_BYTES // 2
    # A number that is not possible changes nothing.
    lie = replace(consumed, offset=10 * WINDOW_BYTES)
    assert session.received(1, lie, 2.0, NOW_MS) == [LetWrite("a1", WINDOW_BYTES // 2)]
    old = replace(consumed, offset=1)
    assert session.received(1, old, 2.0, NOW_MS) == [LetWrite("a1", WINDOW_BYTES // 2)]


def test_a_stub_that_wants_no_more_bytes_lets_the_handler_run_on() -> None:
    session = streaming()
    done = Done("r1", "fn", "c1", "a1")
    assert session.received(1, done, 2.0, NOW_MS) == [LetWrite("a1", None)]


def test_a_settled_stream_keeps_no_memory() -> None:
    session = streaming()
    session.invocations.written("a1", bytes(500_000), 1.0)
    finish(session, Outcome(b""))
    store = session.invocations.store
    assert store.result_bytes > 500_000
    session.received(1, Done("r1", "fn", "c1", "a1"), 2.0, NOW_MS)
    assert store.result_bytes == 0


def test_while_the_lease_is_away_bytes_are_kept_and_come_after_its_return() -> None:
    session = streaming()
    session.leasing.closed(1, 1.0, "reset", 1.0)
    assert sent(session.invocations.written("a1", b"one ", 1.0)) == []
    session.leasing.opened(2, 2.0)
    effects = session.received(2, WELCOME, 2.1, NOW_MS)
    assert sent(effects) == [Ack("r1", "fn", "c1", "a1"), piece(0, b"one ")]


def test_an_old_stub_or_an_old_broker_gets_the_response_as_a_whole() -> None:
    _, run = live()
    assert run.invocation.streams
    _, run = live(streams=False)
    assert not run.invocation.streams
    _, run = live(Welcome("life", 60_000, 20_000))
    assert not run.invocation.streams


class TestAWriter:
    """A worker's thread that writes a streamed response."""

    def test_it_blocks_while_the_stub_has_a_window_to_consume(self) -> None:
        items: list[object] = []
        response = OutgoingResponse("a1", items.append)
        response.begin(TEXT)
        assert response.write(bytes(WINDOW_BYTES))
        written = threading.Event()
        results: list[bool] = []

        def write() -> None:
            results.append(response.write(b"more"))
            written.set()

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        assert not written.wait(0.05)
        response.consume(WINDOW_BYTES)
        assert written.wait(60)
        assert results == [True]
        whole = PieceWritten("a1", bytes(WINDOW_BYTES))
        assert items == [StreamBegan("a1", TEXT), whole, PieceWritten("a1", b"more")]

    def test_the_end_of_the_attempt_ends_its_wait_and_its_worker(self) -> None:
        response = OutgoingResponse("a1", lambda _: None)
        response.begin(TEXT)
        assert response.write(bytes(2 * WINDOW_BYTES))
        results: list[bool] = []
        writer = threading.Thread(target=lambda: results.append(response.write(b"1")), daemon=True)
        writer.start()
        response.close()
        writer.join(60)
        assert results == [False]

    def test_it_cannot_begin_a_second_response(self) -> None:
        items: list[object] = []
        response = OutgoingResponse("a1", items.append)
        assert response.begin(TEXT)
        assert not response.begin("text/plain")
        assert items == [StreamBegan("a1", TEXT)]

    def test_a_caller_that_is_gone_lets_it_write_for_nobody(self) -> None:
        items: list[object] = []
        response = OutgoingResponse("a1", items.append)
        response.begin(TEXT)
        response.drop()
        assert response.write(bytes(5 * WINDOW_BYTES))
        assert response.write(b"more")
        assert items == [StreamBegan("a1", TEXT)]

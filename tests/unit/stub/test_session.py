"""The answers of a stub to the caller of a live function, whatever happens to the connection.

Time is a parameter.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from terralive_stub.protocol.chunks import CHUNK_BYTES, Assembler, split
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome, Printed
from terralive_stub.protocol.messages import (
    Ack,
    Chunk,
    Done,
    EnvironmentMissing,
    Kind,
    Missing,
    NoRelay,
    Resume,
    Unknown,
)
from terralive_stub.protocol.payloads import (
    EnvironmentUnknownError,
    digest_environment,
    pack_logs,
    pack_outcome,
    unpack_invocation,
)
from terralive_stub.stub.effects import Connect, Effect, Finish, Send, Show
from terralive_stub.stub.session import StubSession
from terralive_stub.stub.waits import (
    ACK_SECONDS,
    LOST_SECONDS,
    PROBE_SECONDS,
    RECONNECT_SECONDS,
)

HTTP = json.dumps(
    {"version": "2.0", "requestContext": {"http": {"method": "GET", "path": "/"}}}
).encode()


def begun(
    event: bytes = b"{}", *, deadline: float = 60.0, jitter: float = 0.0
) -> tuple[StubSession, list[Effect]]:
    session = StubSession(app="orders", stage="dev", jitter=lambda: jitter)
    assert session.begin(Invocation("r1", "fn", "fn", Deadline(deadline), event), 0.0) == [
        Connect()
    ]
    return session, session.connected(0.1)


def owned(**options: float) -> StubSession:
    session, _ = begun(**options)  # type: ignore[arg-type]  # only `deadline` is ever given
    assert session.received(Ack("r1", "fn"), 0.2) == []
    return session


def result(body: bytes = b'"ok"') -> tuple[Chunk, ...]:
    return split(Kind.RESULT, "r1", "fn", pack_outcome(Outcome(body)))


def logs(text: str, start: int = 0) -> Chunk:
    (chunk,) = split(Kind.LOGS, "r1", "fn", pack_logs(Printed(start, text)))
    return chunk


def no_relay(retry_ms: int = 0) -> NoRelay:
    return NoRelay("r1", "ana", "laptop", 1, 2, retry_ms, "lost")


def error_of(effects: list[Effect]) -> str:
    (finish,) = [effect for effect in effects if isinstance(effect, Finish)]
    return finish.outcome.error_type


def test_the_handlers_result_is_the_answer() -> None:
    session = owned()
    (chunk,) = result()
    assert session.received(chunk, 1.0) == [Send(Done("r1", "fn")), Finish(Outcome(b'"ok"'))]
    assert not session.busy


def test_what_the_handler_prints_is_shown_as_it_comes_and_the_last_of_it_before_the_result() -> (
    None
):
    session = owned()
    assert session.received(logs("one\ntwo\n"), 1.0) == [Show("one\ntwo\n")]
    (chunk,) = split(
        Kind.RESULT, "r1", "fn", pack_outcome(Outcome(b'"ok"', logs=Printed(8, "three\n")))
    )
    (shown, done, finish) = session.received(chunk, 2.0)
    assert (shown, done) == (Show("three\n"), Send(Done("r1", "fn")))
    assert isinstance(finish, Finish)
    assert finish.outcome.body == b'"ok"'


def test_ten_thousand_lines_come_in_one_message() -> None:
    text = "".join(f"{number}\n" for number in range(10_000))
    assert owned().received(logs(text), 1.0) == [Show(text)]


def test_lines_that_the_result_has_overtaken_are_shown_once() -> None:
    session = owned()
    (chunk,) = split(
        Kind.RESULT, "r1", "fn", pack_outcome(Outcome(b'"ok"', logs=Printed(0, "one\ntwo\n")))
    )
    assert session.received(chunk, 1.0)[0] == Show("one\ntwo\n")
    assert session.received(logs("one\n"), 1.1) == []
    session.begin(Invocation("r2", "fn", "fn", Deadline(60.0), b"{}"), 2.0)
    assert session.received(logs("one\n"), 2.1) == []
    assert session.busy


def test_lines_that_come_twice_are_shown_once_and_a_gap_is_said() -> None:
    session = owned()
    assert session.received(logs("one\n"), 1.0) == [Show("one\n")]
    assert session.received(logs("one\n"), 1.1) == []
    assert session.received(logs("one\ntwo\n"), 1.2) == [Show("two\n")]
    lost = "terralive: some lines before this one were lost on their way\n"
    assert session.received(logs("four\n", start=14), 1.3) == [Show(lost + "four\n")]
    assert session.received(logs("three\n", start=8), 1.4) == []


def test_lines_that_cannot_be_read_cost_the_invocation_nothing() -> None:
    session = owned()
    cut = Chunk(Kind.LOGS, "r1", "fn", 0, 1, 3, "zlib", b"abc")
    half = replace(logs("x" * 10), parts=2, size=CHUNK_BYTES + 1, data=bytes(CHUNK_BYTES))
    for chunk in (cut, half, replace(cut, encoding="nonsense"), logs("")):
        assert session.received(chunk, 1.0) == []
    assert Finish(Outcome(b'"ok"')) in session.received(result()[0], 2.0)


def test_lines_are_no_acknowledgement() -> None:
    session, _ = begun()
    session.received(logs("hello\n"), 1.0)
    assert session.tick(0.1 + ACK_SECONDS + 0.01) == [Connect()]


def test_a_warm_invocation_uses_the_open_connection() -> None:
    session = owned()
    session.received(result()[0], 1.0)
    (offer,) = session.begin(Invocation("r2", "fn", "fn", Deadline(60.0), b"{}"), 2.0)
    assert isinstance(offer, Send)


ENVIRONMENT = {"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI", "STAGE": "dev"}


def with_environment(request_id: str, environment: Mapping[str, str] = ENVIRONMENT) -> Invocation:
    digest = digest_environment(environment, bytes(32))
    return Invocation(
        request_id,
        "fn",
        "fn",
        Deadline(60.0),
        b"{}",
        environment,
        environment_digest=digest,
    )


def environment_in(effects: list[Effect]) -> Mapping[str, str] | None:
    """Return the environment that travels in the one invocation that is sent; None for none."""
    (send,) = [effect for effect in effects if isinstance(effect, Send)]
    assert isinstance(send.message, Chunk)
    payload = Assembler().add(send.message, 0.0)
    assert payload is not None
    try:
        return unpack_invocation(payload, now=0.0).environment
    except EnvironmentUnknownError:
        assert b"wJalrXUtnFEMI" not in payload
        return None


def ended(session: StubSession, request_id: str, now: float) -> None:
    """A relay acknowledges an invocation and sends its result."""
    session.received(Ack(request_id, "fn"), now)
    for chunk in split(Kind.RESULT, request_id, "fn", pack_outcome(Outcome(b'"ok"'))):
        session.received(chunk, now)
    assert not session.busy


def test_the_environment_travels_once() -> None:
    session = StubSession(app="orders", stage="dev")
    session.begin(with_environment("r1"), 0.0)
    assert environment_in(session.connected(0.1)) == ENVIRONMENT
    ended(session, "r1", 0.2)
    assert environment_in(session.begin(with_environment("r2"), 1.0)) is None
    ended(session, "r2", 1.1)


def test_an_environment_that_has_changed_travels_again() -> None:
    """On Lambda it never does. Emulators may change it within one process."""
    session = StubSession(app="orders", stage="dev")
    session.begin(with_environment("r1"), 0.0)
    session.connected(0.1)
    ended(session, "r1", 0.2)
    changed = {**ENVIRONMENT, "STAGE": "test"}
    assert environment_in(session.begin(with_environment("r2", changed), 1.0)) == changed
    ended(session, "r2", 1.1)
    assert environment_in(session.begin(with_environment("r3", changed), 2.0)) is None


def test_the_environment_travels_again_until_a_relay_has_acknowledged_it() -> None:
    session = StubSession(app="orders", stage="dev", jitter=lambda: 0.0)
    session.begin(with_environment("r1"), 0.0)
    session.connected(0.1)
    session.connection_lost(0.2, "reset")
    assert environment_in(session.connected(0.3)) == ENVIRONMENT
    ended(session, "r1", 0.4)
    session.connection_lost(0.5, "reset")
    session.begin(with_environment("r2"), 1.0)
    assert environment_in(session.connected(1.1)) is None


def test_a_relay_that_does_not_know_the_environment_gets_it() -> None:
    """Another relay has taken the stage over, or it was restarted."""
    session = StubSession(app="orders", stage="dev")
    session.begin(with_environment("r1"), 0.0)
    session.connected(0.1)
    ended(session, "r1", 0.2)
    session.begin(with_environment("r2"), 1.0)
    asked = EnvironmentMissing("r2", "fn")
    assert environment_in(session.received(asked, 1.1)) == ENVIRONMENT
    assert session.received(asked, 1.2) == [], "it is under way"
    ended(session, "r2", 1.3)
    assert session.received(asked, 1.4) == []
    assert environment_in(session.begin(with_environment("r3"), 2.0)) is None


def test_nobody_can_have_an_acknowledged_invocation_sent_again_by_asking_for_its_environment() -> (
    None
):
    session = owned()
    assert session.received(EnvironmentMissing("r1", "fn"), 1.0) == []


def test_no_acknowledgement_costs_a_reconnect_and_the_same_invocation_is_sent_again() -> None:
    session, _ = begun()
    assert session.tick(ACK_SECONDS) == []
    assert session.tick(0.1 + ACK_SECONDS + 0.01) == [Connect()]
    (again,) = session.connected(4.0)
    assert isinstance(again, Send)
    assert isinstance(again.message, Chunk)
    assert again.message.request_id == "r1"


def test_a_result_counts_even_where_the_acknowledgement_was_lost() -> None:
    session, _ = begun()
    assert Finish(Outcome(b'"ok"')) in session.received(result()[0], 2.0)


def test_after_an_acknowledgement_a_lost_connection_is_resumed_never_sent_again() -> None:
    session = owned()
    assert session.connection_lost(1.0, "reset") == [Connect()]
    assert session.connected(1.1) == [Send(Resume("r1", "fn"))]


def test_a_connection_that_dies_without_a_sign_while_the_handler_runs_is_replaced() -> None:
    session = owned()
    asked_at = 0.2 + PROBE_SECONDS
    assert session.tick(asked_at) == [Send(Resume("r1", "fn"))]
    assert session.tick(asked_at + PROBE_SECONDS) == [Connect()]
    assert session.connected(11.0) == [Send(Resume("r1", "fn"))]
    assert Finish(Outcome(b'"ok"')) in session.received(result()[0], 12.0)


def test_an_answered_question_costs_no_reconnect() -> None:
    session = owned(deadline=600.0)
    now = 0.2
    for _ in range(20):
        now += PROBE_SECONDS
        assert session.tick(now) == [Send(Resume("r1", "fn"))]
        now += 0.1
        session.received(Ack("r1", "fn"), now)


def test_a_restarted_relay_is_named_and_does_not_run_the_handler_again() -> None:
    assert error_of(owned().received(Unknown("r1", "fn"), 1.0)) == "Terralive.RelayLost"


def test_nobody_connected_fails_at_once() -> None:
    session, _ = begun()
    assert error_of(session.received(no_relay(), 0.2)) == "Terralive.NoRelay"


def test_nobody_connected_is_a_503_for_http_callers() -> None:
    session, _ = begun(HTTP)
    (finish,) = session.received(no_relay(), 0.2)
    assert isinstance(finish, Finish)
    response = json.loads(finish.outcome.body)
    assert (response["statusCode"], finish.outcome.error_type) == (503, "")
    assert "terralive start" in response["body"]


def test_a_relay_that_lost_its_connection_is_waited_for() -> None:
    session, offer = begun()
    assert session.received(no_relay(retry_ms=1000), 0.2) == []
    (again,) = session.tick(1.2)
    assert isinstance(again, Send)
    assert isinstance(offer[0], Send)
    session.received(Ack("r1", "fn"), 1.3)
    assert session.received(no_relay(retry_ms=1000), 2.0) == []
    assert session.tick(3.0) == [Send(Resume("r1", "fn"))]


def test_missing_chunks_are_sent_again_from_the_same_packing() -> None:
    """Packed anew, a compressed event has other bytes, which never fit the parts that arrived."""
    words = random.Random(1)
    event = b"".join(b"%d," % words.randrange(10**9) for _ in range(60_000))
    session, offer = begun(event)
    first = [
        effect.message
        for effect in offer
        if isinstance(effect, Send) and isinstance(effect.message, Chunk)
    ]
    assert len(first) > 1
    assert first[0].size > CHUNK_BYTES
    assembler = Assembler()
    assembler.add(first[0], 0.0)
    again = session.received(Missing(Kind.INVOKE, "r1", "fn", tuple(range(1, len(first)))), 2.7)
    payload = None
    for effect in again:
        assert isinstance(effect, Send)
        assert isinstance(effect.message, Chunk)
        payload = assembler.add(effect.message, 3.0)
    assert payload is not None
    assert unpack_invocation(payload, now=0.0).event == event


def test_missing_chunks_of_a_result_are_asked_for() -> None:
    session = owned()
    chunks = result(random.Random(1).randbytes(2 * CHUNK_BYTES))
    session.received(chunks[1], 1.0)
    assert session.tick(3.5) == [Send(Missing(Kind.RESULT, "r1", "fn", (0, 2)))]


def test_a_relay_without_room_for_megabytes_is_waited_for_and_then_sent_all_of_it() -> None:
    session, _ = begun(random.Random(1).randbytes(2 * CHUNK_BYTES))
    ack_by = ACK_SECONDS + 1
    for second in range(1, 10):
        assert session.received(Missing(Kind.INVOKE, "r1", "fn", ()), float(second)) == []
        assert session.tick(second + ack_by - 1) == []
    assert len(session.received(Missing(Kind.INVOKE, "r1", "fn", (0, 1, 2)), 13.0)) == 3


def test_a_message_that_the_broker_lost_is_said_again_before_anything_is_given_up() -> None:
    session, offered = begun(jitter=1.0)
    assert session.gateway_failed(0.2) == []
    (again,) = session.tick(0.2 + RECONNECT_SECONDS[0])
    assert isinstance(again, Send)
    assert isinstance(again.message, Chunk)
    session.received(Ack("r1", "fn"), 0.5)
    assert session.tick(0.5 + PROBE_SECONDS) == [Send(Resume("r1", "fn"))]
    session.gateway_failed(5.6)
    assert session.tick(6.7) == [Send(Resume("r1", "fn"))]
    assert offered


def test_a_thousand_stubs_do_not_come_back_at_one_moment() -> None:
    chance = random.Random(1)
    waits = set()
    for _ in range(1000):
        session = StubSession(app="orders", stage="dev", jitter=chance.random)
        session.begin(Invocation("r1", "fn", "fn", Deadline(60.0), b"{}"), 0.0)
        session.connection_lost(0.0, "reset")
        waits.add(round(session.next_tick(0.0) / RECONNECT_SECONDS[0], 2))
    assert len(waits) > 90


def test_a_clock_that_stood_still_while_frozen_does_not_make_an_old_connection_look_young() -> None:
    session = owned()
    session.received(result()[0], 1.0)
    call = Invocation("r2", "fn", "fn", Deadline(60.0), b"{}")
    assert session.begin(call, 2.0, asleep_s=3600.0) == [Connect()]


@pytest.mark.parametrize(("idle_s", "is_used"), [(329.0, True), (331.0, False)])
def test_a_connection_that_a_nat_gateway_may_have_dropped_is_not_used(
    idle_s: float, is_used: bool
) -> None:
    """A NAT gateway drops an idle connection after 350 seconds and tells neither side."""
    session = owned()
    (chunk,) = result()
    session.received(chunk, 1.0)
    began = 1.0 + idle_s
    call = Invocation("r2", "fn", "fn", Deadline(began + 3), b"{}")
    effects = session.begin(call, began)
    assert (effects != [Connect()]) is is_used


def test_a_retry_whose_result_the_relay_has_forgotten_is_named_and_not_run_again() -> None:
    session, _ = begun()
    assert error_of(session.received(Unknown("r1", "fn"), 1.0)) == "Terralive.RelayLost"


def test_a_result_that_is_half_here_at_the_deadline_is_a_named_error_and_no_timeout() -> None:
    """The handler has ended: Lambda's own timeout would blame it."""
    session = owned(deadline=10.0)
    session.received(result(random.Random(1).randbytes(2 * CHUNK_BYTES))[0], 9.4)
    assert error_of(session.tick(9.5)) == "Terralive.RelayLost"


def test_undelivered_at_the_deadline_is_a_named_error_before_it() -> None:
    session, _ = begun(deadline=2.0)
    assert error_of(session.tick(1.5)) == "Terralive.NotDelivered"


def test_a_handler_known_to_run_at_the_deadline_gets_lambdas_own_timeout() -> None:
    session = owned(deadline=3.0)
    assert session.tick(1.5) == [Send(Resume("r1", "fn"))], "the last question"
    session.received(Ack("r1", "fn"), 1.6)
    assert not any(isinstance(effect, Finish) for effect in session.tick(3.0))


def test_a_relay_that_died_under_a_short_timeout_is_a_named_error_before_it() -> None:
    session = owned(deadline=3.0)
    assert session.tick(1.5) == [Send(Resume("r1", "fn"))]
    assert error_of(session.tick(2.5)) == "Terralive.RelayLost"


def test_a_stub_that_is_refused_for_good_says_what_gives_the_function_a_new_one() -> None:
    session = StubSession(app="orders", stage="dev", jitter=lambda: 0.0)
    session.begin(Invocation("r1", "fn", "fn", Deadline(60.0), b"{}"), 0.0)
    assert session.handshake_refused(1.0, "HTTP 403") == [Connect()], "it may be a new API"
    (end,) = session.handshake_refused(20.0, "HTTP 403")
    assert error_of([end]) == "Terralive.CannotConnect"
    assert isinstance(end, Finish)
    message = json.loads(end.outcome.body)["errorMessage"]
    assert message.startswith("HTTP 403 ")
    assert "`terralive start --stage dev`" in message


def test_lambdas_default_timeout_leaves_time_for_a_second_try() -> None:
    session, _ = begun(deadline=3.0)
    assert session.tick(1.6) == [Connect()]
    assert [type(effect) for effect in session.connected(1.7)] == [Send]


def test_a_relay_that_never_comes_back_is_a_named_error() -> None:
    session = owned(deadline=600.0)
    session.connection_lost(1.0, "reset")
    session.tick(59.0)
    assert session.busy
    assert error_of(session.tick(0.2 + LOST_SECONDS)) == "Terralive.RelayLost"


def test_another_invocations_messages_change_nothing() -> None:
    session = owned()
    (other,) = split(Kind.RESULT, "r0", "fn", pack_outcome(Outcome(b"1")))
    assert session.received(other, 1.0) == []
    assert session.received(Unknown("r0", "fn"), 1.0) == []
    assert session.busy


def retried() -> tuple[StubSession, list[Effect]]:
    """The second attempt of a request id, in the same execution environment."""
    session = StubSession(app="orders", stage="dev", jitter=lambda: 0.0)
    call = Invocation("r1", "fn", "fn", Deadline(60.0), b"{}", attempt="a1")
    session.begin(call, 0.0)
    session.connected(0.1)
    ended = replace(no_relay(), attempt="a1")
    assert error_of(session.received(ended, 0.2)) == "Terralive.NoRelay"
    return session, session.begin(replace(call, attempt="a2", deadline=Deadline(120.0)), 61.0)


def test_messages_about_a_former_attempt_change_nothing() -> None:
    session, _ = retried()
    for chunk in result(b'"of the first attempt"'):
        assert session.received(replace(chunk, attempt="a1"), 61.1) == []
    assert session.received(Unknown("r1", "fn", attempt="a1"), 61.1) == []
    assert session.received(replace(no_relay(), attempt="a1"), 61.1) == []
    assert session.received(Ack("r1", "fn", attempt="a1"), 61.1) == []
    assert session.tick(61.0 + ACK_SECONDS + 0.01) == [Connect()], "nobody has acknowledged it"
    (chunk,) = result()
    effects = session.received(replace(chunk, attempt="a2"), 65.0)
    assert effects == [Send(Done("r1", "fn", attempt="a2")), Finish(Outcome(b'"ok"'))]


def test_every_message_of_a_stub_names_its_attempt() -> None:
    session, offered = retried()
    effects = list(offered)
    session.received(Ack("r1", "fn", attempt="a2"), 61.1)
    effects += session.tick(61.1 + PROBE_SECONDS)
    large = result(random.Random(1).randbytes(2 * CHUNK_BYTES))
    session.received(replace(large[1], attempt="a2"), 67.0)
    effects += session.tick(70.0)
    for chunk in large:
        effects += session.received(replace(chunk, attempt="a2"), 71.0)
    sent = [effect.message for effect in effects if isinstance(effect, Send)]
    assert [type(message) for message in sent] == [Chunk, Resume, Missing, Done]
    assert {getattr(message, "attempt", "") for message in sent} == {"a2"}


def test_a_relay_or_broker_of_a_former_terralive_names_no_attempt_and_is_understood() -> None:
    session, _ = retried()
    session.received(Ack("r1", "fn"), 61.1)
    assert Finish(Outcome(b'"ok"')) in session.received(result()[0], 62.0)


def test_a_result_that_cannot_be_read_is_an_error_never_a_success() -> None:
    (chunk,) = split(Kind.RESULT, "r1", "fn", b"no header")
    assert error_of(owned().received(chunk, 1.0)) == "Terralive.Protocol"

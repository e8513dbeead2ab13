"""A relay, as the developer and the callers see it, when messages are repeated, lost or late.

Time is a parameter.
"""

from __future__ import annotations

import json
import random
from collections import OrderedDict
from collections.abc import ItemsView, Iterator, ValuesView
from dataclasses import replace

import pytest

from terralive_relay.events import (
    ConnectionChanged,
    ConnectionState,
    Delivered,
    FallbackAnswered,
    InvocationFinished,
    InvocationStarted,
    Warned,
)
from terralive_relay.session.effects import (
    Close,
    Effect,
    Publish,
    Remember,
    Renew,
    Run,
    Send,
    Stop,
    StopReason,
)
from terralive_relay.session.invocation_store import (
    KEEP_BYTES,
    LATE_SECONDS,
    REMEMBER_ATTEMPTS,
    Entry,
    InvocationStore,
)
from terralive_relay.session.journal import Seen
from terralive_relay.session.leasing import (
    ANSWER_SECONDS,
    RENEW_AGAIN_SECONDS,
    RENEW_SECONDS,
    RETIRED_SECONDS,
    WAKE_SECONDS,
    RelayIdentity,
)
from terralive_relay.session.session import RelaySession
from terralive_stub.protocol.chunks import CHUNK_BYTES, Assembler, split
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome, Printed
from terralive_stub.protocol.limits import SYNCHRONOUS_PAYLOAD_BYTES
from terralive_stub.protocol.messages import (
    Ack,
    Chunk,
    Done,
    FallbackCount,
    Goodbye,
    Heartbeat,
    Hello,
    Kind,
    LeaseRefused,
    Message,
    Missing,
    Problem,
    ProtocolError,
    Released,
    Resume,
    TakenOver,
    Unknown,
    Welcome,
)
from terralive_stub.protocol.payloads import pack_invocation, unpack_logs, unpack_outcome

NOW_MS = 1_700_000_000_000
WELCOME = Welcome("life", 60_000, 20_000)
OK = Outcome(b'"ok"')
HELLO = Hello("life", ("fn",), "ana", "laptop")


def live(*, takeover: bool = False, store: InvocationStore | None = None) -> RelaySession:
    identity = RelayIdentity("life", ("fn",), "ana", "laptop", takeover)
    session = RelaySession(identity, store=store)
    assert session.leasing.opened(1, 0.0) == [
        Send(1, Hello("life", ("fn",), "ana", "laptop", takeover))
    ]
    assert session.received(1, WELCOME, 0.1, NOW_MS) == [
        Publish(ConnectionChanged(ConnectionState.CONNECTED, ""))
    ]
    return session


def invoke(
    event: bytes = b"{}",
    *,
    peer: str = "c1",
    remaining_s: float = 3.0,
    attempt: str = "a1",
    request_id: str = "r1",
    began_ms: int = 0,
) -> tuple[Chunk, ...]:
    call = Invocation(request_id, "fn", "fn", Deadline(remaining_s), event, began_ms=began_ms)
    payload = pack_invocation(call, now=0.0)
    return split(Kind.INVOKE, request_id, "fn", payload, peer=peer, attempt=attempt)


def receive(session: RelaySession, *messages: Message, now: float = 1.0) -> list[Effect]:
    return [effect for message in messages for effect in session.received(1, message, now, NOW_MS)]


def sent(effects: list[Effect]) -> list[Message]:
    return [effect.message for effect in effects if isinstance(effect, Send)]


def runs(effects: list[Effect]) -> int:
    return sum(isinstance(effect, Run) for effect in effects)


def outcome_in(effects: list[Effect], *, peer: str) -> Outcome:
    assembler, payload = Assembler(), None
    for message in sent(effects):
        assert isinstance(message, Chunk)
        assert message.peer == peer
        payload = assembler.add(message, 0.0)
    assert payload is not None
    return unpack_outcome(payload)


def test_an_invocation_is_acknowledged_and_run_and_its_result_sent_to_the_asker() -> None:
    session = live()
    effects = receive(session, *invoke())
    assert sent(effects) == [Ack("r1", "fn", "c1", "a1")]
    assert runs(effects) == 1
    assert (
        outcome_in(
            session.invocations.finished("a1", OK, 5.0, 2.0, answered_by_lambda=False), peer="c1"
        )
        == OK
    )


def test_lines_of_a_running_handler_go_to_the_newest_connection() -> None:
    session = live()
    receive(session, *invoke())
    receive(session, *invoke(peer="c2"))
    (chunk,) = sent(session.invocations.printed("r1", Printed(3, "hello\n")))
    assert isinstance(chunk, Chunk)
    assert (chunk.kind, chunk.peer, unpack_logs(chunk.data)) == (
        Kind.LOGS,
        "c2",
        Printed(3, "hello\n"),
    )


def test_lines_of_an_invocation_that_is_unknown_or_over_are_not_sent() -> None:
    session = live()
    receive(session, *invoke())
    assert session.invocations.printed("unknown", Printed(0, "hello\n")) == []
    session.invocations.finished("a1", OK, 5.0, 2.0, answered_by_lambda=False)
    assert session.invocations.printed("r1", Printed(0, "late\n")) == []
    receive(session, *invoke())
    session.leasing.closed(1, 3.0, "reset", 0.1)
    assert session.invocations.printed("r1", Printed(0, "hello\n")) == []


def test_a_result_over_the_limit_keeps_the_last_lines() -> None:
    session = live()
    receive(session, *invoke())
    too_large = Outcome(bytes(SYNCHRONOUS_PAYLOAD_BYTES + 1), logs=Printed(0, "hello\n"))
    outcome = outcome_in(
        session.invocations.finished("a1", too_large, 5.0, 2.0, answered_by_lambda=False), peer="c1"
    )
    assert (outcome.error_type, outcome.logs.text) == ("Function.ResponseSizeTooLarge", "hello\n")


def test_lines_that_would_cost_a_result_its_way_are_left_out() -> None:
    session = live()
    receive(session, *invoke())
    largest = Outcome(bytes(SYNCHRONOUS_PAYLOAD_BYTES), logs=Printed(0, "\x00" * 180_000))
    outcome = outcome_in(
        session.invocations.finished("a1", largest, 5.0, 2.0, answered_by_lambda=False), peer="c1"
    )
    assert (outcome.ok, outcome.logs.text) == (True, "")


def test_a_repeated_invocation_runs_once_and_is_acknowledged_to_the_newest_connection() -> None:
    session = live()
    receive(session, *invoke())
    again = receive(session, *invoke(peer="c2"))
    assert (runs(again), sent(again)) == (0, [Ack("r1", "fn", "c2", "a1")])
    assert (
        outcome_in(
            session.invocations.finished("a1", OK, 5.0, 2.0, answered_by_lambda=False), peer="c2"
        )
        == OK
    )


def test_a_finished_invocation_that_is_sent_again_gets_its_result_again() -> None:
    session = live()
    receive(session, *invoke())
    session.invocations.finished("a1", OK, 5.0, 2.0, answered_by_lambda=False)
    assert outcome_in(receive(session, *invoke(peer="c2")), peer="c2") == OK
    assert outcome_in(receive(session, Resume("r1", "fn", "c3", "a1")), peer="c3") == OK


def test_a_result_made_while_disconnected_is_sent_after_the_return_until_it_has_arrived() -> None:
    session = live()
    receive(session, *invoke())
    session.leasing.closed(1, 2.0, "reset", 0.1)
    assert sent(session.invocations.finished("a1", OK, 5.0, 2.5, answered_by_lambda=False)) == []
    session.leasing.opened(1, 4.0)
    back, *waiting = session.received(1, WELCOME, 4.1, NOW_MS)
    assert back == Publish(ConnectionChanged(ConnectionState.CONNECTED, "back after 2.1 s"))
    assert outcome_in(waiting, peer="c1") == OK
    receive(session, Done("r1", "fn", "c1", "a1"))
    session.leasing.closed(1, 5.0, "reset", 0.1)
    session.leasing.opened(1, 5.5)
    assert sent(session.received(1, WELCOME, 5.6, NOW_MS)) == []


def test_a_lost_connection_is_reported_once() -> None:
    session = live()
    assert len(session.leasing.closed(1, 1.0, "reset", 0.1)) == 1
    assert session.leasing.closed(1, 1.2, "reset", 0.5) == []


def test_missing_parts_of_a_result_are_sent_again() -> None:
    session = live()
    receive(session, *invoke())
    body = random.Random(1).randbytes(2 * CHUNK_BYTES)
    chunks = sent(
        session.invocations.finished("a1", Outcome(body), 5.0, 2.0, answered_by_lambda=False)
    )
    missing = Missing(Kind.RESULT, "r1", "fn", (1, 99), "c1", "a1")
    assert sent(receive(session, missing, now=4.0)) == [chunks[1]]


def test_missing_parts_of_an_invocation_are_asked_for() -> None:
    session = live()
    chunks = invoke(random.Random(1).randbytes(2 * CHUNK_BYTES))
    assert receive(session, chunks[2], chunks[0]) == []
    assert sent(session.tick(2.0)) == [Missing(Kind.INVOKE, "r1", "fn", (1,), "c1", "a1")]
    assert runs(receive(session, chunks[1], now=2.1)) == 1


def test_nothing_is_asked_for_without_the_lease() -> None:
    session = live()
    receive(session, invoke(random.Random(1).randbytes(2 * CHUNK_BYTES))[0])
    session.leasing.closed(1, 1.5, "reset", 0.1)
    assert session.tick(3.0) == []


def test_a_function_outside_the_configuration_is_refused() -> None:
    chunk = Chunk(Kind.INVOKE, "r1", "evil", 0, 1, 1, "raw", b"x", "c1")
    with pytest.raises(ProtocolError):
        receive(live(), chunk)


def test_a_payload_that_names_another_invocation_is_refused() -> None:
    payload = pack_invocation(Invocation("r2", "fn", "fn", Deadline(1.0), b""), now=0.0)
    with pytest.raises(ProtocolError):
        receive(live(), *split(Kind.INVOKE, "r1", "fn", payload))


def test_an_expired_invocation_is_not_run_but_its_retry_is() -> None:
    """Lambda retries an asynchronous invocation under the same request id."""
    session = live()
    (reported,) = receive(session, *invoke(remaining_s=0.0))
    assert isinstance(reported, Publish)
    assert isinstance(reported.event, Warned)
    assert reported.event.reference == "invocation-expired"
    assert runs(receive(session, *invoke())) == 1


def test_a_restarted_relay_does_not_know_and_does_not_run() -> None:
    assert receive(live(), Resume("r1", "fn", "c1", "a1")) == [
        Send(1, Unknown("r1", "fn", "c1", "a1"))
    ]


def test_what_fallbacks_have_answered_is_published_when_the_relay_connects() -> None:
    effects = receive(live(), FallbackCount("fn", 12, 1, 1_700_000_000_123))
    published = FallbackAnswered(
        function="fn", answered=12, failed=1, since="2023-11-14T22:13:20.123Z"
    )
    assert effects == [Publish(published)]


def test_a_response_over_lambdas_limit_gets_lambdas_own_error() -> None:
    session = live()
    receive(session, *invoke())
    effects = session.invocations.finished(
        "a1", Outcome(bytes(SYNCHRONOUS_PAYLOAD_BYTES + 1)), 5.0, 2.0, answered_by_lambda=False
    )
    *chunks, reported = effects
    assert outcome_in(chunks, peer="c1").error_type == "Function.ResponseSizeTooLarge"
    assert isinstance(reported, Publish)
    assert isinstance(reported.event, InvocationFinished)
    assert not reported.event.ok


def test_a_result_that_has_arrived_tells_its_round_trip_once() -> None:
    session = live()
    receive(session, *invoke(), now=1.0)
    done = Done("r1", "fn", "c1", "a1")
    assert delivered(receive(session, done, now=1.2)) == []
    session.invocations.finished("a1", OK, 5.0, 1.5, answered_by_lambda=False)

    (event,) = delivered(receive(session, done, now=1.75))
    assert (event.request_id, event.function, event.round_trip_ms) == ("r1", "fn", 750.0)
    assert delivered(receive(session, done, now=1.8)) == []


def delivered(effects: list[Effect]) -> list[Delivered]:
    events = [effect.event for effect in effects if isinstance(effect, Publish)]
    return [event for event in events if isinstance(event, Delivered)]


def test_a_handler_that_lambda_timed_out_sends_nothing() -> None:
    session = live()
    receive(session, *invoke())
    assert sent(session.invocations.finished("a1", OK, 5.0, 2.0, answered_by_lambda=True)) == []


def test_a_held_stage_and_a_taken_over_one_have_different_reasons() -> None:
    fresh = RelaySession(RelayIdentity("life", ("fn",), "ana", "laptop"))
    fresh.leasing.opened(1, 0.0)
    assert receive(fresh, LeaseRefused("ben", "pc", 7)) == [Stop(StopReason.HELD, "ben", "pc", 7)]
    assert receive(live(), LeaseRefused("ben", "pc", 7)) == [
        Stop(StopReason.TAKEN_OVER, "ben", "pc", 7)
    ]
    assert receive(live(), TakenOver("ben", "pc")) == [Stop(StopReason.TAKEN_OVER, "ben", "pc")]


@pytest.mark.parametrize("ending", [TakenOver("ben", "pc"), LeaseRefused("ben", "pc", 7)])
def test_what_ends_after_a_takeover_is_answered_by_the_new_holder(ending: Message) -> None:
    session = live()
    receive(session, *invoke(), ending)
    finished = session.invocations.finished("a1", OK, 5.0, 2.0, answered_by_lambda=False)
    assert (sent(finished), session.leasing.goodbye()) == ([], [])


def test_takeover_is_asked_for_once_so_two_relays_do_not_take_turns() -> None:
    session = live(takeover=True)
    session.leasing.closed(1, 1.0, "reset", 0.1)
    assert session.leasing.opened(1, 2.0) == [
        Send(1, Hello("life", ("fn",), "ana", "laptop", takeover=False))
    ]


def test_heartbeats_are_sent_and_an_unanswered_one_costs_the_connection() -> None:
    session = live()
    assert session.tick(20.2) == [Send(1, Heartbeat("life"))]
    session.received(1, WELCOME, 20.3, NOW_MS)
    assert session.tick(40.3) == [Send(1, Heartbeat("life"))]
    (drop,) = session.tick(40.3 + ANSWER_SECONDS)
    assert isinstance(drop, Close)


def test_a_lease_that_ran_out_during_sleep_is_asked_for_again_once_and_quietly() -> None:
    session = live()
    problem = Problem("no-lease", "text")
    assert [type(message) for message in sent(receive(session, problem, problem))] == [Hello]


def test_a_leaving_relay_waits_until_its_lease_is_given_back() -> None:
    session = live()
    assert session.leasing.goodbye() == [Send(1, Goodbye("life"))]
    assert session.leasing.held
    receive(session, Released("life"))
    assert not session.leasing.held


def test_each_reason_why_a_connection_does_not_come_back_is_reported_once() -> None:
    session = RelaySession(RelayIdentity("r", ("fn",), "ana", "laptop"))
    session.leasing.opened(1, 0.0)

    reasons = [
        "closed (1001)",
        "SSO session has expired",
        "SSO session has expired",
        "closed (1001)",
    ]
    reported = [session.leasing.closed(1, float(at), why, 1.0) for at, why in enumerate(reasons)]

    assert [len(effects) for effects in reported] == [1, 1, 0, 0]


OK_1 = Outcome(b"1")


def reconnected(session: RelaySession, now: float) -> list[Effect]:
    """Lose the connection and get the lease on another one; what is said then."""
    session.leasing.closed(1, now, "reset", 0.1)
    session.leasing.opened(1, now)
    return session.received(1, WELCOME, now, NOW_MS)


def attempt_of(name: str) -> str:
    return f"{name}/1"


def resume(session: RelaySession, name: str) -> list[Effect]:
    """Ask for an invocation over another connection."""
    return receive(session, Resume(name, "fn", "c2", attempt_of(name)))


def run_through(
    session: RelaySession,
    name: str,
    *,
    body: bytes = b"1",
    now: float = 1.0,
    confirm: bool = True,
) -> None:
    chunks = invoke(request_id=name, attempt=attempt_of(name))
    assert runs(receive(session, *chunks, now=now)) == 1
    session.invocations.finished(
        attempt_of(name), Outcome(body), 5.0, now, answered_by_lambda=False
    )
    if confirm:
        receive(session, Done(name, "fn", "c1", attempt_of(name)), now=now)


def test_a_result_is_kept_until_its_stub_has_it_and_the_attempt_is_never_run_again() -> None:
    session = live()
    run_through(session, "r2", confirm=False)
    assert outcome_in(resume(session, "r2"), peer="c2") == OK_1
    receive(session, Done("r2", "fn", "c2", attempt_of("r2")))
    assert session.invocations.store.result_bytes == 0
    assert sent(resume(session, "r2")) == [Unknown("r2", "fn", "c2", attempt_of("r2"))]
    again = receive(session, *invoke(request_id="r2", attempt=attempt_of("r2"), peer="c3"))
    assert (runs(again), sent(again)) == (0, [Unknown("r2", "fn", "c3", attempt_of("r2"))])


def test_an_unconfirmed_result_is_sent_again_until_its_time_is_over() -> None:
    """The message `done` can be lost.

    Else a relay that returns often would send 16 minutes of results each time.
    """
    session = live()
    run_through(session, "r2", now=1.0, confirm=False)  # 3 s are allowed
    assert outcome_in(reconnected(session, 3.0), peer="c1") == OK_1
    session.tick(3.9 + LATE_SECONDS)
    assert outcome_in(reconnected(session, 3.9 + LATE_SECONDS), peer="c1") == OK_1
    session.tick(4.0 + LATE_SECONDS)
    assert sent(reconnected(session, 5.0 + LATE_SECONDS)) == []
    assert session.invocations.store.result_bytes == 0


def test_a_handler_that_runs_for_long_keeps_no_other_result_in_memory() -> None:
    """Entries stand in the order in which they began; what counts is when they are over."""
    session = live()
    receive(session, *invoke(request_id="long", attempt="long/1", remaining_s=900.0))
    run_through(session, "r2", now=2.0, confirm=False)
    session.tick(5.0 + LATE_SECONDS)
    assert session.invocations.store.result_bytes == 0
    session.invocations.finished("long/1", OK, 5.0, 800.0, answered_by_lambda=False)
    session.tick(900.0)
    assert sent(resume(session, "r2")) == [Unknown("r2", "fn", "c2", attempt_of("r2"))]
    assert outcome_in(resume(session, "long"), peer="c2") == OK


def test_when_memory_is_short_the_oldest_results_go_first() -> None:
    session = live()
    size = 6 * 1024 * 1024
    for number in range(KEEP_BYTES // size + 3):
        run_through(session, f"r{number}", body=bytes(size), confirm=False)
        assert session.invocations.store.result_bytes <= KEEP_BYTES
    assert sent(resume(session, "r0")) == [Unknown("r0", "fn", "c2", attempt_of("r0"))]
    last = KEEP_BYTES // size + 2
    assert outcome_in(resume(session, f"r{last}"), peer="c2").body == bytes(size)


def test_what_is_remembered_of_attempts_is_bounded() -> None:
    session = live()
    store = session.invocations.store
    for number in range(REMEMBER_ATTEMPTS):
        entry = Entry(f"a{number}", f"r{number}", "fn", "c1", awaited_until=1.0, seen=Seen(1, 0))
        store.add(entry)
        store.finish(entry, b"", now=100.0)
    run_through(session, "more")
    assert len(store.entries) == len(store._newest) == REMEMBER_ATTEMPTS
    assert len(store.results) == store.result_bytes == 0


class CountingDict(OrderedDict[str, Entry]):
    """Counts the entries that were looked at."""

    looked_at = 0

    def __iter__(self) -> Iterator[str]:
        for key in super().__iter__():
            self.looked_at += 1
            yield key

    def __getitem__(self, key: str) -> Entry:
        self.looked_at += 1
        return super().__getitem__(key)

    def values(self) -> ValuesView[Entry]:  # type: ignore[override]  # typeshed names CPython's own view types
        return ValuesView(self)

    def items(self) -> ItemsView[str, Entry]:  # type: ignore[override]  # likewise
        return ItemsView(self)


def test_a_tick_costs_the_same_however_much_is_remembered() -> None:
    entries = CountingDict()
    session = live(store=InvocationStore(entries))
    for number in range(500):
        run_through(session, f"r{number}", now=1.0 + number / 1000, confirm=number % 2 == 0)
    entries.looked_at = 0
    session.tick(2.0)
    assert entries.looked_at <= 2


def test_the_lease_moves_to_a_second_connection_before_the_first_is_closed() -> None:
    session = live()
    session.received(1, WELCOME, RENEW_SECONDS, NOW_MS)
    assert session.tick(0.1 + RENEW_SECONDS)[-1] == Renew()
    assert session.leasing.opened(2, 6400.0) == [
        Send(2, Hello("life", ("fn",), "ana", "laptop", renewal=True))
    ]
    ack = session.received(1, invoke()[0], 6400.1, NOW_MS)[0]
    assert ack == Send(
        1, Ack("r1", "fn", "c1", "a1")
    )  # the first one has the lease until the second one is welcome
    assert session.received(2, WELCOME, 6400.2, NOW_MS) == [Send(2, Ack("r1", "fn", "c1", "a1"))]
    done = session.invocations.finished("a1", OK, 1.0, 6400.3, answered_by_lambda=False)
    assert {effect.connection for effect in done if isinstance(effect, Send)} == {2}
    late = split(
        Kind.INVOKE,
        "r2",
        "fn",
        pack_invocation(Invocation("r2", "fn", "fn", Deadline(0.099), b"{}"), now=0.0),
    )
    assert (
        runs(session.received(1, late[0], 6400.4, NOW_MS)) == 1
    )  # a broker had not heard of it yet
    assert Close(1, "renewed") in session.tick(6400.2 + RETIRED_SECONDS)
    assert session.leasing.closed(1, 6406.0, "renewed", None) == []
    assert session.next_tick(6406.0) > 6406.0


def test_a_message_that_was_denied_while_the_lease_moved_is_sent_again() -> None:
    session = live()
    receive(session, *invoke())
    session.invocations.finished("a1", OK, 1.0, 2.0, answered_by_lambda=False)
    session.leasing.opened(2, 3.0)
    assert session.received(1, Problem("no-lease", ""), 3.1, NOW_MS) in ([], [Send(1, HELLO)])
    effects = session.received(2, WELCOME, 3.2, NOW_MS)
    assert outcome_in(effects, peer="c1") == OK


def test_a_second_connection_that_fails_costs_nothing_and_is_tried_again() -> None:
    session = live()
    session.tick(0.1 + RENEW_SECONDS)
    assert session.leasing.closed(2, 6400.0, "HTTP 429", None) == []
    session.received(1, WELCOME, 6400.0, NOW_MS)
    assert Renew() in session.tick(6400.0 + RENEW_AGAIN_SECONDS)
    session.leasing.opened(3, 6500.0)
    assert Close(3, "the debug stack did not answer in time") in session.tick(
        6500.0 + ANSWER_SECONDS
    )
    assert session.leasing.held


def test_a_first_connection_that_dies_while_the_lease_moves_is_no_loss() -> None:
    session = live()
    session.leasing.opened(2, 3.0)
    assert session.leasing.closed(1, 3.1, "reset", None) == []
    assert session.received(2, WELCOME, 3.2, NOW_MS) == [
        Publish(ConnectionChanged(ConnectionState.CONNECTED, ""))
    ]


def test_after_sleep_a_dead_connection_is_found_out_within_seconds() -> None:
    session = live()
    assert session.leasing.woke(10.0) == [Send(1, Heartbeat("life"))]
    (close,) = session.tick(10.0 + WAKE_SECONDS)
    assert isinstance(close, Close)
    session.leasing.closed(1, 14.0, "did not answer", 0.1)
    assert session.leasing.woke(15.0) == []


def test_a_changed_network_costs_every_connection_at_once() -> None:
    session = live()
    session.leasing.opened(2, 3.0)
    assert [
        effect.connection
        for effect in session.leasing.network_changed()
        if isinstance(effect, Close)
    ] == [1, 2]


def test_an_invocation_that_never_arrives_whole_is_reported_and_forgotten() -> None:
    session = live()
    receive(session, invoke(random.Random(1).randbytes(3 * CHUNK_BYTES))[0])
    reported = [effect.event for effect in session.tick(40.0) if isinstance(effect, Publish)]
    (warned,) = [event for event in reported if isinstance(event, Warned)]
    assert warned.reference == "invocation-incomplete"
    assert "r1" in warned.message


def test_a_heartbeat_of_no_time_at_all_does_not_make_the_relay_spin() -> None:
    session = live()
    session.received(1, Welcome("life", 60_000, 0), 1.0, NOW_MS)
    beats = 0
    for step in range(100):
        beats += len(
            [effect for effect in session.tick(1.0 + step / 10) if isinstance(effect, Send)]
        )
        session.received(1, Welcome("life", 60_000, 0), 1.0 + step / 10, NOW_MS)
    assert beats <= 11


def started(effects: list[Effect]) -> InvocationStarted:
    (event,) = [
        effect.event
        for effect in effects
        if isinstance(effect, Publish) and isinstance(effect.event, InvocationStarted)
    ]
    return event


def test_a_retry_after_a_restart_is_shown_as_one_with_its_attempt_and_age() -> None:
    first = live()
    (note,) = [effect for effect in receive(first, *invoke()) if isinstance(effect, Remember)]
    second = RelaySession(
        RelayIdentity("life", ("fn",), "ana", "laptop"), seen={note.request_id: note.seen}
    )
    second.leasing.opened(1, 0.0)
    second.received(1, WELCOME, 0.1, NOW_MS)
    effects = second.received(1, invoke()[0], 63.0, NOW_MS + 63_000)
    assert (started(effects).attempt, started(effects).age_s) == (2, 63.0)
    assert runs(effects) == 1


def test_an_invocation_that_came_late_is_shown_with_its_age() -> None:
    """Its trace began when Lambda accepted the event."""
    trace = f"Root=1-{NOW_MS // 1000 - 185:08x}-000000000000000000000000;Sampled=0"
    call = Invocation("r1", "fn", "fn", Deadline(3.0), b"{}", trace_id=trace)
    (chunk,) = split(Kind.INVOKE, "r1", "fn", pack_invocation(call, now=0.0), peer="c1")
    event = started(receive(live(), chunk))
    assert (event.attempt, event.age_s) == (1, 185.0)


def test_a_retry_of_lambdas_runs_the_handler_again_and_is_shown_with_its_attempt_and_age() -> None:
    session = live()
    first = receive(session, *invoke())
    assert (started(first).attempt, started(first).after_first_s) == (1, 0.0)
    session.invocations.finished(
        "a1", Outcome(b"{}", "ValueError"), 1.0, 1.0, answered_by_lambda=False
    )
    receive(session, Done("r1", "fn", "c1", "a1"))
    effects = session.received(1, invoke(peer="c2", attempt="a2")[0], 62.0, NOW_MS + 61_000)
    assert (started(effects).attempt, started(effects).after_first_s) == (2, 61.0)
    assert run_of(effects) == ("a2", ())
    assert sent(effects) == [Ack("r1", "fn", "c2", "a2")]
    finished = session.invocations.finished("a2", OK, 1.0, 63.0, answered_by_lambda=False)
    assert outcome_in(finished, peer="c2") == OK
    assert {message.attempt for message in sent(finished) if isinstance(message, Chunk)} == {"a2"}


def run_of(effects: list[Effect]) -> tuple[str, tuple[str, ...]]:
    """Return the attempt that is run, and those that it replaces."""
    (run,) = [effect for effect in effects if isinstance(effect, Run)]
    return run.invocation.attempt, run.replaces


def test_a_former_attempt_that_still_runs_is_ended_before_the_retry_runs() -> None:
    session = live()
    receive(session, *invoke())
    assert run_of(receive(session, *invoke(peer="c2", attempt="a2"), now=2.0)) == ("a2", ("a1",))
    session.invocations.finished("a1", OK, 1.0, 2.1, answered_by_lambda=False)
    assert run_of(receive(session, *invoke(peer="c3", attempt="a3"), now=3.0)) == ("a3", ("a2",))


def test_a_late_repetition_of_a_former_attempt_changes_nothing_for_the_newer_one() -> None:
    session = live()
    receive(session, *invoke())
    session.invocations.finished("a1", OK_1, 1.0, 1.0, answered_by_lambda=False)
    receive(session, *invoke(peer="c2", attempt="a2"))
    late = receive(session, *invoke(peer="c1"), now=2.0)
    assert (runs(late), outcome_in(late, peer="c1")) == (0, OK_1)
    receive(session, Done("r1", "fn", "c1", "a1"))
    assert sent(receive(session, Resume("r1", "fn", "c2", "a2"))) == [Ack("r1", "fn", "c2", "a2")]


def test_an_attempt_that_comes_after_a_newer_one_is_not_run() -> None:
    """It was under way for longer than Lambda waits before a retry: nobody waits for it."""
    session = live()
    assert runs(receive(session, *invoke(attempt="a2", began_ms=61_000))) == 1
    assert receive(session, *invoke(attempt="a1", began_ms=1_000)) == []
    assert runs(receive(session, *invoke(attempt="a3", began_ms=181_000))) == 1


def test_a_stub_that_names_no_attempt_has_its_request_id_run_once() -> None:
    """A stub of a former terralive, until the next start has replaced it."""
    session = live()
    assert runs(receive(session, *invoke(attempt=""))) == 1
    again = receive(session, *invoke(attempt="", peer="c2"))
    assert (runs(again), sent(again)) == (0, [Ack("r1", "fn", "c2", "r1")])
    session.invocations.finished("r1", OK, 1.0, 2.0, answered_by_lambda=False)
    assert outcome_in(receive(session, Resume("r1", "fn", "c3")), peer="c3") == OK
    assert sent(receive(session, Done("r1", "fn", "c3"))) == []
    assert session.invocations.store.result_bytes == 0


def test_another_request_cannot_take_the_name_of_an_attempt() -> None:
    session = live()
    receive(session, *invoke())
    with pytest.raises(ProtocolError, match="another invocation's attempt"):
        receive(session, *invoke(request_id="r2"))
    question = Resume("r2", "fn", "c2", "a1")
    assert sent(receive(session, question)) == [Unknown("r2", "fn", "c2", "a1")]


def test_a_function_can_neither_end_nor_repeat_another_ones_invocation() -> None:
    session = RelaySession(RelayIdentity("life", ("fn", "other"), "ana", "laptop"))
    session.leasing.opened(1, 0.0)
    session.received(1, WELCOME, 0.1, NOW_MS)
    receive(session, *invoke(fifo("m1")))
    for attempt in ("a1", "a2", ""):
        call = Invocation("r1", "other", "other", Deadline(3.0), fifo("m1"))
        payload = pack_invocation(call, now=0.0)
        chunks = split(Kind.INVOKE, "r1", "other", payload, peer="c2", attempt=attempt)
        with pytest.raises(ProtocolError, match="another"):
            receive(session, *chunks)
    call = Invocation("r2", "other", "other", Deadline(3.0), fifo("m1"))
    payload = pack_invocation(call, now=0.0)
    effects = receive(session, *split(Kind.INVOKE, "r2", "other", payload, attempt="a3"))
    assert run_of(effects) == ("a3", ()), "another function has the same message"


def fifo(message: str) -> bytes:
    queue = "arn:aws:sqs:us-east-1:123456789012:orders.fifo"
    return json.dumps({"Records": [{"messageId": message, "eventSourceARN": queue}]}).encode()


def test_a_fifo_message_never_has_two_handlers_at_once() -> None:
    """It is delivered again with another request id. Other messages run beside it."""
    session = live()
    receive(session, *invoke(fifo("m1"), request_id="r1", attempt="a1"))
    assert run_of(receive(session, *invoke(fifo("m2"), request_id="r2", attempt="a2"))) == (
        "a2",
        (),
    )
    again = receive(session, *invoke(fifo("m1"), request_id="r3", attempt="a3"))
    assert run_of(again) == ("a3", ("a1",))
    session.invocations.finished("a1", OK, 1.0, 2.0, answered_by_lambda=False)
    session.invocations.finished("a3", OK, 1.0, 2.0, answered_by_lambda=False)
    after = receive(session, *invoke(fifo("m1"), request_id="r4", attempt="a4"))
    assert run_of(after) == ("a4", ())


def test_a_message_of_a_standard_queue_may_have_two_handlers() -> None:
    session = live()
    event = fifo("m1").replace(b".fifo", b"")
    receive(session, *invoke(event, request_id="r1", attempt="a1"))
    effects = receive(session, *invoke(event, request_id="r2", attempt="a2"))
    assert run_of(effects) == ("a2", ())


def test_after_a_takeover_the_end_of_the_connection_is_no_news() -> None:
    session = live()
    assert len(session.received(1, TakenOver("ben", "vm"), 1.0, NOW_MS)) == 1
    assert session.leasing.closed(1, 1.1, "closed", 0.1) == []
    assert [type(effect) for effect in session.leasing.opened(2, 1.3)] == [Close]
    assert session.received(1, LeaseRefused("ben", "vm", 1), 1.4, NOW_MS) == []


# Other functions while the relay runs


def serves_all(session: RelaySession) -> bool:
    """Tell whether the broker knows all functions of the relay."""
    return session.leasing.is_serving


def test_the_broker_is_told_of_other_functions_and_the_lease_stays() -> None:
    session = live()
    assert serves_all(session)
    effects = session.serve(("fn", "new"), {"new": "the new one"}, 1.0)
    assert effects == [Send(1, Hello("life", ("fn", "new"), "ana", "laptop"))]
    assert session.leasing.held
    assert not serves_all(session)
    assert receive(session, WELCOME) == []
    assert serves_all(session)


def test_the_broker_is_not_told_of_other_code_of_the_same_functions() -> None:
    session = live()
    assert session.serve(("fn",), {}, 1.0) == []
    assert serves_all(session)


def test_an_answer_to_a_heartbeat_is_not_taken_for_one_to_the_other_functions() -> None:
    session = live()
    (heartbeat,) = sent(session.tick(20.2))
    assert isinstance(heartbeat, Heartbeat)
    assert session.serve(("new",), {}, 20.3) == []
    (hello,) = sent(receive(session, WELCOME, now=20.4))
    assert hello == Hello("life", ("new",), "ana", "laptop")
    assert not serves_all(session)
    assert receive(session, WELCOME, now=20.5) == []
    assert serves_all(session)


def test_a_relay_without_a_connection_tells_its_functions_with_the_next_one() -> None:
    session = live()
    session.leasing.closed(1, 1.0, "gone", 0.5)
    assert session.serve(("new",), {}, 1.1) == []
    assert sent(session.leasing.opened(2, 2.0)) == [Hello("life", ("new",), "ana", "laptop")]
    session.received(2, WELCOME, 2.1, NOW_MS)
    assert serves_all(session)


def test_functions_are_told_again_where_the_lease_moves_to_a_connection_that_knows_others() -> None:
    session = live()
    assert sent(session.leasing.opened(2, 1.0)) == [replace(HELLO, renewal=True)]
    assert sent(session.serve(("new",), {}, 1.1)) == [replace(HELLO, functions=("new",))]
    again = session.received(2, WELCOME, 1.2, NOW_MS)
    assert again == [Send(2, replace(HELLO, functions=("new",)))]
    assert not serves_all(session)
    session.received(2, WELCOME, 1.3, NOW_MS)
    assert serves_all(session)


def test_a_connection_without_an_answer_about_other_functions_is_closed() -> None:
    session = live()
    session.serve(("new",), {}, 1.0)
    assert session.tick(1.0 + ANSWER_SECONDS) == [
        Close(1, "the debug stack did not answer in time")
    ]


def test_an_invocation_under_way_ends_after_its_function_is_not_served_any_more() -> None:
    session = live()
    receive(session, *invoke())
    session.serve(("new",), {}, 1.1)
    effects = session.invocations.finished("a1", OK, 5.0, 2.0, answered_by_lambda=False)
    assert outcome_in(effects, peer="c1") == OK
    with pytest.raises(ProtocolError, match="is not a function"):
        receive(session, replace(invoke()[0], request_id="r2"))

"""The broker: who may send which message to whom, and who holds the lease."""

from __future__ import annotations

from dataclasses import replace

import pytest

from terralive_stub.broker.exchange import Exchange
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.broker.leases import CLOCK_MS, LEASE_MS, RETURN_MS, Lease
from terralive_stub.protocol.chunks import split
from terralive_stub.protocol.messages import (
    Ack,
    Chunk,
    EnvironmentMissing,
    FallbackCount,
    FellBack,
    Goodbye,
    Heartbeat,
    Hello,
    Kind,
    LeaseRefused,
    Message,
    NoRelay,
    Problem,
    Released,
    Resume,
    TakenOver,
    Undeliverable,
    Welcome,
)
from terralive_stub.protocol.token import Api
from terralive_stub.protocol.wire import encode
from terralive_testing.fakes.broker import FakeGateway, FakeTable

ANA = "arn:aws:sts::1:assumed-role/Developer/ana"
BEN = "arn:aws:sts::1:assumed-role/Operator/ben"
# The ARNs of functions, shortened.
STUB = "fn"
OTHER = "other"


class Stage:
    """A broker, its table and gateway, and the messages of a test, at a time that the test sets."""

    def __init__(self) -> None:
        self.table, self.gateway, self.now = FakeTable(), FakeGateway(), 1_000_000
        self.exchange = Exchange(self.table, self.gateway)

    def connect(self, name: str, arn: str) -> None:
        api = Api.RELAY if name.startswith("relay") else Api.STUB
        self.exchange.connect(name, api, arn, self.now)

    def say(self, name: str, message: Message) -> list[Message]:
        self.exchange.message(name, encode(message), self.now)
        return self.gateway.take(name)

    def hello(
        self, name: str = "relay1", arn: str = ANA, *, takeover: bool = False, life: str = ""
    ) -> Message:
        self.connect(name, arn)
        owner = arn.rpartition("/")[2]
        (answer,) = self.say(
            name, Hello(life or name, ("fn", "other"), owner, f"{owner}s-laptop", takeover)
        )
        return answer


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    assert isinstance(stage.hello(), Welcome)
    stage.connect("stub1", STUB)
    return stage


def invoke(function: str = "fn", data: bytes = b"x", *, sent_ms: int = 0) -> Chunk:
    return Chunk(
        Kind.INVOKE, "r1", function, 0, 1, len(data), "raw", data, peer="forged", sent_ms=sent_ms
    )


def result(peer: str = "stub1", function: str = "fn") -> Chunk:
    return Chunk(Kind.RESULT, "r1", function, 0, 1, 1, "raw", b"x", peer=peer)


def reference(messages: list[Message]) -> str:
    (problem,) = messages
    assert isinstance(problem, Problem)
    return problem.reference


def test_an_invocation_reaches_the_relay_under_its_true_sender_and_the_answer_its_asker(
    stage: Stage,
) -> None:
    assert stage.say("stub1", invoke()) == []
    (got,) = stage.gateway.take("relay1")
    assert isinstance(got, Chunk)
    assert got.peer == "stub1"
    assert stage.say("relay1", result()) == []
    assert stage.gateway.take("stub1") == [result()]


def test_what_a_handler_prints_goes_to_the_asker_only(stage: Stage) -> None:
    (lines,) = split(Kind.LOGS, "r1", "fn", b"hello", peer="stub1")
    assert stage.say("relay1", lines) == []
    assert stage.gateway.take("stub1") == [lines]
    stage.connect("stub2", OTHER)
    assert reference(stage.say("relay1", replace(lines, peer="stub2"))) == "not-the-asker"
    stage.connect("relay2", BEN)
    assert reference(stage.say("relay2", lines)) == "no-lease"
    assert reference(stage.say("stub1", lines)) == "not-a-stub-message"


def test_a_relays_question_for_an_environment_goes_to_the_asker_only(stage: Stage) -> None:
    question = EnvironmentMissing("r1", "fn", "stub1")
    assert stage.say("relay1", question) == []
    assert stage.gateway.take("stub1") == [question]
    stage.connect("stub2", OTHER)
    assert reference(stage.say("relay1", replace(question, peer="stub2"))) == "not-the-asker"
    assert reference(stage.say("stub1", question)) == "not-a-stub-message"


def test_a_warm_invocation_costs_no_table_access(stage: Stage) -> None:
    stage.say("stub1", invoke())
    before = stage.table.accesses
    stage.say("stub1", invoke())
    stage.say("relay1", Ack("r1", "fn", "stub1"))
    stage.say("relay1", result())
    assert stage.table.accesses == before


def test_a_stub_cannot_register_as_a_relay(stage: Stage) -> None:
    assert (
        reference(stage.say("stub1", Hello("evil", ("fn",), "x", "y", takeover=True)))
        == "not-a-stub-message"
    )
    assert reference(stage.say("stub1", result())) == "not-a-stub-message"


def test_a_function_cannot_speak_for_another(stage: Stage) -> None:
    assert reference(stage.say("stub1", invoke("other"))) == "not-your-function"
    assert stage.gateway.take("relay1") == []


def test_only_the_holder_of_the_lease_can_answer(stage: Stage) -> None:
    stage.connect("relay2", BEN)
    assert reference(stage.say("relay2", result())) == "no-lease"
    assert stage.gateway.take("stub1") == []


@pytest.mark.parametrize("peer", ["stub2", "relay1"])
def test_an_answer_goes_to_a_stub_of_the_same_function_only(stage: Stage, peer: str) -> None:
    stage.connect("stub2", OTHER)
    assert reference(stage.say("relay1", result(peer))) == "not-the-asker"
    assert stage.gateway.take(peer) == []


def test_a_second_start_is_told_who_holds_the_stage(stage: Stage) -> None:
    since = stage.now
    stage.now += 5000
    assert stage.hello("relay2", BEN) == LeaseRefused("ana", "anas-laptop", since)


def test_a_takeover_moves_the_lease_and_the_first_relay_hears_of_it(stage: Stage) -> None:
    assert isinstance(stage.hello("relay2", BEN, takeover=True), Welcome)
    assert stage.gateway.take("relay1") == [TakenOver("ben", "bens-laptop")]
    assert stage.gateway.closed == ["relay1"]
    stage.say("stub1", invoke())
    assert len(stage.gateway.take("relay2")) == 1


def test_a_takeover_that_calls_itself_a_renewal_is_a_takeover_all_the_same(stage: Stage) -> None:
    stage.connect("relay2", BEN)
    hello = Hello("relay2", ("fn",), "ben", "pc", takeover=True, renewal=True)
    assert isinstance(stage.say("relay2", hello)[0], Welcome)
    assert stage.gateway.take("relay1") == [TakenOver("ben", "pc")]
    assert stage.gateway.closed == ["relay1"]


def test_a_relay_that_renews_its_connection_closes_the_old_one_itself(stage: Stage) -> None:
    stage.connect("relay2", ANA)
    hello = Hello("relay1", ("fn",), "ana", "anas-laptop", renewal=True)
    assert isinstance(stage.say("relay2", hello)[0], Welcome)
    assert stage.gateway.take("relay1") == []
    assert stage.gateway.closed == []


def test_a_takeover_leaves_a_trace_of_who_took_what_from_whom(stage: Stage) -> None:
    stage.now += 1000
    stage.hello("relay2", BEN, takeover=True)
    (trace,) = stage.table.takeovers
    assert trace.at_ms == stage.now
    assert (trace.before.owner, trace.before.arn) == ("ana", ANA)
    assert (trace.after.owner, trace.after.arn) == ("ben", BEN)


def test_taking_a_lease_that_nobody_holds_is_no_takeover(stage: Stage) -> None:
    stage.say("relay1", Goodbye("relay1"))
    stage.hello("relay2", BEN, takeover=True)
    stage.hello("relay3", BEN, takeover=True, life="relay2")
    assert stage.table.takeovers == []


def test_a_crashed_relays_lease_expires_by_itself(stage: Stage) -> None:
    stage.now += LEASE_MS
    assert isinstance(stage.hello("relay2", BEN), Welcome)


def test_a_heartbeat_keeps_the_lease(stage: Stage) -> None:
    stage.now += LEASE_MS - 1
    assert isinstance(stage.say("relay1", Heartbeat("relay1"))[0], Welcome)
    stage.now += LEASE_MS - 1
    assert isinstance(stage.hello("relay2", BEN), LeaseRefused)


def test_a_restarted_relay_of_the_same_person_takes_over_a_lost_lease(stage: Stage) -> None:
    stage.exchange.disconnect("relay1", stage.now)
    assert isinstance(stage.hello("relay2", BEN), LeaseRefused)
    assert isinstance(stage.hello("relay3", ANA), Welcome)


def test_a_killed_relay_does_not_keep_its_owners_next_one_out_where_its_disconnect_was_never_told(
    stage: Stage,
) -> None:
    stage.gateway.gone.add("relay1")
    assert isinstance(stage.hello("relay2", life="b"), Welcome)
    assert stage.table.lease is not None
    assert stage.table.lease.connection == "relay2"


def test_a_reconnecting_relay_keeps_its_lease_when_its_credentials_were_renewed(
    stage: Stage,
) -> None:
    """SDKs name each session of an assumed role anew (`botocore-session-1732…`)."""
    stage.connect("relay2", "arn:aws:sts::1:assumed-role/Developer/botocore-session-2")
    answer = stage.say("relay2", Hello("relay1", ("fn",), "ana", "anas-laptop"))
    assert isinstance(answer[0], Welcome)


def test_another_principal_cannot_take_a_lease_by_naming_the_relays_life(stage: Stage) -> None:
    assert isinstance(stage.hello("relay2", BEN, life="relay1"), LeaseRefused)


def test_nobody_is_waited_for_after_a_goodbye(stage: Stage) -> None:
    assert stage.say("relay1", Goodbye("relay1")) == [Released("relay1")]
    (answer,) = stage.say("stub1", invoke())
    assert isinstance(answer, NoRelay)
    assert (answer.reason, answer.retry_ms, answer.owner) == ("released", 0, "ana")


def test_a_relay_that_lost_its_connection_is_waited_for_a_while(stage: Stage) -> None:
    stage.exchange.disconnect("relay1", stage.now)
    (answer,) = stage.say("stub1", invoke())
    assert isinstance(answer, NoRelay)
    assert answer.retry_ms > 0
    stage.now += RETURN_MS
    (answer,) = stage.say("stub1", invoke())
    assert isinstance(answer, NoRelay)
    assert answer.retry_ms == 0


@pytest.mark.parametrize("noticed", [True, False])
def test_a_relay_that_has_taken_an_invocation_is_worth_waiting_for_unless_it_said_goodbye(
    stage: Stage, *, noticed: bool
) -> None:
    if noticed:
        stage.exchange.disconnect("relay1", stage.now)
    stage.now += LEASE_MS + 1
    (answer,) = stage.say("stub1", Resume("r1", "fn"))
    assert isinstance(answer, NoRelay)
    assert answer.retry_ms > 0
    stage.connect("relay2", ANA)
    stage.say("relay2", Hello("relay2", ("fn",), "ana", "laptop"))
    stage.say("relay2", Goodbye("relay2"))
    (answer,) = stage.say("stub1", Resume("r1", "fn"))
    assert isinstance(answer, NoRelay)
    assert answer.retry_ms == 0


def test_a_stage_without_any_relay_says_so() -> None:
    stage = Stage()
    stage.connect("stub1", STUB)
    (answer,) = stage.say("stub1", invoke())
    assert isinstance(answer, NoRelay)
    assert (answer.reason, answer.owner) == ("never", "")


def test_a_function_that_the_relay_does_not_serve_is_named(stage: Stage) -> None:
    stage.connect("stub9", "unserved")
    (answer,) = stage.say("stub9", invoke("unserved"))
    assert isinstance(answer, NoRelay)
    assert answer.reason == "not-served"


def test_a_broker_with_a_stale_lease_finds_the_new_holder(stage: Stage) -> None:
    other = Exchange(stage.table, stage.gateway)
    other.connect("relay2", Api.RELAY, BEN, stage.now)
    other.message("relay2", encode(Hello("relay2", ("fn",), "ben", "pc", takeover=True)), stage.now)
    stage.gateway.take("relay2")
    stage.say("stub1", invoke())
    assert len(stage.gateway.take("relay2")) == 1
    stage.say("relay1", result())
    assert stage.gateway.take("stub1") == []


def test_a_broker_does_not_trust_a_lease_of_before_that_has_expired(stage: Stage) -> None:
    """The former holder's connection may still be open where API Gateway did not close it."""
    other = Exchange(stage.table, stage.gateway)
    stage.now += LEASE_MS + 1
    other.connect("relay2", Api.RELAY, BEN, stage.now)
    other.message("relay2", encode(Hello("relay2", ("fn",), "ben", "pc")), stage.now)
    stage.gateway.gone.clear()
    assert reference(stage.say("relay1", result())[-1:]) == "no-lease"
    assert stage.gateway.take("stub1") == []


def test_an_answer_to_a_gone_stub_is_told_to_the_relay(stage: Stage) -> None:
    stage.gateway.gone.add("stub1")
    assert stage.say("relay1", result()) == [Undeliverable("r1", "stub1")]
    assert stage.say("relay1", result("never-was")) == [Undeliverable("r1", "never-was")]


@pytest.mark.parametrize(
    "text", ["", "{", "null", '{"v":2}', '{"v":1,"action":"ack"}', '{"v":2,"action":[[]]}']
)
def test_a_malformed_message_is_answered_and_the_connection_stays_usable(
    stage: Stage, text: str
) -> None:
    stage.exchange.message("stub1", text, stage.now)
    assert reference(stage.gateway.take("stub1")) == "malformed-message"
    assert stage.say("stub1", invoke()) == []


def test_a_message_that_only_becomes_too_large_on_its_way_is_refused_by_name(stage: Stage) -> None:
    room = 131_072 - len(encode(Chunk(Kind.INVOKE, "r1", "fn", 0, 1, 97_000, "raw", b"", peer="")))
    data = bytes(room // 4 * 3)
    text = encode(Chunk(Kind.INVOKE, "r1", "fn", 0, 1, 97_000, "raw", data, peer=""))
    stage.exchange.message("stub1", text, stage.now)
    assert reference(stage.gateway.take("stub1")) == "message-too-large"


def test_a_reconnecting_relay_is_not_refused_by_its_own_disconnect_that_is_still_written(
    stage: Stage,
) -> None:
    other = Exchange(
        stage.table, stage.gateway
    )  # another warm broker, which handles the old connection's end

    class Interleaved(FakeTable):
        """The old connection's $disconnect is written between this broker's read and its write."""

        interrupted = False

        def put_lease(self, lease: Lease, *, replaces: int) -> None:
            if not self.interrupted:
                self.interrupted = True
                other.disconnect("relay1", stage.now)
            stage.table.put_lease(lease, replaces=replaces)

        def get_lease(self) -> Lease | None:
            return stage.table.get_lease()

    stage.exchange = Exchange(Interleaved(), stage.gateway)

    assert isinstance(stage.hello("relay2", life="relay1"), Welcome)
    assert stage.table.lease is not None
    assert stage.table.lease.connection == "relay2"


# The fallback


ORDERS = Replaced("fn", version="7", code_sha256="x", made=True, aliases={"live": "6"})


def offered(stage: Stage, function: str = "fn", *, name: str = "stub1") -> NoRelay:
    """Offer an invocation at the stage's time; return the broker's answer."""
    (answer,) = stage.say(name, invoke(function, sent_ms=stage.now))
    assert isinstance(answer, NoRelay)
    assert answer.sent_ms == stage.now
    return answer


def test_a_stub_that_finds_no_relay_is_told_which_versions_may_answer(stage: Stage) -> None:
    stage.table.put_replaced(ORDERS)
    stage.say("relay1", Goodbye("relay1"))
    assert offered(stage).fallbacks == {"": "7", "live": "6"}
    stage.connect("stub2", OTHER)
    assert offered(stage, OTHER, name="stub2").fallbacks == {}


def test_a_version_that_only_serves_the_restore_is_not_told(stage: Stage) -> None:
    stage.table.put_replaced(replace(ORDERS, can_answer=False, reason="SnapStart"))
    stage.say("relay1", Goodbye("relay1"))
    assert offered(stage).fallbacks == {}


def test_a_stub_of_a_former_terralive_and_a_question_cost_no_further_table_access(
    stage: Stage,
) -> None:
    stage.table.put_replaced(ORDERS)
    stage.say("relay1", Goodbye("relay1"))
    for message in (invoke(), Resume("r1", "fn")):
        before = stage.table.accesses
        (answer,) = stage.say("stub1", message)
        assert isinstance(answer, NoRelay)
        assert (answer.fallbacks, answer.sent_ms) == ({}, 0)
        assert stage.table.accesses == before + 1


def test_a_stub_learns_for_how_long_no_relay_can_have_received_its_invocation(
    stage: Stage,
) -> None:
    never = Stage()
    never.connect("stub1", STUB)
    assert offered(never).vacant_ms == never.now

    stage.now += 5_000
    stage.say("relay1", Goodbye("relay1"))
    stage.now += 3_000
    assert offered(stage).vacant_ms == 3_000 - CLOCK_MS


def test_a_lost_relay_leaves_the_function_vacant_from_its_loss_and_a_silent_one_from_its_leases_end(
    stage: Stage,
) -> None:
    silent = Stage()
    silent.hello()
    silent.connect("stub1", STUB)
    silent.now += LEASE_MS + 2_000
    assert offered(silent).vacant_ms == 2_000 - CLOCK_MS

    stage.exchange.disconnect("relay1", stage.now)
    stage.now += 2_000
    answer = offered(stage)
    assert answer.vacant_ms == 2_000 - CLOCK_MS
    assert answer.retry_ms > 0


def test_a_relay_whose_disconnect_was_never_told_is_lost_from_the_first_failed_delivery_on(
    stage: Stage,
) -> None:
    stage.gateway.gone.add("relay1")
    stage.now += 10_000
    answer = offered(stage)
    assert (answer.reason, answer.vacant_ms) == ("lost", 0)
    stage.now += 2_000
    assert offered(stage).vacant_ms == 2_000 - CLOCK_MS


def test_a_function_that_the_relay_does_not_serve_is_vacant_since_its_hello(stage: Stage) -> None:
    stage.connect("stub9", "unserved")
    stage.now += 4_000
    assert offered(stage, "unserved", name="stub9").vacant_ms == 4_000 - CLOCK_MS
    # The relay tells the broker other functions: the function may have been one of the former.
    stage.say("relay1", Hello("relay1", ("fn",), "ana", "anas-laptop"))
    stage.now += 1_000
    assert offered(stage, "unserved", name="stub9").vacant_ms == 1_000 - CLOCK_MS


def test_an_offer_from_before_a_relay_came_is_not_delivered_to_it(stage: Stage) -> None:
    """Its stub may have fallen back meanwhile, and the message may be late."""
    stage.say("relay1", Goodbye("relay1"))
    stage.now += 60_000
    sent_ms = stage.now
    stage.now += 1_000
    stage.hello("relay2")
    (answer,) = stage.say("stub1", invoke(sent_ms=sent_ms))
    assert isinstance(answer, NoRelay)
    assert (answer.reason, answer.sent_ms, answer.vacant_ms) == ("offered-before", sent_ms, 0)
    assert answer.until_ms == stage.now  # the broker's time, for a stub whose clock is slow
    assert answer.retry_ms > 0
    assert stage.gateway.take("relay2") == []
    # A stub that still waits offers it again, and a former stub's has no date.
    stage.now += CLOCK_MS
    assert stage.say("stub1", invoke(sent_ms=stage.now)) == []
    assert stage.say("stub1", invoke()) == []
    assert len(stage.gateway.take("relay2")) == 2


def test_an_offer_is_not_delayed_while_a_relay_renews_its_connection(stage: Stage) -> None:
    stage.now += 10_000
    stage.connect("relay2", ANA)
    renewal = Hello("relay1", ("fn", "other"), "ana", "anas-laptop", renewal=True)
    assert isinstance(stage.say("relay2", renewal)[0], Welcome)
    assert stage.say("stub1", invoke(sent_ms=stage.now - 100)) == []
    assert len(stage.gateway.take("relay2")) == 1


def test_a_relay_whose_lease_had_expired_gets_no_offer_from_before_its_heartbeat(
    stage: Stage,
) -> None:
    stage.now += LEASE_MS + 5_000
    sent_ms = stage.now - 1_000
    assert isinstance(stage.say("relay1", Heartbeat("relay1"))[0], Welcome)
    (answer,) = stage.say("stub1", invoke(sent_ms=sent_ms))
    assert isinstance(answer, NoRelay)
    assert answer.reason == "offered-before"


def test_the_next_relay_learns_once_what_the_fallbacks_have_answered(stage: Stage) -> None:
    stage.say("relay1", Goodbye("relay1"))
    first_ms = stage.now
    for ok in (True, False):
        assert stage.say("stub1", FellBack("r1", "fn", ok, "a1")) == []
        stage.now += 10
    assert reference(stage.say("stub1", FellBack("r1", "other", ok=True))) == "not-your-function"
    stage.connect("relay2", ANA)
    hello = Hello("relay2", ("fn",), "ana", "anas-laptop")
    welcome, count = stage.say("relay2", hello)
    assert isinstance(welcome, Welcome)
    assert count == FallbackCount("fn", answered=2, failed=1, since_ms=first_ms)
    assert [type(message) for message in stage.say("relay2", hello)] == [Welcome]
    assert reference(stage.say("relay2", FellBack("r1", "fn", ok=True))) == "not-a-relay-message"

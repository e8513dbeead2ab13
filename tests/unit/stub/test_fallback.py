"""The deployed code answers while no relay is connected, and never where a relay may have begun.

Time is a parameter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import pytest

from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.protocol.messages import Ack, Chunk, FellBack, Kind, NoRelay
from terralive_stub.stub.effects import Connect, Effect, Finish, Invoke, Send, Show
from terralive_stub.stub.fallback.answers import Answer, Answered, NotRun, Refused, Unclear
from terralive_stub.stub.session import StubSession
from terralive_stub.stub.waits import ACK_SECONDS, MARGIN_SECONDS

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
BEGAN_MS = 1_700_000_000_000
VERSIONS: Mapping[str, str] = MappingProxyType({"": "7", "live": "5"})
HTTP = json.dumps(
    {"version": "2.0", "requestContext": {"http": {"method": "GET", "path": "/"}}}
).encode()
ERROR = Outcome(b'{"errorMessage":"no","errorType":"OrderError","stackTrace":[]}', "OrderError")


class Call:
    """One invocation that a stub has offered on a new connection, at 0.1 s."""

    def __init__(
        self, *, timeout_s: float = 60.0, qualifier: str = "", event: bytes = b"{}"
    ) -> None:
        self.session = StubSession(app="orders", stage="dev", jitter=lambda: 1.0)
        arn = f"{ARN}:{qualifier}" if qualifier else ARN
        self.invocation = Invocation(
            "r1", "orders", arn, Deadline(timeout_s), event, attempt="a1", began_ms=BEGAN_MS
        )
        assert self.session.begin(self.invocation, 0.0) == [Connect()]
        self.offer = self.offered(self.session.connected(0.1))

    @staticmethod
    def offered(effects: list[Effect]) -> Chunk:
        (sent,) = effects
        assert isinstance(sent, Send)
        assert isinstance(sent.message, Chunk)
        assert sent.message.kind is Kind.INVOKE
        return sent.message

    def no_relay(
        self,
        now: float,
        *,
        vacant_s: float = 3600.0,
        retry_ms: int = 0,
        reason: str = "lost",
        fallbacks: Mapping[str, str] = VERSIONS,
    ) -> list[Effect]:
        """Receive the broker's answer to the last offer."""
        notice = NoRelay(
            "r1",
            "ana",
            "laptop",
            1,
            2,
            retry_ms,
            reason,
            "a1",
            sent_ms=self.offer.sent_ms,
            vacant_ms=int(vacant_s * 1000),
            fallbacks=fallbacks,
        )
        return self.session.received(notice, now)

    def ended(self, answer: Answer, now: float) -> list[Effect]:
        return self.session.fallback_ended(answer, now)


def asked(effects: list[Effect]) -> Invoke:
    (effect,) = effects
    assert isinstance(effect, Invoke)
    return effect


def error_of(effects: list[Effect]) -> str:
    (finish,) = effects
    assert isinstance(finish, Finish)
    return finish.outcome.error_type


def message_of(effects: list[Effect]) -> str:
    (finish,) = effects
    assert isinstance(finish, Finish)
    return str(json.loads(finish.outcome.body)["errorMessage"])


@pytest.mark.parametrize("outcome", [Outcome(b'"ok"'), Outcome(b""), ERROR])
def test_the_deployed_codes_answer_is_passed_on_unchanged_and_told_to_the_broker(
    outcome: Outcome,
) -> None:
    call = Call()
    effect = asked(call.no_relay(0.2))
    assert (effect.version, effect.invocation) == ("7", call.invocation)
    assert effect.until == Deadline(60.0 - MARGIN_SECONDS)
    told = Send(FellBack("r1", ARN, outcome.ok, attempt="a1"))
    assert call.ended(Answered(outcome), 1.0) == [told, Finish(outcome)]
    assert not call.session.busy


def test_the_end_of_its_log_is_printed_before_the_answer() -> None:
    call = Call()
    asked(call.no_relay(0.2))
    effects = call.ended(Answered(Outcome(b"1"), "START …\nhello\n"), 1.0)
    assert effects[0] == Show("START …\nhello\n")
    assert effects[-1] == Finish(Outcome(b"1"))


def test_an_answer_after_the_loss_of_the_connection_is_the_answer_and_is_not_counted() -> None:
    call = Call()
    asked(call.no_relay(0.2))
    assert call.session.connection_lost(0.5, "reset") == []
    assert call.ended(Answered(Outcome(b"1")), 1.0) == [Finish(Outcome(b"1"))]


@pytest.mark.parametrize(
    ("qualifier", "version"), [("", "7"), ("live", "5"), ("unknown", "7"), ("$LATEST", "7")]
)
def test_an_alias_is_answered_by_the_version_that_it_named(qualifier: str, version: str) -> None:
    assert asked(Call(qualifier=qualifier).no_relay(0.2)).version == version


def test_a_function_that_the_relay_does_not_serve_falls_back_too() -> None:
    asked(Call().no_relay(0.2, reason="not-served"))


def test_without_a_fallback_an_invocation_ends_by_name_as_before() -> None:
    call = Call()
    assert error_of(call.no_relay(0.2, fallbacks={})) == "Terralive.NoRelay"


# At most once for each attempt


def test_an_invocation_that_a_relay_may_have_received_does_not_fall_back() -> None:
    """It was offered while a relay was there, which did not acknowledge it and is gone now."""
    call = Call()
    call.session.tick(0.2 + ACK_SECONDS)
    call.offer = call.offered(call.session.connected(4.0))
    effects = call.no_relay(4.1, vacant_s=2.0)
    assert error_of(effects) == "Terralive.NoRelay"
    assert "may have received" in message_of(effects)


def test_an_invocation_that_was_offered_twice_falls_back_if_nobody_was_there_all_the_time() -> None:
    call = Call()
    call.session.tick(0.2 + ACK_SECONDS)
    call.offer = call.offered(call.session.connected(4.0))
    asked(call.no_relay(4.1, vacant_s=4.0))


@pytest.mark.parametrize(("vacant_s", "is_safe"), [(0.099, False), (0.101, True)])
def test_the_time_without_a_relay_counts_from_the_first_offer(
    *, vacant_s: float, is_safe: bool
) -> None:
    effects = Call().no_relay(0.2, vacant_s=vacant_s)
    assert isinstance(effects[0], Invoke) is is_safe


def test_an_answer_about_an_earlier_offer_changes_nothing() -> None:
    """A relay may have received the later one."""
    call = Call()
    assert call.session.gateway_failed(0.2) == []
    again = call.offered(call.session.tick(1.0))
    assert again.sent_ms > call.offer.sent_ms
    assert call.no_relay(1.1) == []
    assert call.session.busy
    call.offer = again
    asked(call.no_relay(1.2))


def test_an_acknowledged_invocation_never_falls_back() -> None:
    call = Call()
    assert call.session.received(Ack("r1", ARN, attempt="a1"), 0.2) == []
    assert error_of(call.no_relay(5.0)) == "Terralive.RelayLost"


def test_nothing_is_sent_to_a_relay_once_the_deployed_code_was_asked() -> None:
    call = Call()
    asked(call.no_relay(0.2))
    assert call.session.received(Ack("r1", ARN, attempt="a1"), 0.3) == []
    assert call.no_relay(0.3) == []
    assert call.session.gateway_failed(0.3) == []
    assert call.session.connection_lost(0.3, "reset") == []
    assert call.session.tick(20.0) == []
    assert call.ended(Answered(Outcome(b"1")), 21.0) == [Finish(Outcome(b"1"))]


def test_every_offer_has_another_time() -> None:
    call = Call()
    assert call.offer.sent_ms == BEGAN_MS + 100
    call.session.connection_lost(0.1, "reset")
    again = call.offered(call.session.connected(0.1))
    assert again.sent_ms == BEGAN_MS + 101


def test_a_stub_whose_clock_is_slow_gets_its_next_offer_to_a_relay_that_has_just_come() -> None:
    call = Call()
    broker_ms = BEGAN_MS + 90_000
    notice = NoRelay("r1", "ana", "laptop", 1, broker_ms, 1000, "offered-before", "a1")
    notice = replace(notice, sent_ms=call.offer.sent_ms)
    assert call.session.received(notice, 0.2) == []
    assert call.offered(call.session.tick(1.2)).sent_ms > broker_ms


# A relay that may return


def test_a_relay_that_was_lost_a_moment_ago_is_waited_for_for_a_third_of_the_time() -> None:
    call = Call(timeout_s=9.0)
    assert call.no_relay(0.2, retry_ms=1000) == []
    for now in (1.2, 2.2):
        call.offer = call.offered(call.session.tick(now))
        effects = call.no_relay(now, retry_ms=1000)
        if effects:
            break
    asked(effects)


def test_a_function_with_a_short_timeout_does_not_wait_for_a_relay_that_may_return() -> None:
    asked(Call(timeout_s=3.0).no_relay(0.2, retry_ms=1000))


def test_without_a_safe_fallback_a_relay_is_waited_for_as_before() -> None:
    call = Call(timeout_s=3.0)
    assert call.no_relay(0.2, retry_ms=1000, vacant_s=0.0) == []
    call.offered(call.session.tick(1.2))


# A fallback that does not answer


def test_a_throttled_fallback_is_asked_again_for_a_third_of_the_time_and_then_ends_by_name() -> (
    None
):
    call = Call(timeout_s=12.5)
    asked(call.no_relay(0.2))
    now, times = 0.2, 1
    effects = call.ended(NotRun("TooManyRequestsException", throttled=True), now)
    while not effects:
        now = call.session.next_tick(now)
        effects = call.session.tick(now)
        if effects and isinstance(effects[0], Invoke):
            times += 1
            effects = call.ended(NotRun("TooManyRequestsException", throttled=True), now)
    assert error_of(effects) == "Terralive.FallbackThrottled"
    assert "TooManyRequestsException" in message_of(effects)
    assert times > 2
    assert now <= 0.2 + (12.5 - MARGIN_SECONDS) / 3


def test_a_throttled_fallback_that_answers_later_is_the_answer() -> None:
    call = Call()
    asked(call.no_relay(0.2))
    assert call.ended(NotRun("429", throttled=True), 0.3) == []
    asked(call.session.tick(call.session.next_tick(0.3)))
    assert call.ended(Answered(ERROR), 1.0)[-1] == Finish(ERROR)


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (Refused("AccessDeniedException: not authorized"), "Terralive.NoRelay"),
        (Unclear("the connection was lost"), "Terralive.FallbackLost"),
    ],
)
def test_a_fallback_that_cannot_answer_says_why_and_is_not_asked_again(
    answer: Refused | Unclear, name: str
) -> None:
    call = Call()
    asked(call.no_relay(0.2))
    effects = call.ended(answer, 1.0)
    assert error_of(effects) == name
    text = message_of(effects)
    assert answer.reason in text
    assert "ana" in text
    assert ("is not known" in text) is isinstance(answer, Unclear)


def test_a_function_that_the_relay_does_not_serve_keeps_its_error_if_the_fallback_fails() -> None:
    call = Call()
    asked(call.no_relay(0.2, reason="not-served"))
    assert error_of(call.ended(Refused("404"), 1.0)) == "Terralive.NotServed"


def test_an_http_caller_gets_the_deployed_codes_answer_and_a_503_only_without_one() -> None:
    call = Call(event=HTTP)
    asked(call.no_relay(0.2))
    answer = Outcome(b'{"statusCode":404}')
    assert call.ended(Answered(answer), 1.0)[-1] == Finish(answer)

    call = Call(event=HTTP)
    asked(call.no_relay(0.2))
    (finish,) = call.ended(Unclear("reset"), 1.0)
    assert isinstance(finish, Finish)
    assert json.loads(finish.outcome.body)["statusCode"] == 503


def test_a_relay_that_is_back_gets_the_next_invocation() -> None:
    call = Call()
    asked(call.no_relay(0.2))
    call.ended(Answered(Outcome(b"1")), 1.0)
    following = replace(call.invocation, request_id="r2", attempt="a2")
    chunk = call.offered(call.session.begin(following, 2.0))
    assert chunk.request_id == "r2"
    assert call.session.received(Ack("r2", ARN, attempt="a2"), 2.1) == []

"""The soak's judge finds every kind of broken promise in made-up ledgers, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from terralive_testing.soak.judge import LARGEST_ANSWER, Promise, judge
from terralive_testing.soak.ledger import Begun, Call, End, Life, Run, answered, life, runs, told

RELAY = 7
RUN = Run(
    id="a", relay=RELAY, event="event", began=1.0, ended=2.0, error="", answer="answer", bytes=10
)
CALL = Call(
    id="a", function="soak-0", event="event", end=End.SUCCESS, answer="answer", began=0.5, ended=2.5
)
LIFE = Life(relay=RELAY, killed=False, began=[Begun("a")], ended={"a": ""})


def failed(error_type: str, **others: object) -> Call:
    return replace(CALL, end=End.ERROR, answer="", error_type=error_type, **others)  # type: ignore[arg-type]


def broken(calls: list[Call], runs: list[Run], lives: list[Life] | None = None) -> list[Promise]:
    return [
        violation.promise for violation in judge(calls, runs, [LIFE] if lives is None else lives)
    ]


def test_an_answer_by_its_handler_is_fine() -> None:
    assert broken([CALL], [RUN]) == []


def test_a_call_without_an_answer_is_lost() -> None:
    assert broken([replace(CALL, end=End.NONE, error_type="ReadTimeoutError")], [RUN]) == [
        Promise.LOST
    ]


@pytest.mark.parametrize(
    "run",
    [
        replace(RUN, id="b"),
        replace(RUN, answer="another"),
        replace(RUN, ended=None, error=None, answer=""),
        replace(RUN, error="SoakError", answer=""),
        replace(RUN, event="another"),
    ],
    ids=["of another request", "another answer", "has not ended", "failed", "of another event"],
)
def test_a_success_that_no_run_gave_is_false(run: Run) -> None:
    found = broken([CALL], [run], [Life(relay=RELAY, killed=False, began=[Begun(run.id)])])

    assert found == [Promise.FALSE]


def test_a_success_by_the_deployed_code_is_false() -> None:
    assert broken([CALL], [replace(RUN, relay=8)], [Life(relay=RELAY, killed=False)]) == [
        Promise.FALSE
    ]


def test_a_success_by_the_deployed_code_is_fine_where_no_relay_ran_it() -> None:
    fallback = replace(RUN, id="of its own", relay=8, version="3")

    assert broken([CALL], [fallback], []) == []
    assert broken([CALL], [fallback, RUN], [LIFE]) == [Promise.TWICE]
    assert broken([CALL], [fallback, replace(fallback, id="b", answer="b")], []) == [Promise.TWICE]


def test_each_attempt_of_an_asynchronous_event_may_be_answered_by_the_deployed_code() -> None:
    call = replace(CALL, asynchronous=True)
    first = replace(RUN, id="1", relay=8, version="3", error="SoakError", answer="")
    second = replace(first, id="2", error="", answer="answer")
    third = replace(second, id="3")

    assert broken([call], [first, second], []) == []
    assert broken([call], [first, second, third], []) == [Promise.TWICE]


def test_a_second_run_in_a_relays_life_is_one_too_many() -> None:
    assert broken([CALL], [RUN, replace(RUN, answer="second")]) == [Promise.TWICE]
    assert broken([CALL], [RUN], [replace(LIFE, began=[Begun("a"), Begun("a")])]) == [Promise.TWICE]


def test_a_retry_of_an_asynchronous_event_runs_again_and_only_so_often() -> None:
    call = replace(CALL, asynchronous=True)
    first = replace(RUN, began=0.6, ended=0.9, error="SoakError", answer="")
    lives = [replace(LIFE, began=[Begun("a"), Begun("a", 2)])]
    assert broken([call], [first, RUN], lives) == []
    third = replace(RUN, began=3.0, ended=4.0, answer="third")
    lives = [replace(LIFE, began=[Begun("a"), Begun("a", 2), Begun("a", 3)])]
    assert broken([call], [first, RUN, third], lives) == [Promise.TWICE]


def test_two_attempts_at_once_are_one_too_many() -> None:
    call = replace(CALL, asynchronous=True)
    lives = [replace(LIFE, began=[Begun("a"), Begun("a", 2)])]
    first = replace(RUN, began=0.6, ended=1.5, error="SoakError", answer="")
    assert broken([call], [first, RUN], lives) == [Promise.TWICE]
    ended_with_its_worker = replace(first, ended=None, error=None)
    assert broken([call], [ended_with_its_worker, RUN], lives) == []


def test_a_second_run_in_the_next_relays_life_is_lambdas_retry() -> None:
    assert broken([CALL], [replace(RUN, relay=6), RUN], [Life(relay=6, killed=True), LIFE]) == []


@pytest.mark.parametrize("error_type", ["Terralive.RelayLost", "Terralive.NoRelay", "SoakError"])
def test_a_failure_that_says_what_happened_is_fine(error_type: str) -> None:
    lives = [replace(LIFE, ended={"a": "SoakError"})]

    assert broken([failed(error_type)], [replace(RUN, error="SoakError", answer="")], lives) == []


@pytest.mark.parametrize("error_type", ["", "Runtime.ExitError", "SoakError", "Sandbox.Timedout"])
def test_a_failure_that_was_not_the_handlers_is_unnamed(error_type: str) -> None:
    assert broken([failed(error_type, ended=9.0)], [RUN]) == [Promise.UNNAMED]


def test_lambdas_timeout_is_fine_only_while_a_handler_runs() -> None:
    running = replace(RUN, ended=None, error=None, answer="")
    lives = [replace(LIFE, ended={})]

    assert broken([failed("Sandbox.Timedout", ended=21.0)], [running], lives) == []
    assert broken([failed("Sandbox.Timedout", ended=21.0)], [], []) == [Promise.UNNAMED]


def test_an_answer_that_is_too_large_is_named_so_only_if_it_was() -> None:
    too_large = failed("Function.ResponseSizeTooLarge")

    assert broken([too_large], [replace(RUN, bytes=LARGEST_ANSWER + 1)]) == []
    assert broken([too_large], [RUN]) == [Promise.UNNAMED]


def test_lambda_may_throttle_a_caller_and_refuse_it_for_nothing_else() -> None:
    refused = replace(
        CALL, id="", end=End.REFUSED, answer="", error_type="TooManyRequestsException"
    )

    assert broken([refused], [], []) == []
    assert broken([replace(refused, error_type="ServiceException")], [], []) == [Promise.UNNAMED]


def test_relay_and_handlers_have_to_tell_the_same() -> None:
    failed_run = replace(RUN, error="SoakError", answer="")

    assert broken([failed("SoakError")], [failed_run]) == [Promise.UNTOLD], "the relay says success"
    assert broken([CALL], [RUN], [replace(LIFE, began=[], ended={})]) == [Promise.UNTOLD]
    assert broken([CALL], [RUN], [replace(LIFE, began=[], ended={}, killed=True)]) == [], (
        "its last words are gone"
    )


def test_the_handlers_file_is_read_run_by_run() -> None:
    said = [
        {"what": "begin", "id": "a", "event": "e", "relay": 1, "at": 1.0},
        {"what": "begin", "id": "b", "event": "e", "relay": 1, "version": "3", "at": 1.5},
        {"what": "end", "id": "a", "error": "", "answer": "x", "bytes": 3, "relay": 1, "at": 2.0},
        {"what": "begin", "id": "a", "event": "e", "relay": 2, "at": 3.0},
    ]

    assert runs(json.dumps(line) for line in said) == [
        Run(id="a", relay=1, event="e", began=1.0, ended=2.0, error="", answer="x", bytes=3),
        Run(id="b", relay=1, event="e", began=1.5, version="3"),
        Run(id="a", relay=2, event="e", began=3.0),
    ]


def test_a_relays_events_are_its_ledger() -> None:
    events: list[dict[str, object]] = [
        {"type": "connection", "state": "connected"},
        {"type": "invocation", "request_id": "a", "attempt": 1},
        {"type": "invocation", "request_id": "b", "attempt": 2},
        {"type": "result", "request_id": "a", "ok": True, "error_type": ""},
        {"type": "result", "request_id": "b", "ok": False, "error_type": "SoakError"},
    ]

    assert life(1, events, killed=True) == Life(
        relay=1, killed=True, began=[Begun("a"), Begun("b", 2)], ended={"a": "", "b": "SoakError"}
    )


def test_an_asynchronous_call_ends_as_its_destination_was_told() -> None:
    accepted = replace(CALL, answer="", asynchronous=True)
    given = {"run": 1}
    asked = {"id": "a", "function": "soak-0", "event": "event"}
    at = {"timestamp": "1970-01-01T00:00:03.500Z"}
    success = {**at, "requestContext": {"condition": "Success"}, "responsePayload": given}
    failure = {
        **at,
        "requestContext": {"condition": "RetriesExhausted"},
        "responsePayload": {"errorType": "SoakError"},
    }

    assert (
        told(accepted, success).answer
        == answered(asked, failed=False, payload=b'{"run": 1}').answer
    )
    assert told(accepted, failure).error_type == "SoakError"
    assert told(accepted, failure).ended == 3.5
    assert (
        told(accepted, {**at, "requestContext": {"condition": "EventAgeExceeded"}}).end is End.ERROR
    )

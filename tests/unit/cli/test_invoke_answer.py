from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from terralive_cli.invoking import answers, calling
from terralive_cli.invoking.answers import Answered, EventShown, Invoking, Runner
from terralive_cli.output.formats.text import TextLines
from terralive_cli.output.stream.ordered import OrderedStream
from terralive_relay.events import LogLine
from terralive_stub.errors import TerraliveError
from terralive_stub.protocol.deadline import NEVER
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.protocol.named_errors import ErrorName, outcome_for_caller

AT = datetime(2026, 11, 30, 15, 0, tzinfo=UTC)
DONE = Answered(
    "shop-api",
    "aws_lambda_function.api",
    "4f1c",
    ok=True,
    runner=Runner.HERE,
    took_ms=35.0,
    at=AT,
)


def lines(event: Answered | Invoking | EventShown) -> list[str]:
    return [line.text for line in TextLines().lines(event) if not line.live]


def test_a_result_has_no_failure() -> None:
    assert answers.failure_of(Outcome(b'{"statusCode": 503, "body": "of the handler"}')) is None
    assert answers.failure_of(Outcome(b"null")) is None


def test_an_error_of_the_handler_has_its_type_message_and_stack() -> None:
    document = {"errorType": "ValueError", "errorMessage": "no", "stackTrace": ["a\n", "b\n"]}

    failure = answers.failure_of(Outcome(json.dumps(document).encode(), "Unhandled"))

    assert failure == answers.Failure("ValueError", "no", ("a", "b"))
    assert failure.hint == ""


def test_nobody_connected_is_a_failure_with_what_to_do_also_as_an_http_response() -> None:
    http = json.dumps({"version": "2.0", "requestContext": {"http": {"method": "GET"}}}).encode()
    for event in (b"{}", http):
        invocation = Invocation("4f1c", "api", "arn", NEVER, event)
        outcome = outcome_for_caller(invocation, ErrorName.NO_RELAY, "Nobody is connected.")

        failure = answers.failure_of(outcome)

        assert failure is not None
        assert (failure.type, failure.message) == ("Terralive.NoRelay", "Nobody is connected.")
        assert "--local" in failure.hint


@pytest.mark.parametrize(
    ("body", "payload", "text"),
    [
        (b'{"a": [1]}', {"a": [1]}, None),
        (b"null", None, None),
        (b"plain", None, "plain"),
        (b"\xff\x00", None, "�\x00"),
    ],
)
def test_a_payload_is_json_or_a_text(body: bytes, payload: object, text: str | None) -> None:
    assert answers.payload_of(body) == (payload, text)


def test_the_tail_of_a_log_loses_the_lines_that_say_nothing() -> None:
    tail = "START RequestId: 1 Version: 2\nhello\r\n\n[ERROR] ValueError\nEND RequestId: 1\n"

    found = answers.lines_of_tail(f"{tail}REPORT RequestId: 1 Duration: 2 ms\n")

    assert found == ["hello", "[ERROR] ValueError", "REPORT RequestId: 1 Duration: 2 ms"]
    assert answers.has_error(found)
    assert not answers.has_error(found[:1])


@pytest.mark.parametrize(
    ("code", "reason", "exit_code", "reference", "said"),
    [
        ("ResourceNotFoundException", "", 2, "function-not-deployed", "terralive start"),
        (
            "TooManyRequestsException",
            "ReservedFunctionConcurrentInvocationLimitExceeded",
            1,
            "invocation-throttled",
            "reserved concurrency",
        ),
        ("TooManyRequestsException", "", 1, "invocation-throttled", "what Lambda says"),
        ("RequestTooLargeException", "", 2, "event-too-large", "bucket"),
        ("InvalidRequestContentException", "", 2, "event-not-json", "what Lambda says"),
        ("ResourceConflictException", "", 1, "function-not-ready", "a few seconds"),
        ("KMSDisabledException", "", 1, "function-cannot-start", "--local"),
        ("ENILimitReachedException", "", 1, "function-cannot-start", "what Lambda says"),
        ("ServiceException", "", 1, "lambda-failed", "nobody knows"),
    ],
)
def test_a_refusal_of_lambda_says_what_to_do(
    code: str, reason: str, exit_code: int, reference: str, said: str
) -> None:
    error = calling.refused(code, "what Lambda says", reason)

    assert isinstance(error, TerraliveError)
    assert (error.exit_code, error.reference) == (exit_code, reference)
    assert said in f"{error.message} {error.hint}"


@pytest.mark.parametrize("code", ["AccessDeniedException", "ExpiredTokenException", "Strange"])
def test_errors_of_credentials_are_not_those_of_invoke(code: str) -> None:
    assert calling.refused(code, "") is None


def test_an_answer_is_waited_for_as_long_as_the_function_may_run_and_never_asked_for_twice() -> (
    None
):
    assert calling.client_settings(900)["read_timeout"] > 900
    assert calling.client_settings(0)["read_timeout"] > 900
    assert calling.client_settings(3)["retries"] == {"total_max_attempts": 1}


def test_a_result_is_shown_below_how_it_ended() -> None:
    event = replace(DONE, payload={"a": [1, "ä"]}, payload_bytes=13)

    head, *rest = lines(event)

    assert head == "done in 35 ms on this machine, in the session that runs  4f1c"
    assert "\n".join(rest) == '{\n  "a": [\n    1,\n    "ä"\n  ]\n}'


def test_a_result_that_is_written_by_itself_is_not_shown_and_null_is() -> None:
    assert len(lines(DONE)) == 1
    assert lines(replace(DONE, payload_bytes=4))[1:] == ["null"]


def test_a_long_result_is_cut_and_says_how_to_get_all_of_it() -> None:
    event = replace(DONE, payload=list(range(1000)), payload_bytes=5_000_000)

    shown = lines(event)

    assert len(shown) == 202
    assert shown[-1].startswith("… 802 more lines; `terralive invoke … > FILE` writes all")


def test_an_error_is_shown_with_its_stack_unless_the_log_has_it() -> None:
    failed = replace(
        DONE,
        ok=False,
        error_type="ValueError",
        error_message="no\nway",
        stack=('  File "/code/app.py", line 2, in handler\n    raise ValueError(x)\n',),
    )

    head, title, *details = lines(replace(failed, hint="Do this."))

    assert head.startswith("failed in 35 ms on this machine")
    assert (title, details[0], details[-1]) == ("ValueError: no", "  way", "  → Do this.")
    assert any("/code/app.py" in line for line in details)
    assert lines(replace(failed, logged=True))[1:] == ["ValueError: no", "  way"]


def test_the_log_of_an_invocation_is_above_its_answer() -> None:
    stream = OrderedStream()
    stream.wake_by(lambda: None)
    report = LogLine("4f1c", "shop-api", "[ERROR] ValueError: no")

    assert stream.take([report]) == []
    assert stream.take([DONE]) == [report, DONE]


def test_an_accepted_event_and_one_that_is_printed() -> None:
    accepted = replace(DONE, accepted=True)

    assert lines(accepted) == [
        "Accepted: Lambda has the event for shop-api, and runs it soon  4f1c"
    ]
    assert lines(EventShown({"a": 1})) == ["{", '  "a": 1', "}"]
    assert lines(Invoking("shop-api", "x", Runner.DEPLOYED, 2)) == []

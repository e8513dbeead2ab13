from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from terralive_cli.invoking import calling, showing
from terralive_cli.invoking.answers import Answered, Runner
from terralive_cli.invoking.deployed import settings_of, sources_of
from terralive_cli.output.logfiles import file_of_invocation
from terralive_cli.output.renderer import Renderer
from terralive_cli.output.ui import Ui
from terralive_relay.events import Event, LogLine
from terralive_stub.errors import CredentialsError, TerraliveError
from terralive_stub.protocol.invocation import Outcome

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:api"
DONE = Answered("api", "aws_lambda_function.api", "4f1c", ok=True, runner=Runner.HERE, took_ms=1.0)


class FakeLambda:
    """Lambda's API: it answers with what it was given, or refuses.

    Args:
        answers: the answer of each operation; an exception is raised.
    """

    def __init__(self, **answers: Mapping[str, Any] | Exception) -> None:
        self._answers = answers
        self.asked: list[dict[str, Any]] = []

    def __getattr__(self, operation: str) -> Any:  # noqa: ANN401  # boto3's clients are made at run time
        def answer(**arguments: Any) -> Mapping[str, Any]:  # noqa: ANN401  # those of the operation
            self.asked.append(arguments)
            found = self._answers[operation]
            if isinstance(found, Exception):
                raise found
            return found

        return answer

    @property
    def client(self) -> LambdaClient:
        return cast("LambdaClient", self)


def refusal(code: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Invoke")


def invoke_answer(body: bytes, **more: object) -> dict[str, Any]:
    return {
        "StatusCode": 200,
        "Payload": io.BytesIO(body),
        "ResponseMetadata": {"RequestId": "4f1c"},
        "ExecutedVersion": "$LATEST",
        **more,
    }


def test_a_function_is_invoked_once_with_its_event_and_the_tail_of_its_log() -> None:
    tail = base64.b64encode("grüße\n".encode()).decode()
    fake = FakeLambda(invoke=invoke_answer(b'{"a": 1}', LogResult=tail))

    answer = calling.call(fake.client, ARN, b"{}", qualifier="", asynchronous=False)

    assert fake.asked == [{"FunctionName": ARN, "Payload": b"{}", "LogType": "Tail"}]
    assert (answer.request_id, answer.outcome) == ("4f1c", Outcome(b'{"a": 1}'))
    assert (answer.log_tail, answer.version, answer.accepted) == ("grüße\n", "$LATEST", False)


def test_an_error_of_the_function_is_an_outcome_and_a_version_may_be_asked_for() -> None:
    fake = FakeLambda(invoke=invoke_answer(b"{}", FunctionError="Unhandled"))

    answer = calling.call(fake.client, ARN, b"{}", qualifier="live", asynchronous=False)

    assert fake.asked[0]["Qualifier"] == "live"
    assert not answer.outcome.ok


def test_an_asynchronous_event_is_only_accepted() -> None:
    fake = FakeLambda(invoke=invoke_answer(b"", StatusCode=202))

    answer = calling.call(fake.client, ARN, b"{}", qualifier="", asynchronous=True)

    assert fake.asked == [{"FunctionName": ARN, "Payload": b"{}", "InvocationType": "Event"}]
    assert answer.accepted


@pytest.mark.parametrize(
    ("error", "kind", "reference"),
    [
        (refusal("AccessDeniedException"), CredentialsError, "aws-refused"),
        (refusal("ExpiredTokenException"), CredentialsError, "credentials-expired"),
        (refusal("TooManyRequestsException"), TerraliveError, "invocation-throttled"),
        (ReadTimeoutError(endpoint_url="https://lambda"), TerraliveError, "answer-lost"),
    ],
    ids=["denied", "expired", "throttled", "lost"],
)
def test_a_call_that_fails_is_explained(
    error: Exception, kind: type[TerraliveError], reference: str
) -> None:
    with pytest.raises(kind) as raised:
        calling.call(FakeLambda(invoke=error).client, ARN, b"{}", qualifier="", asynchronous=False)

    assert raised.value.reference == reference
    assert raised.value.hint


def test_settings_are_read_and_unknown_where_aws_refuses() -> None:
    fake = FakeLambda(
        get_function_configuration={
            "Description": "Live",
            "Handler": "app.handler",
            "Timeout": 3,
            "MemorySize": 256,
            "Role": "arn:aws:iam::123456789012:role/shop",
            "Environment": {"Variables": {"NAME": "secret"}},
        }
    )

    settings = settings_of(fake.client, ARN, "live")

    assert settings is not None
    assert (settings.timeout_s, settings.memory_mb, settings.environment) == (
        *(3, 256),
        {"NAME": "secret"},
    )
    assert "secret" not in repr(settings)
    assert fake.asked == [{"FunctionName": ARN, "Qualifier": "live"}]
    error = {"ErrorCode": "AccessDeniedException", "Message": "no key"}
    secret = FakeLambda(get_function_configuration={"Environment": {"Error": error}})
    without = settings_of(secret.client, ARN)
    assert without is not None
    assert (without.environment, without.environment_error) == ({}, "no key")
    denied = FakeLambda(get_function_configuration=refusal("AccessDeniedException"))
    assert settings_of(denied.client, ARN) is None


def test_what_invokes_a_function_is_asked_for_by_what_the_event_names() -> None:
    queue = "arn:aws:sqs:eu-west-1:123456789012:orders"
    topic = "arn:aws:sns:eu-west-1:123456789012:orders"
    policy = {"Statement": [{"Condition": {"ArnLike": {"AWS:SourceArn": topic}}}]}
    fake = FakeLambda(
        list_event_source_mappings={"EventSourceMappings": [{"EventSourceArn": queue}]},
        get_policy={"Policy": json.dumps(policy)},
        get_function_url_config={"FunctionUrl": "https://abc.lambda-url.eu-west-1.on.aws/"},
    )

    assert sources_of(fake.client, ARN, "sqs").arns == (queue,)
    assert sources_of(fake.client, ARN, "sns").arns == (topic,)
    assert sources_of(fake.client, ARN, "url").url == "https://abc.lambda-url.eu-west-1.on.aws/"
    sources_of(fake.client, ARN, "sqs", "live")
    assert fake.asked[-1] == {"FunctionName": f"{ARN}:live"}
    asked = len(fake.asked)
    assert sources_of(fake.client, ARN, "eventbridge").arns == ()
    assert len(fake.asked) == asked
    missing = FakeLambda(get_policy=refusal("ResourceNotFoundException"))
    assert sources_of(missing.client, ARN, "sns").arns == ()


class Shown:
    """Keeps the events that are shown."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def wake_by(self, _wake: Callable[[], None]) -> None:
        """Do nothing: everything is kept at once."""

    def write(self, events: Sequence[Event]) -> None:
        self.events += events

    def close(self) -> None:
        """Do nothing."""


def shown(outcome: Outcome, lines: list[str], result: io.BytesIO | None) -> tuple[int, list[Event]]:
    format_ = Shown()
    with Renderer(format_) as renderer:
        ui = Ui(
            renderer,
            questions=io.StringIO(),
            answers=io.StringIO(),
            interactive=False,
            assume_yes=False,
            result=result,
        )
        code = showing.show(ui, DONE, outcome, lines)
    return code, format_.events


def test_a_program_that_reads_gets_the_result_alone_and_as_it_is() -> None:
    for body, written in ((b'{"a":  1}', b'{"a":  1}\n'), (b"null\n", b"null\n"), (b"", b"")):
        result = io.BytesIO()

        code, events = shown(Outcome(body), ["hello"], result)

        assert (code, result.getvalue()) == (0, written)
        log, answered = events
        assert isinstance(log, LogLine)
        assert (log.line, log.request_id) == ("hello", "4f1c")
        assert isinstance(answered, Answered)
        assert (answered.payload, answered.payload_bytes) == (None, None)


def test_an_error_of_the_function_is_no_result() -> None:
    result = io.BytesIO()
    document = b'{"errorType": "ValueError", "errorMessage": "no", "stackTrace": []}'

    code, events = shown(Outcome(document, "Unhandled"), ["[ERROR] ValueError: no"], result)

    assert (code, result.getvalue()) == (1, b"")
    (answered,) = [event for event in events if isinstance(event, Answered)]
    assert (answered.ok, answered.error_type, answered.logged) == (False, "ValueError", True)
    assert answered.payload == json.loads(document)


def test_a_person_sees_the_result() -> None:
    code, (answered,) = shown(Outcome(b"[1]"), [], None)

    assert code == 0
    assert isinstance(answered, Answered)
    assert (answered.payload, answered.payload_bytes) == ([1], 3)


def test_the_log_of_a_session_here_is_shown_without_its_frame(tmp_path: Path) -> None:
    file = file_of_invocation(tmp_path / ".terralive" / "logs", "api", "4f1c")
    file.parent.mkdir(parents=True)
    at = "2026-11-30T15:00:00.000Z"
    lines = ["START RequestId: 4f1c", "hello  world", "", "REPORT RequestId: 4f1c Duration"]
    file.write_text("".join(f"{at} {line}\n" for line in lines))

    assert showing.log_of_session(tmp_path, "api", "4f1c") == ["hello  world", ""]

"""While no relay is connected, the deployed code answers: the real stub and broker in a sandbox."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from terralive_sandbox.info import SandboxInfo
from terralive_stub.broker.aws import DynamoDBTable
from terralive_stub.protocol.invocation import name_of
from terralive_testing.deployers import fallbacks
from terralive_testing.deployers.fallbacks import WithFallback
from terralive_testing.deployers.faults import Faults
from terralive_testing.deployers.rest_api import fetch
from terralive_testing.deployers.sandbox import Aws, unique
from terralive_testing.deployers.stage import Stage, deploy
from terralive_testing.drivers.relay_process import relay_process
from terralive_testing.machine.waiting import eventually

SOURCE = """
import os, time

class OrderError(Exception):
    pass

def handler(event, context):
    print("the deployed code prints this")
    if event.get("fail"):
        raise OrderError("no such order")
    time.sleep(event.get("seconds", 0))
    custom = context.client_context and context.client_context.custom
    return ["deployed", event.get("id"), os.environ["AWS_LAMBDA_FUNCTION_VERSION"], custom]
"""


STREAMING_SOURCE = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const head = { statusCode: 201, headers: { "content-type": "text/event-stream" } };
  const body = awslambda.HttpResponseStream.from(stream, head);
  body.write("deployed, ");
  body.write("in pieces");
  body.end();
});
"""
HTTP_SOURCE = """
def handler(event, context):
    return {"statusCode": 404, "body": "deployed"}
"""
# The errors of invocations for which there was no execution.
BUSY = {
    "Terralive.FallbackThrottled",
    "Terralive.NoRelay",
    "Terralive.NotDelivered",
    "Terralive.CannotConnect",
    # A machine may be so busy that the deployed code, or the stub, has not enough time.
    "Terralive.FallbackLost",
    "Sandbox.Timedout",
}


@pytest.fixture(scope="module")
def stage(sandbox: SandboxInfo, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return deploy(Aws(sandbox), tmp_path_factory.mktemp("zips"), {})


@pytest.fixture(scope="module")
def orders(
    sandbox: SandboxInfo, stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> WithFallback:
    folder = tmp_path_factory.mktemp("zips")
    return fallbacks.deploy(Aws(sandbox), stage, folder, SOURCE, alias="live")


def invoke(aws: Aws, name: str, event: Mapping[str, object], **options: Any) -> tuple[str, Any]:  # noqa: ANN401 - any JSON
    """Return the `X-Amz-Function-Error` of an invocation, or "", and its answer."""
    answer = aws.lambda_.invoke(FunctionName=name, Payload=json.dumps(event), **options)
    return answer.get("FunctionError", ""), json.loads(answer["Payload"].read())


def test_the_deployed_code_answers_with_the_callers_event_and_client_context(
    sandbox: SandboxInfo, orders: WithFallback
) -> None:
    context = base64.b64encode(json.dumps({"custom": {"a": "ö"}}).encode()).decode()
    answer = Aws(sandbox).lambda_.invoke(
        FunctionName=orders.arn,
        Payload=b'{"id": "\xc3\xb6"}',
        ClientContext=context,
        LogType="Tail",
    )
    assert json.loads(answer["Payload"].read()) == ["deployed", "ö", orders.version, {"a": "ö"}]
    log = base64.b64decode(answer["LogResult"]).decode()
    assert "the deployed code prints this" in log
    assert f"version {orders.version} of this function has answered" in log


def test_an_alias_is_answered_by_the_code_that_it_named(
    sandbox: SandboxInfo, orders: WithFallback
) -> None:
    error, answer = invoke(Aws(sandbox), f"{orders.arn}:live", {"id": 1})
    assert (error, answer[:3]) == ("", ["older", 1, "1"])


def test_an_error_of_the_deployed_code_is_the_callers_error(
    sandbox: SandboxInfo, orders: WithFallback
) -> None:
    aws = Aws(sandbox)
    error, answer = invoke(aws, orders.arn, {"fail": True})
    direct_error, direct = invoke(aws, orders.arn, {"fail": True}, Qualifier=orders.version)
    assert error == direct_error == "Unhandled"
    assert {**answer, "requestId": ""} == {**direct, "requestId": ""}
    assert (answer["errorType"], answer["errorMessage"]) == ("OrderError", "no such order")


def test_without_permission_the_stub_fails_by_name_and_says_why(
    sandbox: SandboxInfo, stage: Stage, tmp_path: Path
) -> None:
    aws = Aws(sandbox)
    bounded = fallbacks.deploy(aws, stage, tmp_path, SOURCE)
    assert invoke(aws, bounded.arn, {"id": 1})[0] == ""
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "*"}],
    }
    boundary = aws.iam.create_policy(
        PolicyName=unique("boundary"), PolicyDocument=json.dumps(document)
    )
    aws.iam.put_role_permissions_boundary(
        RoleName=bounded.role.rpartition("/")[2],
        PermissionsBoundary=boundary["Policy"]["Arn"],
    )
    error, answer = invoke(aws, bounded.arn, {"id": 1})
    assert (error, answer["errorType"]) == ("Unhandled", "Terralive.NoRelay")
    assert "no permissions boundary allows the lambda:InvokeFunction" in answer["errorMessage"]


@pytest.fixture(scope="module")
def crowded(
    sandbox: SandboxInfo, stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> WithFallback:
    """A function with a short timeout, so that its stubs do not wait long for an execution."""
    aws = Aws(sandbox)
    made = fallbacks.deploy(aws, stage, tmp_path_factory.mktemp("zips"), SOURCE, timeout=6)
    eventually(lambda: is_answered(aws, made), "an answer before the crowd")
    return made


def test_ten_callers_of_a_function_with_a_reserved_concurrency_of_two_get_no_false_answer(
    sandbox: SandboxInfo, crowded: WithFallback
) -> None:
    aws = Aws(sandbox)
    aws.lambda_.put_function_concurrency(FunctionName=crowded.arn, ReservedConcurrentExecutions=2)
    try:
        check(call_at_once(aws, crowded.arn, 10))
        eventually(lambda: is_answered(aws, crowded), "an answer after the crowd")
    finally:
        aws.lambda_.delete_function_concurrency(FunctionName=crowded.arn)


def test_ten_callers_of_an_account_with_ten_executions_get_no_false_answer(
    sandbox: SandboxInfo, crowded: WithFallback
) -> None:
    aws, faults = Aws(sandbox), Faults(sandbox)
    faults.occupy_executions(990)
    try:
        check(call_at_once(aws, crowded.arn, 10))
        eventually(lambda: is_answered(aws, crowded), "an answer after the crowd")
    finally:
        faults.occupy_executions(0)


def is_answered(aws: Aws, function: WithFallback) -> bool:
    (number, error, answer) = call_at_once(aws, function.arn, 1)[0]
    check([(number, error, answer)])
    return not error


def call_at_once(aws: Aws, name: str, callers: int) -> list[tuple[int, str, Any]]:
    """Return the number, the error and the answer of each caller; throttled ones get a 429."""

    def call(number: int) -> tuple[int, str, Any]:
        try:
            return number, *invoke(aws, name, {"id": number, "seconds": 0.2})
        except aws.lambda_.exceptions.TooManyRequestsException as error:
            return number, "throttled", str(error)

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(call, range(callers)))


def check(answers: list[tuple[int, str, Any]]) -> None:
    """Check that every caller got its own answer, or an error that says why."""
    for number, error, answer in answers:
        if not error:
            assert answer[:2] == ["deployed", number]
        elif error != "throttled":
            assert answer["errorType"] in BUSY, answer


def test_a_relay_gets_the_next_invocation_and_is_told_what_the_fallback_has_answered(
    sandbox: SandboxInfo, stage: Stage, orders: WithFallback, tmp_path: Path
) -> None:
    aws = Aws(sandbox)
    fn = fallbacks.deploy(aws, stage, tmp_path / "zips", SOURCE)
    for fail in (False, True, False):
        invoke(aws, fn.arn, {"id": 1, "fail": fail})
    table = DynamoDBTable(aws.dynamodb, stage.name)
    count = f"answered {fn.arn}"
    key = {"pk": {"S": "fallback"}, "sk": {"S": "fallback"}}

    def counted() -> bool:
        item = aws.dynamodb.get_item(TableName=stage.name, Key=key, ConsistentRead=True)
        return item.get("Item", {}).get(count, {}).get("N") == "3"

    eventually(counted, "the count in the table")
    code = tmp_path / "code"
    code.mkdir()
    (code / "app.py").write_text("def handler(event, context):\n    return 'here'\n")
    live = replace(stage, functions={"fn": name_of(fn.arn)}, arns={"fn": fn.arn})
    with relay_process(sandbox, live, code, aws.caller_arn) as relay:
        eventually(lambda: relay.of_type("FallbackAnswered", function=name_of(fn.arn)), "the count")
        (told,) = relay.of_type("FallbackAnswered", function=name_of(fn.arn))
        assert (told["answered"], told["failed"]) == (3, 1)
        assert invoke(aws, fn.arn, {}) == ("", "here")
        # It does not serve this one.
        eventually(
            lambda: (
                invoke(aws, orders.arn, {"id": 2}) == ("", ["deployed", 2, orders.version, None])
            ),
            "an answer of the deployed code beside a relay",
        )
    assert fn.arn not in {taken.function for taken in table.take_fallback_counts()}
    # The relay has said goodbye. What it may have received a moment before does not fall back.
    eventually(
        lambda: invoke(aws, fn.arn, {"id": 4}) == ("", ["deployed", 4, fn.version, None]),
        "an answer of the deployed code after the relay",
    )


def test_an_http_caller_gets_the_deployed_codes_response_and_the_503_without_it(
    sandbox: SandboxInfo, stage: Stage, tmp_path: Path
) -> None:
    aws = Aws(sandbox)
    api = fallbacks.deploy(aws, stage, tmp_path, HTTP_SOURCE)
    event = {"version": "2.0", "requestContext": {"http": {"method": "GET", "path": "/"}}}
    assert invoke(aws, api.arn, event) == ("", {"statusCode": 404, "body": "deployed"})
    aws.lambda_.remove_permission(
        FunctionName=api.arn, Qualifier=api.version, StatementId=f"terralive-{api.version}"
    )
    error, answer = invoke(aws, api.arn, event)
    assert (error, answer["statusCode"]) == ("", 503)
    assert (
        "no resource-based policy allows" in answer["body"] or "is not authorized" in answer["body"]
    )


def test_a_url_that_streams_gets_the_deployed_codes_response_and_a_503_with_a_prelude_without_it(
    sandbox: SandboxInfo, stage: Stage, tmp_path: Path
) -> None:
    aws = Aws(sandbox)
    api = fallbacks.deploy_streaming(aws, stage, tmp_path, STREAMING_SOURCE)
    url = aws.streaming_url(api.arn)
    answer = fetch("GET", url)
    assert (answer.status_code, answer.text) == (201, "deployed, in pieces")
    assert answer.headers["content-type"] == "text/event-stream"

    # Another caller, who gets it as a whole.
    assert (
        aws.lambda_.invoke(FunctionName=api.arn, Payload=b"{}")["Payload"]
        .read()
        .endswith(bytes(8) + b"deployed, in pieces")
    )

    aws.lambda_.remove_permission(
        FunctionName=api.arn, Qualifier=api.version, StatementId=f"terralive-{api.version}"
    )
    answer = fetch("GET", url)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.text.startswith("Terralive.NoRelay: ")

"""`terralive invoke` against Lambda, IAM and STS of the sandbox."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import boto3
import pytest

from terralive_cli.invoking import calling, local
from terralive_cli.invoking.deployed import settings_of, sources_of
from terralive_relay.events import LogLine, RelayEvent
from terralive_sandbox.info import SandboxInfo
from terralive_stub.errors import TerraliveError
from terralive_testing.deployers.event_sources import READ_QUEUES, READER, Queue, mapping
from terralive_testing.deployers.sandbox import Aws, unique
from terralive_workers.function import LocalFunction


@pytest.fixture
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


def role_that_trusts(aws: Aws, principal: dict[str, str]) -> str:
    """Create a role, and return its ARN."""
    trusts = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trusts]})
    made = aws.iam.create_role(RoleName=unique("role"), AssumeRolePolicyDocument=document)
    return made["Role"]["Arn"]


def test_a_function_is_described_with_what_invokes_it(aws: Aws) -> None:
    function = aws.function(READER, statements=[READ_QUEUES], environment={"TABLE": "orders"})
    queue, topic = Queue(aws), f"arn:aws:sns:{aws.info.region}:{aws.info.account_id}:orders"
    aws.lambda_.add_permission(
        FunctionName=function,
        StatementId="topic",
        Action="lambda:InvokeFunction",
        Principal="sns.amazonaws.com",
        SourceArn=topic,
    )

    with mapping(aws, function, queue.arn, Enabled=False):
        assert sources_of(aws.lambda_, function, "sqs").arns == (queue.arn,)
    assert sources_of(aws.lambda_, function, "sns").arns == (topic,)
    assert sources_of(aws.lambda_, function, "url").url == ""
    settings = settings_of(aws.lambda_, function)
    assert settings is not None
    assert (settings.timeout_s, settings.environment) == (10, {"TABLE": "orders"})
    assert settings_of(aws.lambda_, f"{function}-gone") is None


def test_a_call_has_the_result_the_error_or_a_reason(aws: Aws) -> None:
    function = aws.function(
        "def handler(event, context):\n    print('hello')\n    return 1 / event['by']\n"
    )

    def called(by: int) -> calling.CallAnswer:
        event = json.dumps({"by": by}).encode()
        return calling.call(aws.lambda_, function, event, qualifier="", asynchronous=False)

    assert called(2).outcome.body == b"0.5"
    assert "hello" in called(2).log_tail
    assert json.loads(called(0).outcome.body)["errorType"] == "ZeroDivisionError"
    aws.lambda_.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    with pytest.raises(TerraliveError) as throttled:
        called(2)
    assert throttled.value.reference == "invocation-throttled"
    assert "reserved concurrency" in throttled.value.message
    aws.lambda_.delete_function(FunctionName=function)
    with pytest.raises(TerraliveError) as gone:
        called(2)
    assert gone.value.reference == "function-not-deployed"


def test_a_role_that_trusts_the_caller_is_assumed_and_another_one_is_not(aws: Aws) -> None:
    role = role_that_trusts(aws, {"AWS": f"arn:aws:iam::{aws.info.account_id}:root"})
    session = boto3.Session(
        aws.info.access_key_id, aws.info.secret_access_key, region_name=aws.info.region
    )

    credentials = local.role_credentials(session, aws.info.endpoint, role)

    keys = {
        "AccessKeyId": credentials["AWS_ACCESS_KEY_ID"],
        "SecretAccessKey": credentials["AWS_SECRET_ACCESS_KEY"],
        "SessionToken": credentials["AWS_SESSION_TOKEN"],
    }
    assert (
        f"assumed-role/{role.rpartition('/')[2]}/"
        in (Aws(aws.info, keys).sts.get_caller_identity()["Arn"])
    )
    of_lambda = role_that_trusts(aws, {"Service": "lambda.amazonaws.com"})
    assert local.role_credentials(session, aws.info.endpoint, of_lambda) == {}


def test_a_local_handler_runs_once_with_its_variables(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import os\n"
        "def handler(event, context):\n"
        "    print('in', os.environ['AWS_REGION'])\n"
        "    return [event, context.function_name]\n"
    )
    function = LocalFunction(
        name="api",
        arn="arn:aws:lambda:eu-west-1:123456789012:function:api",
        address="aws_lambda_function.api",
        runtime="python3.12",
        handler="app.handler",
        path=tmp_path,
        python=Path(sys.executable),
    )
    shown: list[RelayEvent] = []

    invocation = local.invocation_of(function, b"7", local.LocalRun(), time.monotonic())
    result = local.run_handler(function, invocation, shown.append)

    assert json.loads(result.outcome.body) == [7, "api"]
    lines = [event.line for event in shown if isinstance(event, LogLine)]
    assert lines == ["in eu-west-1"]

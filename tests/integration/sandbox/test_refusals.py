"""Requests that the sandbox refuses are told to `terralive start`, each with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from terralive_sandbox.info import SandboxInfo, local_url
from terralive_sandbox.refusals import PATH, RefusalReader
from terralive_testing.deployers.rest_api import fetch
from terralive_testing.deployers.sandbox import Aws, unique
from terralive_testing.drivers.websocket_clients import upgrade_status
from terralive_testing.machine.waiting import eventually

HANDLER = 'def handler(event, context):\n    return {"statusCode": 200}\n'


@pytest.fixture(scope="module")
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


@pytest.fixture(scope="module")
def function(aws: Aws) -> str:
    return aws.function(HANDLER)


@pytest.fixture
def shown(aws: Aws) -> Callable[[str, str], str]:
    """Wait for a refusal with both texts, and return it."""
    reader = RefusalReader(aws.info)
    seen: list[str] = []

    def find(where: str, why: str) -> str:
        def look() -> str:
            seen.extend(reader.read())
            return next((text for text in seen if where in text and why in text), "")

        return eventually(look, f"a refusal of {where} because of {why}")

    return find


def test_a_roles_missing_right(aws: Aws, shown: Callable[[str, str], str]) -> None:
    role = aws.role()
    with pytest.raises(ClientError, match="AccessDenied"):
        aws.assume(role).sqs.list_queues()
    text = shown("sqs ListQueues", "is not authorized to perform: sqs:")
    assert role.rpartition("/")[2] in text


def test_a_key_that_is_unknown(aws: Aws, shown: Callable[[str, str], str]) -> None:
    keys = {"AccessKeyId": "AKIAUNKNOWN", "SecretAccessKey": "x"}
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        Aws(aws.info, keys).sts.get_caller_identity()
    shown("sts", "InvalidClientTokenId")


def test_a_caller_without_a_signature_of_an_http_api(
    aws: Aws, function: str, shown: Callable[[str, str], str]
) -> None:
    api = aws.http_api(function, "GET /pets")
    [route] = aws.apis.get_routes(ApiId=api)["Items"]
    aws.apis.update_route(ApiId=api, RouteId=route["RouteId"], AuthorizationType="AWS_IAM")
    address = aws.info.http_url.format(api=api, stage="$default") + "/pets"
    assert fetch("GET", address).json() == {"message": "Forbidden"}
    shown(f"{api} GET /pets: 403", "Missing Authentication Token")


def test_an_api_that_may_not_invoke_its_function(
    aws: Aws, function: str, shown: Callable[[str, str], str]
) -> None:
    api = aws.http_api(function, "GET /", permit=False)
    assert (
        fetch("GET", aws.info.http_url.format(api=api, stage="$default") + "/").status_code == 500
    )
    shown(f"{api}/$default/GET/", "aws_lambda_permission is missing")


def test_a_connection_to_a_websocket_api(
    aws: Aws, function: str, shown: Callable[[str, str], str]
) -> None:
    api = aws.websocket_api(function, "$connect", iam=True)
    assert upgrade_status(aws.info.websocket_url.format(api=api, stage="live"), {}) == 403
    shown(f"$connect of {api}/live", "Missing Authentication Token")
    aws.authorize_connect(api, function, "X-Token")
    assert upgrade_status(aws.info.websocket_url.format(api=api, stage="live"), {}) == 401
    shown(f"$connect of {api}/live", "lacks an identity source")


def test_a_function_url(aws: Aws, function: str, shown: Callable[[str, str], str]) -> None:
    url = aws.lambda_.create_function_url_config(FunctionName=function, AuthType="NONE")
    assert fetch("GET", local_url(aws.info, url["FunctionUrl"])).status_code == 403
    text = shown(f"function URL of {function}", "may not lambda:InvokeFunctionUrl")
    assert "lambda:InvokeFunctionUrl and lambda:InvokeFunction" in text


def test_a_topic_that_may_not_invoke_a_function(
    aws: Aws, function: str, shown: Callable[[str, str], str]
) -> None:
    topic = aws.sns.create_topic(Name=unique("topic"))["TopicArn"]
    aws.sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function)
    aws.sns.publish(TopicArn=topic, Message="x")
    shown(topic, "aws_lambda_permission is missing")


def test_a_role_that_may_not_read_its_queue(aws: Aws, shown: Callable[[str, str], str]) -> None:
    url = aws.sqs.create_queue(QueueName=unique("queue"))["QueueUrl"]
    queue = aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn = queue["Attributes"]["QueueArn"]
    may = {
        "Effect": "Allow",
        "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
        "Resource": arn,
    }
    reads = aws.function(HANDLER, statements=[may])
    mapping = aws.lambda_.create_event_source_mapping(EventSourceArn=arn, FunctionName=reads)
    role = aws.lambda_.get_function(FunctionName=reads)["Configuration"]["Role"]
    # The role loses its rights while the mapping exists.
    aws.iam.delete_role_policy(RoleName=role.rpartition("/")[2], PolicyName="test")
    # A message wakes the poller.
    aws.sqs.send_message(QueueUrl=url, MessageBody="x")
    shown(arn, "does not have permissions to call ReceiveMessage")
    aws.lambda_.delete_event_source_mapping(UUID=mapping["UUID"])


def test_a_reader_is_told_nothing_from_before_and_a_web_page_nothing_at_all(aws: Aws) -> None:
    role = aws.role()
    with pytest.raises(ClientError, match="AccessDenied"):
        aws.assume(role).sqs.list_queues()
    assert RefusalReader(aws.info).read() == []
    answer = fetch("GET", f"{aws.info.endpoint}{PATH}")
    assert answer.status_code == 403
    assert "refusals" not in json.loads(answer.content)

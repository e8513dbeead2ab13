"""Functions, triggers and APIs of several regions, side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from websockets.sync.client import connect

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.event_sources import Queue, printed
from terralive_testing.deployers.rest_api import fetch
from terralive_testing.deployers.sandbox import Aws, running_sandbox, unique
from terralive_testing.machine.waiting import eventually

THERE = "eu-west-1"
WHERE = """
import os, boto3
def handler(event, context):
    return {"code": "%s", "arn": context.invoked_function_arn, "region": os.environ["AWS_REGION"],
            "default": os.environ["AWS_DEFAULT_REGION"],
            "sdk": boto3.client("sqs").meta.region_name}
"""
PUT = """
import os, boto3, json
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=json.dumps(event))
"""
SEND = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
READ = {
    "Effect": "Allow",
    "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
    "Resource": "*",
}


@pytest.fixture
def here(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


@pytest.fixture
def there(here: Aws) -> Aws:
    return here.in_region(THERE)


def invoke(aws: Aws, name: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads(aws.lambda_.invoke(FunctionName=name)["Payload"].read())


def recorder(aws: Aws) -> tuple[str, Queue]:
    """A function that sends its events to a queue of its own region; its ARN, and the queue."""
    queue = Queue(aws)
    return aws.function(PUT, statements=[SEND, READ], environment={"QUEUE": queue.url}), queue


def test_two_functions_of_one_name_run_each_its_own_code_in_its_own_region(
    here: Aws, there: Aws
) -> None:
    name = unique("same")
    here.function(WHERE % "us code", name=name)
    there.function(WHERE % "eu code", name=name)
    us, eu = invoke(here, name), invoke(there, name)
    assert us["code"] == "us code"
    assert eu["code"] == "eu code"
    assert (us["region"], us["default"], us["sdk"]) == ("us-east-1",) * 3
    assert (eu["region"], eu["default"], eu["sdk"]) == (THERE,) * 3
    assert eu["arn"] == f"arn:aws:lambda:{THERE}:{here.info.account_id}:function:{name}"
    here.lambda_.delete_function(FunctionName=name)
    assert invoke(there, name)["code"] == "eu code"


def test_a_function_is_not_found_in_a_region_where_it_is_not(here: Aws, there: Aws) -> None:
    arn = there.function(WHERE % "eu")
    name = arn.rpartition(":")[2]
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        here.lambda_.invoke(FunctionName=name)
    with pytest.raises(
        ClientError,
        match=f"Functions from '{THERE}' are not reachable in this region \\('us-east-1'\\)",
    ):
        here.lambda_.invoke(FunctionName=arn)


def test_a_region_that_does_not_exist_has_no_resources(here: Aws) -> None:
    nowhere = f"us-esat-1:{here.info.account_id}"
    with pytest.raises(ClientError, match="NotFound"):
        here.sns.publish(TopicArn=f"arn:aws:sns:{nowhere}:orders", Message="lost")
    with pytest.raises(ClientError, match="Functions from 'us-esat-1' are not reachable"):
        here.lambda_.invoke(FunctionName=f"arn:aws:lambda:{nowhere}:function:orders")
    function = here.function(WHERE % "us", statements=[SEND])
    destination: Any = {"OnSuccess": {"Destination": f"arn:aws:sqs:{nowhere}:orders"}}
    refused = r"does not have permissions to call SendMessage on .*us-esat-1.*:orders"
    with pytest.raises(ClientError, match=refused):
        here.lambda_.put_function_event_invoke_config(
            FunctionName=function, DestinationConfig=destination
        )


def test_reserved_concurrency_counts_in_its_own_region(here: Aws, there: Aws) -> None:
    name = unique("reserved")
    here.function(WHERE % "us", name=name)
    there.function(WHERE % "eu", name=name)
    here.lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    with pytest.raises(ClientError, match="TooManyRequestsException"):
        invoke(here, name)
    assert invoke(there, name)["code"] == "eu"


def test_logs_are_in_the_functions_region(here: Aws, there: Aws) -> None:
    source = "import json\ndef handler(event, context):\n    print(json.dumps({'moin': 1}))\n"
    function = there.function(source)
    name = function.rpartition(":")[2]
    invoke(there, name)
    eventually(lambda: printed(there, function) == [{"moin": 1}])
    assert printed(here, function) == []


def test_a_topic_reaches_functions_and_queues_of_other_regions(here: Aws, there: Aws) -> None:
    topic = here.sns.create_topic(Name=unique("topic"))["TopicArn"]
    function, seen = recorder(there)
    there.allow(function, "sns.amazonaws.com", topic)
    queue = Queue(there)
    queue.allow("sns.amazonaws.com", topic)
    here.sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function)
    here.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    here.sns.publish(TopicArn=topic, Message="across")
    (event,) = [json.loads(body) for body in eventually(seen.take_bodies)]
    assert event["Records"][0]["Sns"]["Message"] == "across"
    assert event["Records"][0]["Sns"]["TopicArn"] == topic
    (message,) = eventually(queue.take_bodies)
    assert json.loads(message)["Message"] == "across"


def test_a_queue_invokes_functions_of_its_own_region_only(here: Aws, there: Aws) -> None:
    function, seen = recorder(there)
    queue, wrong = Queue(there, VisibilityTimeout="60"), Queue(here, VisibilityTimeout="60")
    there.lambda_.create_event_source_mapping(FunctionName=function, EventSourceArn=queue.arn)
    queue.send("hello")
    (event,) = [json.loads(body) for body in eventually(seen.take_bodies)]
    assert event["Records"][0]["body"] == "hello"
    assert event["Records"][0]["awsRegion"] == THERE
    with pytest.raises(ClientError, match=r"InvalidParameterValue.*in another region"):
        there.lambda_.create_event_source_mapping(FunctionName=function, EventSourceArn=wrong.arn)


def test_a_rule_reaches_targets_of_its_own_region_only(here: Aws, there: Aws) -> None:
    function, seen = recorder(there)
    rule = unique("rule")
    pattern = json.dumps({"source": [rule]})
    arn = there.events.put_rule(Name=rule, EventPattern=pattern)["RuleArn"]
    there.allow(function, "events.amazonaws.com", arn)
    there.events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": function}])
    entry = {"Source": rule, "DetailType": "d", "Detail": "{}"}
    here.events.put_events(Entries=[entry])  # type: ignore[list-item] # a literal
    there.events.put_events(Entries=[entry])  # type: ignore[list-item] # a literal
    events = [json.loads(body) for body in eventually(seen.take_bodies)]
    assert [event["region"] for event in events] == [THERE]
    here.events.put_rule(Name=rule, EventPattern=pattern)
    with pytest.raises(ClientError, match=r"ValidationException.*another region"):
        here.events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": function}])


def test_a_schedule_fires_in_the_region_of_its_rule(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, time_scale=0.01) as info:
        aws = Aws(info).in_region(THERE)
        function, seen = recorder(aws)
        aws.run_one_by_one(function)
        rule = unique("rule")
        arn = aws.events.put_rule(Name=rule, ScheduleExpression="rate(1 minute)")["RuleArn"]
        aws.allow(function, "events.amazonaws.com", arn)
        aws.events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": function}])
        event = json.loads(eventually(seen.take_bodies)[0])
        assert event["region"] == THERE
        assert event["resources"] == [arn]


def test_a_bucket_notifies_destinations_of_its_own_region_only(here: Aws, there: Aws) -> None:
    function, seen = recorder(there)
    bucket = unique("bucket")
    there.s3.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    there.allow(function, "s3.amazonaws.com", f"arn:aws:s3:::{bucket}")
    there.s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [
                {"LambdaFunctionArn": function, "Events": ["s3:ObjectCreated:*"]}
            ]
        },
    )
    there.s3.put_object(Bucket=bucket, Key="k", Body=b"")
    event = json.loads(eventually(seen.take_bodies)[0])
    assert event["Records"][0]["awsRegion"] == THERE
    elsewhere, _ = recorder(here)
    here.allow(elsewhere, "s3.amazonaws.com", f"arn:aws:s3:::{bucket}")
    with pytest.raises(ClientError, match="region is not valid for the bucket location"):
        there.s3.put_bucket_notification_configuration(
            Bucket=bucket,
            NotificationConfiguration={
                "LambdaFunctionConfigurations": [
                    {"LambdaFunctionArn": elsewhere, "Events": ["s3:ObjectCreated:*"]}
                ]
            },
        )


def test_code_comes_from_a_bucket_of_the_functions_region_only(here: Aws, there: Aws) -> None:
    function = there.function(WHERE % "old")
    bucket = unique("code")
    here.s3.create_bucket(Bucket=bucket)
    here.s3.put_object(Bucket=bucket, Key="f.zip", Body=b"any")
    with pytest.raises(ClientError, match="The bucket is in this region: us-east-1"):
        there.lambda_.update_function_code(FunctionName=function, S3Bucket=bucket, S3Key="f.zip")


def test_code_in_s3_that_is_not_there_changes_nothing(here: Aws) -> None:
    function = here.function(WHERE % "old")
    bucket = unique("code")
    here.s3.create_bucket(Bucket=bucket)
    before = here.lambda_.get_function_configuration(FunctionName=function)
    cases: Any = (
        ({"S3Bucket": bucket, "S3Key": "none.zip"}, "NoSuchKey"),
        ({"S3Bucket": unique("none"), "S3Key": "f.zip"}, "NoSuchBucket"),
    )
    for missing, message in cases:
        with pytest.raises(ClientError, match=f"S3 Error Code: {message}"):
            here.lambda_.update_function_code(FunctionName=function, **missing)
        with pytest.raises(ClientError, match=f"S3 Error Code: {message}"):
            here.lambda_.create_function(
                FunctionName=unique("new"),
                Role=before["Role"],
                Runtime="python3.12",
                Handler="app.handler",
                Code=missing,
            )
    after = here.lambda_.get_function_configuration(FunctionName=function)
    assert after["CodeSha256"] == before["CodeSha256"]


def test_apis_of_all_kinds_answer_in_their_own_region(here: Aws, there: Aws) -> None:
    function = there.function(
        """
        import json
        def handler(event, context):
            return {"statusCode": 200, "body": json.dumps(event)}
        """
    )
    api = there.http_api(function, "GET /where")
    url = here.info.http_url.format(api=api, stage="$default")
    context = fetch("GET", f"{url}/where").json()["requestContext"]
    assert context["domainName"] == f"{api}.execute-api.{THERE}.amazonaws.com"
    websocket = there.websocket_api(function, "$default", replies=True)
    with connect(here.info.websocket_url.format(api=websocket, stage="live")) as client:
        client.send('{"action": "x"}')
        context = json.loads(client.recv())["requestContext"]
        assert context["domainName"] == f"{websocket}.execute-api.{THERE}.amazonaws.com"
        connection = context["connectionId"]
        there.connections(websocket, "live").post_to_connection(
            ConnectionId=connection, Data=b"from the backend"
        )
        assert client.recv() == "from the backend"


def test_a_function_url_answers_in_its_own_region(here: Aws, there: Aws) -> None:
    function = there.function("def handler(event, context):\n    return event\n")
    there.lambda_.add_permission(
        FunctionName=function,
        StatementId="url",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
    )
    there.lambda_.add_permission(
        FunctionName=function,
        StatementId="function",
        Action="lambda:InvokeFunction",
        Principal="*",
        InvokedViaFunctionUrl=True,
    )
    url = there.lambda_.create_function_url_config(FunctionName=function, AuthType="NONE")
    identifier = url["FunctionUrl"].removeprefix("https://").partition(".")[0]
    assert f".lambda-url.{THERE}.on.aws" in url["FunctionUrl"]
    answer = fetch("GET", f"{here.info.endpoint}/_sandbox/url/{identifier}/")
    assert answer.json()["requestContext"]["domainName"].endswith(f"{THERE}.on.aws")


def test_a_policy_may_allow_one_region_only(here: Aws) -> None:
    role = here.role(
        {
            "Effect": "Allow",
            "Action": "sqs:*",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:RequestedRegion": THERE}},
        }
    )
    keys = here.role_keys(role)
    session = boto3.Session(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name=THERE
    )
    endpoint = here.info.endpoint
    session.client("sqs", endpoint_url=endpoint).create_queue(QueueName=unique("q"))
    with pytest.raises(ClientError, match="AccessDenied"):
        session.client("sqs", "us-east-1", endpoint_url=endpoint).create_queue(QueueName="q")

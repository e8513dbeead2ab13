"""A second account: who may enter it, and what may be used from outside of it.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.event_sources import READ_QUEUES, READER, Queue, mapping, printed
from terralive_testing.deployers.rest_api import fetch
from terralive_testing.deployers.sandbox import Aws, unique
from terralive_testing.machine.waiting import eventually

OTHER = "222222222222"
WHO = """
import boto3
def handler(event, context):
    return [context.invoked_function_arn, boto3.client("sts").get_caller_identity()["Account"]]
"""


@pytest.fixture
def own(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


@pytest.fixture
def other(own: Aws) -> Aws:
    return own.in_account(OTHER)


def invoke(aws: Aws, name: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads(aws.lambda_.invoke(FunctionName=name)["Payload"].read())


def trusting(aws: Aws, principal: str, condition: Mapping[str, object] | None = None) -> str:
    """A role without permissions that trusts a principal; its ARN."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": "sts:AssumeRole",
        "Condition": condition or {},
    }
    return aws.iam.create_role(
        RoleName=unique("role"),
        AssumeRolePolicyDocument=json.dumps({"Statement": [statement]}),
    )["Role"]["Arn"]


def may(action: str, resource: str = "*") -> dict[str, object]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def root(account: str) -> str:
    return f"arn:aws:iam::{account}:root"


def test_an_account_is_entered_by_the_role_of_its_organization(own: Aws, other: Aws) -> None:
    identity = other.sts.get_caller_identity()
    assert identity["Account"] == OTHER
    assert identity["Arn"] == (
        f"arn:aws:sts::{OTHER}:assumed-role/OrganizationAccountAccessRole/test"
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        own.role_keys(f"arn:aws:iam::{OTHER}:role/{unique('none')}")
    with pytest.raises(ClientError, match="AccessDenied"):
        own.role_keys("arn:aws:iam::333333333333:role/anything")


def test_two_accounts_have_each_their_own_resources_of_one_name(own: Aws, other: Aws) -> None:
    name = unique("same")
    mine, theirs = own.function(WHO, name=name), other.function(WHO, name=name)
    assert mine.split(":")[4] == own.info.account_id
    assert theirs.split(":")[4] == OTHER
    assert invoke(own, name) == [mine, own.info.account_id]
    assert invoke(other, name) == [theirs, OTHER]
    own.lambda_.delete_function(FunctionName=name)
    assert invoke(other, name) == [theirs, OTHER]
    queue = other.sqs.create_queue(QueueName=name)["QueueUrl"]
    assert f"/{OTHER}/" in queue
    with pytest.raises(ClientError, match="NonExistentQueue"):
        own.sqs.get_queue_url(QueueName=name)


def test_a_log_belongs_to_the_account_of_its_function(own: Aws, other: Aws) -> None:
    source = "import json\ndef handler(event, context):\n    print(json.dumps({'a': 1}))\n"
    function = other.function(source)
    invoke(other, function)
    eventually(lambda: printed(other, function) == [{"a": 1}])
    assert printed(own, function) == []


def test_a_role_of_another_account_is_assumed_with_trust_and_permission(
    own: Aws, other: Aws
) -> None:
    target = trusting(other, root(own.info.account_id))
    permitted = own.assume(own.role(may("sts:AssumeRole", target)))
    assert permitted.assume(target).sts.get_caller_identity()["Account"] == OTHER
    without_permission = own.assume(own.role())
    with pytest.raises(ClientError, match=r"AccessDenied.*no identity-based policy"):
        without_permission.role_keys(target)
    with pytest.raises(ClientError, match="AccessDenied"):
        permitted.role_keys(trusting(other, root("444444444444")))


def test_a_role_may_demand_an_external_id(own: Aws, other: Aws) -> None:
    condition = {"StringEquals": {"sts:ExternalId": "agreed"}}
    target = trusting(other, root(own.info.account_id), condition)
    with pytest.raises(ClientError, match="AccessDenied"):
        own.role_keys(target)
    answer = own.sts.assume_role(RoleArn=target, RoleSessionName="session", ExternalId="agreed")
    assert answer["AssumedRoleUser"]["Arn"].startswith(f"arn:aws:sts::{OTHER}:assumed-role/")


def test_within_one_account_a_trust_that_names_the_caller_is_enough(own: Aws) -> None:
    caller = own.role()
    target = trusting(own, caller)
    assert own.assume(caller).role_keys(target)
    by_account = trusting(own, root(own.info.account_id))
    with pytest.raises(ClientError, match="AccessDenied"):
        own.assume(caller).role_keys(by_account)


def test_a_function_of_another_account_runs_if_both_sides_allow_it(own: Aws, other: Aws) -> None:
    function = other.function(WHO)
    with pytest.raises(ClientError, match=r"AccessDeniedException.*no resource-based policy"):
        invoke(own, function)
    other.lambda_.add_permission(
        FunctionName=function,
        StatementId="own",
        Action="lambda:InvokeFunction",
        Principal=own.info.account_id,
    )
    assert invoke(own, function) == [function, OTHER]
    partial = f"{OTHER}:function:{function.rpartition(':')[2]}"
    assert invoke(own, partial) == [function, OTHER]
    with pytest.raises(ClientError, match=r"AccessDeniedException.*lambda:GetFunction"):
        own.lambda_.get_function(FunctionName=partial)
    powerless = own.assume(own.role())
    with pytest.raises(ClientError, match=r"AccessDeniedException.*no identity-based policy"):
        invoke(powerless, function)


def test_a_queue_of_another_account_takes_messages_if_both_sides_allow_it(
    own: Aws, other: Aws
) -> None:
    queue = Queue(other)
    with pytest.raises(ClientError, match="AccessDenied"):
        own.sqs.send_message(QueueUrl=queue.url, MessageBody="no")
    queue.set_policy(
        {
            "Effect": "Allow",
            "Principal": {"AWS": root(own.info.account_id)},
            "Action": "sqs:SendMessage",
            "Resource": queue.arn,
        }
    )
    own.sqs.send_message(QueueUrl=queue.url, MessageBody="yes")
    assert queue.take_bodies() == ["yes"]
    powerless = own.assume(own.role())
    with pytest.raises(ClientError, match="AccessDenied"):
        powerless.sqs.send_message(QueueUrl=queue.url, MessageBody="no")


def test_a_queue_of_another_account_invokes_a_function(own: Aws, other: Aws) -> None:
    queue = Queue(other, VisibilityTimeout="60")
    function = own.function(READER, statements=[READ_QUEUES])
    with pytest.raises(ClientError, match="does not have permissions to call ReceiveMessage"):
        own.lambda_.create_event_source_mapping(FunctionName=function, EventSourceArn=queue.arn)
    queue.set_policy(
        {
            "Effect": "Allow",
            "Principal": {"AWS": own.info.account_id},
            "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
            "Resource": queue.arn,
        }
    )
    with mapping(own, function, queue.arn):
        queue.send("across")
        lines = eventually(lambda: printed(own, function))
        assert lines[0]["event"]["Records"][0]["body"] == "across"
        eventually(queue.is_empty)


def test_a_topic_reaches_functions_and_queues_of_other_accounts(own: Aws, other: Aws) -> None:
    topic = own.sns.create_topic(Name=unique("topic"))["TopicArn"]
    source = "import json\ndef handler(event, context):\n    print(json.dumps(event))\n"
    queue, function = Queue(other), other.function(source)
    own.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    own.sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function)
    own.sns.publish(TopicArn=topic, Message="nobody may have this")
    queue.allow("sns.amazonaws.com", topic)
    other.allow(function, "sns.amazonaws.com", topic)
    own.sns.publish(TopicArn=topic, Message="hello")
    (message,) = eventually(queue.take_bodies)
    assert json.loads(message)["Message"] == "hello"
    (event,) = eventually(lambda: printed(other, function))
    assert event["Records"][0]["Sns"]["Message"] == "hello"


def test_another_account_publishes_to_a_topic_whose_policy_allows_it(own: Aws, other: Aws) -> None:
    topic = own.sns.create_topic(Name=unique("topic"))["TopicArn"]
    queue = Queue(own)
    queue.allow("sns.amazonaws.com", topic)
    own.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    with pytest.raises(ClientError, match="AuthorizationError"):
        other.sns.publish(TopicArn=topic, Message="too early")
    policy = {
        "Effect": "Allow",
        "Principal": {"AWS": OTHER},
        "Action": "sns:Publish",
        "Resource": topic,
    }
    own.sns.set_topic_attributes(
        TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps({"Statement": [policy]})
    )
    other.sns.publish(TopicArn=topic, Message="allowed")
    (message,) = eventually(queue.take_bodies)
    assert json.loads(message)["Message"] == "allowed"


def test_a_rule_reaches_targets_of_other_accounts_as_its_role_if_both_sides_allow_it(
    own: Aws, other: Aws
) -> None:
    name, source = unique("rule"), unique("shop")
    pattern = json.dumps({"source": [source]})
    rule = own.events.put_rule(Name=name, EventPattern=pattern)["RuleArn"]
    source_code = "import json\ndef handler(event, context):\n    print(json.dumps(event))\n"
    queue, function = Queue(other), other.function(source_code)
    lost = Queue(own)
    lost.allow("events.amazonaws.com", rule)
    targets = {"queue": queue.arn, "function": function}

    def send(role: str) -> None:
        """Send an event to both targets as this role."""
        own.events.put_targets(
            Rule=name,
            Targets=[
                {"Id": key, "Arn": arn, "RoleArn": role, "DeadLetterConfig": {"Arn": lost.arn}}
                for key, arn in targets.items()
            ],
        )
        entry: Any = {"Source": source, "DetailType": "order", "Detail": "{}"}
        own.events.put_events(Entries=[entry])

    for arn in targets.values():
        with pytest.raises(ClientError, match=r"ValidationException.*needs a RoleArn"):
            own.events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn}])
    permitted = own.role(may("sqs:SendMessage", queue.arn), may("lambda:InvokeFunction", function))
    # EventBridge sends as the role, so a permission for EventBridge itself means nothing.
    queue.allow("events.amazonaws.com", rule)
    other.allow(function, "events.amazonaws.com", rule)
    send(permitted)
    assert len(eventually(lost.take_bodies)) == 2
    for_own = {"AWS": own.info.account_id}
    queue.set_policy({**may("sqs:SendMessage", queue.arn), "Principal": for_own})
    other.lambda_.add_permission(
        FunctionName=function,
        StatementId="own",
        Action="lambda:InvokeFunction",
        Principal=own.info.account_id,
    )
    send(own.role())
    assert len(eventually(lost.take_bodies)) == 2
    assert queue.take_bodies() == []
    send(permitted)
    (message,) = eventually(queue.take_bodies)
    (event,) = eventually(lambda: printed(other, function))
    assert json.loads(message)["source"] == event["source"] == source
    assert lost.take_bodies() == []


def test_an_object_of_another_account_is_read_if_both_sides_allow_it(own: Aws, other: Aws) -> None:
    bucket = unique("bucket")
    other.s3.create_bucket(Bucket=bucket)
    other.s3.put_object(Bucket=bucket, Key="code.zip", Body=b"content")
    with pytest.raises(ClientError, match="AccessDenied"):
        own.s3.get_object(Bucket=bucket, Key="code.zip")
    with pytest.raises(ClientError, match="BucketAlreadyExists"):
        own.s3.create_bucket(Bucket=bucket)
    policy = {
        "Effect": "Allow",
        "Principal": {"AWS": root(own.info.account_id)},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    other.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Statement": [policy]}))
    assert own.s3.get_object(Bucket=bucket, Key="code.zip")["Body"].read() == b"content"
    with pytest.raises(ClientError, match="AccessDenied"):
        own.s3.get_object(Bucket=bucket, Key="code.zip", ExpectedBucketOwner=own.info.account_id)
    own.s3.get_object(Bucket=bucket, Key="code.zip", ExpectedBucketOwner=OTHER)
    with pytest.raises(ClientError, match="AccessDenied"):
        own.assume(own.role()).s3.get_object(Bucket=bucket, Key="code.zip")
    with pytest.raises(ClientError, match="AccessDenied"):
        own.s3.put_object(Bucket=bucket, Key="code.zip", Body=b"other")


def test_lambda_reads_code_from_s3_as_the_caller(own: Aws) -> None:
    function = own.function(WHO)
    bucket = unique("code")
    own.s3.create_bucket(Bucket=bucket)
    own.s3.put_object(Bucket=bucket, Key="f.zip", Body=b"any")
    deployer = own.assume(own.role(may("lambda:*")))
    with pytest.raises(ClientError, match=f"s3:GetObject on resource: arn:aws:s3:::{bucket}/f"):
        deployer.lambda_.update_function_code(FunctionName=function, S3Bucket=bucket, S3Key="f.zip")


def test_a_function_takes_no_role_of_another_account(own: Aws, other: Aws) -> None:
    function = own.function(WHO)
    role = other.role()
    with pytest.raises(ClientError, match="Cross-account pass role is not allowed"):
        own.lambda_.update_function_configuration(FunctionName=function, Role=role)


def test_an_api_of_another_account_answers_in_that_account(own: Aws, other: Aws) -> None:
    function = other.function("def handler(event, context):\n    return event\n")
    api = other.http_api(function, "GET /who")
    url = own.info.http_url.format(api=api, stage="$default")
    assert fetch("GET", f"{url}/who").json()["requestContext"]["accountId"] == OTHER


def test_keys_of_an_account_do_not_reach_into_another_one(own: Aws, other: Aws) -> None:
    table = unique("table")
    other.dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    arn = f"arn:aws:dynamodb:{own.info.region}:{OTHER}:table/{table}"
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        own.dynamodb.describe_table(TableName=table)
    with pytest.raises(ClientError, match=r"AccessDeniedException.*no resource-based policy"):
        own.dynamodb.describe_table(TableName=arn)
    assert other.dynamodb.describe_table(TableName=table)["Table"]["TableArn"] == arn

"""EventBridge Scheduler sends to its targets as the roles of its schedules.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/what-is-scheduler.html
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.sandbox import Aws, running_sandbox, unique
from terralive_testing.machine.waiting import eventually

OFF: Any = {"Mode": "OFF"}


@pytest.fixture
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """A sandbox in which a minute of rate() takes 60 ms."""
    with running_sandbox(tmp_path_factory.mktemp("hasty"), time_scale=0.001) as info:
        yield Aws(info)


def queue(aws: Aws, name: str = "", **attributes: str) -> tuple[str, str]:
    """A queue; its URL and its ARN."""
    settings: Any = attributes
    made = aws.sqs.create_queue(QueueName=name or unique("queue"), Attributes=settings)
    url = made["QueueUrl"]
    attribute = aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, attribute["Attributes"]["QueueArn"]


def next_message(aws: Aws, url: str) -> Mapping[str, Any]:
    """The next message of a queue."""
    found: list[Mapping[str, Any]] = []

    def received() -> bool:
        answer = aws.sqs.receive_message(
            QueueUrl=url, WaitTimeSeconds=1, MessageAttributeNames=["All"], AttributeNames=["All"]
        )
        found.extend(answer.get("Messages", []))
        return bool(found)

    eventually(received)
    aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=found[0]["ReceiptHandle"])
    return found[0]


def may(action: str, resource: str) -> dict[str, str]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def create(aws: Aws, arn: str, role: str, expression: str = "rate(1 minute)", **more: Any) -> str:  # noqa: ANN401
    """A schedule with this target; its name. `target` has more of the target's settings."""
    name = more.pop("Name", unique("schedule"))
    target = {"Arn": arn, "RoleArn": role, **more.pop("target", {})}
    aws.scheduler.create_schedule(
        Name=name, ScheduleExpression=expression, FlexibleTimeWindow=OFF, Target=target, **more
    )
    return str(name)


def test_a_schedule_invokes_a_function_again_and_again_until_it_is_deleted(hasty: Aws) -> None:
    aws = hasty
    url, arn = queue(aws)
    source = """
    import json, os, boto3
    def handler(event, context):
        text = json.dumps(event)
        boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=text)
    """
    function = aws.function(
        source, statements=[may("sqs:SendMessage", arn)], environment={"QUEUE": url}
    )
    aws.run_one_by_one(function)
    role = aws.role(may("lambda:InvokeFunction", function))
    name = create(aws, function, role)
    event = json.loads(next_message(aws, url)["Body"])
    schedule = aws.scheduler.get_schedule(Name=name)["Arn"]
    assert (event["source"], event["resources"]) == ("aws.scheduler", [schedule])
    assert (event["detail-type"], event["detail"]) == ("Scheduled Event", "{}")
    again = json.loads(next_message(aws, url)["Body"])
    assert again["id"] != event["id"]
    aws.scheduler.delete_schedule(Name=name)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        aws.scheduler.get_schedule(Name=name)


def test_a_schedule_reaches_queues_and_topics_as_its_role_and_nothing_that_the_role_may_not(
    hasty: Aws,
) -> None:
    aws = hasty
    lost, lost_arn = queue(aws)
    open_url, open_arn = queue(aws)
    closed_url, closed_arn = queue(aws)
    heard, heard_arn = queue(aws)
    topic = aws.sns.create_topic(Name=unique("topic"))["TopicArn"]
    policy = {**may("sqs:SendMessage", heard_arn), "Principal": {"Service": "sns.amazonaws.com"}}
    aws.sqs.set_queue_attributes(
        QueueUrl=heard, Attributes={"Policy": json.dumps({"Statement": [policy]})}
    )
    aws.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=heard_arn)
    role = aws.role(
        may("sqs:SendMessage", open_arn),
        may("sqs:SendMessage", lost_arn),
        may("sns:Publish", topic),
    )
    text = '{"schedule": "<aws.scheduler.schedule-arn>", "try": <aws.scheduler.attempt-number>}'
    dead: Any = {"DeadLetterConfig": {"Arn": lost_arn}}
    names = [
        create(aws, arn, role, "rate(1 hour)", target={"Input": text, **dead})
        for arn in (open_arn, closed_arn, topic)
    ]
    body = json.loads(next_message(aws, open_url)["Body"])
    assert body == {"schedule": aws.scheduler.get_schedule(Name=names[0])["Arn"], "try": 1}
    assert json.loads(json.loads(next_message(aws, heard)["Body"])["Message"])["try"] == 1
    refused = next_message(aws, lost)
    reasons = {key: value["StringValue"] for key, value in refused["MessageAttributes"].items()}
    assert (reasons["TARGET_ARN"], reasons["ERROR_CODE"]) == (closed_arn, "AccessDeniedException")
    assert reasons["SCHEDULE_ARN"].endswith(f":schedule/default/{names[1]}")
    assert "Messages" not in aws.sqs.receive_message(QueueUrl=closed_url)
    for name in names:
        aws.scheduler.delete_schedule(Name=name)


def test_at_fires_once_and_takes_its_schedule_with_it_if_asked(aws: Aws) -> None:
    name = f"{unique('queue')}.fifo"
    url, arn = queue(aws, name, FifoQueue="true", ContentBasedDeduplication="true")
    role = aws.role(may("sqs:SendMessage", arn))
    # A time that has passed when the schedule is made never comes: the client is made before.
    assert aws.scheduler.list_schedules(NamePrefix=name)["Schedules"] == []
    soon = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(seconds=4)
    name = create(
        aws,
        arn,
        role,
        f"at({soon:%Y-%m-%dT%H:%M:%S})",
        ActionAfterCompletion="DELETE",
        target={"Input": "once", "SqsParameters": {"MessageGroupId": "orders"}},
    )
    message = next_message(aws, url)
    assert (message["Body"], message["Attributes"]["MessageGroupId"]) == ("once", "orders")

    eventually(lambda: not aws.scheduler.list_schedules(NamePrefix=name)["Schedules"])


def test_groups_hold_schedules_and_disabled_ones_do_not_fire(hasty: Aws) -> None:
    aws = hasty
    url, arn = queue(aws)
    role = aws.role(may("sqs:SendMessage", arn))
    group = unique("group")
    aws.scheduler.create_schedule_group(Name=group)
    with pytest.raises(ClientError, match="ConflictException"):
        aws.scheduler.create_schedule_group(Name=group)
    with pytest.raises(ClientError, match=r"ResourceNotFoundException.*nobody"):
        create(aws, arn, role, GroupName="nobody")
    target: Any = {"Arn": arn, "RoleArn": role, "Input": "off"}
    name = create(aws, arn, role, GroupName=group, State="DISABLED", target=target)
    on = create(aws, arn, role, target={"Input": "on"})
    assert {next_message(aws, url)["Body"] for _ in range(3)} == {"on"}
    aws.scheduler.delete_schedule(Name=on)
    changed: Any = {"Name": name, "GroupName": group, "FlexibleTimeWindow": OFF, "Target": target}
    aws.scheduler.update_schedule(
        **changed, ScheduleExpression="rate(1 hour)", ActionAfterCompletion="DELETE"
    )
    got = aws.scheduler.get_schedule(Name=name, GroupName=group)
    assert (got["State"], got["ActionAfterCompletion"]) == ("ENABLED", "DELETE")

    eventually(lambda: next_message(aws, url)["Body"] == "off")
    aws.scheduler.delete_schedule_group(Name=group)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        aws.scheduler.get_schedule(Name=name, GroupName=group)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        aws.scheduler.delete_schedule_group(Name=group)


def test_what_scheduler_refuses_and_what_the_sandbox_does_not_emulate(aws: Aws) -> None:
    _, arn = queue(aws)
    role = aws.role()
    for expression in ("at(tomorrow)", "rate(1 minutes)", "cron(0 12 * * * *)"):
        with pytest.raises(ClientError, match="ValidationException"):
            create(aws, arn, role, expression)
    with pytest.raises(ClientError, match="ValidationException"):
        create(aws, arn, role, ScheduleExpressionTimezone="Mars/Olympus")
    function = f"arn:aws:lambda:{aws.info.region}:{aws.info.account_id}:function:a"
    with pytest.raises(ClientError, match=r"ValidationException.*JSON"):
        create(aws, function, role, target={"Input": "no"})
    for other in (
        "arn:aws:scheduler:::aws-sdk:sqs:sendMessage",
        "arn:aws:states:us-east-1:1:stateMachine:a",
    ):
        with pytest.raises(ClientError, match=r"NotEmulatedBySandbox.*EventBridge Scheduler"):
            create(aws, other, role)
    stream: Any = {"KinesisParameters": {"PartitionKey": "a"}}
    with pytest.raises(ClientError, match=r"NotEmulatedBySandbox.*KinesisParameters"):
        create(aws, arn, role, target=stream)
    name = create(aws, arn, role, State="DISABLED")
    with pytest.raises(ClientError, match="ConflictException"):
        create(aws, arn, role, Name=name)


def test_giving_a_role_to_a_schedule_needs_permission_to_pass_it(aws: Aws) -> None:
    _, arn = queue(aws)
    given = aws.role()
    schedules = f"arn:aws:scheduler:{aws.info.region}:{aws.info.account_id}:schedule/default/*"
    deployer = aws.assume(aws.role(may("scheduler:*", schedules)))
    with pytest.raises(ClientError, match=r"AccessDeniedException.*iam:PassRole"):
        create(deployer, arn, given, State="DISABLED")
    passes = aws.assume(aws.role(may("scheduler:*", schedules), may("iam:PassRole", given)))
    create(passes, arn, given, State="DISABLED")
    with pytest.raises(ClientError, match=r"AccessDeniedException.*schedule-group/"):
        passes.scheduler.create_schedule_group(Name=unique("group"))

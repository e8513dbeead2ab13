"""What reaches functions from EventBridge, S3 and SNS: real clients, real functions, the events as they arrive."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.samples import assert_same_shape, sample
from support.sandbox import Aws, running_sandbox, unique
from terralive_sandbox.info import SandboxInfo

# Keeps every event that it gets.
RECORDER = """
import boto3, json, os, uuid
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=json.dumps(event))
"""


@pytest.fixture
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


class Recorder:
    """A function whose events can be read."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._queue = aws.sqs.create_queue(QueueName=unique("events"))["QueueUrl"]
        write = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
        self.arn = aws.function(RECORDER, statements=[write], environment={"QUEUE": self._queue})

    def events(self, count: int) -> list[Any]:
        """The next `count` events, in the order of their arrival."""
        return [json.loads(message["Body"]) for message in received(self._aws, self._queue, count)]

    def forget(self) -> None:
        self._aws.sqs.purge_queue(QueueUrl=self._queue)


def received(aws: Aws, queue: str, count: int) -> list[Any]:
    found: list[Any] = []
    end = time.monotonic() + 60
    while len(found) < count:
        assert time.monotonic() < end, f"{len(found)} of {count} came"
        answer = aws.sqs.receive_message(
            QueueUrl=queue, WaitTimeSeconds=1, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        for message in answer.get("Messages", []):
            aws.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            found.append(message)
    assert len(found) == count, found
    return found


def queue_for(aws: Aws, service: str, source_arn: str) -> tuple[str, str]:
    """A queue that a service may send to: URL and ARN."""
    name = unique("queue")
    arn = f"arn:aws:sqs:{aws.info.region}:{aws.info.account_id}:{name}"
    statement = {
        "Effect": "Allow", "Principal": {"Service": service}, "Action": "sqs:SendMessage", "Resource": arn,
        "Condition": {"ArnLike": {"aws:SourceArn": source_arn}},
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return aws.sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"], arn


def eventually(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not check():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)


def put(aws: Aws, source: str, detail: object, **others: object) -> str:
    entry: Any = {"Source": source, "DetailType": "order", "Detail": json.dumps(detail), **others}
    answer = aws.events.put_events(Entries=[entry])
    assert answer["FailedEntryCount"] == 0
    return answer["Entries"][0]["EventId"]


def test_rules_send_matching_events_to_functions_as_their_targets_say(aws: Aws) -> None:
    source, bus = unique("shop"), unique("bus")
    aws.events.create_event_bus(Name=bus)
    recorder, unpermitted = Recorder(aws), Recorder(aws)
    pattern = json.dumps({"source": [source], "detail": {"price": [{"numeric": [">", 10]}]}})
    rules = {
        name: aws.events.put_rule(Name=name, EventPattern=pattern, EventBusName=bus)["RuleArn"]
        for name in (unique("plain"), unique("transformed"), unique("constant"), unique("part"), unique("off"))
    }
    plain, transformed, constant, part, off = rules
    aws.allow(recorder.arn, "events.amazonaws.com", f"arn:aws:events:*:*:rule/{bus}/*")
    transformer = {
        "InputPathsMap": {"price": "$.detail.price", "what": "$.detail.items[0]", "none": "$.detail.none"},
        "InputTemplate": '{"rule": <aws.events.rule-arn>, "price": <price>, "text": "<what> for <price>", '
        '"none": "<none>", "all": <aws.events.event.json>, "at": <aws.events.event.ingestion-time>}',
    }
    targets: dict[str, dict[str, Any]] = {
        plain: {},
        transformed: {"InputTransformer": transformer},
        constant: {"Input": '["constant"]'},
        part: {"InputPath": "$.detail"},
        off: {"Input": '["off"]'},
    }
    dead_letters, dead_letters_arn = queue_for(aws, "events.amazonaws.com", rules[plain])
    for name, target in targets.items():
        to: list[Any] = [{"Id": "1", "Arn": recorder.arn, **target}]
        if name == plain:
            to.append({"Id": "2", "Arn": unpermitted.arn, "DeadLetterConfig": {"Arn": dead_letters_arn}})
            to.append({"Id": "3", "Arn": "arn:aws:lambda:us-east-1:123456789012:function:none"})
        assert aws.events.put_targets(Rule=name, EventBusName=bus, Targets=to)["FailedEntryCount"] == 0
    aws.events.disable_rule(Name=off, EventBusName=bus)
    put(aws, source, {"price": 20})  # on the default bus
    put(aws, source, {"price": 5}, EventBusName=bus)
    detail = {"price": 20, "items": ["cup", "pot"]}
    event_id = put(aws, source, detail, EventBusName=bus, Resources=["r"], Time=1000000000)

    events = {json.dumps(event)[:6]: event for event in recorder.events(4)}
    whole = next(e for e in events.values() if isinstance(e, dict) and "detail-type" in e)
    assert whole == {
        "version": "0",
        "id": event_id,
        "detail-type": "order",
        "source": source,
        "account": aws.info.account_id,
        "time": "2001-09-09T01:46:40Z",
        "region": aws.info.region,
        "resources": ["r"],
        "detail": detail,
    }
    assert ["constant"] in events.values()
    assert detail in events.values()
    made = next(e for e in events.values() if isinstance(e, dict) and "rule" in e)
    assert made.pop("at").endswith("Z")
    assert made == {
        "rule": rules[transformed],
        "price": 20,
        "text": "cup for 20",
        "none": "",
        "all": whole,
    }
    (letter,) = received(aws, dead_letters, 1)
    assert json.loads(letter["Body"]) == whole
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert "lambda:InvokeFunction" in attributes.pop("ERROR_MESSAGE")
    assert attributes == {
        "RULE_ARN": rules[plain],
        "TARGET_ARN": unpermitted.arn,
        "ERROR_CODE": "NO_PERMISSIONS",
        "RETRY_ATTEMPTS": "0",
    }
    aws.events.enable_rule(Name=off, EventBusName=bus)
    put(aws, source, detail, EventBusName=bus)
    assert ["off"] in recorder.events(5)
    aws.allow(unpermitted.arn, "events.amazonaws.com", rules[plain])
    put(aws, source, detail, EventBusName=bus)
    assert len(unpermitted.events(1)) == 1


def test_rules_send_to_queues_topics_and_buses_that_let_them(aws: Aws) -> None:
    source, bus = unique("shop"), unique("bus")
    aws.events.create_event_bus(Name=bus)
    pattern = json.dumps({"source": [source]})
    first = aws.events.put_rule(Name=unique("first"), EventPattern=pattern)["RuleArn"]
    second = aws.events.put_rule(Name=unique("second"), EventPattern=pattern, EventBusName=bus)["RuleArn"]
    queue, queue_arn = queue_for(aws, "events.amazonaws.com", second)
    closed = aws.sqs.create_queue(QueueName=unique("closed"))["QueueUrl"]
    closed_arn = aws.sqs.get_queue_attributes(QueueUrl=closed, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    bus_arn = aws.events.describe_event_bus(Name=bus)["Arn"]
    aws.events.put_targets(
        Rule=first.rpartition("/")[2],
        Targets=[{"Id": "1", "Arn": bus_arn}, {"Id": "2", "Arn": closed_arn, "DeadLetterConfig": {"Arn": queue_arn}}],
    )
    aws.events.put_targets(Rule=second.rpartition("/")[2], EventBusName=bus, Targets=[{"Id": "q", "Arn": queue_arn}])
    event_id = put(aws, source, {})
    (message,) = received(aws, queue, 1)
    assert json.loads(message["Body"])["id"] == event_id
    assert "Messages" not in aws.sqs.receive_message(QueueUrl=closed)


def test_what_eventbridge_refuses(aws: Aws) -> None:
    events = aws.events
    rule = unique("rule")
    for pattern in ('{"source": "a"}', '{"a": [{"like": 1}]}', "{"):
        with pytest.raises(ClientError, match=r"InvalidEventPatternException.*Event pattern is not valid. Reason"):
            events.put_rule(Name=rule, EventPattern=pattern)
    for expression in ("rate(1 minutes)", "cron(* * * * *)", "at(2030-01-01T00:00:00)"):
        with pytest.raises(ClientError, match=r"ValidationException.*Parameter ScheduleExpression is not valid."):
            events.put_rule(Name=rule, ScheduleExpression=expression)
    events.put_rule(Name=rule, EventPattern='{"source": ["a"]}')
    function = f"arn:aws:lambda:us-east-1:{aws.info.account_id}:function:f"
    with pytest.raises(ClientError, match=r"NotEmulatedBySandbox.*stateMachine"):
        events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": "arn:aws:states:us-east-1:1:stateMachine:s"}])
    with pytest.raises(ClientError, match="LimitExceededException"):
        events.put_targets(Rule=rule, Targets=[{"Id": str(n), "Arn": function} for n in range(6)])
    with pytest.raises(ClientError, match="Only one of Input, InputPath, or InputTransformer"):
        events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": function, "Input": "{}", "InputPath": "$"}])
    with pytest.raises(ClientError, match="JSON syntax error in input for target 1"):
        events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": function, "Input": "{"}])
    answer = events.put_events(
        Entries=[
            {"Source": "a", "DetailType": "d", "Detail": "{"},
            {"Source": "aws.mine", "DetailType": "d", "Detail": "{}"},
            {"Source": "a", "DetailType": "d"},
            {"Source": "a", "DetailType": "d", "Detail": "{}"},
            {"Source": "a", "DetailType": "d", "Detail": "{}", "EventBusName": "nobody"},
        ]
    )
    codes = [entry.get("ErrorCode") for entry in answer["Entries"]]
    assert codes == ["MalformedDetail", "NotAuthorizedForSourceException", "InvalidArgument", None, None]
    assert answer["FailedEntryCount"] == 3
    with pytest.raises(ClientError, match="less than or equal to 10"):
        events.put_events(Entries=[{"Source": "a", "DetailType": "d", "Detail": "{}"}] * 11)
    big = json.dumps({"a": "b" * 1024 * 1024})
    with pytest.raises(ClientError, match="Total size of the entries in the request is over the limit"):
        events.put_events(Entries=[{"Source": "a", "DetailType": "d", "Detail": big}])
    assert events.test_event_pattern(EventPattern='{"a": [1]}', Event='{"a": 1}')["Result"] is True
    nobody = aws.assume(
        aws.role({"Effect": "Allow", "Action": "events:PutEvents", "Resource": "arn:aws:events:*:*:event-bus/mine"})
    )
    with pytest.raises(ClientError, match=r"AccessDeniedException.*events:PutEvents on resource: .*event-bus/default"):
        nobody.events.put_events(Entries=[{"Source": "a", "DetailType": "d", "Detail": "{}"}])


def test_a_schedule_fires_until_it_is_disabled_or_deleted(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_sandbox(tmp_path_factory.mktemp("schedules"), time_scale=0.01) as info:
        aws = Aws(info)
        recorder = Recorder(aws)
        rule = aws.events.put_rule(Name="every-minute", ScheduleExpression="rate(1 minute)")["RuleArn"]
        aws.allow(recorder.arn, "events.amazonaws.com", rule)
        aws.events.put_targets(Rule="every-minute", Targets=[{"Id": "1", "Arn": recorder.arn}])
        aws.events.put_rule(Name="off", ScheduleExpression="rate(1 minute)", State="DISABLED")
        aws.allow(recorder.arn, "events.amazonaws.com", rule.replace("every-minute", "off"))
        aws.events.put_targets(Rule="off", Targets=[{"Id": "1", "Arn": recorder.arn, "Input": '"off"'}])
        put(aws, "any", {})  # a schedule is no pattern
        end = time.monotonic() + 60
        event = recorder.events(1)[0]
        assert_same_shape(event, sample("eventbridge-scheduled"))
        assert (event["resources"], event["source"]) == ([rule], "aws.events")
        assert recorder.events(1)[0]["id"] != event["id"]
        aws.events.disable_rule(Name="every-minute")
        aws.events.remove_targets(Rule="every-minute", Ids=["1"])
        aws.events.delete_rule(Name="every-minute")
        aws.events.enable_rule(Name="off")
        while (last := recorder.events(1)[0]) != "off":
            assert time.monotonic() < end, last
        assert recorder.events(1) == ["off"]

"""EventBridge, S3 and SNS invoke functions.

Real clients send, and real functions print the events that they receive.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.rest_api import fetch
from terralive_testing.deployers.sandbox import Aws, running_sandbox, unique
from terralive_testing.oracles.samples import assert_same_shape, sample

# A function that keeps every event that it receives.
RECORDER = """
import boto3, json, os, uuid
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=json.dumps(event))
"""


@pytest.fixture
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


class Recorder:
    """A function whose events can be read back."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._queue = aws.sqs.create_queue(QueueName=unique("events"))["QueueUrl"]
        write = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
        self.arn = aws.function(RECORDER, statements=[write], environment={"QUEUE": self._queue})

    def events(self, count: int) -> list[Any]:
        """Return the next `count` events in the order of their arrival. There must be no more."""
        return [json.loads(message["Body"]) for message in received(self._aws, self._queue, count)]

    def next(self) -> Any:  # noqa: ANN401 - JSON
        """Return the next event. There may be more."""
        return json.loads(received(self._aws, self._queue, 1, batch=1)[0]["Body"])


def received(aws: Aws, queue: str, count: int, batch: int = 10) -> list[Any]:
    found: list[Any] = []
    end = time.monotonic() + 60
    while len(found) < count:
        assert time.monotonic() < end, f"{len(found)} of {count} came"
        answer = aws.sqs.receive_message(
            QueueUrl=queue,
            WaitTimeSeconds=1,
            MaxNumberOfMessages=batch,
            MessageAttributeNames=["All"],
        )
        for message in answer.get("Messages", []):
            aws.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            found.append(message)
    assert len(found) == count, found
    return found


def queue_for(aws: Aws, service: str, source_arn: str) -> tuple[str, str]:
    """Return the URL and the ARN of a queue that a service may send to."""
    name = unique("queue")
    arn = f"arn:aws:sqs:{aws.info.region}:{aws.info.account_id}:{name}"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnLike": {"aws:SourceArn": source_arn}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return aws.sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"], arn


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
        for name in (
            unique("plain"),
            unique("transformed"),
            unique("constant"),
            unique("part"),
            unique("off"),
        )
    }
    plain, transformed, constant, part, off = rules
    aws.allow(recorder.arn, "events.amazonaws.com", f"arn:aws:events:*:*:rule/{bus}/*")
    transformer = {
        "InputPathsMap": {
            "price": "$.detail.price",
            "what": "$.detail.items[0]",
            "none": "$.detail.none",
        },
        "InputTemplate": (
            '{"rule": <aws.events.rule-arn>, "price": <price>, "text": "<what> for <price>", '
            '"none": "<none>", "all": <aws.events.event.json>, '
            '"at": <aws.events.event.ingestion-time>}'
        ),
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
            to.append(
                {"Id": "2", "Arn": unpermitted.arn, "DeadLetterConfig": {"Arn": dead_letters_arn}}
            )
            to.append({"Id": "3", "Arn": "arn:aws:lambda:us-east-1:123456789012:function:none"})
        assert (
            aws.events.put_targets(Rule=name, EventBusName=bus, Targets=to)["FailedEntryCount"] == 0
        )
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


def test_rules_send_to_queues_and_topics_that_let_them(aws: Aws) -> None:
    source = unique("shop")
    rule = aws.events.put_rule(Name=unique("rule"), EventPattern=json.dumps({"source": [source]}))[
        "RuleArn"
    ]
    queue, queue_arn = queue_for(aws, "events.amazonaws.com", rule)
    topic = aws.sns.create_topic(Name=unique("topic"))["TopicArn"]
    told, told_arn = queue_for(aws, "sns.amazonaws.com", topic)
    aws.sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=told_arn, Attributes={"RawMessageDelivery": "true"}
    )
    aws.sns.set_topic_attributes(
        TopicArn=topic,
        AttributeName="Policy",
        AttributeValue=json.dumps(
            {
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "events.amazonaws.com"},
                        "Action": "sns:Publish",
                        "Resource": topic,
                    }
                ]
            }
        ),
    )
    closed = aws.sqs.create_queue(QueueName=unique("closed"))["QueueUrl"]
    closed_arn = aws.sqs.get_queue_attributes(QueueUrl=closed, AttributeNames=["QueueArn"])[
        "Attributes"
    ]["QueueArn"]
    aws.events.put_targets(
        Rule=rule.rpartition("/")[2],
        Targets=[
            {"Id": "closed", "Arn": closed_arn, "DeadLetterConfig": {"Arn": queue_arn}},
            {"Id": "topic", "Arn": topic},
        ],
    )
    event_id = put(aws, source, {})
    for url in (queue, told):
        (message,) = received(aws, url, 1)
        assert json.loads(message["Body"])["id"] == event_id
    assert "Messages" not in aws.sqs.receive_message(QueueUrl=closed)


def test_a_target_with_a_role_is_reached_as_this_role(aws: Aws) -> None:
    source, name = unique("shop"), unique("rule")
    pattern = json.dumps({"source": [source]})
    rule = aws.events.put_rule(Name=name, EventPattern=pattern)["RuleArn"]
    lost, lost_arn = queue_for(aws, "events.amazonaws.com", rule)
    open_queue, open_arn = queue_for(aws, "events.amazonaws.com", rule)
    closed, closed_arn = queue_for(aws, "events.amazonaws.com", "another")
    recorder = Recorder(aws)
    role = aws.role(
        {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": closed_arn},
        {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": recorder.arn},
    )
    aws.events.put_targets(
        Rule=name,
        Targets=[
            {"Id": str(number), "Arn": arn, "RoleArn": role, "DeadLetterConfig": {"Arn": lost_arn}}
            for number, arn in enumerate((open_arn, closed_arn, recorder.arn))
        ],
    )
    event_id = put(aws, source, {})
    (message,) = received(aws, closed, 1)
    assert json.loads(message["Body"])["id"] == event_id
    assert [event["id"] for event in recorder.events(1)] == [event_id]
    (refused,) = received(aws, lost, 1)
    reasons = {key: value["StringValue"] for key, value in refused["MessageAttributes"].items()}
    assert (reasons["TARGET_ARN"], reasons["ERROR_CODE"]) == (open_arn, "NO_PERMISSIONS")
    assert "Messages" not in aws.sqs.receive_message(QueueUrl=open_queue)


def test_what_eventbridge_refuses(aws: Aws) -> None:
    events = aws.events
    rule = unique("rule")
    for pattern in ('{"source": "a"}', '{"a": [{"like": 1}]}', "{"):
        with pytest.raises(
            ClientError, match=r"InvalidEventPatternException.*Event pattern is not valid. Reason"
        ):
            events.put_rule(Name=rule, EventPattern=pattern)
    for expression in ("rate(1 minutes)", "cron(* * * * *)", "at(2030-01-01T00:00:00)"):
        with pytest.raises(
            ClientError, match=r"ValidationException.*Parameter ScheduleExpression is not valid."
        ):
            events.put_rule(Name=rule, ScheduleExpression=expression)
    events.put_rule(Name=rule, EventPattern='{"source": ["a"]}')
    for target in (
        "states:us-east-1:1:stateMachine:s",
        "logs:us-east-1:1:log-group:g",
        "events:us-east-1:1:event-bus/b",
    ):
        with pytest.raises(ClientError, match=f"NotEmulatedBySandbox.*{target}"):
            events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": f"arn:aws:{target}"}])
    with pytest.raises(ClientError, match=r"NotEmulatedBySandbox.*archives"):
        events.create_archive(
            ArchiveName=rule, EventSourceArn="arn:aws:events:us-east-1:1:event-bus/default"
        )
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
    assert codes == [
        "MalformedDetail",
        "NotAuthorizedForSourceException",
        "InvalidArgument",
        None,
        None,
    ]
    assert answer["FailedEntryCount"] == 3
    with pytest.raises(ClientError, match="less than or equal to 10"):
        events.put_events(Entries=[{"Source": "a", "DetailType": "d", "Detail": "{}"}] * 11)
    assert events.test_event_pattern(EventPattern='{"a": [1]}', Event='{"a": 1}')["Result"] is True
    nobody = aws.assume(
        aws.role(
            {
                "Effect": "Allow",
                "Action": "events:PutEvents",
                "Resource": "arn:aws:events:*:*:event-bus/mine",
            }
        )
    )
    with pytest.raises(
        ClientError,
        match=r"AccessDeniedException.*events:PutEvents on resource: .*event-bus/default",
    ):
        nobody.events.put_events(Entries=[{"Source": "a", "DetailType": "d", "Detail": "{}"}])


def test_a_schedule_fires_until_it_is_disabled_or_deleted(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with running_sandbox(tmp_path_factory.mktemp("schedules"), time_scale=0.01) as info:
        aws = Aws(info)
        recorder = Recorder(aws)
        aws.run_one_by_one(recorder.arn)
        rule = aws.events.put_rule(Name="every-minute", ScheduleExpression="rate(1 minute)")[
            "RuleArn"
        ]
        aws.allow(recorder.arn, "events.amazonaws.com", rule)
        aws.events.put_targets(Rule="every-minute", Targets=[{"Id": "1", "Arn": recorder.arn}])
        aws.events.put_rule(Name="off", ScheduleExpression="rate(1 minute)", State="DISABLED")
        aws.allow(recorder.arn, "events.amazonaws.com", rule.replace("every-minute", "off"))
        aws.events.put_targets(
            Rule="off", Targets=[{"Id": "1", "Arn": recorder.arn, "Input": '"off"'}]
        )
        put(aws, "any", {})  # a rule with a schedule has no pattern
        end = time.monotonic() + 60
        event = recorder.next()
        assert_same_shape(event, sample("eventbridge-scheduled"))
        assert (event["resources"], event["source"]) == ([rule], "aws.events")
        assert recorder.next()["id"] != event["id"]
        aws.events.disable_rule(Name="every-minute")
        aws.events.remove_targets(Rule="every-minute", Ids=["1"])
        aws.events.delete_rule(Name="every-minute")
        deleted = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        aws.events.enable_rule(Name="off")
        # Invocations that began before the deletion may still end after those of the other rule.
        # Five events of the other rule take more than two seconds, and event times are in seconds.
        of_the_other_rule = 0
        while of_the_other_rule < 5:
            assert time.monotonic() < end
            last = recorder.next()
            if last == "off":
                of_the_other_rule += 1
            else:
                assert last["time"] <= deleted


def records(events: list[Any]) -> list[Any]:
    """Return the record of each event, in the order of the changes."""
    found = [record for event in events for record in event["Records"]]
    return sorted(found, key=lambda record: str(record["s3"]["object"]["sequencer"]))


def test_buckets_notify_functions_of_the_changes_that_their_filters_let_through(aws: Aws) -> None:
    recorder, s3 = Recorder(aws), aws.s3
    bucket, versioned = unique("bucket"), unique("versioned")
    for name in (bucket, versioned):
        s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=versioned, VersioningConfiguration={"Status": "Enabled"})
    rules: Any = [{"Name": "prefix", "Value": "in/"}, {"Name": "suffix", "Value": ".txt"}]
    configuration: Any = {
        "LambdaFunctionConfigurations": [
            {
                "Id": "texts",
                "LambdaFunctionArn": recorder.arn,
                "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
                "Filter": {"Key": {"FilterRules": rules}},
            }
        ]
    }
    with pytest.raises(
        ClientError, match=r"InvalidArgument.*Unable to validate the following destination"
    ):
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration=configuration
        )
    assert "LambdaFunctionConfigurations" not in s3.get_bucket_notification_configuration(
        Bucket=bucket
    )
    for name in (bucket, versioned):
        aws.allow(recorder.arn, "s3.amazonaws.com", f"arn:aws:s3:::{name}")
        s3.put_bucket_notification_configuration(
            Bucket=name, NotificationConfiguration=configuration
        )
    twice = configuration["LambdaFunctionConfigurations"] * 2
    with pytest.raises(ClientError, match=r"InvalidArgument.*Configuration is ambiguously defined"):
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": twice}
        )

    for key in ("out/a.txt", "in/a.png"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.put_object(Bucket=bucket, Key="in/a b.txt", Body=b"12345", Tagging="a=b")
    s3.copy_object(
        Bucket=bucket, Key="in/copy.txt", CopySource={"Bucket": bucket, "Key": "in/a b.txt"}
    )
    upload = s3.create_multipart_upload(Bucket=bucket, Key="in/parts.txt")["UploadId"]
    part = s3.upload_part(
        Bucket=bucket, Key="in/parts.txt", UploadId=upload, PartNumber=1, Body=b"abc"
    )
    s3.complete_multipart_upload(
        Bucket=bucket,
        Key="in/parts.txt",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    s3.delete_object(Bucket=bucket, Key="in/copy.txt")
    s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "in/parts.txt"}, {"Key": "out/a.txt"}]}
    )
    version = s3.put_object(Bucket=versioned, Key="in/v.txt", Body=b"1")["VersionId"]
    marker = s3.delete_object(Bucket=versioned, Key="in/v.txt")["VersionId"]
    s3.delete_object(Bucket=versioned, Key="in/v.txt", VersionId=version)

    seen = records(recorder.events(8))
    assert [
        (r["eventName"], r["s3"]["object"]["key"], r["s3"]["object"].get("versionId")) for r in seen
    ] == [
        ("ObjectCreated:Put", "in/a+b.txt", None),
        ("ObjectCreated:Copy", "in/copy.txt", None),
        ("ObjectCreated:CompleteMultipartUpload", "in/parts.txt", None),
        ("ObjectRemoved:Delete", "in/copy.txt", None),
        ("ObjectRemoved:Delete", "in/parts.txt", None),
        ("ObjectCreated:Put", "in/v.txt", version),
        ("ObjectRemoved:DeleteMarkerCreated", "in/v.txt", marker),
        ("ObjectRemoved:Delete", "in/v.txt", version),
    ]
    assert_same_shape({"Records": [seen[5]]}, sample("s3-object-created-put"))
    assert (seen[0]["s3"]["object"]["size"], seen[0]["s3"]["configurationId"]) == (5, "texts")
    head = s3.head_object(Bucket=bucket, Key="in/a b.txt")
    assert seen[0]["s3"]["object"]["eTag"] == head["ETag"].strip('"')
    assert head["ContentLength"] == 5
    assert (
        seen[0]["userIdentity"]["principalId"] == f"AWS:{aws.sts.get_caller_identity()['UserId']}"
    )


def test_buckets_notify_queues_and_topics(aws: Aws) -> None:
    bucket, s3 = unique("bucket"), aws.s3
    s3.create_bucket(Bucket=bucket)
    arn = f"arn:aws:s3:::{bucket}"
    queue, queue_arn = queue_for(aws, "s3.amazonaws.com", arn)
    topic = aws.sns.create_topic(Name=unique("topic"))["TopicArn"]
    told, told_arn = queue_for(aws, "sns.amazonaws.com", topic)
    aws.sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=told_arn, Attributes={"RawMessageDelivery": "true"}
    )
    configuration: Any = {
        "QueueConfigurations": [{"QueueArn": queue_arn, "Events": ["s3:ObjectCreated:*"]}],
        "TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectRemoved:*"]}],
    }
    with pytest.raises(
        ClientError, match="Unable to validate the following destination configurations"
    ):
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration=configuration
        )
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic,
    }
    aws.sns.set_topic_attributes(
        TopicArn=topic,
        AttributeName="Policy",
        AttributeValue=json.dumps({"Statement": [statement]}),
    )
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)
    others: dict[str, Any] = {
        "EventBridge as a destination": {"EventBridgeConfiguration": {}},
        "s3:ObjectTagging": {
            "QueueConfigurations": [{"QueueArn": queue_arn, "Events": ["s3:ObjectTagging:*"]}]
        },
    }
    for what, other in others.items():
        with pytest.raises(ClientError, match=f"NotEmulatedBySandbox.*{what}"):
            s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=other)
    for url in (queue, told):
        (message,) = received(aws, url, 1)
        assert_same_shape(json.loads(message["Body"]), sample("s3-test-event"))
    s3.put_object(Bucket=bucket, Key="a b", Body=b"x")
    s3.put_object_tagging(
        Bucket=bucket, Key="a b", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]}
    )
    s3.delete_object(Bucket=bucket, Key="a b")
    assert (
        json.loads(received(aws, queue, 1)[0]["Body"])["Records"][0]["eventName"]
        == "ObjectCreated:Put"
    )
    assert (
        json.loads(received(aws, told, 1)[0]["Body"])["Records"][0]["eventName"]
        == "ObjectRemoved:Delete"
    )


def test_reading_writing_and_copying_objects_needs_permission_for_each(aws: Aws) -> None:
    bucket = unique("bucket")
    aws.s3.create_bucket(Bucket=bucket)
    aws.s3.put_object(Bucket=bucket, Key="secret/a", Body=b"x")
    allowed: list[dict[str, object]] = [
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"},
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:DeleteObject"],
            "Resource": f"arn:aws:s3:::{bucket}/open/*",
        },
    ]
    s3 = aws.assume(aws.role(*allowed)).s3
    s3.put_object(Bucket=bucket, Key="open/a", Body=b"x")
    s3.copy_object(Bucket=bucket, Key="other", CopySource=f"{bucket}/open/a")
    refused: list[tuple[str, Callable[[], object]]] = [
        (
            r"s3:GetObject on resource: .*/secret/a",
            lambda: s3.get_object(Bucket=bucket, Key="secret/a"),
        ),
        (
            r"s3:GetObject on resource: .*/secret/a",
            lambda: s3.copy_object(Bucket=bucket, Key="open/b", CopySource=f"{bucket}/secret/a"),
        ),
        (r"s3:ListBucket on resource", lambda: s3.list_objects_v2(Bucket=bucket)),
        (
            r"s3:DeleteObject on resource: .*/secret/a",
            lambda: s3.delete_objects(
                Bucket=bucket, Delete={"Objects": [{"Key": "open/a"}, {"Key": "secret/a"}]}
            ),
        ),
        (
            r"s3:GetBucketNotification on",
            lambda: s3.get_bucket_notification_configuration(Bucket=bucket),
        ),
    ]
    for text, ask in refused:
        with pytest.raises(ClientError, match=f"AccessDenied.*{text}"):
            ask()

    presigned = aws.s3.generate_presigned_post(bucket, "open/form")
    answer = fetch("POST", presigned["url"], data=presigned["fields"], files={"file": b"x"})
    assert "NotEmulatedBySandbox" in answer.text

    def denied(condition: object, key: str) -> dict[str, object]:
        resource = f"arn:aws:s3:::{bucket}/{key}"
        return {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": resource,
            "Condition": condition,
        }

    statements = [
        denied({"Bool": {"aws:SecureTransport": "false"}}, "*"),
        denied({"NumericLessThan": {"s3:TlsVersion": "1.2"}}, "*"),
        denied(
            {"StringEquals": {"aws:PrincipalArn": aws.sts.get_caller_identity()["Arn"]}}, "closed/*"
        ),
    ]
    aws.s3.put_bucket_policy(
        Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements})
    )
    aws.s3.put_object(Bucket=bucket, Key="secret/b", Body=b"x")
    with pytest.raises(
        ClientError, match=r"AccessDenied.*explicit deny in a resource-based policy"
    ) as raised:
        aws.s3.put_object(Bucket=bucket, Key="closed/a", Body=b"x")
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    s3.put_object(Bucket=bucket, Key="closed/a", Body=b"x")


def test_topics_filter_by_attributes_and_by_body_and_keep_what_is_refused(aws: Aws) -> None:
    by_attribute, by_body = Recorder(aws), Recorder(aws)
    topic = aws.sns.create_topic(Name=unique("topic"))["TopicArn"]
    letters, letters_arn = queue_for(aws, "sns.amazonaws.com", topic)
    policies = {
        by_attribute: {"FilterPolicy": json.dumps({"kind": ["a", {"prefix": "b"}]})},
        by_body: {
            "FilterPolicyScope": "MessageBody",
            "FilterPolicy": json.dumps({"order": {"price": [{"numeric": [">", 10]}]}}),
            "RedrivePolicy": json.dumps({"deadLetterTargetArn": letters_arn}),
        },
    }
    for recorder, attributes in policies.items():
        aws.sns.subscribe(
            TopicArn=topic, Protocol="lambda", Endpoint=recorder.arn, Attributes=attributes
        )
    aws.allow(by_attribute.arn, "sns.amazonaws.com", topic)

    def publish(kind: str, price: int) -> None:
        aws.sns.publish(
            TopicArn=topic,
            Message=json.dumps({"order": {"price": price}}),
            Subject="s",
            MessageAttributes={
                "kind": {"DataType": "String", "StringValue": kind},
                "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
            },
        )

    publish("c", 5)
    publish("c", 20)  # by_body is not permitted yet
    (letter,) = received(aws, letters, 1)
    assert json.loads(json.loads(letter["Body"])["Message"]) == {"order": {"price": 20}}
    aws.allow(by_body.arn, "sns.amazonaws.com", topic)
    publish("c", 30)
    publish("bee", 5)
    publish("a", 40)
    events = by_attribute.events(2)
    assert {
        event["Records"][0]["Sns"]["MessageAttributes"]["kind"]["Value"] for event in events
    } == {"bee", "a"}
    assert {
        json.loads(e["Records"][0]["Sns"]["Message"])["order"]["price"] for e in by_body.events(2)
    } == {30, 40}
    extra = {"Records[].Sns.MessageAttributes": "our own attributes"}
    absent = {"Records[].Sns.MessageAttributes": "the sample's attributes"}
    assert_same_shape(events[0], sample("sns"), extra=extra, absent=absent)
    assert events[0]["Records"][0]["Sns"]["MessageAttributes"]["bytes"] == {
        "Type": "Binary",
        "Value": "AAE=",
    }


def test_a_topic_sends_to_queues_that_let_it_wrapped_or_raw(aws: Aws) -> None:
    topic = aws.sns.create_topic(Name=unique("topic"))["TopicArn"]
    wrapped, wrapped_arn = queue_for(aws, "sns.amazonaws.com", topic)
    raw, raw_arn = queue_for(aws, "sns.amazonaws.com", topic)
    closed = aws.sqs.create_queue(QueueName=unique("closed"))["QueueUrl"]
    closed_arn = aws.sqs.get_queue_attributes(QueueUrl=closed, AttributeNames=["QueueArn"])[
        "Attributes"
    ]["QueueArn"]
    for arn, is_raw in ((wrapped_arn, "false"), (raw_arn, "true"), (closed_arn, "true")):
        attributes = {"RawMessageDelivery": is_raw}
        subscribed = aws.sns.subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=arn,
            Attributes=attributes,
            ReturnSubscriptionArn=True,
        )["SubscriptionArn"]
        kept = aws.sns.get_subscription_attributes(SubscriptionArn=subscribed)["Attributes"]
        assert kept["RawMessageDelivery"] == is_raw
    text = {"kind": {"DataType": "String", "StringValue": "a"}}
    aws.sns.publish(TopicArn=topic, Message="hello", MessageAttributes=text)  # type: ignore[arg-type] # a literal
    (message,) = received(aws, wrapped, 1)
    body = json.loads(message["Body"])
    assert (body["Type"], body["Message"], body["TopicArn"]) == ("Notification", "hello", topic)
    assert body["MessageAttributes"] == {"kind": {"Type": "String", "Value": "a"}}
    (message,) = received(aws, raw, 1)
    assert message["Body"] == "hello"
    assert message["MessageAttributes"]["kind"]["StringValue"] == "a"
    assert "Messages" not in aws.sqs.receive_message(QueueUrl=closed)
    fifo = aws.sns.create_topic(Name=f"{unique('topic')}.fifo", Attributes={"FifoTopic": "true"})[
        "TopicArn"
    ]
    function = f"arn:aws:lambda:us-east-1:{aws.info.account_id}:function:f"
    with pytest.raises(ClientError, match="InvalidParameter"):
        aws.sns.subscribe(TopicArn=fifo, Protocol="lambda", Endpoint=function)

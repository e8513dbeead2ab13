"""Queues and streams invoke functions.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers import event_sources as sources
from terralive_testing.deployers.event_sources import (
    READ_QUEUES,
    READ_STREAMS,
    READER,
    Queue,
    batches,
    bodies,
    keys,
    mapping,
    put,
    stream_table,
)
from terralive_testing.deployers.sandbox import Aws, running_sandbox
from terralive_testing.machine.waiting import eventually
from terralive_testing.oracles.samples import assert_same_shape, sample


@pytest.fixture
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


def reader(aws: Aws, *, timeout: int = 10, **statements: Any) -> str:  # noqa: ANN401  # policy statements, each under a name
    more = statements.values() or (READ_QUEUES, READ_STREAMS)
    function = aws.function(READER, statements=list(more), timeout=timeout)
    # A cold start on a busy machine may take longer than a queue's visibility timeout.
    aws.lambda_.invoke(FunctionName=function, Payload=b'{"Records": []}')
    return function


def test_messages_reach_the_function_as_documented_and_are_gone_when_it_has_succeeded(
    aws: Aws,
) -> None:
    function = reader(aws)
    aws.lambda_.publish_version(FunctionName=function)
    aws.lambda_.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    queue = Queue(aws)
    with mapping(
        aws, f"{function}:live", queue.arn, BatchSize=2, MaximumBatchingWindowInSeconds=300
    ) as uuid:
        assert aws.lambda_.get_event_source_mapping(UUID=uuid)["FunctionArn"] == f"{function}:live"
        aws.sqs.send_message(
            QueueUrl=queue.url,
            MessageBody="Test message.",
            MessageAttributes={
                "myAttribute": {"DataType": "String", "StringValue": "myValue"},
                "count": {"DataType": "Number", "StringValue": "1"},
                "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
            },
        )
        aws.sqs.send_message(QueueUrl=queue.url, MessageBody="x" * 100_000, DelaySeconds=1)
        eventually(queue.is_empty)
        eventually(lambda: len(batches(aws, function)) == 1)
    first = sources.printed(aws, function)[-1]
    assert first["arn"] == f"{function}:live"
    small, large = first["event"]["Records"]
    assert small["messageAttributes"]["raw"] == {
        "binaryValue": "AP8=",
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": "Binary",
    }
    assert small["messageAttributes"]["count"]["stringValue"] == "1"
    assert large["body"] == "x" * 100_000
    assert (
        int(large["attributes"]["ApproximateFirstReceiveTimestamp"])
        - int(large["attributes"]["SentTimestamp"])
        >= 0
    )
    assert (small["eventSourceARN"], small["awsRegion"]) == (queue.arn, aws.info.region)
    assert_same_shape(
        first["event"],
        sample("sqs-standard"),
        extra={
            "Records[].messageAttributes.raw": "the sample has one attribute, a string",
            "Records[].messageAttributes.count": "likewise",
            "Records[].md5OfMessageAttributes": "the event types of AWS's own libraries have it",
        },
    )


def test_only_reported_messages_come_again_and_end_in_the_dead_letter_queue(aws: Aws) -> None:
    function = reader(aws, timeout=4)
    dead = Queue(aws)
    redrive = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 2})
    queue = Queue(aws, VisibilityTimeout="4", RedrivePolicy=redrive)
    queue.send("one", "report", "two")
    with mapping(
        aws, function, queue.arn, FunctionResponseTypes=["ReportBatchItemFailures"]
    ) as uuid:
        eventually(lambda: dead.attribute("ApproximateNumberOfMessages") == "1")
        eventually(queue.is_empty)
        eventually(lambda: len(batches(aws, function)) == 2)
        result = aws.lambda_.get_event_source_mapping(UUID=uuid)["LastProcessingResult"]
        assert result == "PROBLEM: Function call failed"
    assert [letter["Body"] for letter in dead.receive()] == ["report"]
    first, second = batches(aws, function)
    assert [record["body"] for record in first] == ["one", "report", "two"]
    assert [(r["body"], r["attributes"]["ApproximateReceiveCount"]) for r in second] == [
        ("report", "2")
    ]


def test_a_queue_that_is_empty_puts_no_traceback_into_the_sandboxs_log(tmp_path: Path) -> None:
    with running_sandbox(tmp_path) as info:
        aws = Aws(info)
        function = reader(aws)
        queue = Queue(aws)
        with mapping(aws, function, queue.arn) as uuid:
            # The poller looks at the empty queue before and after this message.
            queue.send("one")
            eventually(queue.is_empty)
            eventually(
                lambda: (
                    aws.lambda_.get_event_source_mapping(UUID=uuid).get("LastProcessingResult")
                    == "OK"
                )
            )
    assert "Traceback" not in (tmp_path / "sandbox.log").read_text()


def test_a_fifo_queue_keeps_each_groups_order_while_others_go_on(aws: Aws) -> None:
    function = reader(aws, timeout=5)
    queue = Queue(aws, fifo=True, VisibilityTimeout="5")
    queue.send("fail once", "a1", "a2", "a3", group="a")
    queue.send("b1", "b2", "b3", group="b")
    queue.send("b3", group="b")  # the same deduplication id
    with mapping(aws, function, queue.arn, BatchSize=2):
        eventually(queue.is_empty)
        eventually(lambda: sum(map(len, batches(aws, function))) == 9)
    got = bodies(aws, function)
    assert [batch for batch in got if batch[0][0] != "b"] == [
        ["fail once", "a1"],
        ["fail once", "a1"],
        ["a2", "a3"],
    ]
    assert [body for batch in got for body in batch if body[0] == "b"] == ["b1", "b2", "b3"]
    assert got.index(["a2", "a3"]) == len(got) - 1
    seen = [record for batch in batches(aws, function) for record in batch]
    numbers = {record["body"]: int(record["attributes"]["SequenceNumber"]) for record in seen}
    assert sorted(numbers, key=lambda body: numbers[body]) == [
        "fail once",
        "a1",
        "a2",
        "a3",
        "b1",
        "b2",
        "b3",
    ]
    assert_same_shape({"Records": seen}, sample("sqs-fifo"))


def test_a_burst_drains_with_nothing_lost_and_nothing_handled_twice(aws: Aws) -> None:
    _, handled = sources.drain(aws, 300, seconds=80)
    assert len(handled) == 300
    assert set(handled.values()) == {1}


def test_messages_that_no_filter_matches_are_deleted_unseen(aws: Aws) -> None:
    function = reader(aws)
    queue = Queue(aws)
    filters = {"Filters": [{"Pattern": json.dumps({"body": {"kind": ["order"]}})}]}
    with mapping(aws, function, queue.arn, FilterCriteria=filters):
        queue.send(
            '{"kind": "order", "id": 1}',
            '{"kind": "other"}',
            "no JSON",
            '{"kind": "order", "id": 2}',
        )
        eventually(queue.is_empty)
        eventually(lambda: sum(map(len, batches(aws, function))) == 2)
    assert sorted(body for got in bodies(aws, function) for body in got) == [
        '{"kind": "order", "id": 1}',
        '{"kind": "order", "id": 2}',
    ]


def test_what_stops_a_mapping_loses_no_message(aws: Aws) -> None:
    function = reader(aws)
    role = aws.lambda_.get_function(FunctionName=function)["Configuration"]["Role"].rpartition("/")[
        2
    ]
    policy = aws.iam.get_role_policy(RoleName=role, PolicyName="test")["PolicyDocument"]
    # Throttled messages are tried again while they are hidden: no message is received twice here.
    queue = Queue(aws)

    def result(uuid: str) -> str:
        return aws.lambda_.get_event_source_mapping(UUID=uuid).get("LastProcessingResult", "")

    with mapping(aws, function, queue.arn, Enabled=False) as uuid:
        assert aws.lambda_.get_event_source_mapping(UUID=uuid)["State"] == "Disabled"
        queue.send("while disabled")
        aws.lambda_.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
        assert (
            aws.lambda_.update_event_source_mapping(UUID=uuid, Enabled=True)["State"] == "Enabling"
        )
        eventually(lambda: result(uuid) == "PROBLEM: Rate Exceeded.")
        assert not batches(aws, function)
        aws.lambda_.delete_function_concurrency(FunctionName=function)
        eventually(queue.is_empty)
        aws.iam.delete_role_policy(RoleName=role, PolicyName="test")
        queue.send("without permission")
        eventually(lambda: "does not have permissions to call ReceiveMessage" in result(uuid))
        [waiting] = queue.receive()
        assert waiting["Attributes"]["ApproximateReceiveCount"] == "1"
        aws.sqs.change_message_visibility(
            QueueUrl=queue.url, ReceiptHandle=waiting["ReceiptHandle"], VisibilityTimeout=0
        )
        aws.iam.put_role_policy(RoleName=role, PolicyName="test", PolicyDocument=json.dumps(policy))
        eventually(queue.is_empty)
        eventually(lambda: bodies(aws, function) == [["while disabled"], ["without permission"]])
        assert (
            aws.lambda_.update_event_source_mapping(UUID=uuid, Enabled=False)["State"]
            == "Disabling"
        )


def test_mappings_of_another_region_leave_those_of_this_one_alone(aws: Aws) -> None:
    function, queue = reader(aws), Queue(aws)
    there = aws.in_region("eu-west-1")
    elsewhere, other = there.function(READER, statements=[READ_QUEUES]), Queue(there)
    with mapping(aws, function, queue.arn):
        with mapping(there, elsewhere, other.arn):
            queue.send("while both are there")
            eventually(queue.is_empty)
        queue.send("afterwards")
        eventually(queue.is_empty)


def test_mappings_are_refused_as_lambda_refuses_them(aws: Aws) -> None:
    function = reader(aws, timeout=20)
    queue, short, fifo = Queue(aws), Queue(aws, VisibilityTimeout="5"), Queue(aws, fifo=True)
    table, stream = stream_table(aws)
    unable = aws.function(READER)
    refused: list[tuple[str, dict[str, Any]]] = [
        (
            (
                r"InvalidParameterValueException.*"
                r"role does not have permissions to call ReceiveMessage on SQS"
            ),
            {"FunctionName": unable, "EventSourceArn": queue.arn},
        ),
        (
            r"InvalidParameterValueException.*ensure the role can perform the GetRecords",
            {"FunctionName": unable, "EventSourceArn": stream, "StartingPosition": "LATEST"},
        ),
        (
            "NotEmulatedBySandbox.*on-failure destinations",
            {
                "EventSourceArn": stream,
                "StartingPosition": "LATEST",
                "DestinationConfig": {"OnFailure": {"Destination": queue.arn}},
            },
        ),
        ("ValidationException.*eventSourceArn", {"EventSourceArn": "a queue"}),
        (
            "Queue visibility timeout: 5 seconds is less than Function timeout: 20 seconds",
            {"EventSourceArn": short.arn},
        ),
        ("The specified queue does not exist", {"EventSourceArn": f"{queue.arn}x"}),
        ("Stream not found", {"EventSourceArn": f"{stream}x", "StartingPosition": "LATEST"}),
        ("ResourceNotFoundException", {"FunctionName": "nobody", "EventSourceArn": queue.arn}),
        (
            "Maximum batch window in seconds must be greater than 0",
            {"EventSourceArn": queue.arn, "BatchSize": 11},
        ),
        (
            "less than or equal to 10000",
            {"EventSourceArn": stream, "BatchSize": 10_001, "StartingPosition": "LATEST"},
        ),
        (
            "not supported for FIFO",
            {"EventSourceArn": fifo.arn, "MaximumBatchingWindowInSeconds": 1},
        ),
        (
            "StartingPosition is not valid for SQS",
            {"EventSourceArn": queue.arn, "StartingPosition": "LATEST"},
        ),
        ("Value null at 'startingPosition'", {"EventSourceArn": stream}),
        (
            "Unsupported starting position",
            {"EventSourceArn": stream, "StartingPosition": "AT_TIMESTAMP"},
        ),
        (
            "Unsupported MaximumRetryAttempts",
            {"EventSourceArn": queue.arn, "MaximumRetryAttempts": 1},
        ),
        (
            "Invalid filter pattern definition",
            {
                "EventSourceArn": queue.arn,
                "FilterCriteria": {"Filters": [{"Pattern": '{"body": "x"}'}]},
            },
        ),
        (
            "NotEmulatedBySandbox.*consumers of Kinesis streams",
            {
                "EventSourceArn": "arn:aws:kinesis:us-east-1:123456789012:stream/s/consumer/c:1",
                "StartingPosition": "LATEST",
            },
        ),
        (
            "NotEmulatedBySandbox.*MSK",
            {"EventSourceArn": "arn:aws:kafka:us-east-1:123456789012:cluster/c/1"},
        ),
        (
            "NotEmulatedBySandbox.*MQ",
            {"EventSourceArn": "arn:aws:mq:us-east-1:123456789012:broker:b:1"},
        ),
        (
            "NotEmulatedBySandbox.*DocumentDB",
            {"EventSourceArn": "arn:aws:rds:us-east-1:123456789012:cluster:c"},
        ),
        (
            "NotEmulatedBySandbox.*Kafka",
            {
                "EventSourceArn": queue.arn,
                "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:1"]}},
            },
        ),
        (
            "NotEmulatedBySandbox.*tumbling",
            {"EventSourceArn": stream, "StartingPosition": "LATEST", "TumblingWindowInSeconds": 10},
        ),
    ]
    for error, settings in refused:
        with pytest.raises(ClientError, match=error):
            aws.lambda_.create_event_source_mapping(**{"FunctionName": function, **settings})
    assert not aws.lambda_.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]
    with mapping(aws, function, queue.arn) as uuid:
        for name in (function, function.rpartition(":")[2]):
            with pytest.raises(
                ClientError, match=f"ResourceConflictException.*already exists.*{uuid}"
            ):
                aws.lambda_.create_event_source_mapping(FunctionName=name, EventSourceArn=queue.arn)
        with pytest.raises(ClientError, match="must be greater than 0"):
            aws.lambda_.update_event_source_mapping(UUID=uuid, BatchSize=100)
    for call in (aws.lambda_.get_event_source_mapping, aws.lambda_.delete_event_source_mapping):
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            call(UUID=uuid)
    assert table


def test_a_mapping_is_described_changed_and_found(aws: Aws) -> None:
    function = reader(aws)
    name = function.rpartition(":")[2]
    _, stream = stream_table(aws)
    queue = Queue(aws)
    made = aws.lambda_.create_event_source_mapping(
        FunctionName=name, EventSourceArn=stream, StartingPosition="LATEST", Tags={"a": "b"}
    )
    assert (made["State"], made["ResponseMetadata"]["HTTPStatusCode"]) == ("Creating", 202)
    described = aws.lambda_.get_event_source_mapping(UUID=made["UUID"])
    assert described["State"] == "Enabled"
    assert {
        k: described.get(k) for k in ("BatchSize", "MaximumRetryAttempts", "LastProcessingResult")
    } == {
        "BatchSize": 100,
        "MaximumRetryAttempts": -1,
        "LastProcessingResult": "No records processed",
    }
    arn = made["EventSourceMappingArn"]
    assert aws.lambda_.list_tags(Resource=arn)["Tags"] == {"a": "b"}
    changed = aws.lambda_.update_event_source_mapping(
        UUID=made["UUID"], MaximumRetryAttempts=3, BisectBatchOnFunctionError=True
    )
    assert changed["State"] == "Updating"
    with mapping(aws, function, queue.arn, ScalingConfig={"MaximumConcurrency": 2}) as other:
        scaled = aws.lambda_.get_event_source_mapping(UUID=other)
        assert scaled["ScalingConfig"] == {"MaximumConcurrency": 2}
        aws.lambda_.update_event_source_mapping(UUID=other, ScalingConfig={})
        assert "ScalingConfig" not in aws.lambda_.get_event_source_mapping(UUID=other)
        found = aws.lambda_.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
        assert {one["UUID"] for one in found} == {made["UUID"], other}
        [one] = aws.lambda_.list_event_source_mappings(EventSourceArn=stream)["EventSourceMappings"]
        assert one["MaximumRetryAttempts"] == 3
    assert aws.lambda_.delete_event_source_mapping(UUID=made["UUID"])["State"] == "Deleting"
    arns = [f"arn:aws:lambda:*:*:event-source-mapping:{uuid}" for uuid in (made["UUID"],)]
    role = aws.role({"Effect": "Allow", "Action": "lambda:GetEventSourceMapping", "Resource": arns})
    limited = aws.assume(role)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        limited.lambda_.get_event_source_mapping(UUID=made["UUID"])
    with pytest.raises(ClientError, match="AccessDenied"):
        limited.lambda_.get_event_source_mapping(UUID=other)


def test_a_streams_records_come_in_order_as_documented(aws: Aws) -> None:
    early, late = reader(aws), reader(aws)
    table, stream = stream_table(aws)
    put(aws, table, "before")
    removals = {"Filters": [{"Pattern": json.dumps({"eventName": ["REMOVE"]})}]}
    with (
        mapping(aws, early, stream, StartingPosition="TRIM_HORIZON"),
        mapping(aws, late, stream, StartingPosition="LATEST", FilterCriteria=removals),
    ):
        aws.dynamodb.update_item(
            TableName=table,
            Key={"pk": {"S": "101"}},
            UpdateExpression="SET #m = :m, tags = :t",
            ExpressionAttributeNames={"#m": "message"},
            ExpressionAttributeValues={
                ":m": {"S": "New item!"},
                ":t": {"M": {"n": {"N": "1"}, "b": {"B": b"\xff"}}},
            },
        )
        put(aws, table, "101")
        put(aws, table, "101")  # changes nothing
        aws.dynamodb.delete_item(TableName=table, Key={"pk": {"S": "101"}})
        put(aws, table, *(str(number) for number in range(20)))
        eventually(lambda: sum(map(len, batches(aws, early))) == 24)
        eventually(lambda: len(batches(aws, late)) == 1)
    records = [record for batch in batches(aws, early) for record in batch]
    assert keys(records) == ["before", "101", "101", "101", *(str(number) for number in range(20))]
    assert [r["eventName"] for r in records[1:4]] == ["INSERT", "MODIFY", "REMOVE"]
    numbers = [int(r["dynamodb"]["SequenceNumber"]) for r in records]
    assert numbers == sorted(set(numbers))
    inserted, modified, removed = (r["dynamodb"] for r in records[1:4])
    assert inserted["NewImage"]["tags"] == {"M": {"n": {"N": "1"}, "b": {"B": "/w=="}}}
    assert modified["OldImage"] == inserted["NewImage"]
    assert "NewImage" not in removed
    assert [keys(batch) for batch in batches(aws, late)] == [["101"]]
    published = sample("dynamodb-stream")
    for ours, theirs in zip(
        records[1:3], cast("list[dict[str, Any]]", published["Records"]), strict=True
    ):
        images = {
            name: theirs["dynamodb"][name]
            for name in ours["dynamodb"].keys() & {"Keys", "NewImage", "OldImage"}
        }
        ours["dynamodb"].update(images)  # the test's items differ from the sample's
    created = {
        "Records[].dynamodb.ApproximateCreationDateTime": "AWS sends it; the page's sample has none"
    }
    assert_same_shape({"Records": records[1:3]}, published, extra=created)


def test_a_failing_record_is_isolated_and_given_up(aws: Aws) -> None:
    function = reader(aws)
    table, stream = stream_table(aws)
    put(aws, table, "a", "b")
    put(aws, table, "bad", do="fail")
    put(aws, table, "c")
    with mapping(
        aws,
        function,
        stream,
        StartingPosition="TRIM_HORIZON",
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=1,
    ):
        eventually(lambda: len(batches(aws, function)) == 6)
        put(aws, table, "d")
        eventually(
            lambda: batches(aws, function)[-1:] != [] and keys(batches(aws, function)[-1]) == ["d"]
        )
    assert [keys(records) for records in batches(aws, function)] == [
        ["a", "b", "bad", "c"],
        ["a", "b"],
        ["bad", "c"],
        ["bad"],
        ["bad"],
        ["c"],
        ["d"],
    ]


def test_a_stream_goes_on_at_the_reported_record(aws: Aws) -> None:
    function = reader(aws)
    table, stream = stream_table(aws, view="NEW_IMAGE")
    put(aws, table, "a")
    put(aws, table, "again", do="report")
    put(aws, table, "b")
    with mapping(
        aws,
        function,
        stream,
        StartingPosition="TRIM_HORIZON",
        MaximumRetryAttempts=1,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    ):
        eventually(lambda: len(batches(aws, function)) == 2)
        put(aws, table, "c")
        eventually(lambda: len(batches(aws, function)) == 3)
    assert [keys(records) for records in batches(aws, function)] == [
        ["a", "again", "b"],
        ["again", "b"],
        ["c"],
    ]

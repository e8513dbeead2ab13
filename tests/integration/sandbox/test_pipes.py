"""EventBridge Pipes between queues, streams and functions.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.sandbox import Aws, unique
from terralive_testing.machine.waiting import eventually

# It fails for records with `fails`, and puts everything else into a queue.
TARGET = """
import boto3, json
queue = {queue!r}
def handler(event, context):
    failed = []
    for record in event:
        if isinstance(record, dict) and json.loads(record.get("body", "{{}}")).get("fails"):
            failed.append({{"itemIdentifier": record["messageId"]}})
    boto3.client("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(event))
    return {{"batchItemFailures": failed}}
"""
ENRICHES = """
import json
def handler(event, context):
    return [{"order": json.loads(record["body"])["id"]} for record in event]
"""


class Pipes:
    """Queues, and pipes between them."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.client: Any = aws.client("pipes")
        self.role = aws.role({"Effect": "Allow", "Action": "*", "Resource": "*"})

    def queue(self, **attributes: str) -> tuple[str, str]:
        """Create a queue. Return its URL and its ARN."""
        given: Any = attributes
        url = self.aws.sqs.create_queue(QueueName=unique("pipe"), Attributes=given)["QueueUrl"]
        got = self.aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, got["Attributes"]["QueueArn"]

    def create(self, source: str, target: str, **settings: object) -> str:
        name = unique("pipe")
        self.client.create_pipe(
            **{"Name": name, "Source": source, "Target": target, "RoleArn": self.role, **settings}
        )
        return name

    def put(self, url: str, *bodies: object) -> None:
        for body in bodies:
            self.aws.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))

    def take(self, url: str, is_enough: Callable[[list[Any]], bool]) -> list[Any]:
        """Receive messages until the bodies are enough, and return these."""
        bodies: list[Any] = []

        def received() -> bool:
            got = self.aws.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
            for message in got.get("Messages", []):
                bodies.append(json.loads(message["Body"]))
                self.aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return is_enough(bodies)

        eventually(received, "messages of the pipe")
        return bodies


@pytest.fixture
def pipes(sandbox: SandboxInfo) -> Pipes:
    return Pipes(Aws(sandbox))


def test_a_pipe_filters_and_enriches_messages_and_sends_them_to_a_queue(pipes: Pipes) -> None:
    url, source = pipes.queue()
    answers, target = pipes.queue()
    filters = {"Filters": [{"Pattern": json.dumps({"body": {"id": [{"exists": True}]}})}]}
    name = pipes.create(
        source,
        target,
        SourceParameters={"FilterCriteria": filters, "SqsQueueParameters": {"BatchSize": 2}},
        Enrichment=pipes.aws.function(ENRICHES),
        TargetParameters={"InputTemplate": '{"text": "order <$.order>"}'},
    )
    assert pipes.client.describe_pipe(Name=name)["CurrentState"] == "RUNNING"
    pipes.put(url, {"other": 1}, {"id": 1}, {"id": 2})
    texts = {body["text"] for body in pipes.take(answers, lambda bodies: len(bodies) == 2)}
    assert texts == {"order 1", "order 2"}

    pipes.client.stop_pipe(Name=name)
    assert pipes.client.describe_pipe(Name=name)["CurrentState"] == "STOPPED"
    pipes.put(url, {"id": 3})
    pipes.client.start_pipe(Name=name)
    assert pipes.take(answers, bool) == [{"text": "order 3"}]
    pipes.client.delete_pipe(Name=name)


def test_a_function_gets_an_array_and_names_the_messages_that_come_again(pipes: Pipes) -> None:
    answers, _ = pipes.queue()
    dead_url, dead = pipes.queue()
    policy = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": "2"})
    url, source = pipes.queue(VisibilityTimeout="3", RedrivePolicy=policy)
    function = pipes.aws.function(TARGET.format(queue=answers), role=pipes.role)
    # A cold start may take longer than messages are hidden.
    pipes.aws.lambda_.invoke(FunctionName=function, Payload=b"[]")
    pipes.create(source, function, SourceParameters={"SqsQueueParameters": {"BatchSize": 1}})
    pipes.put(url, {"id": 1}, {"id": 2, "fails": True})
    # The one that fails is received twice, and moved then.
    pipes.take(dead_url, lambda bodies: {"id": 2, "fails": True} in bodies)

    def ids(events: list[Any]) -> list[int]:
        return [json.loads(record["body"])["id"] for event in events for record in event]

    events = pipes.take(answers, lambda events: 1 in ids(events) and ids(events).count(2) == 2)
    assert {len(event) for event in events} == {0, 1}
    assert {record["eventSource"] for event in events for record in event} == {"aws:sqs"}


def test_a_pipe_reads_a_kinesis_stream_from_its_beginning(pipes: Pipes) -> None:
    kinesis: Any = pipes.aws.client("kinesis")
    stream = unique("stream")
    kinesis.create_stream(StreamName=stream, ShardCount=1)
    arn = kinesis.describe_stream(StreamName=stream)["StreamDescription"]["StreamARN"]
    kinesis.put_record(StreamName=stream, Data=b'{"id": 5}', PartitionKey="a")
    answers, target = pipes.queue()
    pipes.create(
        arn,
        target,
        SourceParameters={"KinesisStreamParameters": {"StartingPosition": "TRIM_HORIZON"}},
        TargetParameters={"InputTemplate": '{"id": <$.data.id>, "key": "<$.partitionKey>"}'},
    )
    assert pipes.take(answers, bool) == [{"id": 5, "key": "a"}]


def test_a_pipe_that_the_sandbox_does_not_run_is_refused_by_name(pipes: Pipes) -> None:
    _, source = pipes.queue()
    target = "arn:aws:states:us-east-1:123456789012:stateMachine:orders"
    with pytest.raises(ClientError, match="states as a target of EventBridge Pipes"):
        pipes.create(source, target)

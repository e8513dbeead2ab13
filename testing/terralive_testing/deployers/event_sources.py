"""Queues, streams and functions that read them, in a sandbox.

Such a function prints its event, because a test can only see its log.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from terralive_testing.deployers.sandbox import Aws, unique
from terralive_testing.machine.waiting import eventually

# Does what the body of a record, or its item's `do`, says.
READER = """
import json, os
def handler(event, context):
    print(json.dumps({"arn": context.invoked_function_arn, "event": event}))
    def told(record):
        if "body" in record:
            return record["body"]
        return record["dynamodb"].get("NewImage", {}).get("do", {}).get("S", "")
    failures = [{"itemIdentifier": r.get("messageId") or r["dynamodb"]["SequenceNumber"]}
                for r in event["Records"] if told(r).startswith("report")]
    def fails(record):
        if told(record) == "fail once":
            return record["attributes"]["ApproximateReceiveCount"] == "1"
        return told(record) == "fail"
    if any(fails(record) for record in event["Records"]):
        raise RuntimeError("told to fail")
    return {"batchItemFailures": failures}
"""
COUNTER = """
import json
def handler(event, context):
    print(json.dumps({"bodies": [record["body"] for record in event["Records"]]}))
"""
READ_QUEUES: Mapping[str, object] = {
    "Effect": "Allow",
    "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
    "Resource": "*",
}
READ_STREAMS: Mapping[str, object] = {
    "Effect": "Allow",
    "Action": [
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
        "dynamodb:DescribeStream",
        "dynamodb:ListStreams",
    ],
    "Resource": "*",
}


class Queue:
    """A queue of its own."""

    def __init__(self, aws: Aws, *, fifo: bool = False, **attributes: str) -> None:
        self._aws = aws
        if fifo:
            attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true", **attributes}
        name = unique("queue")
        if fifo:
            name += ".fifo"
        settings: Any = attributes
        self.url = aws.sqs.create_queue(QueueName=name, Attributes=settings)["QueueUrl"]
        self.arn = self.attribute("QueueArn")

    def attribute(self, name: str) -> str:
        wanted: Any = [name]
        answer = self._aws.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=wanted)
        attributes: Mapping[Any, str] = answer["Attributes"]
        return attributes[name]

    def allow(self, service: str, source_arn: str) -> None:
        """Let a service send messages on behalf of one of its resources."""
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sqs:SendMessage",
            "Resource": self.arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": source_arn}},
        }
        self.set_policy(statement)

    def set_policy(self, statement: Mapping[str, object]) -> None:
        """Set a policy with one statement."""
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._aws.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": policy})

    def take_bodies(self) -> list[str]:
        """Receive and delete up to ten messages; return their bodies."""
        received = self._aws.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
        messages = received.get("Messages", [])
        for message in messages:
            self._aws.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return [message["Body"] for message in messages]

    def send(self, *bodies: str, group: str = "") -> None:
        """Send messages in batches of ten, in order."""
        for start in range(0, len(bodies), 10):
            entries: Any = []
            for number, body in enumerate(bodies[start : start + 10]):
                entry = {"Id": str(number), "MessageBody": body}
                if group:
                    entry["MessageGroupId"] = group
                entries.append(entry)
            answer = self._aws.sqs.send_message_batch(QueueUrl=self.url, Entries=entries)
            assert len(answer["Successful"]) == len(entries)

    def receive(self) -> list[dict[str, Any]]:
        answer: Any = self._aws.sqs.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, AttributeNames=["All"]
        )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    def is_empty(self) -> bool:
        """Return whether there are no messages, also no hidden or delayed ones."""
        # One request: between two of them, a message can change from a state that was not counted
        # yet to one that was.
        states = ("", "NotVisible", "Delayed")
        names: Any = [f"ApproximateNumberOfMessages{state}" for state in states]
        answer = self._aws.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        attributes: Mapping[Any, str] = answer["Attributes"]
        return all(attributes[name] == "0" for name in names)


@contextmanager
def mapping(aws: Aws, function_arn: str, source_arn: str, **settings: Any) -> Iterator[str]:  # noqa: ANN401
    """A mapping, enabled unless told otherwise, and deleted in the end; its UUID."""
    made = aws.lambda_.create_event_source_mapping(
        FunctionName=function_arn, EventSourceArn=source_arn, **settings
    )
    try:
        yield made["UUID"]
    finally:
        aws.lambda_.delete_event_source_mapping(UUID=made["UUID"])


def logged(aws: Aws, function_arn: str) -> list[str]:
    """Return the lines of a function's log so far, in the order of their times.

    They reach the log a moment after the invocation's answer.
    """
    group = f"/aws/lambda/{function_arn.split(':')[6]}"
    if not aws.logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        return []
    pages = aws.logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    return [event["message"] for page in pages for event in page["events"]]


def printed(aws: Aws, function_arn: str) -> list[dict[str, Any]]:
    """The JSON lines of a function's log so far, in the order of their invocations."""
    return [json.loads(line) for line in logged(aws, function_arn) if line.startswith("{")]


def batches(aws: Aws, function_arn: str) -> list[list[dict[str, Any]]]:
    """Return the records of each invocation of a READER so far.

    An invocation without records comes from the test itself and is left out.
    """
    found = [line["event"]["Records"] for line in printed(aws, function_arn)]
    return [records for records in found if records]


def bodies(aws: Aws, function_arn: str) -> list[list[str]]:
    return [[record["body"] for record in records] for records in batches(aws, function_arn)]


def drain(aws: Aws, count: int, *, seconds: float) -> tuple[float, Counter[str]]:
    """Send a burst of `count` messages to a queue that a function reads.

    Returns:
        The seconds until the queue was empty, and how often each message (its body is its number)
        was handled.
    """
    function = aws.function(COUNTER, statements=[READ_QUEUES], timeout=30)
    queue = Queue(aws, VisibilityTimeout="180")
    with mapping(aws, function, queue.arn):
        began = time.monotonic()
        queue.send(*(str(number) for number in range(count)))
        eventually(queue.is_empty, seconds=seconds)
        took = time.monotonic() - began
        handled: Counter[str] = Counter()

        def all_printed() -> bool:
            handled.clear()
            handled.update(body for line in printed(aws, function) for body in line["bodies"])
            return len(handled) == count

        eventually(all_printed, seconds=seconds)
    return took, handled


def stream_table(aws: Aws, view: str = "NEW_AND_OLD_IMAGES") -> tuple[str, str]:
    """Create a table with a stream. Return its name and the stream's ARN."""
    name = unique("table")
    stream: Any = {"StreamEnabled": True, "StreamViewType": view}
    made = aws.dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification=stream,
    )
    return name, made["TableDescription"]["LatestStreamArn"]


def put(aws: Aws, table: str, *keys: str, do: str = "") -> None:
    for key in keys:
        item: dict[str, Any] = {"pk": {"S": key}}
        if do:
            item["do"] = {"S": do}
        aws.dynamodb.put_item(TableName=table, Item=item)


def keys(records: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(record["dynamodb"]["Keys"]["pk"]["S"]) for record in records]

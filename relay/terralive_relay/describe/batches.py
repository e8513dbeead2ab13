"""Describes events that bring several records: queues, topics, streams, buckets, brokers."""

from __future__ import annotations

import base64
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote_plus

from terralive_relay.describe.values import (
    as_text,
    at,
    counted,
    joined,
    name_of,
    resource_of,
)
from terralive_stub.shared.json_documents import Json, as_object, items, section, text

_LOGS_BYTES: Final = 64 * 1024
_LOG_GROUP: Final = re.compile(rb'"logGroup"\s*:\s*"([^"\\]+)"')
_SHOWN_SOURCES: Final = 2


def batch(document: Mapping[str, Json]) -> tuple[str, str] | None:
    """Return the trigger and summary of an event with records; None if the event has none."""
    records = items(document, "Records")
    if records and isinstance(records[0], dict):
        return _records(records)
    source = text(document, "eventSource")
    match source:
        case "aws:kafka" | "SelfManagedKafka":
            return "kafka", _kafka(section(document, "records"))
        case "aws:mq":
            return "mq", _active_mq(items(document, "messages"))
        case "aws:rmq":
            return "mq", _rabbit_mq(section(document, "rmqMessagesByQueue"))
        case "aws:docdb":
            return "documentdb", _document_db(items(document, "events"))
    return _stream_of_another_kind(document)


def records_of(elements: Sequence[Json]) -> tuple[str, str] | None:
    """Return the trigger and summary of a list of records, as EventBridge Pipes sends them.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-event-source.html
    """
    if elements and "eventSource" in as_object(elements[0]):
        return _records(elements)
    return None


def _records(records: Sequence[Json]) -> tuple[str, str]:
    """SNS, SQS, S3, SES, CodeCommit, CloudFront, and the streams of DynamoDB and Kinesis.

    Each service has a page with its event: https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html
    """
    first = as_object(records[0])
    source = as_text(first.get("EventSource") or first.get("eventSource"))
    trigger = source.removeprefix("aws:") or "invoke"
    arn = first.get("eventSourceARN")
    count = len(records)
    match trigger:
        case "sqs":
            words: Sequence[object] = (name_of(arn), counted(count, "message"))
        case "sns":
            topic = name_of(at(first, "Sns.TopicArn"))
            words = (topic, _several(count, "message"))
        case "s3":
            # The key is encoded as in a URL.
            key = unquote_plus(at(first, "s3.object.key"))
            place = joined((at(first, "s3.bucket.name"), key), "/")
            words = (joined((first.get("eventName"), place)), _several(count, "record"))
        case "dynamodb":
            words = (_table(arn), counted(count, "record"), _kinds(records, "eventName"))
        case "kinesis":
            words = (name_of(arn), counted(count, "record"))
        case "codecommit":
            words = (name_of(arn), first.get("eventTriggerName"), _several(count, "record"))
        case "invoke" if "cf" in first:
            trigger = "cloudfront"
            method = at(first, "cf.request.method")
            line = joined((method, at(first, "cf.request.uri")))
            words = (at(first, "cf.config.eventType"), line)
        case _:
            words = (_several(count, "record"),)
    return trigger, joined(words, ", ")


def _several(count: int, noun: str) -> str:
    """Return a count of more than one; "" for one."""
    if count > 1:
        return counted(count, noun)
    return ""


def _table(arn: object) -> str:
    """Return the table of a DynamoDB stream's ARN (`…:table/NAME/stream/TIME`)."""
    parts = resource_of(arn).split("/")
    if len(parts) > 1:
        return parts[1]
    return ""


def _kinds(records: Sequence[Json], field: str) -> str:
    """Return how many records there are of each kind: `2 INSERT, 1 REMOVE`."""
    kinds = Counter(text(as_object(record), field) for record in records)
    kinds.pop("", None)
    if len(kinds) == 1:
        return next(iter(kinds))
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())


def _sources(counts: Mapping[str, int], noun: str) -> str:
    """Return the names of topics or queues, and the number of records of all of them."""
    names = list(counts)[:_SHOWN_SOURCES]
    if len(counts) > _SHOWN_SOURCES:
        names.append("…")
    return joined((*names, counted(sum(counts.values()), noun)), ", ")


def _kafka(partitions: Mapping[str, Json]) -> str:
    """Topics, whose records are in lists by partition.

    https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html
    """
    counts: Counter[str] = Counter()
    for partition, records in partitions.items():
        if isinstance(records, list):
            # The key is the topic and the number of the partition: `orders-0`.
            counts[partition.rpartition("-")[0] or partition] += len(records)
    return _sources(counts, "record")


def _active_mq(messages: Sequence[Json]) -> str:
    """Queues of ActiveMQ.

    https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html
    """
    counts: Counter[str] = Counter()
    for message in messages:
        counts[at(as_object(message), "destination.physicalName")] += 1
    return _sources(counts, "message")


def _rabbit_mq(queues: Mapping[str, Json]) -> str:
    """Queues of RabbitMQ.

    https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html
    """
    counts: Counter[str] = Counter()
    for queue, messages in queues.items():
        if isinstance(messages, list):
            # The key is the queue and the virtual host: `orders::/`.
            counts[queue.partition("::")[0]] += len(messages)
    return _sources(counts, "message")


def _document_db(events: Sequence[Json]) -> str:
    """Changes of one collection.

    https://docs.aws.amazon.com/lambda/latest/dg/with-documentdb.html
    """
    changes = [section(as_object(item), "event") for item in events]
    collection = ""
    if changes:
        collection = joined((at(changes[0], "ns.db"), at(changes[0], "ns.coll")), ".")
    kinds = _kinds(list(changes), "operationType")
    return joined((collection, counted(len(changes), "change"), kinds), ", ")


def _stream_of_another_kind(document: Mapping[str, Json]) -> tuple[str, str] | None:
    """Firehose, Kinesis Data Analytics, S3 Batch Operations, and logs of CloudWatch."""
    records = items(document, "records")
    if "deliveryStreamArn" in document and records:
        # https://docs.aws.amazon.com/lambda/latest/dg/services-kinesisfirehose.html
        stream = name_of(document["deliveryStreamArn"])
        return "firehose", joined((stream, counted(len(records), "record")), ", ")
    if "applicationArn" in document and records:
        application = name_of(document["applicationArn"])
        return "kinesisanalytics", joined((application, counted(len(records), "record")), ", ")
    tasks = items(document, "tasks")
    if "invocationSchemaVersion" in document and tasks:
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html
        first = as_object(tasks[0])
        bucket = name_of(first.get("s3BucketArn")) or text(first, "s3Bucket")
        place = joined((bucket, first.get("s3Key")), "/")
        return "s3batch", joined((place, _several(len(tasks), "task")), ", ")
    if "awslogs" in document:
        return "logs", _log_group(at(document, "awslogs.data"))
    return None


def _log_group(data: str) -> str:
    """Return the log group of a subscription's event, whose data is compressed and in base64.

    https://docs.aws.amazon.com/lambda/latest/dg/services-cloudwatchlogs.html
    """
    try:
        packed = base64.b64decode(data[:_LOGS_BYTES])
        unpacked = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(packed, _LOGS_BYTES)
    except (ValueError, zlib.error):
        return ""
    found = _LOG_GROUP.search(unpacked)
    if found is None:
        return ""
    return found[1].decode("utf-8", "replace")

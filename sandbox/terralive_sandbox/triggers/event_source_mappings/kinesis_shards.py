"""Read moto's Kinesis streams, shard by shard.

https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from moto.kinesis.models import Record as KinesisRecord
from moto.kinesis.models import Shard, kinesis_backends

from terralive_sandbox.control.moto_state import backend_of
from terralive_sandbox.places import Place
from terralive_sandbox.triggers.event_source_mappings.batches import Record


def find_shards(stream_arn: str) -> Mapping[str, Shard] | None:
    """Return the open shards of a stream by their ids; None if there is no such stream."""
    backend = backend_of(kinesis_backends, Place.of(stream_arn))
    if backend is None:
        return None
    stream = backend.streams.get(stream_arn.rpartition(":stream/")[2])
    if stream is None:
        return None
    return {shard_id: shard for shard_id, shard in stream.shards.items() if shard.is_open}


def starts(stream_arn: str, position: str, since: float) -> dict[str, int]:
    """Return the index of the first record that a mapping reads, for each shard.

    Args:
        stream_arn: the stream.
        position: `TRIM_HORIZON`, `LATEST` or `AT_TIMESTAMP`.
        since: the time of `AT_TIMESTAMP`, in seconds since the Unix epoch.
    """
    found: dict[str, int] = {}
    for shard_id, shard in (find_shards(stream_arn) or {}).items():
        older: list[KinesisRecord] = []
        if position == "LATEST":
            older = list(shard.records.values())
        elif position == "AT_TIMESTAMP":
            older = [one for one in shard.records.values() if one.created_at < since]
        found[shard_id] = len(older)
    return found


def read(stream_arn: str, shard_id: str, start: int, count: int, role: str) -> list[Record] | None:
    """Return up to `count` records of a shard, beginning with the one at index `start`.

    Args:
        stream_arn: the stream.
        shard_id: the shard.
        start: the index of the first record.
        count: the most records.
        role: the ARN of the function's role, which is a part of each record.

    Returns:
        None if there is no such stream or shard.
    """
    shard = (find_shards(stream_arn) or {}).get(shard_id)
    if shard is None:
        return None
    records = islice(shard.records.values(), start, start + count)
    return [_record(record, stream_arn, shard_id, role) for record in records]


def _record(record: KinesisRecord, stream_arn: str, shard_id: str, role: str) -> Record:
    """Return a record as it stands in the event."""
    number = str(record.sequence_number)
    fields = {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record.partition_key,
            "sequenceNumber": number,
            "data": record.data,
            "approximateArrivalTimestamp": round(record.created_at, 3),
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard_id}:{number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": role,
        "awsRegion": stream_arn.split(":")[3],
        "eventSourceARN": stream_arn,
    }
    return Record.of(number, fields, float(record.created_at))

"""Read the records of moto's DynamoDB streams, as Lambda does.

Everything here runs on the thread that owns moto's state, and decides nothing.
https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
"""

from __future__ import annotations

import datetime as dt
import json

from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import StreamRecord, StreamShard
from moto.dynamodb.models.utilities import dynamo_json_dump

from terralive_sandbox.access import identity
from terralive_sandbox.triggers.event_source_mappings.batches import Record


def find_shard(stream_arn: str) -> StreamShard | None:
    """Return the shard of a table's latest stream. In moto a stream has one shard."""
    _, _, _, region, account, resource = stream_arn.split(":", 5)
    if account != identity.ACCOUNT or region not in dynamodb_backends[account]:
        return None
    table = dynamodb_backends[account][region].tables.get(resource.split("/")[1])
    if table is None or stream_arn != f"{table.table_arn}/stream/{table.latest_stream_label}":
        return None
    shard: StreamShard | None = table.stream_shard
    return shard


def read(stream_arn: str, start: int, count: int) -> tuple[Record, ...] | None:
    """Return up to `count` records, beginning with the one at index `start`.

    Returns:
        None if there is no such stream.
    """
    shard = find_shard(stream_arn)
    if shard is None:
        return None
    items = shard.items[start : start + count]
    return tuple(_record(item, stream_arn) for item in items)


def _record(item: StreamRecord, stream_arn: str) -> Record:
    """Return a change as it stands in the event.

    The page's sample has an older `eventVersion`; AWS sends 1.1.
    """
    change = dict(item.record["dynamodb"])
    created = change.pop("ApproximateCreationDateTime").replace(tzinfo=dt.UTC).timestamp()
    fields = {
        "eventID": item.record["eventID"],
        "eventName": item.record["eventName"],
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": stream_arn.split(":")[3],
        "dynamodb": {
            "ApproximateCreationDateTime": int(created),
            **json.loads(dynamo_json_dump(change)),
        },
        "eventSourceARN": stream_arn,
    }
    return Record.of(change["SequenceNumber"], fields, created)

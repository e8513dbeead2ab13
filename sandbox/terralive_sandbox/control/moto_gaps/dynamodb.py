"""DynamoDB streams: one record for each change, and a notice to the readers of the stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import Item
from moto.dynamodb.models.table import StreamShard

from terralive_sandbox.control.moto_gaps.replacements import Replacements


def declare(replacements: Replacements, arrived: Callable[[str], None]) -> None:
    """Declare the replacements.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html

    Args:
        replacements: the list that gets them.
        arrived: called with the ARN of a stream that has new records.
    """
    moto_add = StreamShard.add
    moto_update_item = DynamoDBBackend.update_item

    def add(self: StreamShard, old: Item | None, new: Item | None) -> None:
        table = self.table
        specification = table.stream_specification or {}
        if not specification.get("StreamEnabled"):
            return  # moto would fail the write
        if old is not None and new is not None and old.to_json() == new.to_json():
            return  # a write that changes nothing has no record
        moto_add(self, old, new)
        arrived(f"{table.table_arn}/stream/{table.latest_stream_label}")

    def update_item(self: DynamoDBBackend, table_name: str, *args: Any, **kwargs: Any) -> Item:
        """Write one record for an update that creates an item.

        Moto writes another record before it, with the keys alone.
        """
        shard = self.get_table(table_name).stream_shard
        before = len(shard.items) if shard else 0
        item = moto_update_item(self, table_name, *args, **kwargs)
        if shard and len(shard.items) > before + 1:
            shard.items[before:-1] = []
            number = shard.starting_sequence_number + before
            shard.items[before].record["dynamodb"]["SequenceNumber"] = str(number)
        return item

    replacements.replace(StreamShard, "add", add)
    replacements.replace(DynamoDBBackend, "update_item", update_item)

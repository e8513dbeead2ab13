"""DynamoDB streams: records that moto writes too often or stumbles over, and who reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import Item
from moto.dynamodb.models.table import StreamShard


def streams_are_as_documented(arrived: Callable[[str], None]) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html.

    `arrived` hears of new records.
    """
    add, update = StreamShard.add, DynamoDBBackend.update_item

    def add_record(self: StreamShard, old: Item | None, new: Item | None) -> None:
        table = self.table
        if not (table.stream_specification or {}).get("StreamEnabled"):
            return  # moto would fail the write
        if old is not None and new is not None and old.to_json() == new.to_json():
            return  # a write that changes nothing has no record
        add(self, old, new)
        arrived(f"{table.table_arn}/stream/{table.latest_stream_label}")

    def update_item(self: DynamoDBBackend, table_name: str, *args: Any, **kwargs: Any) -> Item:
        """An update that makes an item is one record.

        Moto writes another one first, with the keys alone.
        """
        shard = self.get_table(table_name).stream_shard
        before = len(shard.items) if shard else 0
        item = update(self, table_name, *args, **kwargs)
        if shard and len(shard.items) > before + 1:
            shard.items[before:-1] = []
            number = shard.starting_sequence_number + before
            shard.items[before].record["dynamodb"]["SequenceNumber"] = str(number)
        return item

    StreamShard.add = add_record  # type: ignore[method-assign] # the gap
    DynamoDBBackend.update_item = update_item  # type: ignore[method-assign] # the gap

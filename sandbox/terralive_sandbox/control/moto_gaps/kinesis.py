"""Kinesis streams: a notice to the readers of a stream, and no other shards while it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.kinesis.models import Stream

from terralive_sandbox.control.moto_gaps.errors import not_emulated
from terralive_sandbox.control.moto_gaps.replacements import Replacements
from terralive_sandbox.triggers.event_source_mappings.mapping_pollers import MappingPollers


def declare(replacements: Replacements, pollers: MappingPollers) -> None:
    """Declare the replacements.

    https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html

    Args:
        replacements: the list that gets them.
        pollers: read streams for functions.
    """
    moto_put_record = Stream.put_record

    def put_record(self: Stream, *args: Any, **kwargs: Any) -> tuple[str, str]:
        put = moto_put_record(self, *args, **kwargs)
        pollers.arrived(self.arn)
        return put

    def unless_read(moto_method: Callable[..., None]) -> Callable[..., None]:
        """Refuse other shards of a stream that functions read.

        moto moves records from a shard to its children, so that functions would get them twice.
        """

        def reshard(self: Stream, *args: Any, **kwargs: Any) -> None:
            if pollers.reads(self.arn):
                raise not_emulated("resharding of a Kinesis stream that a function reads")
            moto_method(self, *args, **kwargs)

        return reshard

    replacements.replace(Stream, "put_record", put_record)
    for name in ("split_shard", "merge_shards", "update_shard_count"):
        replacements.replace(Stream, name, unless_read(getattr(Stream, name)))

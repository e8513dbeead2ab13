"""Kinesis: tags of a new stream, a notice to readers, and no other shards while it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.kinesis.models import Stream
from moto.kinesis.responses import KinesisResponse

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
    moto_create_stream = KinesisResponse.create_stream

    def create_stream(self: KinesisResponse) -> ActionResult:
        """Create a stream with its tags, which moto drops."""
        answer = moto_create_stream(self)
        name, tags = self._get_param("StreamName"), self._get_param("Tags")
        self.kinesis_backend.add_tags_to_stream(None, name, tags or {})
        return answer

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

    replacements.replace(KinesisResponse, "create_stream", create_stream)
    replacements.replace(Stream, "put_record", put_record)
    for name in ("split_shard", "merge_shards", "update_shard_count"):
        replacements.replace(Stream, name, unless_read(getattr(Stream, name)))

"""The messages that S3 sends about changes in a bucket, to functions, queues and topics. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from urllib.parse import quote_plus

from terralive_stub.shared.timestamps import format_datetime


@dataclass(frozen=True, slots=True)
class Filter:
    """The changes that a notification configuration is about.

    Attributes:
        events: S3's names of event types (`s3:ObjectCreated:*`).
        prefix: the beginning of the objects' keys.
        suffix: the end of the objects' keys.
    """

    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one object.

    Attributes:
        event: the event's type without `s3:` (`ObjectCreated:Put`).
        bucket: the bucket's name.
        region: the bucket's region.
        key: the object's key.
        time: when the object changed.
        sequencer: a hexadecimal number that is greater with each change.
        principal: the id of the caller, after `AWS:`.
        request_id: the id of the request.
        host_id: the second id of the request.
        size: the object's size in bytes; None if it was removed.
        etag: the object's ETag; None if it was removed.
        version_id: the object's version; None without versioning.
    """

    event: str
    bucket: str
    region: str
    key: str
    time: dt.datetime
    sequencer: str
    principal: str
    request_id: str
    host_id: str
    size: int | None = None
    etag: str | None = None
    version_id: str | None = None


def notification(change: Change, configuration_id: str) -> dict[str, object]:
    """Return the message to functions, queues and topics.

    Its version is the one of Lambda's sample event (with-s3). The minor version has grown since; a
    reader that follows the page ignores fields that it does not know.
    """
    fields = {
        "key": quote_plus(change.key, safe="/*"),
        "size": change.size,
        "eTag": change.etag,
        "versionId": change.version_id,
        "sequencer": change.sequencer,
    }
    object_fields = {name: value for name, value in fields.items() if value is not None}
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": change.region,
        "eventTime": format_datetime(change.time),
        "eventName": change.event,
        "userIdentity": {"principalId": change.principal},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": change.request_id, "x-amz-id-2": change.host_id},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": configuration_id,
            "bucket": {
                "name": change.bucket,
                "ownerIdentity": {"principalId": "A1SANDBOXOWNER"},
                "arn": f"arn:aws:s3:::{change.bucket}",
            },
            "object": object_fields,
        },
    }
    return {"Records": [record]}


def trial_event(bucket: str, time: dt.datetime, request_id: str, host_id: str) -> dict[str, object]:
    """Return the message that a queue or topic receives when it is configured.

    A function receives none.
    """
    return {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": format_datetime(time),
        "Bucket": bucket,
        "RequestId": request_id,
        "HostId": host_id,
    }


def ambiguous(filters: Sequence[Filter]) -> bool:
    """Return true if one change could match two of the filters, which S3 does not accept."""
    for one, other in combinations(filters, 2):
        prefixes_overlap = one.prefix.startswith(other.prefix) or other.prefix.startswith(
            one.prefix
        )
        suffixes_overlap = one.suffix.endswith(other.suffix) or other.suffix.endswith(one.suffix)
        if prefixes_overlap and suffixes_overlap and _events_overlap(one.events, other.events):
            return True
    return False


def _events_overlap(some: Sequence[str], others: Sequence[str]) -> bool:
    return any(_covers(a, b) or _covers(b, a) for a, b in product(some, others))


def _covers(wide: str, narrow: str) -> bool:
    """Return true if an event type is the same as another, or `…:*` includes it."""
    if wide.endswith(":*"):
        return narrow.startswith(wide.removesuffix("*"))
    return wide == narrow

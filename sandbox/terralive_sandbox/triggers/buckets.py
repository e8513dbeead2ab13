"""What S3 says of a change in a bucket, to functions, queues and topics. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from urllib.parse import quote_plus


@dataclass(frozen=True, slots=True)
class Filter:
    """Which changes a notification is about.

    S3's event names (`s3:ObjectCreated:*`), and the ends of keys.
    """

    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one object.

    Attributes:
        event: as `ObjectCreated:Put`.
        version_id: of a versioned bucket only.
        sequencer: hexadecimal, greater with each change.
        principal: who asked for it, `AWS:` and an id.
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
    """The message to functions, queues and topics. Its version is that of Lambda's own sample (with-s3).

    The minor version has grown since; a reader that follows the page ignores what it does not know.
    """
    thing = {
        "key": quote_plus(change.key, safe="/*"),
        "size": change.size,
        "eTag": change.etag,
        "versionId": change.version_id,
        "sequencer": change.sequencer,
    }
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": change.region,
                "eventTime": stamp(change.time),
                "eventName": change.event,
                "userIdentity": {"principalId": change.principal},
                "requestParameters": {"sourceIPAddress": "127.0.0.1"},
                "responseElements": {
                    "x-amz-request-id": change.request_id,
                    "x-amz-id-2": change.host_id,
                },
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": configuration_id,
                    "bucket": {
                        "name": change.bucket,
                        "ownerIdentity": {"principalId": "A1SANDBOXOWNER"},
                        "arn": f"arn:aws:s3:::{change.bucket}",
                    },
                    "object": {name: value for name, value in thing.items() if value is not None},
                },
            }
        ]
    }


def trial_event(bucket: str, time: dt.datetime, request_id: str, host_id: str) -> dict[str, object]:
    """What a queue or a topic gets when it is configured; a function gets nothing."""
    return {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": stamp(time),
        "Bucket": bucket,
        "RequestId": request_id,
        "HostId": host_id,
    }


def ambiguous(filters: Sequence[Filter]) -> bool:
    """Whether one change could match two of them, which S3 refuses."""
    return any(
        _overlap(one.events, other.events)
        and (one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix))
        and (one.suffix.endswith(other.suffix) or other.suffix.endswith(one.suffix))
        for one, other in combinations(filters, 2)
    )


def _overlap(some: Sequence[str], others: Sequence[str]) -> bool:
    def covers(wide: str, narrow: str) -> bool:
        return wide == narrow or (wide.endswith(":*") and narrow.startswith(wide[:-1]))

    return any(covers(one, other) or covers(other, one) for one in some for other in others)


def stamp(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

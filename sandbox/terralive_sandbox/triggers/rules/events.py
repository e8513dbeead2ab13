"""EventBridge's events: made from an entry of PutEvents, or by AWS. Pure.

https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Final, TypeAlias

from terralive_stub.shared.json_documents import items

Event: TypeAlias = dict[str, object]
"""An event as EventBridge sends it to targets: a JSON object."""

# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html#API_PutEvents_RequestParameters
MOST_ENTRIES: Final = 10


class EntryError(Exception):
    """EventBridge does not accept an entry of PutEvents.

    Attributes:
        code: EventBridge's name of the reason (`MalformedDetail`).
        message: the error's text.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def format_time(moment: dt.datetime) -> str:
    """Return a time as it stands in events: in UTC, in whole seconds."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def event_of(
    entry: Mapping[str, object],
    event_id: str,
    account: str,
    region: str,
    now: dt.datetime,
    *,
    from_aws: bool = False,
) -> Event:
    """Return the event of one entry of PutEvents, or of an entry that AWS itself makes.

    Raises:
        EntryError: the entry is not accepted; its code and message belong into the response.
    """
    for name in ("Source", "DetailType", "Detail"):
        if not entry.get(name):
            raise EntryError(
                "InvalidArgument",
                f"Parameter {name} is not valid. Reason: {name} is a required argument.",
            )
    # Only AWS may send events with this prefix.
    source = str(entry["Source"])
    if source.startswith("aws.") and not from_aws:
        raise EntryError("NotAuthorizedForSourceException", "Not authorized for the source.")
    try:
        detail = json.loads(str(entry["Detail"]))
    except ValueError:
        detail = None
    if not isinstance(detail, dict):
        raise EntryError("MalformedDetail", "Detail is malformed.")
    time = now
    given_time = entry.get("Time")
    if isinstance(given_time, int | float):
        time = dt.datetime.fromtimestamp(float(given_time), dt.UTC)
    # The fields are in AWS's order.
    return {
        "version": "0",
        "id": event_id,
        "detail-type": str(entry["DetailType"]),
        "source": source,
        "account": account,
        "time": format_time(time),
        "region": region,
        "resources": [str(resource) for resource in items(entry, "Resources")],
        "detail": detail,
    }

"""Timestamps as AWS writes them: RFC 3339 in UTC, with milliseconds, ending in `Z`.

https://www.rfc-editor.org/rfc/rfc3339#section-5.6, and the `Date` header of answers:
https://www.rfc-editor.org/rfc/rfc9110#section-6.6.1
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def format_datetime(moment: datetime) -> str:
    """Return, for example, `2026-11-29T13:36:48.123Z`. `moment` needs a time zone."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def format_epoch_seconds(seconds: float) -> str:
    """Return the timestamp of a number of seconds since the Unix epoch."""
    return format_datetime(datetime.fromtimestamp(seconds, UTC))


def parse_date_header(text: str) -> float | None:
    """Return a `Date` header as seconds since the Unix epoch; None if it is none."""
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:  # "-0000": UTC, without a known place
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()

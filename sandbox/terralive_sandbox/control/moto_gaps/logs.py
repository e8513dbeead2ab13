"""CloudWatch Logs: events of several streams come in the order of their times."""

from __future__ import annotations

from typing import Any

from moto.logs.models import LogGroup

from terralive_sandbox.control.moto_gaps.replacements import Replacements


def declare(replacements: Replacements) -> None:
    """Declare the replacements.

    FilterLogEvents ignores `interleaved` and takes it for true. Moto takes it for false, and
    returns one stream after the other.
    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
    """
    moto_filter_log_events: Any = LogGroup.filter_log_events

    def filter_log_events(self: LogGroup, *arguments: Any) -> Any:
        # `interleaved` is the last argument.
        return moto_filter_log_events(self, *arguments[:-1], True)

    replacements.replace(LogGroup, "filter_log_events", filter_log_events)

"""Describes large events, which are not parsed because that would cost the invocation time.

Only the beginning and the end are read. Services write the fields of their events in one order.
"""

from __future__ import annotations

import re
from typing import Final

from terralive_relay.describe.values import joined, name_of

_READ_BYTES: Final = 16 * 1024
# Format 2.0 of HTTP APIs and function URLs, and format 1.0 of API Gateway.
_HTTP: Final = re.compile(
    rb'"http"\s*:\s*\{\s*"method"\s*:\s*"([A-Z]+)"\s*,\s*"path"\s*:\s*"([^"\\]*)"'
)
_METHOD: Final = re.compile(rb'"httpMethod"\s*:\s*"([A-Z]+)"')
_PATH: Final = re.compile(rb'"path"\s*:\s*"([^"\\]*)"')
# The last record of a batch, behind its data.
_SOURCE: Final = re.compile(rb'"eventSource"\s*:\s*"aws:(sqs|kinesis|dynamodb)"')
_ARN: Final = re.compile(rb'"eventSourceARN"\s*:\s*"([^"\\]*)"')


def describe_large(event: bytes) -> tuple[str, str]:
    """Return the trigger and summary of a large event; `invoke` for one that is not recognised."""
    begin, end = event[:_READ_BYTES], event[-_READ_BYTES:]
    http = _HTTP.search(begin) or _HTTP.search(end)
    if http is not None:
        return "http", joined((_text(http[1]), _text(http[2])))
    method, path = _METHOD.search(begin), _PATH.search(begin)
    if method is not None and path is not None:
        return "http", joined((_text(method[1]), _text(path[1])))
    sources, arns = _SOURCE.findall(end), _ARN.findall(end)
    if begin.lstrip().startswith(b'{"Records"') and sources and arns:
        name = name_of(_text(arns[-1]).partition("/stream/")[0])
        return _text(sources[-1]), name
    return "invoke", ""


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")

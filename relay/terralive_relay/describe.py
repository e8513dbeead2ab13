"""What an invocation's event and an error's document say to a person: for events and the terminal, never for decisions.

Both are bytes of other people's making, so nothing here raises.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from terralive_stub.invocation import Outcome

_READ_AT_MOST: Final = 1024 * 1024  # parsing more would cost the invocation time
_RECORD_SOURCES: Final = {
    "aws:sns": "sns",
    "aws:sqs": "sqs",
    "aws:s3": "s3",
    "aws:dynamodb": "dynamodb",
    "aws:kinesis": "kinesis",
}


@dataclass(frozen=True, slots=True)
class Trigger:
    """`name` is `http`, `sns`, …; `summary` is a few words (`GET /orders`), or ""."""

    name: str
    summary: str = ""


@dataclass(frozen=True, slots=True)
class ErrorText:
    type: str = ""
    message: str = ""
    stack: tuple[str, ...] = ()


def describe_trigger(event: bytes) -> Trigger:
    """Guess an invocation's trigger from its event's shape (AWS documents one shape a service, and no marker)."""
    document = _load(event)
    context = _object(document.get("requestContext"))
    http = _object(context.get("http"))
    if http:
        return Trigger("http", f"{http.get('method', '')} {http.get('path', '')}".strip())
    if "httpMethod" in document:
        return Trigger("http", f"{document['httpMethod']} {document.get('path', '')}".strip())
    if "connectionId" in context:
        return Trigger("websocket", str(context.get("routeKey", "")))
    records = document.get("Records")
    if isinstance(records, list) and records and isinstance(records[0], dict):
        source = str(records[0].get("EventSource") or records[0].get("eventSource") or "")
        count = f"{len(records)} records" if len(records) > 1 else ""
        return Trigger(_RECORD_SOURCES.get(source, source.removeprefix("aws:") or "invoke"), count)
    if "detail-type" in document and "source" in document:
        scheduled = document["source"] == "aws.events" and document["detail-type"] == "Scheduled Event"
        return Trigger("schedule" if scheduled else "eventbridge", str(document["detail-type"]))
    return Trigger("invoke")


def describe_error(outcome: Outcome) -> ErrorText:
    """Read an error's document; its shape differs from runtime to runtime (`stackTrace`, `trace`, none)."""
    if outcome.ok:
        return ErrorText()
    document = _load(outcome.body)
    lines = document.get("stackTrace") or document.get("trace")
    stack = tuple(str(line).rstrip("\n") for line in lines) if isinstance(lines, list) else ()
    return ErrorText(
        type=str(document.get("errorType") or outcome.error_type),
        message=str(document.get("errorMessage") or ""),
        stack=stack,
    )


def _load(data: bytes) -> dict[str, object]:
    if len(data) > _READ_AT_MOST:
        return {}
    try:
        return _object(json.loads(data))
    except (ValueError, RecursionError):
        return {}


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}

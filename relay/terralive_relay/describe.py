"""What an invocation's event and an error's document say to a person: for events and the terminal, never for decisions.

Both are bytes of other people's making, so nothing here raises.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_stub.protocol.invocation import Outcome

_READ_AT_MOST: Final = 1024 * 1024  # parsing more would cost the invocation time
_SUMMARY_CHARACTERS: Final = 200
# `File "/x/app.py", line 3`, also `File "/x/app.py" Line 3`; `at f (file:///x/app.mjs:3:7)`,
# `/x/app.js:3`.
_PLACE: Final = re.compile(r'(?:File "|file://|(?<![\w.:/]))(/[^":()\n]+)(?:",? [Ll]ine |:)(\d+)')
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
class Delivery:
    """How often an invocation was tried as far as the event says, and when it was first sent (ms; 0: not known)."""

    attempt: int = 1
    sent_ms: int = 0


@dataclass(frozen=True, slots=True)
class ErrorText:
    type: str = ""
    message: str = ""
    stack: tuple[str, ...] = ()


def describe_trigger(event: bytes) -> Trigger:
    """Guess an invocation's trigger from its event's shape (AWS documents one shape a service, and no marker)."""
    trigger = _trigger(_load(event))
    return Trigger(_short(trigger.name), _short(trigger.summary))


def _short(text: str) -> str:
    return text if len(text) <= _SUMMARY_CHARACTERS else f"{text[: _SUMMARY_CHARACTERS - 1]}…"


def _trigger(document: dict[str, object]) -> Trigger:
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
        scheduled = (
            document["source"] == "aws.events" and document["detail-type"] == "Scheduled Event"
        )
        return Trigger("schedule" if scheduled else "eventbridge", str(document["detail-type"]))
    return Trigger("invoke")


def describe_delivery(event: bytes, trace_id: str) -> Delivery:
    """Tell how old an invocation is, and a queue's message also how often it was received.

    A trace begins when Lambda accepts an event, and its id says when (`Root=1-<seconds, in hex>-…`,
    https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html); all attempts are in
    the same trace (https://docs.aws.amazon.com/lambda/latest/dg/invocation-async.html). A message
    of SQS brings both numbers itself (https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html),
    a record of a DynamoDB stream its time.
    """
    root = re.search(r"Root=1-([0-9a-fA-F]{8})-", trace_id)
    sent_ms = int(root[1], 16) * 1000 if root else 0
    records = _load(event).get("Records")
    attempt = 1
    for record in records if isinstance(records, list) else []:
        attributes = _object(_object(record).get("attributes"))
        attempt = max(attempt, _number(attributes.get("ApproximateReceiveCount")))
        times = (
            _number(attributes.get("SentTimestamp")),
            _number(_object(_object(record).get("dynamodb")).get("ApproximateCreationDateTime"))
            * 1000,
        )
        sent_ms = min([at for at in (sent_ms, *times) if at], default=0)
    return Delivery(attempt, sent_ms)


def describe_error(outcome: Outcome) -> ErrorText:
    """Read an error's document.

    Its shape differs from runtime to runtime (`stackTrace`, `trace`, none).
    """
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


def describe_place(outcome: Outcome, cause: str, root: Path) -> str:
    """Say where in a function's code its module failed to load (`app.py:3`); "" where nothing tells.

    Args:
        outcome: what the runtime reported.
        cause: its X-Ray cause, which has the frames where the document must not have them (a failed
            import).
        root: the function's code root; the innermost place below it counts before those elsewhere.
    """
    error = describe_error(outcome)
    found = [(file, line) for text in error.stack for file, line in _PLACE.findall(text)]
    if error.stack and not error.stack[0].startswith("  File"):
        found.reverse()  # Python names the innermost frame last, Node first
    if not found:
        exceptions = _load(cause.encode("utf-8", "replace")).get("exceptions")
        first = _object(exceptions[0]) if isinstance(exceptions, list) and exceptions else {}
        frames = first.get("stack")
        found = [
            (str(f.get("path")), str(f.get("line")))
            for f in map(_object, frames if isinstance(frames, list) else ())
        ]
    found = [
        (file, line) for file, line in found if file.startswith("/") and "node_modules" not in file
    ]
    own = [
        (file, line)
        for file, line in found
        if Path(file).is_relative_to(root) and "site-packages" not in file
    ]
    for file, line in reversed(own or found):
        return f"{Path(file).relative_to(root) if own else file}:{line}"
    return ""


def _load(data: bytes) -> dict[str, object]:
    if len(data) > _READ_AT_MOST:
        return {}
    try:
        return _object(json.loads(data))
    except (ValueError, RecursionError):
        return {}


def _number(value: object) -> int:
    try:
        return min(max(int(float(value)), 0), 2**53) if isinstance(value, str | int | float) else 0
    except (ValueError, OverflowError):
        return 0


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}

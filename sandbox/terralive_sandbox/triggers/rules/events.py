"""EventBridge's events, and what a rule's target gets of them. Pure.

https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Event: TypeAlias = dict[str, object]
"""An event as EventBridge hands it on: JSON."""

ENTRIES = 10

_PATH_STEP = re.compile(r"\.(?P<name>[A-Za-z0-9_/:-]+)|\.?\[(?P<index>\d+)\]|(?:\.\*|\.?\[\*\])")
_TOKEN = re.compile(r'<(?P<variable>[A-Za-z0-9_.-]+)>|(?P<escape>\\.)|(?P<quote>")', re.DOTALL)


class RuleError(Exception):
    """EventBridge refuses an entry; `code` is its name for why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Source:
    """The rule that an event goes through, and when EventBridge got that event."""

    rule_arn: str
    rule_name: str
    ingested: dt.datetime


def stamp(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def event_of(
    entry: Mapping[str, object], event_id: str, account: str, region: str, now: dt.datetime
) -> Event:
    """The event of one entry of PutEvents.

    Raises:
        RuleError: the entry is refused; code and message stand in the response.
    """
    for name in ("Source", "DetailType", "Detail"):
        if not entry.get(name):
            message = f"Parameter {name} is not valid. Reason: {name} is a required argument."
            raise RuleError("InvalidArgument", message)
    source = str(entry["Source"])
    if source.startswith("aws."):
        raise RuleError("NotAuthorizedForSourceException", "Not authorized for the source.")
    try:
        detail = json.loads(str(entry["Detail"]))
    except ValueError:
        detail = None
    if not isinstance(detail, dict):
        raise RuleError("MalformedDetail", "Detail is malformed.")
    at = entry.get("Time")
    time = dt.datetime.fromtimestamp(float(at), dt.UTC) if isinstance(at, int | float) else now
    resources = entry.get("Resources")
    return aws_event(
        str(entry["DetailType"]), source, event_id=event_id, account=account, region=region, time=time,
        resources=[str(r) for r in resources] if isinstance(resources, list) else [], detail=detail,
    )  # fmt: skip


def aws_event(
    detail_type: str,
    source: str,
    *,
    event_id: str,
    account: str,
    region: str,
    time: dt.datetime,
    resources: Sequence[str],
    detail: object,
) -> Event:
    """An event, its fields in the order that AWS sends them in."""
    return {
        "version": "0",
        "id": event_id,
        "detail-type": detail_type,
        "source": source,
        "account": account,
        "time": stamp(time),
        "region": region,
        "resources": list(resources),
        "detail": detail,
    }


def payload(target: Mapping[str, object], event: Event, source: Source) -> str:
    """What the target gets: JSON text, unless its own template makes something else."""
    if isinstance(given := target.get("Input"), str):
        return given
    if isinstance(path := target.get("InputPath"), str):
        return _compact(_at(event, path))
    if isinstance(transformer := target.get("InputTransformer"), dict):
        return _transformed(transformer, event, source)
    return _compact(event)


def _transformed(transformer: Mapping[str, object], event: Event, source: Source) -> str:
    paths = transformer.get("InputPathsMap")
    variables = (
        {str(k): _at(event, str(path)) for k, path in paths.items()}
        if isinstance(paths, dict)
        else {}
    )
    variables |= {
        "aws.events.rule-arn": source.rule_arn,
        "aws.events.rule-name": source.rule_name,
        "aws.events.event.ingestion-time": stamp(source.ingested),
        "aws.events.event": {key: value for key, value in event.items() if key != "detail"},
        "aws.events.event.json": event,
    }
    text = _filled(str(transformer.get("InputTemplate", "")), variables)
    try:
        return _compact(json.loads(text))
    except ValueError:
        return text


def _filled(template: str, variables: Mapping[str, object]) -> str:
    """Outside of quotes a variable is JSON; within them its bare text, unescaped ("Common issues" on the page).

    A variable that has no value is empty.
    """
    inside = False

    def fill(found: re.Match[str]) -> str:
        nonlocal inside
        if found["quote"]:
            inside = not inside
        if not found["variable"]:
            return found[0]
        value = variables.get(found["variable"])
        value = "" if value is None else value
        if not inside:
            return _compact(value)
        return value if isinstance(value, str) else _compact(value).replace('"', "")

    return _TOKEN.sub(fill, template)


def _at(event: object, path: str) -> object:
    """A JSON path's value, of the syntax that the page lists.

    None where the event has nothing there.
    """
    if not path.startswith("$"):
        return None
    found = [event]
    many = False
    position = 1
    while position < len(path):
        step = _PATH_STEP.match(path, position)
        if step is None:
            return None
        position = step.end()
        if step["name"]:
            found = [
                value[step["name"]]
                for value in found
                if isinstance(value, dict) and step["name"] in value
            ]
        elif step["index"]:
            index = int(step["index"])
            found = [
                value[index] for value in found if isinstance(value, list) and index < len(value)
            ]
        else:
            many = True
            found = [inner for value in found for inner in _children(value)]
    return found if many else (found[0] if found else None)


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

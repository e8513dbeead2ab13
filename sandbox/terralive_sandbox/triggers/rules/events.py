"""EventBridge's events, and the input of a rule's target that is made of one. Pure.

https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from terralive_stub.shared.json_documents import items, section

Event: TypeAlias = dict[str, object]
"""An event as EventBridge sends it to targets: a JSON object."""

# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html#API_PutEvents_RequestParameters
MOST_ENTRIES: Final = 10
# One step of a JSON path: a name, an index, or all children.
_PATH_STEP: Final = re.compile(
    r"\.(?P<name>[A-Za-z0-9_/:-]+)|\.?\[(?P<index>\d+)\]|(?:\.\*|\.?\[\*\])"
)
_TEMPLATE_TOKEN: Final = re.compile(
    r'<(?P<variable>[A-Za-z0-9_.-]+)>|(?P<escape>\\.)|(?P<quote>")', re.DOTALL
)


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


@dataclass(frozen=True, slots=True)
class RuleMatch:
    """A rule that an event matches.

    Attributes:
        rule_arn: the rule's ARN.
        rule_name: the rule's name.
        ingested: when EventBridge received the event.
    """

    rule_arn: str
    rule_name: str
    ingested: dt.datetime


def target_input(target: Mapping[str, object], event: Event, match: RuleMatch) -> str:
    """Return what a target receives: JSON text, unless the target's template makes other text."""
    constant = target.get("Input")
    if isinstance(constant, str):
        return constant
    path = target.get("InputPath")
    if isinstance(path, str):
        return _compact_json(_value_at(event, path))
    transformer = target.get("InputTransformer")
    if isinstance(transformer, dict):
        return _transformed(transformer, event, match)
    return _compact_json(event)


def _transformed(transformer: Mapping[str, object], event: Event, match: RuleMatch) -> str:
    variables: dict[str, object] = {}
    for name, path in section(transformer, "InputPathsMap").items():
        variables[name] = _value_at(event, str(path))
    variables["aws.events.rule-arn"] = match.rule_arn
    variables["aws.events.rule-name"] = match.rule_name
    variables["aws.events.event.ingestion-time"] = format_time(match.ingested)
    variables["aws.events.event"] = {key: event[key] for key in event if key != "detail"}
    variables["aws.events.event.json"] = event
    text = _fill(str(transformer.get("InputTemplate", "")), variables)
    try:
        return _compact_json(json.loads(text))
    except ValueError:
        return text


def _fill(template: str, variables: Mapping[str, object]) -> str:
    """Replace the variables of a template.

    A variable outside of quotes becomes JSON. Within quotes it becomes its text, unescaped ("Common
    issues" on the page). A variable without a value is empty.
    """
    is_quoted = False

    def replacement(token: re.Match[str]) -> str:
        nonlocal is_quoted
        if token["quote"]:
            is_quoted = not is_quoted
        if not token["variable"]:
            return token[0]
        value = variables.get(token["variable"])
        if value is None:
            value = ""
        if not is_quoted:
            return _compact_json(value)
        if isinstance(value, str):
            return value
        return _compact_json(value).replace('"', "")

    return _TEMPLATE_TOKEN.sub(replacement, template)


def _value_at(event: object, path: str) -> object:
    """Return the value at a JSON path; None if there is none, or the page's syntax lacks the path.

    The result is a list if the path has a step for all children.
    """
    if not path.startswith("$"):
        return None
    found = [event]
    has_wildcard = False
    position = 1
    while position < len(path):
        step = _PATH_STEP.match(path, position)
        if step is None:
            return None
        position = step.end()
        if step["name"]:
            found = _members(found, step["name"])
        elif step["index"]:
            found = _elements(found, int(step["index"]))
        else:
            has_wildcard = True
            found = _children(found)
    if has_wildcard:
        return found
    if not found:
        return None
    return found[0]


def _members(values: list[object], name: str) -> list[object]:
    """Return the members of this name, of those values that have one."""
    return [value[name] for value in values if isinstance(value, dict) and name in value]


def _elements(values: list[object], index: int) -> list[object]:
    """Return the elements at this index, of those values that have one."""
    return [value[index] for value in values if isinstance(value, list) and index < len(value)]


def _children(values: list[object]) -> list[object]:
    """Return all members and elements of these values."""
    children: list[object] = []
    for value in values:
        if isinstance(value, dict):
            children.extend(value.values())
        elif isinstance(value, list):
            children.extend(value)
    return children


def _compact_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

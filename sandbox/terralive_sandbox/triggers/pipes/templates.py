"""Input templates of pipes: `{"order": <$.body.id>}`. Pure.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-input-transformation.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from terralive_stub.shared.json_documents import Json

# A JSON path into the record, or one of the variables that AWS reserves.
_PLACEHOLDER: Final = re.compile(r"<(?P<path>\$[^<>]*|aws\.pipes\.[a-z.-]+)>")
_STEP: Final = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<index>\d+)\]|\['(?P<quoted>[^']+)'\]")
_EVENT: Final = "aws.pipes.event"
_EVENT_JSON: Final = "aws.pipes.event.json"


def filled(template: str, record: Json, variables: Mapping[str, str]) -> str:
    """Return a template with the values of one record.

    A value within quotes is inserted as text, any other one as JSON. A path that leads nowhere is
    inserted as an empty text.

    Args:
        template: the template.
        record: the record. The text of a message or of data is decoded already.
        variables: the values of the reserved variables, without those of the event.
    """
    parts: list[str] = []
    end = 0
    for found in _PLACEHOLDER.finditer(template):
        parts.append(template[end : found.start()])
        value = _value(found["path"], record, variables)
        parts.append(_written(value, is_quoted=_is_quoted("".join(parts))))
        end = found.end()
    parts.append(template[end:])
    return "".join(parts)


def _value(path: str, record: Json, variables: Mapping[str, str]) -> Json:
    if path in {_EVENT, _EVENT_JSON}:
        return record
    if not path.startswith("$"):
        return variables.get(path, "")
    value = record
    for step in _STEP.finditer(path):
        value = _below(value, step)
    return value


def _below(value: Json, step: re.Match[str]) -> Json:
    """Return a field or an element of a value; "" if there is none."""
    if step["index"] is not None:
        index = int(step["index"])
        if isinstance(value, list) and index < len(value):
            return value[index]
        return ""
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, dict):
        return value.get(step["name"] or step["quoted"], "")
    return ""


def _parsed(value: str) -> Json:
    try:
        parsed: Json = json.loads(value)
    except ValueError:
        return value
    return parsed


def _is_quoted(before: str) -> bool:
    """Tell whether the next character of a JSON text is within quotes."""
    return len(re.findall(r'(?<!\\)"', before)) % 2 == 1


def _written(value: Json, *, is_quoted: bool) -> str:
    if not is_quoted:
        return json.dumps(value)
    if not isinstance(value, str):
        value = json.dumps(value)
    # Without the quotes around it
    return json.dumps(value)[1:-1]

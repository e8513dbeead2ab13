from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from terralive_cli.output.documents import schema
from terralive_cli.output.documents.fields import fields_of, item_of, value_of
from terralive_cli.output.documents.reading import EventReader
from terralive_cli.output.formats.json_lines import json_text
from terralive_cli.output.formats.text import TextLines
from terralive_relay.events import Event
from terralive_testing.oracles.output_schema import faults

PUBLISHED = Path(__file__).parents[3] / "docs" / "output.schema.json"
EVENTS = TextLines().events
NOON = datetime(2026, 1, 2, 12, 0, 0, 500_000, UTC)
LOG = {
    "type": "log",
    "at": "2026-01-02T12:00:00.500Z",
    "request_id": "b2c3",
    "function": "orders",
    "line": "hello",
    "stream": "stdout",
}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_an_event_with_all_its_fields_is_valid_and_reads_back(event: type[Event]) -> None:
    made = sample(event)
    document = json.loads(json_text(made))

    assert faults([document]) == []
    back = EventReader(EVENTS).read(document)
    assert back is not None
    assert back == made
    assert back.at == made.at
    # Another version may have written more.
    assert EventReader(EVENTS).read({**document, "new_field": 1}) == made
    assert faults([{**document, "new_field": 1}]) == []


def sample(kind: Any) -> Any:  # noqa: ANN401  # a value of any type
    """Make a value of a type, with a value in every field."""
    plain = {str: "text", int: 7, bool: True, float: 1.5, datetime: NOON}
    if kind in plain:
        return plain[kind]
    if item_of(kind) is not None:
        return (sample(item_of(kind)),)
    if value_of(kind) is not None:
        return {"key": sample(value_of(kind))}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    if isinstance(kind, type):
        return kind(**{field.name: sample(field.kind) for field in fields_of(kind)})
    return {"any": [1, None, "text"]}


def test_the_published_schema_is_that_of_the_events() -> None:
    assert PUBLISHED.read_text("utf-8") == schema.document(), "run `make docs`"


def test_each_type_names_one_event() -> None:
    assert len({event.type for event in EVENTS}) == len(EVENTS)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"type": "lgo"}, "there is no event of the type 'lgo'"),
        ({"type": "Fallback"}, "there is no event of the type 'Fallback'"),
        ({"line": None}, "$.line: None is not of type 'string'"),
        ({"at": 5}, "$.at: 5 is not of type 'string'"),
    ],
)
def test_a_line_that_is_not_as_published_is_found(change: Mapping[str, object], fault: str) -> None:
    assert faults([LOG]) == []
    (found,) = faults([{**LOG, **change}])
    assert found.startswith(fault)


def test_a_missing_field_is_found() -> None:
    (found,) = faults([{"type": "note", "at": LOG["at"]}])

    assert found.startswith("$: 'message' is a required property")


def test_what_nobody_here_has_written_is_no_event() -> None:
    reader = EventReader(EVENTS)

    assert reader.read({"type": "from-the-future"}) is None
    assert reader.read({"type": "note", "at": "yesterday", "message": "x"}) is None
    assert reader.read({"type": "note", "at": LOG["at"]}) is None
    assert reader.read({}) is None


@dataclass(frozen=True, slots=True)
class Undescribed(Event):
    """An event that lacks something.

    Attributes:
        known: a field
            in two lines.
    """

    type = "undescribed"
    known: str = ""
    other: str = ""


@dataclass(frozen=True, slots=True)
class Unusual(Event):
    """An event with a type of its own.

    Attributes:
        paths: some paths.
    """

    type = "unusual"
    paths: set[str]


def test_a_field_without_a_description_or_of_another_type_is_refused() -> None:
    assert [field.meaning for field in fields_of(Undescribed)][1:] == ["a field in two lines.", ""]
    with pytest.raises(TypeError, match="Undescribed does not describe its field other"):
        schema.schema_of([Undescribed])
    with pytest.raises(TypeError, match="events hold no"):
        schema.schema_of([Unusual])

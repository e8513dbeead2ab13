"""Reading events back from the JSON objects that they were written as. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from terralive_cli.output.documents.fields import fields_of, item_of, value_of
from terralive_relay.events import Event
from terralive_stub.shared.json_documents import Json, as_object, text


class EventReader:
    """Makes events of JSON objects.

    Args:
        events: the events that it knows. Each has a `type` of its own.
    """

    def __init__(self, events: Iterable[type[Event]]) -> None:
        self._events = {event.type: event for event in events}

    def read(self, document: Mapping[str, Json]) -> Event | None:
        """Return the event of a JSON object; None for one that this version does not know.

        Another version of terralive may have written it.
        """
        kind = self._events.get(text(document, "type"))
        if kind is None:
            return None
        try:
            event = _read(kind, document)
        except (TypeError, ValueError):
            return None
        if isinstance(event, Event):
            return event
        return None


def _read(kind: Any, value: Any) -> Any:  # noqa: ANN401  # a value of any type
    """Return a value of a type.

    Raises:
        TypeError: a field that has no default is missing.
        ValueError: the value cannot be of this type.
    """
    item = item_of(kind)
    if item is not None:
        return tuple(_read(item, part) for part in value)
    of_values = value_of(kind)
    if of_values is not None:
        return {key: _read(of_values, part) for key, part in as_object(value).items()}
    if kind is datetime:
        return datetime.fromisoformat(value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if isinstance(kind, type) and is_dataclass(kind):
        fields = [field for field in fields_of(kind) if field.name in value]
        return kind(**{field.name: _read(field.kind, value[field.name]) for field in fields})
    return value

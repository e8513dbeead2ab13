"""Selection of the events that `terralive logs` shows: of one function or one invocation. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from terralive_cli.output.events import Ready
from terralive_cli.output.formats.words import common_prefix
from terralive_relay.events import Event
from terralive_terraform.addresses import matches, names_of

# The whole AWS request id, or its first characters, as the screen shows them.
_REQUEST_ID: Final = re.compile(r"#?([0-9a-f]{4}[0-9a-f-]*)")


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of a session that is shown.

    Attributes:
        functions: names of the functions in events; empty if it is not about functions.
        request_id: the beginning of an AWS request id; "" if it is not about an invocation.
    """

    functions: frozenset[str] = frozenset()
    request_id: str = ""

    def shows(self, event: Event) -> bool:
        """Tell whether an event is shown."""
        if self.request_id:
            return str(getattr(event, "request_id", "")).startswith(self.request_id)
        if self.functions:
            return getattr(event, "function", "") in self.functions
        return True


class KnownFunctions:
    """The functions that the events of sessions name."""

    def __init__(self) -> None:
        # Name in events -> all names that a user may give the function.
        self._names: dict[str, set[str]] = {}

    def add(self, events: Iterable[Event]) -> None:
        """Take the functions of events."""
        for event in events:
            if isinstance(event, Ready):
                self._add_ready(event)
            name = getattr(event, "function", "")
            if name:
                self._names.setdefault(name, {name})

    @property
    def names(self) -> list[str]:
        """Their names in events."""
        return sorted(self._names)

    def named(self, wanted: str) -> frozenset[str]:
        """Return the names in events of the functions that a name, address or pattern means."""
        return frozenset(
            name
            for name, known in self._names.items()
            if any(matches(wanted, other) for other in known)
        )

    def _add_ready(self, event: Ready) -> None:
        names = [function.name for function in event.functions]
        prefix = common_prefix(names)
        for function in event.functions:
            known = self._names.setdefault(function.name, set())
            known |= names_of(function.address, function.name)
            # The name in the column of the live view
            known.add(function.name.removeprefix(prefix) or function.name)


def request_id_of(wanted: str) -> str:
    """Return the beginning of a request id that a user has typed; "" if it is none."""
    match = _REQUEST_ID.fullmatch(wanted.lower())
    if match is None:
        return ""
    return match[1]

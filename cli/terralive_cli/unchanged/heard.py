"""Keeps the warnings of a start, because an unchanged start shows them again."""

from __future__ import annotations

from dataclasses import dataclass, field

from terralive_cli.output.events import Emit
from terralive_relay.events import Event, Warned


@dataclass(frozen=True, slots=True)
class Heard:
    """Shows events, and keeps the warnings among them.

    Attributes:
        emit: shows events.
    """

    emit: Emit
    # The warnings since `forget`, each of them once.
    _warnings: list[Warned] = field(default_factory=list)

    def __call__(self, *events: Event) -> None:
        """Show events."""
        for event in events:
            if isinstance(event, Warned) and event not in self._warnings:
                self._warnings.append(event)
        self.emit(*events)

    @property
    def warnings(self) -> tuple[Warned, ...]:
        """The warnings since `forget`."""
        return tuple(self._warnings)

    def forget(self) -> None:
        """Forget the warnings so far: they are shown by every start."""
        self._warnings.clear()

"""Tells how one part of the work (`debug-stack`, `app`, …) goes, as `stack` events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from terralive_cli.output.events import Event, Stack, StackState
from terralive_cli.output.translate import from_terraform
from terralive_terraform.runs.progress import Progress


@dataclass(slots=True)
class Phase:
    """One part of the work, and how long it has taken.

    Terraform itself tells how `plan` and `apply` end (see `translate.from_terraform`); everything
    else is told here.
    """

    name: str
    emit: Callable[[Event], None]
    _began: float = field(default_factory=time.monotonic)

    def on_progress(self, progress: Progress) -> None:
        """Take one event of the Terraform runner."""
        event = from_terraform(self.name, progress)
        if event is not None:
            self.emit(event)

    @contextmanager
    def step(self, action: str, *, tells_its_end: bool = False) -> Iterator[None]:
        """Tell that an action begins and, unless it does so itself, how it ends."""
        began = time.monotonic()
        self.emit(Stack(phase=self.name, action=action, state=StackState.STARTED))
        try:
            yield
        except BaseException:
            self.emit(
                Stack(
                    phase=self.name, action=action, state=StackState.FAILED, elapsed_s=_since(began)
                )
            )
            raise
        if not tells_its_end:
            self.emit(Stack(phase=self.name, action=action, elapsed_s=_since(began)))

    def unchanged(self, message: str = "nothing to change") -> None:
        """Tell that the phase ends without having changed anything."""
        self.emit(
            Stack(
                phase=self.name, action="unchanged", message=message, elapsed_s=_since(self._began)
            )
        )


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)

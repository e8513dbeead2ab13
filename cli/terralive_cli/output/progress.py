"""Tells how one part of the work (`debug-stack`, `app`, …) goes, as `stack` events."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from terralive_cli.output.events import Emit, StepState, TerraformProgress
from terralive_relay.events import Event, Warned
from terralive_terraform.runs.progress import (
    Diagnostic,
    OutputLine,
    PlannedChange,
    Progress,
    ResourceCompleted,
    ResourceFailed,
    ResourceProgressed,
    ResourceStarted,
    Summary,
)


@dataclass(slots=True)
class Phase:
    """One part of the work, and how long it has taken.

    Terraform itself tells how `plan` and `apply` end (see `from_terraform`); everything
    else is told here.
    """

    name: str
    emit: Emit
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
        self.emit(TerraformProgress(phase=self.name, action=action, state=StepState.STARTED))
        try:
            yield
        except BaseException:
            self.emit(
                TerraformProgress(
                    phase=self.name, action=action, state=StepState.FAILED, elapsed_s=_since(began)
                )
            )
            raise
        if not tells_its_end:
            self.emit(TerraformProgress(phase=self.name, action=action, elapsed_s=_since(began)))

    def unchanged(self, message: str = "nothing to change") -> None:
        """Tell that the phase ends without having changed anything."""
        self.emit(
            TerraformProgress(
                phase=self.name, action="unchanged", message=message, elapsed_s=_since(self._began)
            )
        )


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)


def from_terraform(phase: str, progress: Progress) -> Event | None:  # noqa: PLR0911 - one case per kind
    """Give the event of one line of Terraform's; None for what is said elsewhere.

    Errors among the diagnostics are None: the runner raises them, and a user should read them once.
    """
    match progress:
        case PlannedChange():
            return None
        case ResourceStarted():
            return _resource(phase, progress, StepState.STARTED)
        case ResourceProgressed():
            return _resource(phase, progress, StepState.PROGRESS, progress.elapsed_s)
        case ResourceCompleted():
            return _resource(phase, progress, StepState.DONE, progress.elapsed_s)
        case ResourceFailed():
            return _resource(phase, progress, StepState.FAILED, progress.elapsed_s)
        case Diagnostic():
            if progress.severity == "error":
                return None
            said = ". ".join(
                part for part in (progress.summary, progress.detail.partition("\n")[0]) if part
            )
            return Warned(reference="terraform-warning", message=f"Terraform: {said}")
        case Summary():
            return _summary(phase, progress)
        case OutputLine():
            return TerraformProgress(phase=phase, action="note", message=progress.text)


def _summary(phase: str, summary: Summary) -> TerraformProgress:
    total = summary.add + summary.change + summary.remove
    if summary.operation == "plan":
        message = changes_in_words(summary.add, summary.change, summary.remove)
        return TerraformProgress(phase=phase, action="plan", total=total, message=message)
    done = ((summary.add, "added"), (summary.change, "changed"), (summary.remove, "destroyed"))
    action = "complete"
    if total == 0:
        action = "unchanged"
    return TerraformProgress(phase=phase, action=action, message=_counted(done))


def changes_in_words(add: int, change: int, destroy: int) -> str:
    """Return the counts of a plan in Terraform's words: `3 to add, 1 to change`."""
    return _counted(((add, "to add"), (change, "to change"), (destroy, "to destroy")))


def _counted(counts: Iterable[tuple[int, str]]) -> str:
    parts = [f"{count} {words}" for count, words in counts if count]
    return ", ".join(parts) or "nothing to change"


def _resource(
    phase: str,
    progress: ResourceStarted | ResourceProgressed | ResourceCompleted | ResourceFailed,
    state: StepState,
    elapsed_s: float | None = None,
) -> TerraformProgress:
    return TerraformProgress(
        phase=phase,
        action=progress.action,
        state=state,
        address=progress.address,
        elapsed_s=elapsed_s,
    )

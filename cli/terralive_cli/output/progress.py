"""Reports the progress of one part of the work (`debug-stack`, `app`, …) as events.

It also translates the progress that Terraform reports.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from terralive_cli.output.events import Emit, StepState, TerraformProgress
from terralive_cli.output.held import HeldEvents
from terralive_relay.events import Event, Warned
from terralive_terraform.output.progress import (
    Change,
    ChangedOutputs,
    Diagnostic,
    OutputLine,
    Progress,
    ResourceProgress,
    Summary,
)
from terralive_terraform.side_by_side.runs import StoppedError


@dataclass(slots=True)
class Phase:
    """One part of the work, and the time that it takes.

    Attributes:
        name: name of the part in events.
        emit: shows the events.
        _began: start of the phase (monotonic, seconds).
    """

    name: str
    emit: Emit
    _began: float = field(default_factory=time.monotonic)

    def on_progress(self, progress: Progress) -> None:
        """Emit what Terraform reports."""
        event = from_terraform(self.name, progress)
        if event is not None:
            self.emit(event)

    @contextmanager
    def step(self, action: str, *, reports_its_end: bool = False) -> Iterator[None]:
        """Emit the start of an action and its end.

        Args:
            action: name of the action in events.
            reports_its_end: true for `plan` and `apply`: Terraform itself reports how they end.
        """
        began = time.monotonic()
        self._report(action, StepState.STARTED)
        try:
            yield
        except BaseException as error:  # also Ctrl-C: the step has not finished
            reason = _reason(error)
            took = _seconds_since(began)
            self._report(action, StepState.FAILED, message=reason, elapsed_s=took)
            raise
        if not reports_its_end:
            self._report(action, StepState.DONE, elapsed_s=_seconds_since(began))

    def held(self) -> HeldEvents:
        """Keep the events of this phase from now on until they are released."""
        held = HeldEvents(self.emit)
        self.emit = held
        return held

    def note(self, message: str) -> None:
        """Emit what the phase does just now."""
        self.emit(TerraformProgress(phase=self.name, action="note", message=message))

    def unchanged(self, message: str = "nothing to change") -> None:
        """Emit that the phase ends without a change."""
        elapsed_s = _seconds_since(self._began)
        self._report("unchanged", StepState.DONE, message=message, elapsed_s=elapsed_s)

    def _report(
        self, action: str, state: StepState, *, message: str = "", elapsed_s: float | None = None
    ) -> None:
        self.emit(
            TerraformProgress(
                phase=self.name, action=action, state=state, message=message, elapsed_s=elapsed_s
            )
        )


def without_failures(emit: Emit) -> Emit:
    """Return what emits the progress of steps whose failure is expected: it leaves failures out."""

    def emit_others(*events: Event) -> None:
        others = []
        for event in events:
            if not isinstance(event, TerraformProgress) or event.state is not StepState.FAILED:
                others.append(event)
        emit(*others)

    return emit_others


def _reason(error: BaseException) -> str:
    """Return why a step has not finished; "" where an error of its own says so."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, StoppedError):
        return "stopped, because the work beside it has failed"
    return ""


def _seconds_since(began: float) -> float:
    return round(time.monotonic() - began, 3)


def from_terraform(phase: str, progress: Progress) -> Event | None:
    """Return the event for one progress report of Terraform; None if it is reported elsewhere.

    Errors are reported elsewhere: the runner raises them, and a user should read them only once.
    """
    match progress:
        case Change() | ChangedOutputs():
            return None
        case ResourceProgress():
            return TerraformProgress(
                phase=phase,
                action=progress.action,
                state=StepState(progress.state),
                address=progress.address,
                elapsed_s=progress.elapsed_s,
            )
        case Diagnostic():
            return _diagnostic(progress)
        case Summary():
            return _summary(phase, progress)
        case OutputLine():
            return TerraformProgress(phase=phase, action="note", message=progress.text)


def _diagnostic(diagnostic: Diagnostic) -> Warned | None:
    if diagnostic.severity == "error":
        return None
    # The first line is the sentence; the others are details.
    first_line = diagnostic.detail.partition("\n")[0]
    parts = [part for part in (diagnostic.summary, first_line) if part]
    return Warned(reference="terraform-warning", message=f"Terraform: {'. '.join(parts)}")


def _summary(phase: str, summary: Summary) -> TerraformProgress:
    total = summary.add + summary.change + summary.remove
    if summary.operation == "plan":
        message = changes_in_words(
            summary.add, summary.change, summary.remove, imported=summary.imported
        )
        return TerraformProgress(phase=phase, action="plan", total=total, message=message)
    done = (
        (summary.imported, "imported"),
        (summary.add, "added"),
        (summary.change, "changed"),
        (summary.remove, "destroyed"),
    )
    action = "unchanged" if total + summary.imported == 0 else "complete"
    return TerraformProgress(phase=phase, action=action, message=_counted(done))


def changes_in_words(add: int, change: int, destroy: int, *, imported: int = 0) -> str:
    """Return the counts of a plan in Terraform's words: `3 to add, 1 to change`."""
    counts = (
        (imported, "to import"),
        (add, "to add"),
        (change, "to change"),
        (destroy, "to destroy"),
    )
    return _counted(counts)


def _counted(counts: Iterable[tuple[int, str]]) -> str:
    parts = [f"{count} {words}" for count, words in counts if count]
    return ", ".join(parts) or "nothing to change"

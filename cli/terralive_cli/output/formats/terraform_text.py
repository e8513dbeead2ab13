"""Text lines for Terraform's progress. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from terralive_cli.output.events import StepState, TerraformProgress
from terralive_cli.output.formats.line import Line, Span, Style
from terralive_cli.output.formats.words import duration

_PHASES: Final = {"debug-stack": "Debug stack", "app": "App"}
_STARTS: Final = {
    "synth": "reading the configuration",
    "evaluate": "evaluating the configuration",
    "look": "looking for what is deployed",
    "init": "initialising Terraform",
    "plan": "planning",
    "push": "pushing the stub's image",
    "upload": "uploading the stub",
    "publish": "publishing the deployed code",
    "connect": "connecting the relay",
    "apply": "applying",
    "code": "putting code back",
}
_ENDS: Final = ("complete", "unchanged")
_NOTHING: Final = "nothing to change"
_RESOURCE_ACTIONS: Final = ("create", "update", "delete", "replace", "read")
# In a file, progress of resources is one line in so many seconds.
_QUIET_SECONDS: Final = 5.0


@dataclass(slots=True)
class _Phase:
    """State of one part of the work (`debug-stack`, `app`, …).

    Attributes:
        began: start of the phase; with `apply`, the start of applying.
        last_line: time of the last line that was no live line.
        total: number of resources that will change; None before the plan.
        done: number of resources that have changed.
        begun: the steps whose beginning was shown. A step that is done again is not
            shown again.
    """

    began: datetime
    last_line: datetime
    total: int | None = None
    done: int = 0
    begun: set[str] = field(default_factory=set)


class TerraformText:
    """Makes the lines for Terraform's progress, phase by phase."""

    def __init__(self) -> None:
        # Phases that have begun and not ended, by name and stack.
        self._phases: dict[str, _Phase] = {}

    def lines(self, event: TerraformProgress) -> list[Line]:
        phase = self._phases.setdefault(_name(event), _Phase(event.at, event.at))
        if event.action in _ENDS:
            return self._end(event, phase)
        if event.state is StepState.FAILED:
            return [_failed(event, phase)]
        if event.address and event.action in _RESOURCE_ACTIONS:
            return _resource(event, phase)
        return _step(event, phase)

    def _end(self, event: TerraformProgress, phase: _Phase) -> list[Line]:
        del self._phases[_name(event)]
        words = event.message
        if not words:
            words = _NOTHING if event.action == "unchanged" else "done"
        if phase.total == 0 and words == _NOTHING:
            return []  # the line of the plan has said so
        took = event.elapsed_s
        if took is None:
            took = (event.at - phase.began).total_seconds()
        return [_line(event, phase, f"{words} ({duration(took)})", Style.GOOD)]


def _step(event: TerraformProgress, phase: _Phase) -> list[Line]:
    words = event.message
    if event.total is not None:
        phase.total = event.total
        phase.done = 0
        if not words:
            words = f"{event.total} to change" if event.total else _NOTHING
    elif event.action == "note":
        if words in phase.begun:
            return []
        phase.begun.add(words)
    elif not words and event.state is StepState.STARTED:
        if event.action == "apply":
            phase.began = event.at  # the time before the question does not count
        if event.action not in phase.begun:
            words = _STARTS.get(event.action, event.action)
        phase.begun.add(event.action)
    return [_line(event, phase, words)] if words else []


def _failed(event: TerraformProgress, phase: _Phase) -> Line:
    action = _STARTS.get(event.action, event.action)
    words = [part for part in (action, event.address) if part]
    text = " ".join([*words, "failed"])
    if event.message:
        text += f": {event.message}"
    return _line(event, phase, text, Style.BAD)


def _resource(event: TerraformProgress, phase: _Phase) -> list[Line]:
    """Return the progress of one resource: a live line, or a lasting one every few seconds."""
    # Data sources are read during a plan; the user waits for resources.
    if event.action == "read":
        return []
    if event.state is StepState.DONE:
        phase.done += 1
    done = str(phase.done)
    if phase.total:
        done += f" of {max(phase.total, phase.done)}"
    took = duration((event.at - phase.began).total_seconds())
    text = f"{done} done  {event.address}  {took}"

    finished = phase.total is not None and phase.done >= phase.total
    quiet_seconds = (event.at - phase.last_line).total_seconds()
    if quiet_seconds >= _QUIET_SECONDS and not finished:
        return [_line(event, phase, text)]
    return [Line(_spans(event, text), event.at, live=True)]


def _line(event: TerraformProgress, phase: _Phase, text: str, style: Style = Style.PLAIN) -> Line:
    phase.last_line = event.at
    return Line(_spans(event, text, style), event.at, indent=2)


def _spans(event: TerraformProgress, text: str, style: Style = Style.PLAIN) -> tuple[Span, ...]:
    return (Span(f"{_name(event)}: ", Style.STRONG), Span(text, style))


def _name(event: TerraformProgress) -> str:
    """Return the name of a phase, with that of its stack."""
    name = _PHASES.get(event.phase, event.phase.replace("-", " ").capitalize())
    if event.stack is None:
        return name
    return f"{name} {event.stack}"

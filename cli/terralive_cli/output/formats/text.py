"""Text lines for every event, for a person to read. Pure.

The formats `plain` and `rich` print the same lines. A new event needs a function here, in the table
of `TextLines`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from terralive_cli.doctor import lines as doctor_lines
from terralive_cli.doctor.findings import CheckDone, DoctorDone
from terralive_cli.doctor.self_test.results import SelfTestDone, SelfTestStep
from terralive_cli.init.events import FileListed, PolicyListed
from terralive_cli.init.text import file_listed, policy_listed
from terralive_cli.invoking.answers import Answered, EventShown, Invoking
from terralive_cli.invoking.texts import answered, event_shown, invoking
from terralive_cli.output.events import (
    ChangesListed,
    ConfigurationChanged,
    Failed,
    Message,
    PlanMade,
    Ready,
    Stopped,
    TerraformOutput,
    TerraformProgress,
)
from terralive_cli.output.formats.changes_text import changes_listed
from terralive_cli.output.formats.line import Line, Span, Style
from terralive_cli.output.formats.plan_text import (
    plan_made,
    terraform_output,
)
from terralive_cli.output.formats.terraform_text import TerraformText
from terralive_cli.output.formats.words import duration, plural, some_paths
from terralive_cli.output.stream.header import app_ready, sandbox_ready
from terralive_cli.output.stream.invocations import InvocationLines, InvocationShown
from terralive_cli.output.stream.names import FunctionNames
from terralive_cli.sessions.events import SessionReported
from terralive_cli.stages import text as stages_text
from terralive_cli.stages.events import (
    CleanupPlanned,
    CleanupResult,
    StacksListed,
    StageStatus,
)
from terralive_relay.events import (
    ConnectionChanged,
    ConnectionState,
    Delivered,
    Event,
    FallbackAnswered,
    InvocationFinished,
    InvocationStarted,
    LogLine,
    Reloaded,
    Warned,
)
from terralive_terraform.addresses import short_address

# Events that exist in text formats only.
_TEXT_ONLY: Final = frozenset({"SharedWarning", "InvocationShown"})
_OF_INVOCATIONS: Final = (InvocationStarted, LogLine, InvocationFinished, InvocationShown)


@dataclass(frozen=True, slots=True)
class SharedWarning(Event):
    """The same warning for several functions. It exists in text formats only."""

    type = "warning"
    message: str
    functions: tuple[str, ...]


def share_warnings(events: Sequence[Event]) -> list[Event]:
    """Return the events with equal warnings for several functions as one."""
    functions: dict[Warned, list[str]] = {}
    for event in events:
        if isinstance(event, Warned):
            functions.setdefault(_without_function(event), []).append(event.function)
    shared: list[Event] = []
    for event in events:
        if not isinstance(event, Warned):
            shared.append(event)
            continue
        # The first of equal warnings stands for all of them.
        names = functions.pop(_without_function(event), [])
        if len(names) == 1:
            shared.append(event)
        elif names:
            shared.append(SharedWarning(event.message, tuple(names), at=event.at))
    return shared


def _without_function(warning: Warned) -> Warned:
    return replace(warning, function="")


class TextLines:
    """Makes the text lines of events, in their order.

    Args:
        folder: the folder that paths of errors are shown relative to.
    """

    def __init__(self, folder: str = "") -> None:
        self._folder = folder
        self._terraform = TerraformText()
        self._invocations = InvocationLines(folder)
        self._makers: Mapping[type[Event], Callable[[Any], list[Line]]] = {
            TerraformProgress: self._terraform.lines,
            PlanMade: plan_made,
            TerraformOutput: terraform_output,
            ChangesListed: changes_listed,
            ConfigurationChanged: _configuration_changed,
            Ready: self._ready,
            ConnectionChanged: _connection,
            InvocationStarted: self._invocations.started,
            LogLine: self._invocations.logged,
            InvocationFinished: self._invocations.finished,
            InvocationShown: self._invocation_shown,
            Reloaded: self._reloaded,
            Delivered: lambda _event: [],
            FallbackAnswered: self._fallback_answered,
            Warned: self._warned,
            SharedWarning: _shared_warning,
            Failed: _failed,
            Stopped: _stopped,
            Message: _message,
            SessionReported: _session,
            StageStatus: stages_text.stage_status,
            StacksListed: stages_text.stacks_listed,
            CleanupPlanned: stages_text.cleanup_planned,
            CleanupResult: stages_text.cleanup_result,
            FileListed: file_listed,
            PolicyListed: policy_listed,
            Invoking: invoking,
            EventShown: event_shown,
            Answered: answered,
            CheckDone: doctor_lines.check_done,
            DoctorDone: doctor_lines.doctor_done,
            SelfTestStep: doctor_lines.self_test_step,
            SelfTestDone: doctor_lines.self_test_done,
        }

    @property
    def events(self) -> tuple[type[Event], ...]:
        """All events that a command may show."""
        return tuple(event for event in self._makers if event.__name__ not in _TEXT_ONLY)

    @property
    def width(self) -> int:
        """Width of the column of function names; 0 before `Ready`."""
        return self._invocations.names.width

    def lines(self, event: Event) -> list[Line]:
        """Return the lines of one event; none if the event is for scripts only."""
        lines = self._makers[type(event)](event)
        if lines and not isinstance(event, _OF_INVOCATIONS):
            self._invocations.interrupted()
        return lines

    def _invocation_shown(self, event: InvocationShown) -> list[Line]:
        return self._invocations.finished(event.finished, event.round_trip_ms)

    def _ready(self, event: Ready) -> list[Line]:
        names = FunctionNames([function.name for function in event.functions])
        self._invocations.names = names
        self._invocations.schedules = event.schedules or {}
        if not event.functions and event.sandbox is not None:
            return sandbox_ready(event, event.sandbox.endpoint, event.sandbox.region)
        return app_ready(event, names, self._folder)

    def _reloaded(self, event: Reloaded) -> list[Line]:
        text = f"{some_paths(event.paths)} changed; the next invocation runs the new code"
        return [self._invocations.line(event, event.function, Span(text, Style.CAUTION))]

    @staticmethod
    def _fallback_answered(event: FallbackAnswered) -> list[Line]:
        invocations = plural(event.answered, "invocation")
        failures = ""
        if event.failed:
            failures = f" ({event.failed} failed)"
        name = short_address(event.function)
        text = (
            f"While nobody was connected, the deployed code answered {invocations} of {name}"
            f"{failures}."
        )
        return [Line((Span(text),), event.at)]

    def _warned(self, event: Warned) -> list[Line]:
        # Before `Ready` there is no column of names, and an address may be long.
        names = self._invocations.names
        if event.function not in names.names:
            return _warning(event, event.message, (event.function,))
        lines = _warning(event, event.message, ())
        return [self._invocations.line(event, event.function, *line.spans) for line in lines]


def _warning(event: Event, message: str, functions: Iterable[str]) -> list[Line]:
    names = ", ".join(short_address(name) for name in functions if name)
    start = f"Warning for {names}: " if names else "Warning: "
    first, *more = message.splitlines() or [""]
    lines = [Line((Span(start, Style.CAUTION), Span(first)), event.at, indent=2)]
    # Indented, so that no further line looks like one of terralive's own.
    for text in more:
        lines.append(_indented(event, text, Style.PLAIN))
    return lines


def _shared_warning(event: SharedWarning) -> list[Line]:
    return _warning(event, event.message, event.functions)


def _message(event: Message) -> list[Line]:
    return [Line((Span(text),), event.at) for text in event.message.splitlines()]


def _session(event: SessionReported) -> list[Line]:
    return _message(Message(event.message, at=event.at))


def _stopped(event: Stopped) -> list[Line]:
    return _message(Message(event.message or "Stopped.", at=event.at))


def _configuration_changed(event: ConfigurationChanged) -> list[Line]:
    if not event.files:
        return [Line((Span("The configuration is again as it was planned."),), event.at)]
    verb = "has" if len(event.files) == 1 else "have"
    text = f"{some_paths(event.files)} {verb} changed"
    end = "; the next `terralive start` takes it"
    if event.key:
        end = f": press {event.key} to plan it, and to apply it after a question"
    return [Line((Span(text, Style.CAUTION), Span(end)), event.at)]


def _indented(event: Event, text: str, style: Style) -> Line:
    if not text:
        return Line((), event.at)
    return Line((Span(f"  {text}", style),), event.at, indent=2)


def _connection(event: ConnectionChanged) -> list[Line]:
    reason = f" ({event.reason})" if event.reason else ""
    holder = event.reason or "another user"
    match event.state:
        case ConnectionState.CONNECTED:
            span = Span(f"Connected{reason}.", Style.GOOD)
        case ConnectionState.LOST:
            span = Span(f"Connection lost{reason}{_retry(event.retry_in_s)}.", Style.CAUTION)
        case ConnectionState.REFUSED:
            span = Span(f"This stage is held by {holder}.", Style.BAD)
        case ConnectionState.TAKEN_OVER:
            span = Span(f"Taken over by {holder}.", Style.BAD)
        case ConnectionState.CLOSED:
            return []
    return [Line((span,), event.at)]


def _retry(retry_in_s: float | None) -> str:
    if retry_in_s is None:
        return ""
    if retry_in_s < 1:
        return "; trying again now"
    return f"; trying again in {duration(retry_in_s)}"


def _failed(event: Failed) -> list[Line]:
    first, *more = event.message.splitlines() or [""]
    head = (Span(f"Error: {first}", Style.BAD), Span(f" [{event.reference}]", Style.FAINT))
    lines = [Line(head, event.at, indent=2)]
    for text in more:
        lines.append(_indented(event, text, Style.PLAIN))
    arrow = "  → "
    for text in event.hint.splitlines():
        lines.append(Line((Span(arrow, Style.STRONG), Span(text)), event.at, indent=4))
        arrow = "    "
    return lines

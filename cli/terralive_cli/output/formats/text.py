"""Text lines for every event, for a person to read. Pure.

The formats `plain` and `rich` print the same lines. A new event needs a function here, in the table
of `TextLines`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from terralive_cli.doctor.findings import CheckDone, DoctorDone
from terralive_cli.doctor.lines import check_done, doctor_done
from terralive_cli.init.events import FileListed, PolicyListed
from terralive_cli.init.text import file_listed, policy_listed
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
    function_lines,
    plan_made,
    terraform_output,
)
from terralive_cli.output.formats.terraform_text import TerraformText
from terralive_cli.output.formats.words import (
    age,
    common_prefix,
    duration,
    plural,
    short_address,
    size,
    some_paths,
    span,
)
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

# Lambda's Python runtime writes an error of the handler to the log like this, with its traceback.
_ERROR_LOG: Final = "[ERROR] "
_LATE_SECONDS: Final = 50.0  # Lambda's first retry comes after a minute
_WAITED_MS: Final = 1000.0  # a shorter wait for a worker is not shown
_MILLISECONDS: Final = 1000.0


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

    Attributes:
        width: width of the column of function names; 0 before `Ready`.
    """

    def __init__(self) -> None:
        self.width = 0
        self._terraform = TerraformText()
        # Names of the live functions, and the start that they share.
        self._live: frozenset[str] = frozenset()
        self._prefix = ""
        # Function of each running invocation, by request id.
        self._running: dict[str, str] = {}
        # Request ids of invocations whose runtime has written the error to the log, with its stack.
        self._logged_errors: set[str] = set()
        # The error of each function whose code did not load, as its runtime has written it to the
        # log: before the invocation, and so without its request id.
        self._load_errors: dict[str, str] = {}
        self._makers: Mapping[type[Event], Callable[[Any], list[Line]]] = {
            TerraformProgress: self._terraform.lines,
            PlanMade: plan_made,
            TerraformOutput: terraform_output,
            ChangesListed: changes_listed,
            ConfigurationChanged: _configuration_changed,
            Ready: self._ready,
            ConnectionChanged: _connection,
            InvocationStarted: self._invocation_started,
            LogLine: self._log_line,
            InvocationFinished: self._invocation_finished,
            Reloaded: self._reloaded,
            Delivered: lambda _event: [],
            FallbackAnswered: self._fallback_answered,
            Warned: self._warned,
            SharedWarning: _shared_warning,
            Failed: _failed,
            Stopped: _stopped,
            Message: _message,
            StageStatus: stages_text.stage_status,
            StacksListed: stages_text.stacks_listed,
            CleanupPlanned: stages_text.cleanup_planned,
            CleanupResult: stages_text.cleanup_result,
            CheckDone: check_done,
            DoctorDone: doctor_done,
            FileListed: file_listed,
            PolicyListed: policy_listed,
        }

    @property
    def events(self) -> tuple[type[Event], ...]:
        """All events that a command may show: those of the table but `SharedWarning`."""
        return tuple(event for event in self._makers if event is not SharedWarning)

    def lines(self, event: Event) -> list[Line]:
        """Return the lines of one event; none if the event is for scripts only."""
        return self._makers[type(event)](event)

    def _label(self, function: str) -> str:
        name = short_address(function)
        return name.removeprefix(self._prefix) or name

    def _line(self, event: Event, function: str, *spans: Span) -> Line:
        return Line(spans, event.at, self._label(function))

    def _invocation_line(
        self, event: InvocationStarted | LogLine | InvocationFinished, *spans: Span
    ) -> Line:
        """Return a line that names its invocation if the function runs several at the moment."""
        running = list(self._running.values()).count(event.function)
        mark: tuple[Span, ...] = ()
        if running > 1 and event.request_id:
            mark = (Span(f"#{event.request_id[:4]} ", Style.FAINT),)
        return self._line(event, event.function, *mark, *spans)

    def _ready(self, event: Ready) -> list[Line]:
        names = [function.name for function in event.functions]
        self._live = frozenset(names)
        self._prefix = common_prefix(names)
        self.width = max((len(self._label(name)) for name in names), default=0)
        if not event.functions and event.sandbox is not None:
            endpoint = Span(event.sandbox.endpoint, Style.LINK)
            end = Span("  Press Ctrl-C to stop it.")
            start = Span(f"The sandbox is ready in {event.sandbox.region}: ")
            return [Line((start, endpoint, end), event.at)]
        return _app_ready(event)

    def _invocation_started(self, event: InvocationStarted) -> list[Line]:
        self._running[event.request_id] = event.function
        spans = [Span(event.summary or event.trigger, Style.STRONG)]
        if event.attempt > 1:
            text = f"  attempt {event.attempt}"
            if event.after_first_s > 0:
                text += f", {span(event.after_first_s)} after the first"
            spans.append(Span(text, Style.CAUTION))
        elif event.age_s >= _LATE_SECONDS:
            spans.append(Span(f"  sent {age(event.age_s)}", Style.CAUTION))
        return [self._invocation_line(event, *spans)]

    def _log_line(self, event: LogLine) -> list[Line]:
        if event.line.startswith(_ERROR_LOG):
            if event.request_id in self._running:
                self._logged_errors.add(event.request_id)
            else:
                self._load_errors[event.function] = event.line.removeprefix(_ERROR_LOG)
        return [self._invocation_line(event, Span("│ ", Style.FAINT), Span(event.line, Style.RAW))]

    def _invocation_finished(self, event: InvocationFinished) -> list[Line]:
        took = duration(event.handler_ms / _MILLISECONDS)
        if event.waited_ms >= _WAITED_MS:
            waited = duration(event.waited_ms / _MILLISECONDS)
            took += f" (after {waited} of waiting for a worker)"
        if event.streamed_bytes is not None:
            took += f", streamed {size(event.streamed_bytes)}"
        if event.first_byte_ms is not None:
            took += f", first byte after {duration(event.first_byte_ms / _MILLISECONDS)}"
        if event.ok:
            spans = (Span("done", Style.GOOD), Span(f" in {took}", Style.FAINT))
            lines = [self._invocation_line(event, *spans)]
        else:
            lines = self._invocation_failed(event, took)
        # Only now, so that its own last line still counts it.
        self._running.pop(event.request_id, None)
        self._logged_errors.discard(event.request_id)
        return lines

    def _invocation_failed(self, event: InvocationFinished, took: str) -> list[Line]:
        text = event.error_type or "Error"
        if event.error_message:
            text += f": {event.error_message}"
        first, *more = text.splitlines() or ["Error"]
        head = (Span("failed", Style.BAD), Span(f" in {took}  ", Style.FAINT))
        lines = [self._invocation_line(event, *head, Span(first, Style.BAD))]
        is_load_error = self._load_errors.pop(event.function, None) == first
        if is_load_error or event.request_id in self._logged_errors:
            return lines  # the lines of the log say the rest
        for part in more:
            lines.append(self._line(event, event.function, Span(f"  {part}", Style.BAD)))
        for frame in event.stack:
            for part in frame.rstrip().splitlines():
                lines.append(self._line(event, event.function, Span(f"  {part}", Style.FAINT)))
        return lines

    def _reloaded(self, event: Reloaded) -> list[Line]:
        text = f"{some_paths(event.paths)} changed; the next invocation runs the new code"
        return [self._line(event, event.function, Span(text, Style.CAUTION))]

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
        if event.function not in self._live:
            return _warning(event, event.message, (event.function,))
        lines = _warning(event, event.message, ())
        return [Line(line.spans, line.at, self._label(event.function)) for line in lines]


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


def _app_ready(event: Ready) -> list[Line]:
    place = f" in {event.region}" if event.region else ""
    head = (
        Span("Live", Style.GOOD),
        Span(f" as stage {event.stage}{place}. These functions run on this machine:"),
    )
    lines = [Line(head, event.at), *function_lines(event.at, event.functions)]
    # The app's outputs that are URLs, as they answer on this machine.
    addresses = {
        name: value
        for name, value in event.outputs.items()
        if isinstance(value, str) and value.startswith("http")
    }
    addresses.update(event.urls)
    width = max(map(len, addresses), default=0)
    for name, url in addresses.items():
        spans = (Span(f"  {name.ljust(width)}  "), Span(url, Style.LINK))
        lines.append(Line(spans, event.at, indent=4))
    end = "The next invocation runs your edits. Press Ctrl-C to stop."
    return [*lines, Line((Span(end),), event.at)]


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

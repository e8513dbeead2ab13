"""Tells events as lines for a person: what to say and what each word is, not how it looks. Pure.

`plain` and `rich` print the same lines; a new event needs a sentence here and nothing elsewhere.
The storyteller
remembers only what a later line needs: how far Terraform is, and what runs at the moment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Final, Protocol

from terralive_cli.output.events import (
    Failed,
    LiveFunction,
    Message,
    PlanMade,
    Ready,
    StepState,
    Stopped,
    TerraformProgress,
)
from terralive_relay.events import (
    ConnectionChanged,
    ConnectionState,
    Event,
    InvocationFinished,
    InvocationStarted,
    LogLine,
    Reloaded,
    Warned,
)

_PHASES: Final = {"debug-stack": "Debug stack", "app": "App"}
_STARTS: Final = {
    "synth": "synthesising",
    "init": "preparing Terraform",
    "plan": "planning",
    "apply": "applying",
}
_RESOURCE_ACTIONS: Final = ("create", "update", "delete", "replace", "read")
_ERROR_LOG: Final = (
    "[ERROR] "  # how Lambda's Python runtime logs an error of the handler's, with its traceback
)
_QUIET_SECONDS: Final = 5.0
_LATE_SECONDS: Final = 50.0  # Lambda's first retry comes after a minute
_WAITED_MS: Final = 1000.0  # as long as it is worth a word
_SHOWN_PATHS: Final = 3
_MILLISECONDS: Final = 1000.0
_SECONDS_OF_MINUTE: Final = 60.0


class Style(Enum):
    """What a word is; a rendering decides how that looks."""

    PLAIN = auto()
    STRONG = auto()
    FAINT = auto()
    GOOD = auto()
    BAD = auto()
    CAUTION = auto()
    NAME = auto()
    LINK = auto()
    RAW = auto()  # a handler's own output, which may bring its own colours


@dataclass(frozen=True, slots=True)
class Span:
    text: str
    style: Style = Style.PLAIN


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    `column` is the function it belongs to, or "". A `live` line replaces the live one before it.
    """

    spans: tuple[Span, ...]
    at: datetime
    column: str = ""
    live: bool = False

    @property
    def text(self) -> str:
        return "".join(span.text for span in self.spans)


@dataclass(slots=True)
class _Phase:
    began: datetime
    told: datetime
    total: int | None = None
    done: int = 0


class Storyteller:
    """Turns events into lines, in order."""

    def __init__(self) -> None:
        self._phases: dict[str, _Phase] = {}
        self._running: dict[str, str] = {}
        self._logged_errors: set[str] = (
            set()
        )  # request ids whose runtime has logged the error, stack and all
        self._prefix = ""
        self.width = 0

    def tell(self, event: Event) -> list[Line]:  # noqa: C901, PLR0911 - one case per event
        """Give the lines of one event; none for what only scripts care about."""
        match event:
            case TerraformProgress():
                return self._stack(event)
            case PlanMade():
                return _lines(event, *_plan(event))
            case Ready():
                names = [function.name for function in event.functions]
                self._prefix = common_prefix(names)
                self.width = max((len(self._label(name)) for name in names), default=0)
                return _lines(event, *_ready(event))
            case ConnectionChanged():
                return _lines(event, *_connection(event))
            case InvocationStarted():
                return [self._invocation(event)]
            case LogLine():
                return self._log(event)
            case InvocationFinished():
                return self._result(event)
            case Reloaded():
                text = f"{_few(event.paths)} changed; the next invocation runs the new code"
                return [Line((Span(text, Style.CAUTION),), event.at, self._label(event.function))]
            case Warned():
                return self._warning(event)
            case Failed():
                return _lines(event, *_error(event))
            case Stopped():
                return _lines(
                    event, *((Span(text),) for text in (event.message or "Stopped.").splitlines())
                )
            case Message():
                return _lines(event, *((Span(text),) for text in event.message.splitlines()))
        return []

    def _label(self, function: str) -> str:
        return function.removeprefix(self._prefix) or function

    def _column(self, event: Event, request_id: str, function: str, *spans: Span) -> Line:
        together = sum(1 for name in self._running.values() if name == function)
        mark = (Span(f"#{request_id[:4]} ", Style.FAINT),) if together > 1 and request_id else ()
        return Line((*mark, *spans), event.at, self._label(function))

    def _invocation(self, event: InvocationStarted) -> Line:
        self._running[event.request_id] = event.function
        spans = [Span(event.summary or event.trigger, Style.STRONG)]
        if event.attempt > 1:
            spans.append(
                Span(f"  attempt {event.attempt}, first sent {_ago(event.age_s)}", Style.CAUTION)
            )
        elif event.age_s >= _LATE_SECONDS:
            spans.append(Span(f"  sent {_ago(event.age_s)}", Style.CAUTION))
        return self._column(event, event.request_id, event.function, *spans)

    def _log(self, event: LogLine) -> list[Line]:
        if event.line.startswith(_ERROR_LOG) and event.request_id in self._running:
            self._logged_errors.add(event.request_id)
        spans = (Span("│ ", Style.FAINT), Span(event.line, Style.RAW))
        return [self._column(event, event.request_id, event.function, *spans)]

    def _warning(self, event: Warned) -> list[Line]:
        first, *more = event.message.splitlines() or [""]
        lines = [
            (Span("Warning: ", Style.CAUTION), Span(first)),
            *((Span(f"  {text}"),) for text in more),
        ]
        return [Line(spans, event.at, self._label(event.function)) for spans in lines]

    def _result(self, event: InvocationFinished) -> list[Line]:
        took = duration(event.handler_ms / _MILLISECONDS)
        if event.waited_ms >= _WAITED_MS:
            took += f" (after {duration(event.waited_ms / _MILLISECONDS)} of waiting for a worker)"
        if event.ok:
            line = self._column(
                event,
                event.request_id,
                event.function,
                Span("done", Style.GOOD),
                Span(f" in {took}", Style.FAINT),
            )
            self._running.pop(event.request_id, None)
            return [line]
        said = f": {event.error_message}" if event.error_message else ""
        first, *more = f"{event.error_type or 'Error'}{said}".splitlines() or ["Error"]
        lines = [
            self._column(
                event,
                event.request_id,
                event.function,
                Span("failed", Style.BAD),
                Span(f" in {took}  ", Style.FAINT),
                Span(first, Style.BAD),
            )
        ]
        self._running.pop(event.request_id, None)
        if event.request_id in self._logged_errors:
            self._logged_errors.discard(event.request_id)
            return lines  # the lines above say the rest
        lines += [
            Line((Span(f"  {text}", Style.BAD),), event.at, self._label(event.function))
            for text in more
        ]
        for frame in event.stack:
            lines += [
                Line((Span(f"  {text}", Style.FAINT),), event.at, self._label(event.function))
                for text in frame.rstrip().splitlines()
            ]
        return lines

    def _stack(self, event: TerraformProgress) -> list[Line]:  # noqa: PLR0911 - one case per action
        phase = self._phases.setdefault(event.phase, _Phase(event.at, event.at))
        name = _PHASES.get(event.phase, event.phase.replace("-", " ").capitalize())

        def say(text: str, style: Style = Style.PLAIN, *, live: bool = False) -> list[Line]:
            phase.told = event.at
            return [Line((Span(f"{name}: ", Style.STRONG), Span(text, style)), event.at, live=live)]

        if event.action in {"complete", "unchanged"}:
            del self._phases[event.phase]
            words = event.message or (
                "nothing to change" if event.action == "unchanged" else "done"
            )
            took = (
                event.elapsed_s
                if event.elapsed_s is not None
                else (event.at - phase.began).total_seconds()
            )
            return say(f"{words} ({duration(took)})", Style.GOOD)
        if event.state is StepState.FAILED:
            what = " ".join(part for part in (event.action, event.address) if part)
            return say(f"{what} failed{f': {event.message}' if event.message else ''}", Style.BAD)
        if event.address and event.action in _RESOURCE_ACTIONS:
            return self._resource(event, phase, say)
        if event.total is not None:
            phase.total, phase.done = event.total, 0
            return say(
                event.message
                or (f"{event.total} to change" if event.total else "nothing to change")
            )
        if event.message:
            return say(event.message)
        if event.state is StepState.STARTED:
            phase.began = (
                event.at if event.action == "apply" else phase.began
            )  # not since before the question
            return say(_STARTS.get(event.action, event.action))
        return []

    def _resource(self, event: TerraformProgress, phase: _Phase, say: _Say) -> list[Line]:
        if event.action == "read":
            return []
        if event.state is StepState.DONE:
            phase.done += 1
        of = f" of {max(phase.total, phase.done)}" if phase.total else ""
        finished = phase.total is not None and phase.done >= phase.total
        took = duration((event.at - phase.began).total_seconds())
        due = (event.at - phase.told).total_seconds() >= _QUIET_SECONDS and not finished
        text = f"{phase.done}{of} done  {event.address}  {took}"
        told = phase.told
        lines = say(text, live=not due)
        if not due:
            phase.told = told
        return lines


class _Say(Protocol):
    def __call__(
        self, text: str, style: Style = Style.PLAIN, *, live: bool = False
    ) -> list[Line]: ...


def _ago(seconds: float) -> str:
    if seconds < 100:  # noqa: PLR2004 - two digits of the smaller unit read best
        return f"{seconds:.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 100 * 60 else f"{seconds / 3600:.0f} h ago"


def _few(paths: tuple[str, ...]) -> str:
    more = len(paths) - _SHOWN_PATHS
    return (
        ", ".join(paths[:_SHOWN_PATHS]) + (f" and {more} more" if more > 0 else "") or "something"
    )


def common_prefix(names: Sequence[str]) -> str:
    """Give what all names start with, up to a `-` or `_`: `orders-dev-ana-`; "" for one name."""
    shared = os.path.commonprefix(list(names)) if len(names) > 1 else ""  # noqa: RUF071 - characters are meant
    return shared[: max(shared.rfind("-"), shared.rfind("_")) + 1]


def duration(seconds: float) -> str:
    """Say a duration as people do: `12 ms`, `3.4 s`, `2 min 5 s`."""
    if round(seconds * _MILLISECONDS) < _MILLISECONDS:
        return f"{seconds * _MILLISECONDS:.0f} ms"
    if round(seconds, 1) < _SECONDS_OF_MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), int(_SECONDS_OF_MINUTE))
    return f"{minutes} min {rest} s"


def _lines(event: Event, *lines: tuple[Span, ...]) -> list[Line]:
    return [Line(spans, event.at) for spans in lines]


def _functions(functions: tuple[LiveFunction, ...]) -> list[tuple[Span, ...]]:
    names = [
        function.name or function.address for function in functions
    ]  # before a deployment there is no name
    width = max(map(len, names), default=0)
    return [
        (
            Span("  "),
            Span(name.ljust(width), Style.NAME),
            Span(f"  {function.handler} in {function.path}", Style.FAINT),
            *_debugged(function),
        )
        for name, function in zip(names, functions, strict=True)
    ]


def _debugged(function: LiveFunction) -> list[Span]:
    told = []
    if function.debug_port:
        told.append(
            Span(
                f"  debugger: 127.0.0.1:{function.debug_port}, one invocation at a time",
                Style.CAUTION,
            )
        )
    if function.timeout_s:
        told.append(
            Span(f"  timeout raised to {function.timeout_s} s for debugging", Style.CAUTION)
        )
    return told


def _plan(event: PlanMade) -> list[tuple[Span, ...]]:
    count = len(event.functions)
    head = f"{count} function{'s' * (count != 1)} would run on this machine as stage {event.stage}"
    lines = [
        (Span(f"{head}:" if count else f"{head}.", Style.STRONG),),
        *_functions(event.functions),
    ]
    if event.refused:
        lines.append((Span("These cannot:", Style.CAUTION),))
        lines += [
            (Span(f"  {name}  ", Style.NAME), Span(reason))
            for name, reason in event.refused.items()
        ]
    changes = f"Terraform would change {event.changes} resource{'s' * (event.changes != 1)}."
    return [*lines, (Span(changes if event.changes else "Terraform would change nothing."),)]


def _ready(event: Ready) -> list[tuple[Span, ...]]:
    if not event.functions and event.sandbox is not None:
        return [
            (
                Span("The sandbox is ready: "),
                Span(event.sandbox.endpoint, Style.LINK),
                Span("  Ctrl-C ends it."),
            )
        ]
    lines: list[tuple[Span, ...]] = [
        (
            Span("Live", Style.GOOD),
            Span(f" as stage {event.stage}. These functions run on this machine:"),
        )
    ]
    lines += _functions(event.functions)
    shown = _addresses(event)
    width = max(map(len, shown), default=0)
    lines += [
        (Span(f"  {name.ljust(width)}  "), Span(url, Style.LINK)) for name, url in shown.items()
    ]
    return [*lines, (Span("Edits are live at the next invocation. Ctrl-C stops."),)]


def _addresses(event: Ready) -> Mapping[str, str]:
    urls = {
        name: value
        for name, value in event.outputs.items()
        if isinstance(value, str) and value.startswith("http")
    }
    return {**urls, **event.urls}


def _connection(event: ConnectionChanged) -> list[tuple[Span, ...]]:
    reason = f" ({event.reason})" if event.reason else ""
    who = event.reason or "somebody else"
    match event.state:
        case ConnectionState.CONNECTED:
            return [(Span(f"Connected{reason}.", Style.GOOD),)]
        case ConnectionState.LOST:
            wait = event.retry_in_s
            again = (
                ""
                if wait is None
                else f"; trying again {'now' if wait < 1 else f'in {duration(wait)}'}"
            )
            return [(Span(f"Connection lost{reason}{again}.", Style.CAUTION),)]
        case ConnectionState.REFUSED:
            return [(Span(f"This stage is held by {who}.", Style.BAD),)]
        case ConnectionState.TAKEN_OVER:
            return [(Span(f"Taken over by {who}.", Style.BAD),)]
        case ConnectionState.CLOSED:
            return []


def _error(event: Failed) -> list[tuple[Span, ...]]:
    first, *more = event.message.splitlines() or [""]
    lines: list[tuple[Span, ...]] = [
        (Span(f"Error: {first}", Style.BAD), Span(f" [{event.reference}]", Style.FAINT)),
        *((Span(f"  {text}" if text else ""),) for text in more),
    ]
    for text in event.hint.splitlines():
        lines.append(
            (Span("  → " if len(lines) == len(more) + 1 else "    ", Style.STRONG), Span(text))
        )
    return lines

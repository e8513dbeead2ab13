"""Text lines for the events of `terralive invoke`. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from terralive_cli.invoking.answers import Answered, EventShown, Invoking, Runner
from terralive_cli.output.formats.line import Line, Span, Style
from terralive_cli.output.formats.words import duration, size
from terralive_cli.output.stream.errors import error_lines, error_title
from terralive_relay.events import InvocationFinished

_MILLISECONDS: Final = 1000
# A longer result is cut on a terminal.
_MOST_LINES: Final = 200
_PLACES: Final = {
    Runner.LOCAL: "on this machine, without AWS",
    Runner.HERE: "on this machine, in the session that runs",
    Runner.ELSEWHERE: "on the machine of the user who holds the stage",
    Runner.NOBODY: "while no session is connected",
    Runner.DEPLOYED: "in Lambda, by the deployed code",
    Runner.UNKNOWN: "",
}


def invoking(event: Invoking) -> list[Line]:
    """Return the line that stays until the answer comes."""
    text = f"{event.function} runs{_place(event.runner)}; waiting for its answer"
    return [Line((Span(text),), event.at, live=True)]


def event_shown(event: EventShown) -> list[Line]:
    """Return the lines of an event."""
    text = json.dumps(event.event, indent=2, ensure_ascii=False)
    return [Line((Span(row, Style.RAW),), event.at) for row in text.splitlines()]


def answered(event: Answered) -> list[Line]:
    """Return the lines of an answer: how it ended, then the result or the error."""
    if event.accepted:
        text = f"Accepted: Lambda has the event for {event.function}, and runs it soon"
        return [Line((Span(text), Span(f"  {event.request_id}", Style.FAINT)), event.at, indent=2)]
    took = duration(event.took_ms / _MILLISECONDS)
    about = f" in {took}{_place(event.runner)}  {event.request_id}"
    if not event.ok:
        return [*_failed(event, about), *_hint(event)]
    head = (Span("done", Style.GOOD), Span(about, Style.FAINT))
    lines = [Line(head, event.at, indent=2)]
    if event.payload_bytes is not None:
        lines += [Line((Span(row, Style.RAW),), event.at) for row in _payload(event)]
    return lines


def _failed(event: Answered, about: str) -> Iterator[Line]:
    yield Line((Span("failed", Style.BAD), Span(about, Style.FAINT)), event.at, indent=2)
    title = error_title(event.error_type, event.error_message)
    yield Line((Span(title, Style.BAD),), event.at, indent=2)
    for spans in error_lines(_end_of(event), ""):
        yield Line((Span("  "), *spans), event.at, indent=4)


def _end_of(event: Answered) -> InvocationFinished:
    """Return the end of an invocation as a session shows it. The log may have its stack."""
    stack = event.stack
    if event.logged:
        stack = ()
    return InvocationFinished(
        event.request_id,
        event.function,
        ok=False,
        error_type=event.error_type,
        handler_ms=event.took_ms,
        error_message=event.error_message,
        stack=stack,
    )


def _hint(event: Answered) -> Iterator[Line]:
    if event.hint:
        yield Line((Span("  → ", Style.STRONG), Span(event.hint)), event.at, indent=4)


def _payload(event: Answered) -> list[str]:
    text = event.payload_text
    if text is None:
        text = json.dumps(event.payload, indent=2, ensure_ascii=False)
    rows = text.splitlines()
    if len(rows) <= _MOST_LINES:
        return rows
    whole = size(event.payload_bytes or 0)
    return [
        *rows[:_MOST_LINES],
        f"… {len(rows) - _MOST_LINES} more lines; `terralive invoke … > FILE` writes all {whole}",
    ]


def _place(runner: Runner) -> str:
    place = _PLACES[runner]
    if not place:
        return ""
    return f" {place}"

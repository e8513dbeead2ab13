"""Lines for invocations: a head, the logs beneath it, and the end. Pure.

Invocations interleave. Where a line does not follow a line of its own invocation, the head is
repeated before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from terralive_cli.output.formats.line import Line, Span, Style
from terralive_cli.output.formats.words import age, duration, plural, size, span
from terralive_cli.output.stream.errors import error_lines, error_title
from terralive_cli.output.stream.names import FunctionNames
from terralive_cli.output.stream.words import trigger_words
from terralive_relay.events import Event, InvocationFinished, InvocationStarted, LogLine

# Lambda's Python runtime writes an error of the handler to the log like this, with its traceback.
ERROR_LOG: Final = "[ERROR] "
_LATE_SECONDS: Final = 50.0  # Lambda's first retry comes after a minute
_WAITED_MS: Final = 1000.0  # a shorter wait for a worker is not shown
_MILLISECONDS: Final = 1000.0
_SERVER_ERROR: Final = 500
_CLIENT_ERROR: Final = 400
_TAG_CHARACTERS: Final = 4
# What the runtimes of Python and Node.js write before a line, with the time and the request id:
# https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html
# https://docs.aws.amazon.com/lambda/latest/dg/nodejs-logging.html
_PYTHON_LOG: Final = re.compile(r"(\[[A-Z]+\])\t[\d-]+T[\d:.]+Z\t([\w-]+)\t")
_NODE_LOG: Final = re.compile(r"[\d-]+T[\d:.]+Z\t([\w-]+)\t([A-Z]+)\t")
_LOG_MARGIN: Final = "│ "
END_MARGIN: Final = "└ "
_BELOW_END: Final = "  "


@dataclass(frozen=True, slots=True)
class InvocationShown(Event):
    """The end of an invocation, with what only the next event tells. In text formats only.

    Attributes:
        finished: the end.
        round_trip_ms: see `Delivered`; None where it is not known.
    """

    type = "result"
    finished: InvocationFinished
    round_trip_ms: float | None = None


class InvocationLines:
    """Makes the lines of invocations, in their order.

    Args:
        folder: the folder that paths of errors are shown relative to.
    """

    def __init__(self, folder: str = "") -> None:
        self._folder = folder
        # The names of the live functions.
        self.names = FunctionNames()
        # The expressions of rules and schedules, by their names.
        self.schedules: Mapping[str, str] = {}
        # The start of each running invocation, by request id.
        self._running: dict[str, InvocationStarted] = {}
        # The request id of the invocation of the last line; "" where it was of none.
        self._shown = ""
        # Request ids of invocations whose runtime has written the error to the log, with its stack.
        self._logged_errors: set[str] = set()
        # The error of each function whose code did not load, as its runtime has written it to the
        # log: before the invocation, and so without its request id.
        self._load_errors: dict[str, str] = {}

    def interrupted(self) -> None:
        """Note that a line of something else was shown."""
        self._shown = ""

    def line(self, event: Event, function: str, *spans: Span, margin: str = "") -> Line:
        """Return a line of a function."""
        return Line(
            spans,
            event.at,
            self.names.label(function),
            hue=self.names.hue(function),
            margin=margin,
        )

    def started(self, event: InvocationStarted) -> list[Line]:
        """Return the head of an invocation."""
        self._running[event.request_id] = event
        self._shown = event.request_id
        spans = [*self._head(event), *_tag(event.request_id)]
        return [self.line(event, event.function, *spans)]

    def logged(self, event: LogLine) -> list[Line]:
        """Return a line of a handler's output, after the head of its invocation if need be."""
        if event.line.startswith(ERROR_LOG):
            if event.request_id in self._running:
                self._logged_errors.add(event.request_id)
            else:
                self._load_errors[event.function] = event.line.removeprefix(ERROR_LOG)
        text = Span(_without_request(event), Style.RAW)
        line = self.line(event, event.function, text, margin=_LOG_MARGIN)
        return [*self._repeated_head(event, event.request_id), line]

    def finished(self, event: InvocationFinished, round_trip_ms: float | None = None) -> list[Line]:
        """Return the end of an invocation, and the frames of its error."""
        lines = list(self._repeated_head(event, event.request_id))
        spans = [*_result(event), Span(_times(event, round_trip_ms), Style.FAINT)]
        title = ""
        if not event.ok:
            title = error_title(event.error_type, event.error_message)
            spans.append(Span(f"  {title}", Style.BAD))
        lines.append(self.line(event, event.function, *spans, margin=END_MARGIN))
        is_load_error = self._load_errors.pop(event.function, None) == title
        if not event.ok and not is_load_error and event.request_id not in self._logged_errors:
            for part in error_lines(event, self._folder):
                lines.append(self.line(event, event.function, *part, margin=_BELOW_END))
        self._running.pop(event.request_id, None)
        self._logged_errors.discard(event.request_id)
        self._shown = ""
        return lines

    def _repeated_head(self, event: Event, request_id: str) -> Iterator[Line]:
        """Yield the head of an invocation again where its next line would be without one."""
        started = self._running.get(request_id)
        if started is not None and self._shown != request_id:
            words = self._words(started)
            spans = (Span(f"… {words}", Style.FAINT), *_tag(request_id))
            yield self.line(event, started.function, *spans)
        self._shown = request_id

    def _words(self, event: InvocationStarted) -> str:
        expression = self.schedules.get(event.summary)
        if event.trigger == "schedule" and expression:
            return f"EventBridge {expression}, {self.names.short(event.summary)}"
        return trigger_words(event.trigger, self.names.short(event.summary))

    def _head(self, event: InvocationStarted) -> Iterator[Span]:
        yield Span(self._words(event), Style.STRONG)
        payload = []
        if event.payload:
            payload.append(event.payload)
        if event.payload_bytes:
            payload.append(size(event.payload_bytes))
        if payload:
            yield Span(f"  {' '.join(payload)}", Style.FAINT)
        if event.attempt > 1:
            text = f"  attempt {event.attempt}"
            if event.after_first_s > 0:
                text += f", {span(event.after_first_s)} after the first"
            yield Span(text, Style.CAUTION)
        elif event.age_s >= _LATE_SECONDS:
            yield Span(f"  sent {age(event.age_s)}", Style.CAUTION)


def _without_request(event: LogLine) -> str:
    """Return a line without the time and the request id, which the head of its block has."""
    python = _PYTHON_LOG.match(event.line)
    if python is not None and python[2] == event.request_id:
        return f"{python[1]} {event.line[python.end() :]}"
    node = _NODE_LOG.match(event.line)
    if node is not None and node[1] == event.request_id:
        return f"{node[2]} {event.line[node.end() :]}"
    return event.line


def _tag(request_id: str) -> tuple[Span, ...]:
    """Return the start of the request id, which tells invocations apart."""
    if not request_id:
        return ()
    return (Span(f"  #{request_id[:_TAG_CHARACTERS]}", Style.FAINT),)


def _result(event: InvocationFinished) -> Iterator[Span]:
    """Yield the outcome in a word: the status of a response, or `done`, or `failed`."""
    if not event.ok:
        yield Span("failed", Style.BAD)
        return
    if event.status is None:
        yield Span("done", Style.GOOD)
    elif event.status >= _SERVER_ERROR:
        yield Span(str(event.status), Style.BAD)
    elif event.status >= _CLIENT_ERROR:
        yield Span(str(event.status), Style.CAUTION)
    else:
        yield Span(str(event.status), Style.GOOD)
    if event.failed_items:
        yield Span(f" with {plural(event.failed_items, 'failed item')}", Style.CAUTION)


def _times(event: InvocationFinished, round_trip_ms: float | None) -> str:
    parts = [f" in {duration(event.handler_ms / _MILLISECONDS)}"]
    if event.waited_ms >= _WAITED_MS:
        parts.append(f"after {duration(event.waited_ms / _MILLISECONDS)} of waiting for a worker")
    if round_trip_ms is not None:
        parts.append(f"round trip {duration(round_trip_ms / _MILLISECONDS)}")
    if event.streamed_bytes is not None:
        parts.append(f"streamed {size(event.streamed_bytes)}")
    if event.first_byte_ms is not None:
        parts.append(f"first byte after {duration(event.first_byte_ms / _MILLISECONDS)}")
    if event.result_bytes:
        parts.append(size(event.result_bytes))
    return ", ".join(parts)

"""The header of a live session: where it is, what runs on this machine, and its URLs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from terralive_cli.output.events import LiveFunction, Ready
from terralive_cli.output.formats.line import Line, Span, Style
from terralive_cli.output.formats.plan_text import function_lines
from terralive_cli.output.stream.names import FunctionNames

# More functions are named in one line.
_LISTED: Final = 15


def sandbox_ready(event: Ready, endpoint: str, region: str) -> list[Line]:
    """Return the line of a sandbox that is ready without live functions."""
    start = Span(f"The sandbox is ready in {region}: ")
    end = Span("  Press Ctrl-C to stop it.")
    return [Line((start, Span(endpoint, Style.LINK, url=endpoint), end), event.at)]


def app_ready(event: Ready, names: FunctionNames, folder: str) -> list[Line]:
    """Return the header of a live app.

    Args:
        event: the event.
        names: the names of its functions.
        folder: the folder that paths are shown relative to.
    """
    head = (
        Span("Live", Style.GOOD),
        Span(f" as stage {event.stage}{_place(event)}. These functions run on this machine:"),
    )
    lines = [Line(head, event.at, indent=2)]
    if len(event.functions) > _LISTED:
        lines.append(_names(event.at, event.functions, names))
    else:
        # How their code was found, the plan has said.
        functions = [replace(item, found_by="", note="") for item in event.functions]
        for line in function_lines(event.at, functions, folder):
            lines.append(replace(line, spans=tuple(_coloured(line.spans, names))))
    lines += _addresses(event)
    end = "The next invocation runs your edits."
    if not event.in_background:
        end += " Press Ctrl-C to stop."
    return [*lines, Line((Span(end),), event.at)]


def _place(event: Ready) -> str:
    place = ""
    if event.region:
        place += f" in {event.region}"
    if event.sandbox is not None:
        return f"{place}, in the sandbox"
    if event.account_alias:
        return f"{place}, account {event.account_alias} ({event.account})"
    if event.account:
        return f"{place}, account {event.account}"
    return place


def _coloured(spans: Sequence[Span], names: FunctionNames) -> Iterator[Span]:
    """Yield pieces of a line, a function's name in the colour of the function."""
    for span in spans:
        if span.style is Style.NAME:
            yield replace(span, hue=names.hue(span.text.strip()))
        else:
            yield span


def _names(at: datetime, functions: Sequence[LiveFunction], names: FunctionNames) -> Line:
    spans = [Span(f"  {len(functions)} functions:")]
    for function in functions:
        spans.append(Span(" "))
        spans.append(Span(names.label(function.name), Style.NAME, hue=names.hue(function.name)))
    return Line(tuple(spans), at, indent=4)


def _addresses(event: Ready) -> Iterator[Line]:
    """Yield the app's outputs that are URLs, as they answer on this machine."""
    addresses = {
        name: value
        for name, value in event.outputs.items()
        if isinstance(value, str) and value.startswith("http")
    }
    addresses.update(event.urls)
    width = max(map(len, addresses), default=0)
    for name, url in addresses.items():
        spans = (Span(f"  {name.ljust(width)}  "), Span(url, Style.LINK, url=url))
        yield Line(spans, event.at, indent=4)

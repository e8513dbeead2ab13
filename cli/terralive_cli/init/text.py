"""Text lines for the events of `terralive init`. Pure."""

from __future__ import annotations

import json
from typing import Final

from terralive_cli.init.events import FileListed, FileState, PolicyListed
from terralive_cli.output.formats.line import Line, Span, Style

_WIDTH: Final = 10
_STYLES: Final = {
    FileState.PROPOSED: Style.STRONG,
    FileState.WRITTEN: Style.GOOD,
    FileState.CHANGED: Style.GOOD,
    FileState.UNCHANGED: Style.FAINT,
    FileState.LEFT: Style.CAUTION,
    FileState.REFUSED: Style.CAUTION,
}
_DIFF_STYLES: Final = {"+": Style.GOOD, "-": Style.BAD, "@": Style.FAINT}


def file_listed(event: FileListed) -> list[Line]:
    """Return a line with the state of a file, and the lines of its diff."""
    spans = (
        Span(f"  {event.state.value.ljust(_WIDTH)}", _STYLES[event.state]),
        Span(event.path, Style.NAME),
        Span(f"  {event.purpose}", Style.FAINT),
    )
    lines = [Line(spans, event.at, indent=_WIDTH + 2)]
    for text in event.diff.splitlines():
        style = _DIFF_STYLES.get(text[:1], Style.PLAIN)
        lines.append(Line((Span(f"    {text}", style),), event.at, indent=6))
    return lines


def policy_listed(event: PolicyListed) -> list[Line]:
    """Return a policy as JSON; with a title where it is one of several."""
    lines: list[Line] = []
    if not event.alone:
        title = (Span(event.name, Style.STRONG), Span(f": {event.purpose}"))
        lines.append(Line(title, event.at))
    for text in json.dumps(event.document, indent=2).splitlines():
        lines.append(Line((Span(text),), event.at, indent=6))
    return lines

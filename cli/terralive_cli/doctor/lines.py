"""Lines of text for the checks. Pure."""

from __future__ import annotations

from typing import Final

from terralive_cli.doctor.findings import CheckDone, CheckState, DoctorDone, Finding
from terralive_cli.output.formats.line import Line, Span, Style
from terralive_cli.output.formats.words import plural

_STYLES: Final = {
    CheckState.OK: Style.GOOD,
    CheckState.SKIPPED: Style.FAINT,
    CheckState.WARNING: Style.CAUTION,
    CheckState.FAILED: Style.BAD,
}
# The widths of the columns: the longest state and the longest name of a check, and a gap.
_STATE: Final = 9
_CHECK: Final = 13
_INDENT: Final = "    "


def check_done(event: CheckDone) -> list[Line]:
    """Return the line of a check, and below it what was found."""
    spans = (
        Span(event.state.ljust(_STATE), _STYLES[event.state]),
        Span(event.check.ljust(_CHECK), Style.STRONG),
        Span(event.message),
    )
    lines = [Line(spans, event.at, indent=_STATE + _CHECK)]
    for finding in event.findings:
        lines += _finding(event, finding)
    return lines


def doctor_done(event: DoctorDone) -> list[Line]:
    """Return the sum of all checks."""
    total = event.ok + event.warnings + event.failed + event.skipped
    counts = [f"{event.ok} ok"]
    if event.warnings:
        counts.append(plural(event.warnings, "warning"))
    if event.failed:
        counts.append(f"{event.failed} failed")
    if event.skipped:
        counts.append(f"{event.skipped} skipped")
    style = Style.GOOD
    if event.failed:
        style = Style.BAD
    elif event.warnings:
        style = Style.CAUTION
    return [Line((Span(f"{plural(total, 'check')}: {', '.join(counts)}", style),), event.at)]


def _finding(event: CheckDone, finding: Finding) -> list[Line]:
    first, *more = finding.message.splitlines() or [""]
    head = (
        Span(_INDENT),
        Span(first, _STYLES[finding.state]),
        Span(f" [{finding.reference}]", Style.FAINT),
    )
    lines = [Line(head, event.at, indent=len(_INDENT))]
    lines += [_indented(event, text) for text in more]
    if finding.why:
        lines.append(_indented(event, f"Why: {finding.why}"))
    if finding.fixed:
        return [*lines, _arrow(event, f"Fixed: {finding.fixed}.", Style.GOOD)]
    hint, *rest = finding.fix.splitlines() or [""]
    if hint:
        lines.append(_arrow(event, hint, Style.PLAIN))
    lines += [_indented(event, f"  {text}") for text in rest]
    return lines


def _indented(event: CheckDone, text: str) -> Line:
    return Line((Span(_INDENT), Span(text)), event.at, indent=len(_INDENT))


def _arrow(event: CheckDone, text: str, style: Style) -> Line:
    spans = (Span(f"{_INDENT}→ ", Style.STRONG), Span(text, style))
    return Line(spans, event.at, indent=len(_INDENT) + 2)

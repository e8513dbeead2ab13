"""Lines of text for the checks. Pure."""

from __future__ import annotations

from typing import Final

from terralive_cli.doctor.findings import CheckDone, CheckState, DoctorDone, Finding
from terralive_cli.doctor.self_test.results import Measured, SelfTestDone, SelfTestStep
from terralive_cli.output.formats.line import Line, Span, Style
from terralive_cli.output.formats.words import duration, plural

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
# The longest name of a step, and a gap.
_STEP: Final = 20
_MILLISECONDS: Final = 1000.0


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


def self_test_step(event: SelfTestStep) -> list[Line]:
    """Return the line of a step, and below it the times that were measured."""
    word, style = "ok", Style.GOOD
    if not event.ok:
        word, style = "failed", Style.BAD
    first, *more = event.message.splitlines() or [""]
    spans = (
        Span(word.ljust(_STATE), style),
        Span(event.step.ljust(_STEP), Style.STRONG),
        Span(first),
        Span(f"  {duration(event.elapsed_s)}", Style.FAINT),
    )
    lines = [Line(spans, event.at, indent=_STATE + _STEP)]
    for text in more:
        lines.append(Line((Span(_INDENT), Span(text)), event.at, indent=len(_INDENT)))
    for item in event.measured:
        lines.append(Line((Span(_INDENT), Span(_measured(item))), event.at, indent=len(_INDENT)))
    return lines


def self_test_done(event: SelfTestDone) -> list[Line]:
    """Return the end of a self-test: its result, its report, and what is left."""
    word, style = "The self-test has succeeded.", Style.GOOD
    if not event.ok:
        word, style = "The self-test has not succeeded.", Style.BAD
    lines = [
        Line((Span(word, style),), event.at),
        Line((Span("The report, to attach to an issue: "), Span(event.report)), event.at),
    ]
    if not event.is_clean:
        left = f"Not everything is removed. The Terraform state is in {event.folder}. Remove it by:"
        lines.append(Line((Span(left, Style.BAD),), event.at))
        lines.append(Line((Span(f"  {event.command}"),), event.at))
    return lines


def _measured(item: Measured) -> str:
    median = duration(item.median_ms / _MILLISECONDS)
    if item.count == 1:
        return f"{item.name}: {median}"
    fastest = duration(item.fastest_ms / _MILLISECONDS)
    slowest = duration(item.slowest_ms / _MILLISECONDS)
    return f"{item.name}: {median} ({fastest} to {slowest}, {item.count} times)"


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

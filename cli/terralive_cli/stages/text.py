"""Text lines for the events of `status`, `list` and `gc`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from terralive_cli.output.formats.line import Line, Span, Style
from terralive_cli.output.formats.words import listed, plural, shortened
from terralive_cli.stages.ages import short_age
from terralive_cli.stages.events import (
    CleanupAction,
    CleanupItem,
    CleanupPlanned,
    CleanupResult,
    Connection,
    FunctionState,
    ListedStack,
    StacksListed,
    StageFunction,
    StageStatus,
)

_NAMES: Final = 6
# The table of `list` has 80 columns at most.
_WIDEST_STAGE: Final = 28
_WIDEST_OWNER: Final = 10
_WIDEST_HOLDER: Final = 16
_LABEL: Final = 14
_STATES: Final = {
    FunctionState.LIVE: Span("live", Style.GOOD),
    FunctionState.OWN_CODE: Span("own code", Style.CAUTION),
    FunctionState.OTHER_STAGE: Span("other stage", Style.CAUTION),
    FunctionState.GONE: Span("gone", Style.FAINT),
    FunctionState.UNKNOWN: Span("unknown", Style.CAUTION),
}
_ACTIONS: Final = {
    CleanupAction.REMOVE: Style.CAUTION,
    CleanupAction.LEFT: Style.BAD,
    CleanupAction.KEEP: Style.FAINT,
}


def stacks_listed(event: StacksListed) -> list[Line]:
    """Return the lines of a list: a head, a table, and what the debug stacks cost."""
    if not event.stacks:
        return [Line((Span(f"No debug stacks in {event.place}."),), event.at)]
    head = f"{plural(len(event.stacks), 'debug stack')} in {event.place}:"
    lines = [Line((Span(head, Style.STRONG),), event.at)]
    rows = [_row(item) for item in event.stacks]
    titles = ("STAGE", "OWNER", "AGE", "IDLE", "CONNECTED", "LIVE")
    widths = [max(len(row[number]) for row in (titles, *rows)) for number in range(len(titles))]
    lines.append(Line((Span(f"  {_columns(titles, widths)}", Style.FAINT),), event.at))
    for item, row in zip(event.stacks, rows, strict=True):
        first, *others = row
        spans = [Span(f"  {first.ljust(widths[0])}", Style.NAME)]
        spans.append(Span(f"  {_columns(others, widths[1:])}"))
        lines.append(Line(tuple(spans), event.at, indent=4))
        if item.note:
            note = (Span(f"    {item.note}", Style.CAUTION),)
            lines.append(Line(note, event.at, indent=4))
    lines += _costs(event)
    return lines


def stage_status(event: StageStatus) -> list[Line]:
    """Return the lines of a stage's status."""
    name = f"{event.app}/{event.stage}"
    lines = [Line((Span(name, Style.STRONG), Span(f" in {event.place}")), event.at)]
    if event.deployed:
        deployed = "deployed"
        if event.owner:
            deployed = f"deployed by {event.owner} on {event.created}, terralive {event.version}"
        lines.append(_labelled(event.at, "Debug stack", Span(deployed)))
        lines.append(_labelled(event.at, "Connection", *_connection(event)))
    else:
        lines.append(_labelled(event.at, "Debug stack", Span("none")))
    here = Span("none", Style.FAINT)
    if event.session is not None:
        background = ""
        if event.session.is_detached:
            background = ", in the background"
        since = _ago(event.session.since, event.at)
        here = Span(f"process {event.session.pid}, for {since}{background}", Style.GOOD)
    lines.append(_labelled(event.at, "Session here", here))
    live = sum(1 for item in event.functions if item.state is FunctionState.LIVE)
    count = f"{live} live"
    if live != len(event.functions):
        count = f"{live} live of {len(event.functions)}"
    lines.append(_labelled(event.at, "Functions", Span(count)))
    width = max((len(item.name) for item in event.functions), default=0)
    shared = _shared_reason(event.functions)
    for item in event.functions:
        own = item
        if shared:
            own = replace(item, fallback_version="", fallback_reason="")
        lines += _function(event.at, own, min(width, _WIDEST_STAGE))
    if shared:
        text = f"    no fallback for any of them: {shared}"
        lines.append(Line((Span(text, Style.FAINT),), event.at, indent=6))
    return lines


def _shared_reason(functions: Sequence[StageFunction]) -> str:
    """Return the reason why there is no fallback, if all of several functions have the same one."""
    reasons = {item.fallback_reason for item in functions}
    if len(functions) > 1 and len(reasons) == 1:
        return reasons.pop()
    return ""


def cleanup_planned(event: CleanupPlanned) -> list[Line]:
    """Return the lines of a cleanup's plan: what is removed, what is left, what is kept."""
    chosen = [item for item in event.stacks if item.action is CleanupAction.REMOVE]
    head = f"Nothing to remove in {event.place}."
    if not event.stacks:
        head = f"Nothing to remove in {event.place}: no debug stack matches."
    elif chosen:
        head = f"To be removed in {event.place}: {plural(len(chosen), 'debug stack')}"
    elif any(item.action is CleanupAction.LEFT for item in event.stacks):
        head = f"Nothing can be removed in {event.place}."
    lines = [Line((Span(head, Style.STRONG),), event.at)]
    width = max((len(_stage_of(item)) for item in event.stacks), default=0)
    for action in _ACTIONS:
        for item in event.stacks:
            if item.action is action:
                lines.append(_cleanup_item(event.at, item, min(width, _WIDEST_STAGE)))
    if event.others:
        others = f"  {plural(event.others, 'other debug stack')} not matched by this command"
        lines.append(Line((Span(others, Style.FAINT),), event.at))
    return lines


def cleanup_result(event: CleanupResult) -> list[Line]:
    """Return the line of one debug stack's cleanup."""
    name = Span(f"{event.app}/{event.stage}", Style.NAME)
    restored = ""
    if event.restored:
        restored = f" {listed(event.restored, _NAMES)}: own code again."
    if event.removed:
        return [Line((name, Span(" is removed.", Style.GOOD), Span(restored)), event.at)]
    spans = (name, Span(" stays: ", Style.BAD), Span(f"{event.reason.rstrip('.')}.{restored}"))
    return [Line(spans, event.at, indent=2)]


def _row(item: ListedStack) -> tuple[str, ...]:
    connected = "no"
    age, idle = "unknown", "unknown"
    if item.created:
        age = short_age(item.age_s)
    if item.used:
        idle = short_age(item.idle_s)
    match item.connection:
        case Connection.CONNECTED:
            connected = f"{item.holder} on {item.machine}"
            idle = "-"
        case Connection.LOST:
            connected = f"lost ({item.holder})"
        case Connection.UNKNOWN:
            connected = "unknown"
    return (
        shortened(f"{item.app}/{item.stage}", _WIDEST_STAGE),
        shortened(item.owner, _WIDEST_OWNER),
        age,
        idle,
        shortened(connected, _WIDEST_HOLDER),
        str(len(item.live)),
    )


def _columns(texts: Sequence[str], widths: Sequence[int]) -> str:
    cells = [text.ljust(width) for text, width in zip(texts, widths, strict=True)]
    return "  ".join(cells).rstrip()


def _costs(event: StacksListed) -> Iterator[Line]:
    """Yield a line for each thing that debug stacks cost, with their names."""
    names: dict[str, list[str]] = {}
    for item in event.stacks:
        names.setdefault(item.cost, []).append(f"{item.app}/{item.stage}")
    for cost, stages in names.items():
        who = "Each costs"
        if len(names) > 1:
            verb = "cost"
            if len(stages) == 1:
                verb = "costs"
            who = f"{listed(stages, _NAMES)} {verb}"
        yield Line((Span(f"{who}: {cost}.", Style.FAINT),), event.at, indent=2)


def _labelled(at: datetime, name: str, *spans: Span) -> Line:
    first = Span(f"  {name.ljust(_LABEL)}", Style.FAINT)
    return Line((first, *spans), at, indent=2 + _LABEL)


def _connection(event: StageStatus) -> tuple[Span, ...]:
    who = f"{event.holder} on {event.machine}"
    match event.connection:
        case Connection.CONNECTED:
            since = f" for {_ago(event.since, event.at)}"
            return (Span("connected", Style.GOOD), Span(f": {who},{since}"))
        case Connection.LOST:
            until = _ago(event.until, event.at)
            text = f": {who}, {until} ago; the session may return"
            return (Span("lost", Style.CAUTION), Span(text))
        case Connection.LEFT:
            return (Span(f"nobody; {who} was connected until {_ago(event.until, event.at)} ago"),)
        case Connection.UNKNOWN:
            return (Span("not known", Style.CAUTION),)
    return (Span("nobody, in the last 30 days or ever"),)


def _function(at: datetime, item: StageFunction, width: int) -> Iterator[Line]:
    spans = [Span(f"    {shortened(item.name, width).ljust(width)}  ", Style.NAME)]
    spans.append(_STATES[item.state])
    if item.fallback_version and not item.fallback_reason:
        spans.append(Span(f"  fallback: version {item.fallback_version}", Style.FAINT))
    yield Line(tuple(spans), at, indent=6)
    more: list[str] = []
    if item.detail:
        more.append(item.detail)
    if item.fallback_reason:
        more.append(f"no fallback: {item.fallback_reason}")
    if item.differs:
        more.append(f"differs from the deployed configuration: {', '.join(item.differs)}")
    for note in more:
        yield Line((Span(f"      {note}", Style.FAINT),), at, indent=6)


def _stage_of(item: CleanupItem) -> str:
    return f"{item.app}/{item.stage}"


def _cleanup_item(at: datetime, item: CleanupItem, width: int) -> Line:
    spans = [Span(f"  {item.action.ljust(6)}  ", _ACTIONS[item.action])]
    spans.append(Span(shortened(_stage_of(item), width).ljust(width), Style.NAME))
    if item.action is CleanupAction.REMOVE:
        text = f"  {item.owner}, idle for {short_age(item.idle_s)}"
        if item.restores:
            text += f"; own code goes back to {listed(item.restores, _NAMES)}"
        spans.append(Span(text))
    else:
        spans.append(Span(f"  {item.reason}"))
    return Line(tuple(spans), at, indent=10)


def _ago(moment: str, now: datetime) -> str:
    """Return the time since a moment; "an unknown time" where that is not known."""
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return "an unknown time"
    return short_age((now - then).total_seconds())

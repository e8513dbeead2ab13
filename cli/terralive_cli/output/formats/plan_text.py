"""Text lines for a plan that makes functions live, and for the list of functions. Pure.

A plan is a page of groups: live, not live, and other changes (see `changes_text`).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Final

from terralive_cli.output.events import LiveFunction, NotLiveFunction, PlanMade, TerraformOutput
from terralive_cli.output.formats.line import Line, Span, Style
from terralive_cli.output.formats.words import plural
from terralive_terraform.addresses import short_address

# A name, or a handler with its path, that is longer moves the rest of its own line only.
_WIDEST_NAME: Final = 40
_WIDEST_CODE: Final = 60
# Names that share a reason are wrapped at this column, also in files.
_NAMES_WIDTH: Final = 76
# Rows below the first begin under the second column, unless that is further right than this.
_FURTHEST: Final = 34
_LINE_ENDS: Final = (".", "!", "?", ":")


def plan_made(event: PlanMade) -> list[Line]:
    """Return the lines of a plan: a summary, the live functions, the others with their reasons."""
    blank = Line((), event.at)
    lines = [Line((Span(_summary(event), Style.STRONG),), event.at, indent=2), _terraform(event)]
    if event.functions:
        lines += [blank, _head(event, "Live", ": they would run on this machine.", Style.GOOD)]
        lines += function_lines(event.at, event.functions, event.project)
        lines += _fallbacks(event)
    if event.not_live:
        lines += [blank, _head(event, "Not live", ": they stay as they are.", Style.CAUTION)]
    for group in _by_reason(event.not_live):
        lines += _stay(event, group)
    if event.other_changes:
        # The event `changes` follows.
        lines.append(blank)
    return lines


def _summary(event: PlanMade) -> str:
    """Return the counts of a plan in one sentence."""
    parts = [f"{plural(len(event.functions), 'function')} live"]
    if event.not_live:
        parts.append(f"{len(event.not_live)} not live")
    if event.other_changes and not event.first:
        parts.append(plural(len(event.other_changes), "other change"))
    return f"Plan of stage {event.stage}: {', '.join(parts)}."


def _terraform(event: PlanMade) -> Line:
    """Return the line that says how much Terraform would change."""
    if event.changes is None:
        text = "Terraform has made no plan. This is what is known without one."
        return Line((Span(text, Style.CAUTION),), event.at)
    text = "Terraform would change nothing of the app."
    if event.changes:
        text = f"Terraform would change {plural(event.changes, 'resource')} of the app."
    return Line((Span(text),), event.at)


def _head(event: PlanMade, title: str, rest: str, style: Style) -> Line:
    return Line((Span(title, style), Span(rest)), event.at)


def function_lines(
    at: datetime, functions: Sequence[LiveFunction], project: str = ""
) -> list[Line]:
    """Return a line for each function: its name, its local code, what invokes it.

    Args:
        at: the time of the event.
        functions: the functions.
        project: the folder that paths are shown relative to; "" for whole paths.
    """
    # A function has no name before its first deployment.
    names = [function.name or short_address(function.address) for function in functions]
    codes = [_code(function, project) for function in functions]
    triggers = [", ".join(function.triggers) for function in functions]
    name_width = _width(names, _WIDEST_NAME)
    code_width = _width(codes, _WIDEST_CODE)
    indent = name_width + 4
    if indent > _FURTHEST:
        indent = 4
    lines: list[Line] = []
    for name, code, trigger, function in zip(names, codes, triggers, functions, strict=True):
        spans = [
            Span("  "),
            Span(name.ljust(name_width), Style.NAME),
            Span(f"  {code}", Style.FAINT),
        ]
        spans += _origin(function, trigger, gap=" " * (code_width - len(code)))
        spans += _debugging(function)
        lines.append(Line(tuple(spans), at, indent=indent))
        lines += _note(at, function.by_api)
        lines += _note(at, function.note)
    return lines


def _fallbacks(event: PlanMade) -> Iterator[Line]:
    """Yield who answers where nobody is connected: one line for each reason."""
    by_reason: dict[str, list[LiveFunction]] = {}
    for function in event.functions:
        if function.fallback is not None:
            by_reason.setdefault(function.fallback.reason, []).append(function)
    for reason in sorted(by_reason):
        group = by_reason[reason]
        names = ", ".join(item.name or short_address(item.address) for item in group)
        if len(group) == len(event.functions) and len(group) > 1:
            names = "all functions"
        text = f"Where nobody is connected, the deployed code of {names} answers."
        style = Style.FAINT
        if reason:
            text = f"Where nobody is connected, invocations of {names} fail: {reason}."
            style = Style.CAUTION
        yield Line((Span(f"  {text}", style),), event.at, indent=2)
    yield from _own_code_first(event)
    yield from _stale_fallbacks(event)


def _own_code_first(event: PlanMade) -> Iterator[Line]:
    """Yield the functions that get their own code before the stub: one line for each reason."""
    by_reason: dict[str, list[str]] = {}
    for function in event.functions:
        if function.fallback is not None and function.fallback.own_code_first:
            name = function.name or short_address(function.address)
            by_reason.setdefault(function.fallback.own_code_first, []).append(name)
    for reason, names in sorted(by_reason.items()):
        text = f"Own code first, then the stub ({reason}): {', '.join(names)}."
        yield Line((Span(f"  {text}", Style.FAINT),), event.at, indent=2)


def _stale_fallbacks(event: PlanMade) -> Iterator[Line]:
    """Yield the functions whose version that answers has former settings."""
    for function in event.functions:
        if function.fallback is not None and function.fallback.stale:
            name = function.name or short_address(function.address)
            settings = ", ".join(function.fallback.stale)
            text = f"The version of {name} that answers has former settings ({settings})"
            style = Style.CAUTION
            if function.fallback.renewed:
                text += ". It is published anew with those of now."
                style = Style.FAINT
            else:
                text += ": `terralive restore` and then `terralive start` publish another one."
            yield Line((Span(f"  {text}", style),), event.at, indent=2)


def _note(at: datetime, note: str) -> Iterator[Line]:
    """Yield what a user should know of a function's code, and the lines to copy."""
    first, *lines = note.splitlines() or [""]
    if first:
        yield Line((Span(f"    {first}", Style.CAUTION),), at, indent=4)
    yield from _to_copy(at, lines)


def _to_copy(at: datetime, lines: Sequence[str]) -> Iterator[Line]:
    """Yield lines that a user may copy into terralive.toml."""
    for text in lines:
        yield Line((Span(f"      {text}"),), at, indent=6)


def _origin(function: LiveFunction, trigger: str, gap: str) -> Iterator[Span]:
    """Yield what invokes a function, and how its code was found."""
    texts: list[str] = []
    if trigger:
        texts.append(f"invoked by {trigger}")
    if function.found_by:
        texts.append(f"found by {function.found_by}")
    if texts:
        yield Span(f"{gap}  ")
        yield Span("  ".join(texts), Style.FAINT, starts_row=True)


def _debugging(function: LiveFunction) -> Iterator[Span]:
    if function.debug_port:
        text = f"  debugger: 127.0.0.1:{function.debug_port}, one invocation at a time"
        yield Span(text, Style.CAUTION)
    if function.timeout_s:
        yield Span(f"  timeout raised to {function.timeout_s} s for debugging", Style.CAUTION)


def _code(function: LiveFunction, project: str) -> str:
    """Return handler and folder; a folder of the project is relative to it."""
    path = PurePath(function.path)
    if project and path.is_relative_to(project):
        path = path.relative_to(project)
    folder = str(path)
    if folder == ".":
        folder = "this folder"
    if not function.handler:
        return folder
    return f"{function.handler} in {folder}"


def _width(texts: Sequence[str], widest: int) -> int:
    return min(max(map(len, texts), default=0), widest)


def _by_reason(functions: Sequence[NotLiveFunction]) -> list[list[NotLiveFunction]]:
    """Return the functions in groups that have reason and settings in common, in their order."""
    groups: dict[tuple[str, ...], list[NotLiveFunction]] = {}
    for function in functions:
        # The heads of the tables name the function.
        settings = [text for text in function.add if not text.startswith("[")]
        common = (function.reason, function.key, *settings)
        groups.setdefault(common, []).append(function)
    return list(groups.values())


def _stay(event: PlanMade, group: Sequence[NotLiveFunction]) -> Iterator[Line]:
    """Yield the lines of functions that stay as they are for one reason."""
    names = ", ".join(short_address(function.address) for function in group)
    if len(group) > 1:
        names = f"{len(group)} functions: {names}"
    wrapped = textwrap.wrap(names, _NAMES_WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    for part in wrapped:
        yield Line((Span(f"  {part}", Style.NAME),), event.at, indent=2)
    first = group[0]
    yield Line((Span(f"    {_sentence(first)}"),), event.at, indent=4)
    if not first.add:
        return
    head = "    Add to terralive.toml:"
    if len(group) > 1:
        head = "    Add to terralive.toml, a table for each of them:"
    yield Line((Span(head, Style.FAINT),), event.at)
    yield from _to_copy(event.at, first.add)


def _sentence(function: NotLiveFunction) -> str:
    """Return the reason as a sentence, with the key that it is about."""
    reason = function.reason
    first = reason.partition(" ")[0]
    # A name of a file, a runtime or a program keeps its small letter.
    if first.isalpha() and first != "terralive":
        reason = reason[:1].upper() + reason[1:]
    if function.key and function.key not in reason:
        reason = f"{reason.rstrip('.')} ({function.key})"
    if not reason.endswith(_LINE_ENDS):
        reason += "."
    return reason


def terraform_output(event: TerraformOutput) -> list[Line]:
    """Return the lines of Terraform's own text, as they are."""
    return [Line((Span(text, Style.RAW),), event.at) for text in event.text.splitlines()]

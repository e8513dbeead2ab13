"""Text lines for the changes of a plan beside the functions' code. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from terralive_cli.output.events import ChangesListed, ResourceChange
from terralive_cli.output.formats.line import Line, Span, Style
from terralive_cli.output.formats.words import plural
from terralive_terraform.addresses import short_address

_FUNCTION_TYPE: Final = "aws_lambda_function"
# Up to this number, created resources are listed one by one.
_FEW: Final = 12
_STYLES: Final = {"delete": Style.BAD, "replace": Style.BAD, "create": Style.GOOD}


def changes_listed(event: ChangesListed) -> list[Line]:
    """Return the lines of the list: a head, then a line for each change."""
    lines = [Line(_head(event), event.at)]
    created = [change for change in event.changes if change.action == "create"]
    if len(created) <= _FEW:
        created = []
    # What is destroyed or updated is always listed one by one.
    for change in event.changes:
        if change not in created:
            lines.append(_change(event, change))
    lines += _by_type(event, created)
    return lines


def _head(event: ChangesListed) -> tuple[Span, ...]:
    if event.destroys_app:
        count = plural(len(event.changes), "resource")
        return (Span(f"The whole app is destroyed, {count}:", Style.STRONG),)
    if event.first:
        return (Span("The app is not deployed yet. Terraform would create it:", Style.STRONG),)
    return (Span("Other changes", Style.STRONG), Span(", beside the functions' code:"))


def _change(event: ChangesListed, change: ResourceChange) -> Line:
    style = _STYLES.get(change.action, Style.CAUTION)
    spans = [Span(f"  {change.action.ljust(8)}", style), Span(change.address, Style.NAME)]
    if change.attributes:
        spans.append(Span(f"  ({', '.join(change.attributes)})", Style.FAINT))
    return Line(tuple(spans), event.at, indent=10)


def _by_type(event: ChangesListed, created: Sequence[ResourceChange]) -> Iterator[Line]:
    """Yield a line for each resource type, with the names of functions."""
    addresses: dict[str, list[str]] = {}
    for change in created:
        addresses.setdefault(change.resource_type, []).append(change.address)
    width = max((len(kind) for kind in addresses), default=0)
    for kind, found in sorted(addresses.items()):
        spans = [Span("  create  ", Style.GOOD), Span(kind.ljust(width), Style.NAME)]
        spans.append(Span(f"  {len(found)}"))
        if kind == _FUNCTION_TYPE:
            names = ", ".join(short_address(address) for address in found)
            spans.append(Span(f"  ({names})", Style.FAINT))
        yield Line(tuple(spans), event.at, indent=10)

"""Names of functions where the stacks of a CDKTF program are live together. Pure.

Inside one stack, a function is known by its Terraform address. Two stacks may have the same
address, so whatever leaves the stack names the function as `STACK/ADDRESS`. Where only one stack is
live, its name is "" here, and nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from terralive_cli.output.events import (
    ChangesListed,
    LiveFunction,
    NotLiveFunction,
    PlanMade,
    ResourceChange,
    TerraformOutput,
    TerraformProgress,
)
from terralive_relay.events import Event, Warned
from terralive_terraform.addresses import in_stack
from terralive_terraform.substitution.rules import NotLive

# The head of a function's table in lines for terralive.toml.
_TABLE: Final = "[functions.'"


def event_of_stack(event: Event, stack: str) -> Event:
    """Return the event of one of several stacks, with the name of the stack in it."""
    if not stack:
        return event
    match event:
        case Warned():
            message = with_tables(event.message, stack)
            function = event.function and in_stack(stack, event.function)
            return replace(event, message=message, function=function)
        case TerraformProgress() | TerraformOutput():
            return replace(event, stack=stack)
        case PlanMade():
            return page_of_stack(event, stack)
        case ChangesListed():
            return replace(event, changes=_changes(event.changes, stack))
    return event


def page_of_stack(event: PlanMade, stack: str) -> PlanMade:
    """Return the page of a plan with the name of its stack; see `event_of_stack`."""
    if not stack:
        return event
    return replace(
        event,
        functions=tuple(_live(function, stack) for function in event.functions),
        refused={
            in_stack(stack, address): with_tables(text, stack)
            for address, text in event.refused.items()
        },
        not_live=tuple(_not_live(function, stack) for function in event.not_live),
        other_changes=_changes(event.other_changes, stack),
    )


def _live(function: LiveFunction, stack: str) -> LiveFunction:
    address, note = in_stack(stack, function.address), with_tables(function.note, stack)
    return replace(function, address=address, note=note, stack=stack)


def _not_live(function: NotLiveFunction, stack: str) -> NotLiveFunction:
    return replace(
        function,
        address=in_stack(stack, function.address),
        reason=with_tables(function.reason, stack),
        add=tuple(with_tables(line, stack) for line in function.add),
        stack=stack,
    )


def _changes(changes: Sequence[ResourceChange], stack: str) -> tuple[ResourceChange, ...]:
    return tuple(
        replace(change, address=in_stack(stack, change.address), stack=stack) for change in changes
    )


def with_tables(text: str, stack: str) -> str:
    """Return a text whose tables for terralive.toml name the functions of one stack."""
    if not stack:
        return text
    return text.replace(_TABLE, f"{_TABLE}{stack}/")


def refused_of_stack(refused: Mapping[str, NotLive], stack: str) -> dict[str, NotLive]:
    """Return functions that stay as they are, by `STACK/ADDRESS`."""
    return {
        in_stack(stack, address): replace(
            item,
            address=in_stack(stack, item.address),
            reason=with_tables(item.reason, stack),
            lines=tuple(with_tables(line, stack) for line in item.lines),
        )
        for address, item in refused.items()
    }


def one_page(pages: Sequence[PlanMade]) -> PlanMade:
    """Return the plans of several stacks as one."""
    if len(pages) == 1:
        return pages[0]
    refused: dict[str, str] = {}
    for page in pages:
        refused.update(page.refused)
    # A stack that cannot be planned yet has no number of changes.
    counts = [page.changes for page in pages if page.changes is not None]
    changes = sum(counts) if counts else None
    return PlanMade(
        stage=pages[0].stage,
        functions=tuple(function for page in pages for function in page.functions),
        refused=refused,
        changes=changes,
        not_live=tuple(function for page in pages for function in page.not_live),
        other_changes=tuple(change for page in pages for change in page.other_changes),
        first=all(page.first for page in pages),
        project=pages[0].project,
    )

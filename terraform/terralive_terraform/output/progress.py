"""Events of Terraform's machine-readable output (`-json`).

Pure: no processes, no clock. The lines are described at
https://developer.hashicorp.com/terraform/internals/machine-readable-ui. A line that is not JSON, or
of a type that this module does not know, is no event (None): Terraform may add types at any time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from terralive_stub.shared.json_documents import Json, number, parse_object, section, text


@dataclass(frozen=True, slots=True)
class Change:
    """One change that Terraform plans for a resource.

    Attributes:
        action: `create`, `update`, `delete`, `replace`, `read` or `import`.
        reason: Terraform's reason (`cannot_update`, `tainted`), or "" where it gives none.
    """

    address: str
    action: str
    type: str
    reason: str = ""


class ResourceState(StrEnum):
    """State of the change of a resource in an apply."""

    STARTED = "started"
    PROGRESS = "progress"
    DONE = "done"
    FAILED = "failed"


_STATES: Final = {
    "apply_start": ResourceState.STARTED,
    "apply_progress": ResourceState.PROGRESS,
    "apply_complete": ResourceState.DONE,
    "apply_errored": ResourceState.FAILED,
}


@dataclass(frozen=True, slots=True)
class ResourceProgress:
    """An apply changes a resource, since so many seconds; None at the start."""

    address: str
    action: str
    state: ResourceState
    elapsed_s: float | None = None


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A warning or an error of Terraform.

    Attributes:
        severity: `warning` or `error`.
        summary: its first line.
        detail: the other lines.
        address: the instance that it is about; "" where it names none.
        where: its place, `file:line`; "" where it names none.
        block: the address of the block at that place, without its module; "" where it names none.
    """

    severity: str
    summary: str
    detail: str = ""
    address: str = ""
    where: str = ""
    block: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a plan, an apply or a destroy (`operation`), with the numbers of resources."""

    operation: str
    add: int
    change: int
    remove: int
    imported: int = 0


@dataclass(frozen=True, slots=True)
class ChangedOutputs:
    """The names of the outputs that a plan changes."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutputLine:
    """A plain sentence: "Installing providers", "Waiting for Terraform to write its state"."""

    text: str


Progress: TypeAlias = Change | ResourceProgress | Diagnostic | Summary | ChangedOutputs | OutputLine
# These come when Terraform has read the configuration, and not before. All others may come earlier:
# `state_lock_acquire` does.
_AFTER_READING: Final = (
    "refresh_start",
    "refresh_complete",
    "resource_drift",
    "planned_change",
    "change_summary",
    "outputs",
    "apply_start",
    "apply_progress",
    "apply_complete",
    "apply_errored",
)


def parse_line(line: str) -> Progress | None:
    """Return the event of one line of Terraform's `-json` output; None where it is none."""
    document = parse_object(line)
    match text(document, "type"):
        case "planned_change":
            return _planned_change(section(document, "change"))
        case "apply_start" | "apply_progress" | "apply_complete" | "apply_errored" as kind:
            return _resource(_STATES[kind], section(document, "hook"))
        case "diagnostic":
            return diagnostic(section(document, "diagnostic"))
        case "change_summary":
            return _summary(section(document, "changes"))
        case "outputs":
            return _changed_outputs(section(document, "outputs"))
        case _:
            return None


def has_read_configuration(line: str) -> bool:
    """Return whether Terraform has read all configuration files when it prints this line.

    It reads them and starts providers first, and only then refreshes, plans or changes resources.
    """
    return text(parse_object(line), "type") in _AFTER_READING


def is_about_installed_providers(event: Progress) -> bool:
    """Return whether an event is the warning that a CLI configuration names the providers."""
    return _is_warning(event, "Provider development overrides are in effect")


def is_about_targets(event: Progress) -> bool:
    """Return whether an event is a warning that every plan with targets gives."""
    return _is_warning(
        event, "Resource targeting is in effect", "Applied changes may be incomplete"
    )


def _is_warning(event: Progress, *summaries: str) -> bool:
    if not isinstance(event, Diagnostic) or event.severity != "warning":
        return False
    return event.summary.startswith(summaries)


def diagnostic(document: Mapping[str, Json]) -> Diagnostic:
    """Return the diagnostic of one diagnostic object."""
    place = section(document, "range")
    filename = text(place, "filename")
    where = ""
    if filename:
        line = int(number(section(place, "start"), "line"))
        where = f"{filename}:{line}"
    return Diagnostic(
        severity=text(document, "severity"),
        summary=text(document, "summary"),
        detail=text(document, "detail").strip(),
        address=text(document, "address"),
        where=where,
        block=_address_of(text(section(document, "snippet"), "context")),
    )


def _address_of(context: str) -> str:
    """Return the address of a block that a diagnostic quotes.

    Args:
        context: `resource "type" "name"`, or `resource.type.name` in a file in JSON syntax.
    """
    return ".".join(re.findall(r"[^\s\".]+", context)).removeprefix("resource.")


def _planned_change(change: Mapping[str, Json]) -> Change:
    resource = section(change, "resource")
    return Change(
        address=text(resource, "addr"),
        action=text(change, "action"),
        type=text(resource, "resource_type"),
        reason=text(change, "reason"),
    )


def _resource(state: ResourceState, hook: Mapping[str, Json]) -> ResourceProgress:
    elapsed_s = None if state is ResourceState.STARTED else number(hook, "elapsed_seconds")
    address = text(section(hook, "resource"), "addr")
    return ResourceProgress(address, text(hook, "action"), state, elapsed_s)


def _summary(changes: Mapping[str, Json]) -> Summary:
    names = ("add", "change", "remove", "import")
    add, change, remove, imported = (int(number(changes, name)) for name in names)
    return Summary(text(changes, "operation"), add, change, remove, imported)


def _changed_outputs(outputs: Mapping[str, Json]) -> ChangedOutputs | None:
    """Return the outputs that a plan changes; None for the outputs after an apply."""
    actions = {name: text(section(outputs, name), "action") for name in outputs}
    if not any(actions.values()):
        return None
    return ChangedOutputs(tuple(name for name, action in actions.items() if action != "noop"))

"""Events of Terraform's machine-readable output (`-json`), and the error for a run that failed.

Pure: no processes, no clock. The lines are described at
https://developer.hashicorp.com/terraform/internals/machine-readable-ui. A line that is not JSON, or
of a type that this module does not know, is no event (None): Terraform may add types at any time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from terralive_stub.errors import CredentialsError, TerraformError, TerraliveError
from terralive_stub.shared.json_documents import Json, number, parse_object, section, text
from terralive_terraform.runs.refusals import describe_missing


@dataclass(frozen=True, slots=True)
class Change:
    """One change that Terraform plans for a resource.

    Attributes:
        action: `create`, `update`, `delete`, `replace` or `read`.
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
    """A warning or an error of Terraform. `where` is `file:line`, or "" where it names none."""

    severity: str
    summary: str
    detail: str = ""
    address: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a plan, an apply or a destroy (`operation`), with the numbers of resources."""

    operation: str
    add: int
    change: int
    remove: int


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
    )


_CREDENTIALS: Final = re.compile(
    r"no valid credential sources|InvalidClientTokenId|UnrecognizedClientException|ExpiredToken"
    r"|SignatureDoesNotMatch|security token included in the request is (invalid|expired)"
    r"|failed to refresh cached credentials|SSO session has expired"
    r"|failed to get shared config profile|InvalidAccessKeyId",
    re.IGNORECASE,
)
_PERMISSIONS: Final = re.compile(
    r"AccessDenied|is not authorized to perform|UnauthorizedOperation|UnauthorizedAccess"
    r"|StatusCode: 403",
    re.IGNORECASE,
)
_UNREACHABLE: Final = re.compile(
    r"connection refused|no such host|dial tcp|i/o timeout|request send failed"
    r"|network is unreachable",
    re.IGNORECASE,
)
# `terraform init` and `terraform get` name the registry that they cannot reach.
_REGISTRY: Final = re.compile(
    r"could not connect to registry\.|failed to request discovery document"
    r"|failed to query available provider packages",
    re.IGNORECASE,
)
_LOCKED: Final = re.compile(r"acquiring the state lock", re.IGNORECASE)
# A plan reports these, and an init mends them.
_UNINITIALISED: Final = re.compile(
    r"backend initialization required|required plugins are not installed|module not installed"
    r"|inconsistent dependency lock file|module source has changed"
    r"|module version requirements have changed|missing required provider"
    r"|initialization required|run \"?terraform init",
    re.IGNORECASE,
)


def needs_init(diagnostics: Sequence[Diagnostic]) -> bool:
    """Return whether Terraform asks for an init."""
    return any(_UNINITIALISED.search(f"{item.summary}\n{item.detail}") for item in diagnostics)


def failure(command: str, diagnostics: Sequence[Diagnostic], output: str) -> TerraliveError:
    """Return the error for a Terraform run that failed.

    Its family and hint follow from the texts of Terraform and of the AWS provider, as there is no
    other sign.

    Args:
        command: the command: `plan`.
        diagnostics: the diagnostics of its `-json` output.
        output: its other output, used only where there is no diagnostic.
    """
    errors = [item for item in diagnostics if item.severity == "error"]
    said = (
        "\n\n".join(_describe(item) for item in errors)
        or output.strip()
        or "Terraform printed nothing."
    )
    message = f"terraform {command} failed.\n{said}"
    if _CREDENTIALS.search(said):
        return CredentialsError(
            "aws-credentials",
            message,
            hint="AWS does not accept the credentials of this shell. Sign in again "
            "(`aws sso login`, or set AWS_PROFILE) and check with `aws sts get-caller-identity`.",
        )
    if _PERMISSIONS.search(said):
        return CredentialsError(
            "aws-permission",
            message,
            hint=f"{describe_missing(said)} terralive's own are listed in docs/PERMISSIONS.md. Ask "
            "for what is missing, or use another profile.",
        )
    if _LOCKED.search(said):
        return TerraformError(
            "terraform-locked",
            message,
            hint="Another Terraform run holds the lock of this state. Wait until it has ended and "
            "try again. Use `terraform force-unlock` only if that run is known to be dead.",
        )
    if _REGISTRY.search(said):
        return TerraformError(
            "registry-unreachable",
            message,
            hint="Terraform cannot download a provider or module. Check the network. Without one, "
            "set TERRALIVE_PROVIDER_MIRROR to a folder that `terraform providers mirror` has made.",
        )
    if _UNREACHABLE.search(said):
        return CredentialsError(
            "aws-unreachable",
            message,
            hint="The endpoint did not answer. Check the network, AWS_ENDPOINT_URL and the region. "
            "With --sandbox, check that `terralive sandbox` still runs.",
        )
    return TerraformError(
        "terraform-failed",
        message,
        hint="Correct what Terraform names above and run the same command again.",
    )


def _describe(item: Diagnostic) -> str:
    """Return a diagnostic as Terraform prints it: summary, place and detail."""
    place = []
    if item.address:
        place.append(f"with {item.address}")
    if item.where:
        place.append(f"at {item.where}")
    lines = [f"{item.summary} ({' '.join(place)})"] if place else [item.summary]
    if item.detail:
        lines.append(item.detail)
    return "\n".join(lines)


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
    add, change, remove = (int(number(changes, name)) for name in ("add", "change", "remove"))
    return Summary(text(changes, "operation"), add, change, remove)


def _changed_outputs(outputs: Mapping[str, Json]) -> ChangedOutputs | None:
    """Return the outputs that a plan changes; None for the outputs after an apply."""
    actions = {name: text(section(outputs, name), "action") for name in outputs}
    if not any(actions.values()):
        return None
    return ChangedOutputs(tuple(name for name, action in actions.items() if action != "noop"))

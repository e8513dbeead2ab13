"""Terraform's machine-readable output (`-json`), read into events. Pure: no processes, no clock.

The lines are described at https://developer.hashicorp.com/terraform/internals/machine-readable-ui.
A line that is not JSON, or of a type that this module does not know, says nothing (`None`):
Terraform may add types at any time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from terralive_stub.errors import CredentialsError, TerraformError, TerraliveError
from terralive_terraform.documents import Json, number, parse_object, section, text


@dataclass(frozen=True, slots=True)
class Change:
    """What Terraform would do to one resource.

    Attributes:
        action: `create`, `update`, `delete`, `replace` or `read`.
        reason: why, in Terraform's word (`cannot_update`, `tainted`), where it gives one.
    """

    address: str
    action: str
    type: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PlannedChange:
    change: Change


@dataclass(frozen=True, slots=True)
class ResourceStarted:
    address: str
    action: str


@dataclass(frozen=True, slots=True)
class ResourceProgressed:
    address: str
    action: str
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class ResourceCompleted:
    address: str
    action: str
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class ResourceFailed:
    address: str
    action: str
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A warning or an error of Terraform, with `where` as `file:line` or ""."""

    severity: str
    summary: str
    detail: str = ""
    address: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a plan, an apply or a destroy (`operation`)."""

    operation: str
    add: int
    change: int
    remove: int


@dataclass(frozen=True, slots=True)
class Note:
    """A plain sentence: `Installing providers`, `Waiting for Terraform to write its state`."""

    text: str


Progress: TypeAlias = (
    PlannedChange
    | ResourceStarted
    | ResourceProgressed
    | ResourceCompleted
    | ResourceFailed
    | Diagnostic
    | Summary
    | Note
)


def parse_line(line: str) -> Progress | None:
    """Read one line of Terraform's `-json` output."""
    document = parse_object(line)
    reader = _READERS.get(text(document, "type"))
    return reader(document) if reader else None


def diagnostic(document: Mapping[str, Json]) -> Diagnostic:
    """Read one diagnostic object."""
    place = section(document, "range")
    filename = text(place, "filename")
    line = int(number(section(place, "start"), "line"))
    return Diagnostic(
        severity=text(document, "severity"),
        summary=text(document, "summary"),
        detail=text(document, "detail").strip(),
        address=text(document, "address"),
        where=f"{filename}:{line}" if filename else "",
    )


_CREDENTIALS: Final = re.compile(
    r"no valid credential sources|InvalidClientTokenId|UnrecognizedClientException|ExpiredToken|SignatureDoesNotMatch"
    r"|security token included in the request is (invalid|expired)|failed to refresh cached credentials"
    r"|SSO session has expired|failed to get shared config profile|InvalidAccessKeyId",
    re.IGNORECASE,
)
_PERMISSIONS: Final = re.compile(
    r"AccessDenied|is not authorized to perform|UnauthorizedOperation|UnauthorizedAccess|StatusCode: 403",
    re.IGNORECASE,
)
_UNREACHABLE: Final = re.compile(
    r"connection refused|no such host|dial tcp|i/o timeout|request send failed|network is unreachable",
    re.IGNORECASE,
)
# `terraform init` and `terraform get` name the registry that they cannot reach.
_REGISTRY: Final = re.compile(
    r"could not connect to registry\.|failed to request discovery document"
    r"|failed to query available provider packages",
    re.IGNORECASE,
)
_LOCKED: Final = re.compile(r"acquiring the state lock", re.IGNORECASE)
# Terraform says so at a plan; an init puts it right.
_UNINITIALISED: Final = re.compile(
    r"backend initialization required|required plugins are not installed|module not installed"
    r"|inconsistent dependency lock file|module source has changed|module version requirements have changed"
    r"|missing required provider|initialization required|run \"?terraform init",
    re.IGNORECASE,
)


def needs_init(diagnostics: Sequence[Diagnostic]) -> bool:
    """Tell whether Terraform asks for an init."""
    return any(_UNINITIALISED.search(f"{item.summary}\n{item.detail}") for item in diagnostics)


def failure(command: str, diagnostics: Sequence[Diagnostic], output: str) -> TerraliveError:
    """Give the error for a Terraform run that failed.

    Args:
        command: what was run: `plan`.
        diagnostics: what Terraform said with `-json`.
        output: whatever else it printed, used only where there is no diagnostic.
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
            hint="AWS does not accept the credentials of this shell. Sign in again (`aws sso login`, or set "
            "AWS_PROFILE) and check with `aws sts get-caller-identity`.",
        )
    if _PERMISSIONS.search(said):
        return CredentialsError(
            "aws-permission",
            message,
            hint="Your identity lacks a permission that Terraform needs. Ask for the one named above, or use another "
            "profile.",
        )
    if _LOCKED.search(said):
        return TerraformError(
            "terraform-locked",
            message,
            hint="Somebody else's Terraform run holds this state. Wait for its end and try again; `terraform "
            "force-unlock` is for a run that is known to be dead.",
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
            hint="The endpoint did not answer. Check the network, AWS_ENDPOINT_URL and the region; with --sandbox, "
            "check that `terralive sandbox` still runs.",
        )
    return TerraformError(
        "terraform-failed",
        message,
        hint="Correct what Terraform names above and run the same command again.",
    )


def _describe(item: Diagnostic) -> str:
    place = " ".join(
        part
        for part in (item.address and f"with {item.address}", item.where and f"at {item.where}")
        if part
    )
    return "\n".join(
        part
        for part in (f"{item.summary} ({place})" if place else item.summary, item.detail)
        if part
    )


def _planned_change(document: Mapping[str, Json]) -> Progress:
    change = section(document, "change")
    resource = section(change, "resource")
    return PlannedChange(
        Change(
            address=text(resource, "addr"),
            action=text(change, "action"),
            type=text(resource, "resource_type"),
            reason=text(change, "reason"),
        )
    )


def _started(document: Mapping[str, Json]) -> Progress:
    hook = section(document, "hook")
    return ResourceStarted(text(section(hook, "resource"), "addr"), text(hook, "action"))


def _hook(kind: type[ResourceProgressed | ResourceCompleted | ResourceFailed]) -> _Reader:
    def read(document: Mapping[str, Json]) -> Progress:
        hook = section(document, "hook")
        return kind(
            text(section(hook, "resource"), "addr"),
            text(hook, "action"),
            number(hook, "elapsed_seconds"),
        )

    return read


def _summary(document: Mapping[str, Json]) -> Progress:
    changes = section(document, "changes")
    add, change, remove = (int(number(changes, name)) for name in ("add", "change", "remove"))
    return Summary(text(changes, "operation"), add, change, remove)


_Reader: TypeAlias = Callable[[Mapping[str, Json]], Progress]
_READERS: Final[Mapping[str, _Reader]] = {
    "planned_change": _planned_change,
    "apply_start": _started,
    "apply_progress": _hook(ResourceProgressed),
    "apply_complete": _hook(ResourceCompleted),
    "apply_errored": _hook(ResourceFailed),
    "diagnostic": lambda document: diagnostic(section(document, "diagnostic")),
    "change_summary": _summary,
}

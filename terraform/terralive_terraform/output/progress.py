"""Events of Terraform's machine-readable output (`-json`), and the error for a run that failed.

Pure: no processes, no clock. The lines are described at
https://developer.hashicorp.com/terraform/internals/machine-readable-ui. A line that is not JSON, or
of a type that this module does not know, is no event (None): Terraform may add types at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from terralive_stub.errors import CredentialsError, TerraformError, TerraliveError
from terralive_stub.shared.json_documents import Json, number, parse_object, section, text
from terralive_terraform.output.refusals import describe_missing


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


# https://developer.hashicorp.com/terraform/cli/commands/plan#resource-targeting
_MOVES_EXCLUDED: Final = "Moved resource instances excluded by targeting"


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


def excludes_moves(diagnostics: Iterable[Diagnostic]) -> bool:
    """Return whether a plan failed because a `moved` block is about what is not targeted."""
    return any(item.summary == _MOVES_EXCLUDED for item in diagnostics)


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


@dataclass(frozen=True, slots=True)
class _KnownFailure:
    """A failure that is recognised by Terraform's or the AWS provider's text.

    Attributes:
        family: the family of its error.
        reference: the error's reference.
        texts: parts of the text.
        hint: what to do; `{missing}` stands for the permissions that are missing.
        command: the only command that fails in this way; "" for all.
    """

    family: type[TerraliveError]
    reference: str
    texts: re.Pattern[str]
    hint: str
    command: str = ""


def _any_of(*texts: str) -> re.Pattern[str]:
    return re.compile("|".join(texts), re.IGNORECASE)


# What the network says, to Go's programs and to Git.
_NO_ANSWER: Final = (
    "connection refused|no such host|dial tcp|i/o timeout|network is unreachable|Client.Timeout"
    "|TLS handshake timeout|failed to connect to|could not resolve host|connection timed out"
)
BUILD_MISSING: Final = "build-missing"
PLAN_STALE: Final = "plan-stale"
# The first one that fits counts.
_KNOWN: Final = (
    _KnownFailure(
        CredentialsError,
        "aws-credentials",
        _any_of(
            "no valid credential sources",
            "InvalidClientTokenId",
            "UnrecognizedClientException",
            "ExpiredToken",
            "SignatureDoesNotMatch",
            "security token included in the request is (invalid|expired)",
            "failed to refresh cached credentials",
            "SSO session has expired",
            "failed to get shared config profile",
            "InvalidAccessKeyId",
        ),
        hint="AWS does not accept the credentials of this shell. Sign in again (`aws sso login`, "
        "or set AWS_PROFILE) and check with `aws sts get-caller-identity`.",
    ),
    _KnownFailure(
        CredentialsError,
        "aws-permission",
        _any_of(
            "AccessDenied",
            "is not authorized to perform",
            "UnauthorizedOperation",
            "UnauthorizedAccess",
            "StatusCode: 403",
        ),
        hint="{missing} terralive's own are listed in docs/PERMISSIONS.md. Ask for what is "
        "missing, or use another profile.",
    ),
    _KnownFailure(
        TerraformError,
        "terraform-locked",
        _any_of("acquiring the state lock"),
        hint="Another Terraform run holds the lock of this state. Wait until it has ended and try "
        "again. Use `terraform force-unlock` only if that run is known to be dead.",
    ),
    _KnownFailure(
        TerraformError,
        PLAN_STALE,
        _any_of("saved plan is stale", "saved plan does not match the given state"),
        hint="Something else changes this state at the same time: another person, or a pipeline. "
        "Nothing of this plan was applied. Wait until the other run has ended, and run the same "
        "command again.",
        command="apply",
    ),
    _KnownFailure(
        TerraformError,
        BUILD_MISSING,
        # `filebase64sha256("dist/code.zip")` of a file that nobody has built, and an archive of a
        # folder that nobody has built.
        _any_of(r'Call to function "file\w*" failed', "could not archive missing (directory|file)"),
        hint="A file that the configuration reads is not there. Build it, or correct its path.",
    ),
    _KnownFailure(
        TerraformError,
        "registry-unreachable",
        # `terraform init` and `terraform get` name the registry that they cannot reach.
        _any_of(
            r"could not connect to registry\.",
            "failed to request discovery document",
            "failed to query available provider packages",
            # A module's address may be a Git repository or a URL. Both may also have no such
            # version, and then nothing is wrong with the network.
            rf"failed to (?:install provider|download module)\b.*(?:{_NO_ANSWER})",
        ),
        hint="Terraform cannot download a provider or module. Check the network. Without one, set "
        "TERRALIVE_PROVIDER_MIRROR to a folder that `terraform providers mirror` has made.",
    ),
    _KnownFailure(
        CredentialsError,
        "aws-unreachable",
        _any_of(_NO_ANSWER, "request send failed"),
        hint="The endpoint did not answer. Check the network, AWS_ENDPOINT_URL and the region. "
        "With --sandbox, check that `terralive sandbox` still runs.",
    ),
    _KnownFailure(
        TerraformError,
        "backend-incomplete",
        _any_of(
            "is required by the backend", r"\bargument is required", "required field is not set"
        ),
        hint="The backend is only partly configured here. Name the rest as for `terraform init "
        '-backend-config`: [terraform] backend_config = ["bucket=…", "dev.s3.tfbackend"] in '
        "terralive.toml, or TERRALIVE_BACKEND_CONFIG. The debug stack's own backend has its "
        "arguments in [backend.config].",
        command="init",
    ),
    _KnownFailure(
        TerraformError,
        "backend-changed",
        _any_of("backend configuration changed"),
        hint="This folder was initialised with another backend. Run your own `terraform init` with "
        "-reconfigure or -migrate-state. Where stages have backends of their own, name them with "
        "[terraform] backend_config in terralive.toml.",
        command="init",
    ),
    _KnownFailure(
        TerraformError,
        "terraform-failed",
        _any_of(""),
        hint="Correct what Terraform names above and run the same command again.",
    ),
)
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
    # An init breaks its lines anywhere.
    on_one_line = " ".join(said.split())
    fitting = (
        known
        for known in _KNOWN
        if known.command in ("", command) and known.texts.search(on_one_line)
    )
    known = next(fitting)
    hint = known.hint.replace("{missing}", describe_missing(said))
    return known.family(known.reference, message, hint=hint)


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
    names = ("add", "change", "remove", "import")
    add, change, remove, imported = (int(number(changes, name)) for name in names)
    return Summary(text(changes, "operation"), add, change, remove, imported)


def _changed_outputs(outputs: Mapping[str, Json]) -> ChangedOutputs | None:
    """Return the outputs that a plan changes; None for the outputs after an apply."""
    actions = {name: text(section(outputs, name), "action") for name in outputs}
    if not any(actions.values()):
        return None
    return ChangedOutputs(tuple(name for name, action in actions.items() if action != "noop"))

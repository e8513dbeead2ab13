"""The error for a Terraform run that failed, by the texts of Terraform and of the AWS provider.

Terraform gives no other sign of the cause. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from terralive_stub.errors import CredentialsError, TerraformError, TerraliveError
from terralive_terraform.output.progress import Diagnostic
from terralive_terraform.output.refusals import describe_missing

# https://developer.hashicorp.com/terraform/cli/commands/plan#resource-targeting
_MOVES_EXCLUDED: Final = "Moved resource instances excluded by targeting"


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


class _DiagnosedError(TerraformError):
    """A failure whose cause is more than a text.

    Attributes:
        diagnostics: what Terraform says of it.
    """

    diagnostics: tuple[Diagnostic, ...] = ()


class BuildMissingError(_DiagnosedError):
    """Files that the configuration reads are not there (`build-missing`)."""


class ResourceExistsError(_DiagnosedError):
    """AWS has what an apply would create, and the state does not have it (`resource-exists`)."""


def _any_of(*texts: str) -> re.Pattern[str]:
    return re.compile("|".join(texts), re.IGNORECASE)


# Texts of network errors in Go programs and in Git.
_NO_ANSWER: Final = (
    "connection refused|no such host|dial tcp|i/o timeout|network is unreachable|Client.Timeout"
    "|TLS handshake timeout|failed to connect to|could not resolve host|connection timed out"
)
# `filesha256` and its like, and `file`, which names its argument.
_FILE_MISSING: Final = re.compile(
    r'Call to function "file\w*" failed|no file exists at "', re.IGNORECASE
)
BUILD_MISSING: Final = "build-missing"
PLAN_STALE: Final = "plan-stale"
RESOURCE_EXISTS: Final = "resource-exists"
# The first one that fits counts.
_KNOWN: Final = (
    _KnownFailure(
        TerraformError,
        "function-not-served",
        # `aws_lambda_invocation` of a live function, with the stub's answer.
        _any_of(r"Terralive\.No(Relay|tServed)"),
        hint="The configuration invokes a live function (aws_lambda_invocation), and no relay is "
        "connected. Keep `terralive start` running where the function became live, and run this "
        "command again. Or put the functions' own code back first: `terralive restore`.",
    ),
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
        BuildMissingError,
        BUILD_MISSING,
        # `filebase64sha256("dist/code.zip")` of a file that nobody has built, and an archive of a
        # folder that nobody has built.
        _any_of(_FILE_MISSING.pattern, "could not archive missing (directory|file)"),
        hint="A file that the configuration reads is not there. Build it, or correct its path.",
    ),
    _KnownFailure(
        ResourceExistsError,
        RESOURCE_EXISTS,
        # The names of AWS's errors, or their text, where the name has other meanings, too.
        _any_of(
            "EntityAlreadyExists",
            "ResourceAlreadyExistsException",
            "BucketAlreadyOwnedByYou",
            "QueueAlreadyExists|QueueNameExists",
            "RepositoryAlreadyExistsException",
            r"(?:ResourceConflict|ResourceInUse|Conflict)Exception: .*already exists?\b",
            r"queue already exists|topic already exists",
        ),
        hint="A resource that this apply would create exists already, and the state does not have "
        "it: an interrupted deployment has left it, or it belongs to another state. Take it into "
        "the state by an `import` block, remove it, or choose another name.",
        command="apply",
    ),
    _KnownFailure(
        TerraformError,
        "registry-unreachable",
        _any_of(r"was not found in any of the search locations - [/\\~]"),
        hint="The folder that Terraform gets its providers from does not have this one. Add it by "
        "`terraform providers mirror FOLDER`, where the registry can be reached. The folder is set "
        "by TERRALIVE_PROVIDER_MIRROR or by `provider_installation` in Terraform's CLI "
        "configuration.",
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
        _any_of("no value for required variable"),
        hint='Name your variables file: [terraform] var_files = ["dev.tfvars"] in terralive.toml, '
        "relative to that file. Or set TF_VAR_… for the variable, or end this command with "
        "`-- -var-file=FILE`.",
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
    error = known.family(known.reference, message, hint=hint)
    if isinstance(error, _DiagnosedError):
        error.diagnostics = tuple(errors)
    return error


def misses_file(item: Diagnostic) -> bool:
    """Tell whether an error is that of a function which reads a file that is not there."""
    return _FILE_MISSING.search(" ".join(item.detail.split())) is not None


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


def excludes_moves(diagnostics: Iterable[Diagnostic]) -> bool:
    """Return whether a plan failed because a `moved` block is about what is not targeted."""
    return any(item.summary == _MOVES_EXCLUDED for item in diagnostics)


def from_first_error(lines: Sequence[str]) -> str:
    """Return the output of an init from its first `Error` on, without the frame around it."""
    text = "\n".join(lines)
    start = max(text.find("Error"), 0)
    text = text[start:]
    for frame in ("│ ", "╷", "╵", "│"):
        text = text.replace(frame, "")
    return text

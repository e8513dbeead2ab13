"""Decides which functions' code terralive changes by Lambda's API. Pure.

The AWS provider compares a function's code with Terraform's state only. So it does not notice code
that Lambda's API alone has put in a stub's place, nor an update of the code that has failed after
the state was written:
https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lambda_function
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from terralive_cli.live.stub_check import Look, Stub
from terralive_stub.broker.fallbacks import Replaced
from terralive_terraform.addresses import without_keys
from terralive_terraform.artifacts import STUB_HANDLERS
from terralive_terraform.output.state import DeployedFunction


class Keep(Enum):
    """What becomes of the code that a function has now."""

    KNOWN = auto()  # it is a stub's, in a version already, or what the configuration says
    VERSION = auto()  # it is published as a version first
    LOST = auto()  # it is in no version afterwards


@dataclass(frozen=True, slots=True)
class CodeChange:
    """A change of one function's code that terralive makes after Terraform's apply.

    Attributes:
        address: the function's address, with instance keys.
        arn: its ARN.
        sha256: the Base64 SHA-256 of the code that it has now.
        modified: the time of its last change, as Lambda writes it; "" where Lambda tells none.
        keep: what becomes of that code.
        ignored: what the function's lifecycle ignores, for which reason Terraform makes no change;
            () where Terraform does not notice that one is needed.
        handler: the handler that the configuration gives such a function; "" where it is not known.
        runtime: the runtime that the configuration gives it; "" where it is not known.
    """

    address: str
    arn: str
    sha256: str
    modified: str = ""
    keep: Keep = Keep.KNOWN
    ignored: tuple[str, ...] = ()
    handler: str = ""
    runtime: str = ""

    @property
    def reason(self) -> str:
        """Why terralive makes the change, and what becomes of the code that is there."""
        if self.ignored:
            return because_ignored(self.ignored)
        if self.keep is Keep.KNOWN:
            return (
                "by Lambda's API: its code is not this stage's stub, although Terraform's state "
                "says so, and Terraform sees no change"
            )
        since = ""
        if self.modified:
            since = f" (last change {self.modified})"
        after = "that code is published as a version first"
        if self.keep is Keep.LOST:
            after = "that code is in no version, and is lost"
        return (
            f"by Lambda's API: other code was deployed over its stub{since}, and Terraform sees no "
            f"change; {after}"
        )


def because_ignored(ignored: Sequence[str]) -> str:
    """Return why Lambda's API makes a function live."""
    if "all" in ignored:
        return "by Lambda's API, because Terraform ignores changes of it"
    return f"by Lambda's API, because Terraform ignores changes of its {', '.join(ignored)}"


def other_code(
    functions: Mapping[str, DeployedFunction], live: Collection[str], look: Look, stub: Stub
) -> Iterator[CodeChange]:
    """Yield the functions that have neither this stage's stub nor the code that the state names.

    Terraform itself replaces the code that the state names, where another one is configured.
    Terraform notices another container image.

    Args:
        functions: the functions of Terraform's state, by address.
        live: the addresses, without instance keys, of the functions that Terraform makes live.
        look: the functions as they are.
        stub: this stage's stub.
    """
    for address, function in sorted(functions.items()):
        if without_keys(address) not in live or function.handler not in STUB_HANDLERS:
            continue
        code = look.code.get(function.arn)
        if code is None or code.is_image or not code.sha256:
            continue
        if code.sha256 not in (stub.sha256, function.code_hash):
            yield CodeChange(address, function.arn, code.sha256, code.modified)


def keep(change: CodeChange, replaced: Replaced | None, *, is_known: bool) -> Keep:
    """Return what becomes of the code that a function has now.

    A version is published with the function's own settings. Only the version that the stub has
    replaced tells these.

    Args:
        change: the change.
        replaced: the record of what the stub has replaced; None for none.
        is_known: whether the code is a stub's, of another version of terralive, or what the
            configuration says.
    """
    if is_known:
        return Keep.KNOWN
    if replaced is None:
        return Keep.LOST
    if change.sha256 == replaced.code_sha256:
        return Keep.KNOWN
    return Keep.VERSION

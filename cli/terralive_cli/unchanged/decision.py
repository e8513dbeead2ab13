"""Decides whether a start may do without Terraform. Pure.

The answer is the reason why it may not, as the end of a sentence, or "". A reason costs seconds; a
wrong "" would serve an app that is not the configured one. So everything that is not certain is a
reason.
"""

from __future__ import annotations

import hashlib
import os.path
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from terralive_cli.joining.description import StackDescription
from terralive_cli.live.stub_check import DeployedCode, Look, Stub
from terralive_cli.unchanged.files import Snapshot, first_difference
from terralive_cli.unchanged.record import DeployedStub, Record
from terralive_cli.unchanged.settings import first_change
from terralive_stub.protocol.wire import VERSION as PROTOCOL


@dataclass(frozen=True, slots=True)
class Versions:
    """The version of terralive, and that of its wire protocol."""

    terralive: str
    protocol: int = PROTOCOL


def files_changed(record: Record, now: Snapshot, project: Path) -> str:
    """Return which file has changed; "" for none.

    Args:
        record: the last start.
        now: the same files now.
        project: the project's folder, which paths are shown from.
    """
    found = first_difference(record.snapshot, now)
    if found is None:
        return ""
    path, happened = found
    return f"{os.path.relpath(path, project)} {happened}"


def settings_changed(record: Record, now: Mapping[str, str]) -> str:
    """Return which setting has changed; "" for none."""
    name = first_change(record.settings, now)
    if name is None:
        return ""
    return f"{name} has changed"


def debug_stack_changed(
    record: Record, found: StackDescription | None, secret: bytes | None, versions: Versions
) -> str:
    """Return what is another one of the debug stack; "" for nothing.

    Args:
        record: the last start.
        found: the description of the debug stack in its table.
        secret: the stage's secret.
        versions: the versions of this terralive.
    """
    if found is None or secret is None:
        return "there is no debug stack"
    if (found.version, found.protocol) != (versions.terralive, versions.protocol):
        return f"the debug stack is of terralive {found.version}"
    if digest_of(found) != record.description:
        return "the debug stack has changed"
    return ""


def functions_changed(record: Record, look: Look, stub: Stub) -> str:
    """Return which function is not as the last start has left it; "" for none.

    Terraform's state may be far away, and a colleague may have changed it. What concerns a live
    function is in the function itself, and the time of its last change tells of everything.

    Args:
        record: the last start.
        look: the functions as they are.
        stub: this stage's stub.
    """
    for function in record.shown.functions:
        name, arn = function.shown_name, function.arn
        if arn not in look.code:
            return f"{name} cannot be looked at"
        code = look.code[arn]
        if code is None:
            return f"{name} does not exist any more"
        if not stub.is_in(code):
            return f"{name} does not carry this stage's stub"
        if _deployed(code) != record.deployed.get(arn):
            return f"{name} was changed at {code.modified}"
    return ""


def aliases_changed(record: Record, found: Mapping[str, Mapping[str, str]]) -> str:
    """Return the function one of whose aliases points elsewhere; "" for none.

    Args:
        record: the last start.
        found: the versions of aliases by their names, by the ARN of their function.
    """
    for arn in record.aliases:
        if record.aliases[arn] != found.get(arn):
            return f"an alias of {arn.rpartition(':')[2]} has changed"
    return ""


def deployed_stubs(look: Look, stub: Stub) -> dict[str, DeployedStub] | None:
    """Return live functions by ARN, to be written down; None where one does not carry the stub."""
    found: dict[str, DeployedStub] = {}
    for arn, code in look.code.items():
        if code is None or not stub.is_in(code):
            return None
        found[arn] = _deployed(code)
    return found


def digest_of(description: StackDescription) -> str:
    """Return a hash of a debug stack's description."""
    values = (
        description.app,
        description.stage,
        description.source,
        description.version,
        description.protocol,
        sorted(description.wishes.items()),
        sorted(description.outputs.items()),
    )
    return hashlib.sha256(repr(values).encode()).hexdigest()


def _deployed(code: DeployedCode) -> DeployedStub:
    return DeployedStub(code.sha256, code.modified)

"""Chooses the functions whose real code is deployed before their stubs take its place.

A function that is not deployed has no code that could answer where nobody is connected, and no
version that an alias could name. Where something needs one of these, Terraform first deploys the
function as its configuration says. It looks whether zip files exist, and changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from terralive_cli.fallback.candidates import Candidate
from terralive_cli.fallback.decision import ALWAYS, needs_own_code
from terralive_cli.functions.evaluated import EvaluatedApp
from terralive_stub.shared.json_documents import text
from terralive_terraform.addresses import without_keys
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.output.failures import BuildMissingError

_CHANGES: Final = ("create", "update", "replace")
_AWS: Final = "aws_"
_OBJECTS: Final = ("aws_s3_object", "aws_s3_bucket_object")


def with_own_code_first(
    found: Sequence[Candidate], evaluated: EvaluatedApp, stubs: Collection[str], project: Path
) -> Mapping[str, str]:
    """Return the functions whose real code comes first, by address without instance keys.

    Terraform changes all instances of a block in the same way. So a block with an instance that is
    deployed already is none of them: that one would lose its stub for a moment.

    Args:
        found: the functions that become live.
        evaluated: the app without stubs.
        stubs: the addresses, without instance keys, of those that Terraform makes live.
        project: the project's folder, which paths are shown relative to.

    Returns:
        The setting that needs it, as a user writes it.

    Raises:
        BuildMissingError: `fallback = true` asks for it, and the zip file does not exist.
    """
    blocks: dict[str, list[Candidate]] = {}
    for item in found:
        address = without_keys(item.address)
        if address in stubs:
            blocks.setdefault(address, []).append(item)
    planned: dict[str, list[PlannedFunction]] = {}
    for function in evaluated.planned:
        planned.setdefault(without_keys(function.address), []).append(function)
    reasons: dict[str, str] = {}
    for address, candidates in blocks.items():
        code = _Code(evaluated, planned.get(address, ()))
        reason = _reason(candidates, code, project)
        if reason:
            reasons[address] = reason
    return reasons


def _reason(instances: Sequence[Candidate], code: _Code, project: Path) -> str:
    """Return the setting for which the instances of a block get their own code; "" for none."""
    if any(item.function is not None for item in instances):
        return ""
    needs = {needs_own_code(item.choice, item.declared) for item in instances} - {""}
    if ALWAYS in needs:
        code.require(project)
        return ALWAYS
    if needs and not code.is_there():
        return ""
    return "".join(needs)


class _Code:
    """The real code of the instances of one block.

    Args:
        evaluated: the app without stubs.
        instances: the instances.
    """

    def __init__(self, evaluated: EvaluatedApp, instances: Sequence[PlannedFunction]) -> None:
        self._evaluated = evaluated
        self._instances = instances

    def require(self, project: Path) -> None:
        """Check that no zip file is missing, as far as that is known before an apply.

        Raises:
            BuildMissingError: one is.
        """
        for item in self._instances:
            if item.filename is None or self._has_file(item.filename):
                continue
            raise BuildMissingError(
                "build-missing",
                f"{item.address}: its zip file {os.path.relpath(item.filename, project)} does not "
                f"exist. With `{ALWAYS}`, its own code is deployed before the stub. Nothing was "
                "changed.",
                hint='Build it first, or set `fallback = "auto"` for this function: then the stub '
                "is its first code, and no deployed code answers where nobody is connected.",
            )

    def is_there(self) -> bool:
        """Tell whether an apply finds the code, as far as that is known before it."""
        unbuilt = self._evaluated.builds.touched(self._evaluated.made.shown)
        return all(item.address not in unbuilt and self._is_there(item) for item in self._instances)

    def _is_there(self, item: PlannedFunction) -> bool:
        if item.package_type not in (None, "Zip"):
            # Somebody may have to push the image first, when its repository exists.
            return False
        if item.filename is not None:
            return self._has_file(item.filename)
        if item.s3_key is not None:
            return item.s3_key in self._uploaded()
        return not item.unknown.isdisjoint(("filename", "s3_key"))

    def _has_file(self, file: Path) -> bool:
        """Tell whether a zip file exists, or something in the same apply may make it."""
        if file.exists():
            return True
        return any(
            resource.action in _CHANGES and not resource.type.startswith(_AWS)
            for resource in self._evaluated.made.shown.resources
        )

    def _uploaded(self) -> set[str]:
        """Return the keys of the S3 objects of the configuration."""
        evaluation = self._evaluated.made.evaluation
        return {
            text(item.values, "key") for kind in _OBJECTS for item in evaluation.instances(kind)
        }

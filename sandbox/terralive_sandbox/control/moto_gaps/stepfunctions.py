"""Differences of moto's Step Functions: checks of definitions, and lists of versions.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_ValidateStateMachineDefinition.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from moto.core.exceptions import AWSError
from moto.core.responses import ActionResult
from moto.stepfunctions.models import StateMachine, StepFunctionBackend
from moto.stepfunctions.responses import StepFunctionResponse

from terralive_sandbox.control.moto_gaps.replacements import Replacements
from terralive_sandbox.control.state_machines import diagnose

_MOST_DIAGNOSTICS: Final = 100


class _InvalidDefinitionError(AWSError):
    TYPE = "InvalidDefinition"
    STATUS = 400


def declare(replacements: Replacements) -> None:
    replacements.add(StepFunctionResponse, "validate_state_machine_definition", _validate)
    replacements.add(StepFunctionResponse, "list_state_machine_versions", _list_versions)
    for name in ("create_state_machine", "update_state_machine"):
        original = getattr(StepFunctionBackend, name)
        replacements.replace(StepFunctionBackend, name, _checked(original))


def _validate(self: StepFunctionResponse) -> ActionResult:
    """Answer ValidateStateMachineDefinition. Warnings are not emulated: there are none."""
    found = diagnose(self._get_param("definition") or "")
    most = self._get_int_param("maxResults") or _MOST_DIAGNOSTICS
    diagnostics = [
        {
            "severity": "ERROR",
            "code": diagnostic.code,
            "message": diagnostic.message,
            "location": diagnostic.location,
        }
        for diagnostic in found[:most]
    ]
    result = "OK"
    if found:
        result = "FAIL"
    return ActionResult(
        {"result": result, "diagnostics": diagnostics, "truncated": len(found) > most}
    )


def _list_versions(self: StepFunctionResponse) -> ActionResult:
    """Answer ListStateMachineVersions: all versions in one answer, the newest first.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_ListStateMachineVersions.html
    """
    arn = self._get_param("stateMachineArn")
    machine = self.stepfunction_backend.describe_state_machine(arn)
    versions = sorted(machine.versions.items(), reverse=True)
    return ActionResult(
        {
            "stateMachineVersions": [
                {"stateMachineVersionArn": version.arn, "creationDate": version.creation_date}
                for _, version in versions
            ]
        }
    )


def _checked(original: Callable[..., StateMachine]) -> Callable[..., StateMachine]:
    """Return a method of moto that takes only definitions without mistakes."""

    @functools.wraps(original)
    def checked(
        self: StepFunctionBackend,
        *args: Any,
        definition: str | None = None,
        **kwargs: Any,
    ) -> StateMachine:
        # An update may leave the definition as it is.
        if definition is not None:
            found = diagnose(definition)
            if found:
                reasons = ", ".join(f"{one.code}: {one.message} at {one.location}" for one in found)
                raise _InvalidDefinitionError(f"Invalid State Machine Definition: '{reasons}'")
        return original(self, *args, definition=definition, **kwargs)

    return checked

"""IAM: an update of a role changes only what it names."""

from __future__ import annotations

from typing import Final

from moto.iam.models import IAMBackend, Role

from terralive_sandbox.control.moto_gaps.replacements import Replacements

_DEFAULT_SESSION_SECONDS: Final = "3600"


def declare(replacements: Replacements) -> None:
    """Declare the replacements. Moto empties what an update of a role does not name.

    https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateRole.html
    """
    moto_update_role = IAMBackend.update_role

    def update_role(
        self: IAMBackend,
        role_name: str,
        role_description: str | None,
        max_session_duration: str | None,
    ) -> Role:
        role = self.get_role(role_name)
        description = role_description
        if description is None:
            description = role.description or ""
        duration = max_session_duration or role.max_session_duration or _DEFAULT_SESSION_SECONDS
        return moto_update_role(self, role_name, description, duration)

    replacements.replace(IAMBackend, "update_role", update_role)

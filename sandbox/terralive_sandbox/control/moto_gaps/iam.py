"""IAM: an update of a role that leaves alone what it does not name."""

from __future__ import annotations

from moto.iam.models import IAMBackend, Role


def roles_keep_what_an_update_leaves_out() -> None:
    """Else moto empties it.

    Https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateRole.html.
    """
    update = IAMBackend.update_role

    def update_role(
        self: IAMBackend,
        role_name: str,
        role_description: str | None,
        max_session_duration: str | None,
    ) -> Role:
        role = self.get_role(role_name)
        description = role.description if role_description is None else role_description
        return update(
            self,
            role_name,
            description or "",
            max_session_duration or role.max_session_duration or "3600",
        )

    IAMBackend.update_role = update_role  # type: ignore[method-assign] # the gap

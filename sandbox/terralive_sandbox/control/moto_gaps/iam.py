"""IAM: an update of a role changes only what it names, and AWS's policies take less memory."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any, Final

from moto.iam import aws_managed_policies
from moto.iam import models as iam_models
from moto.iam.models import AWSManagedPolicy, IAMBackend, ManagedPolicy, Role

from terralive_sandbox.control.moto_gaps.replacements import Replacements

_DEFAULT_SESSION_SECONDS: Final = "3600"


def declare(replacements: Replacements) -> None:
    """Declare the replacements."""
    _replace_updates(replacements)
    _replace_policies(replacements)


def _replace_policies(replacements: Replacements) -> None:
    """Let AWS's managed policies take less memory. Each account has all of them.

    Moto keeps their text, and parses all of it at once. Its pieces then lie between what stays, so
    that little of the memory can be used again.
    """
    compressed = zlib.compress(aws_managed_policies.aws_managed_policies_data.encode())

    def init_aws_policies(self: IAMBackend) -> list[ManagedPolicy]:
        text = zlib.decompress(compressed).decode()
        return [
            AWSManagedPolicy.from_data(name, self.account_id, self.region_name, policy)
            for name, policy in members(text)
        ]

    replacements.replace(IAMBackend, "_init_aws_policies", init_aws_policies)
    replacements.replace(aws_managed_policies, "aws_managed_policies_data", "")
    replacements.replace(iam_models, "aws_managed_policies_data", "")


def members(text: str) -> Iterator[tuple[str, Any]]:
    """Yield the members of a JSON object one after the other."""
    decoder = json.JSONDecoder()
    start = text.find('"')
    while start >= 0:
        name, end = decoder.raw_decode(text, start)
        value, end = decoder.raw_decode(text, text.index("{", end))
        yield name, value
        start = text.find('"', end)


def _replace_updates(replacements: Replacements) -> None:
    """Let an update of a role change only what it names. Moto empties the rest.

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

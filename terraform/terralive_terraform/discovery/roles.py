"""Roles whose inline policies belong to another resource. Pure.

The next apply would remove a policy that terralive adds to such a role. Only what the function's
own module declares is seen; nothing is known of a role that comes from elsewhere.

https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/iam_role#inline_policy-1
https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/iam_role_policies_exclusive
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from terralive_stub.shared.json_documents import Json, text
from terralive_terraform.discovery.declared import blocks, names_set

ROLE: Final = "aws_iam_role"
EXCLUSIVE: Final = "aws_iam_role_policies_exclusive"
_REFERENCE: Final = re.compile(r"^\$\{aws_iam_role\.([\w-]+)(?:\[[^\]]*\])?\.(?:arn|id|name)\}$")


def policy_owners(resources: Mapping[str, Json]) -> dict[str, str]:
    """Return the resources that own the inline policies of roles, by the roles' labels.

    Args:
        resources: a module's resources by type and label, in Terraform's JSON syntax.
    """
    owners: dict[str, str] = {}
    for label, block in blocks(resources, ROLE):
        if "inline_policy" in names_set(block):
            owners[label] = f"inline_policy of {ROLE}.{label}"
    for label, block in blocks(resources, EXCLUSIVE):
        role = _role(text(block, "role_name"))
        if role:
            owners[role] = f"{EXCLUSIVE}.{label}"
    return owners


def owner_for(function: Mapping[str, Json], owners: Mapping[str, str]) -> str | None:
    """Return the resource that owns the inline policies of a function's role, None for none."""
    return owners.get(_role(text(function, "role")))


def _role(reference: str) -> str:
    """Return the label of the role that an expression refers to; "" where it is another one."""
    match = _REFERENCE.match(reference)
    return match[1] if match else ""

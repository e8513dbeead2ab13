"""Roles whose inline policies something else owns: a policy added to one would be removed again, by the next apply.

Pure. It sees what stands in the function's own module; a role that comes from elsewhere says
nothing here.
https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/iam_role#inline_policy-1
https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/iam_role_policies_exclusive
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from terralive_terraform.documents import Json, section, text

ROLE: Final = "aws_iam_role"
EXCLUSIVE: Final = "aws_iam_role_policies_exclusive"
_REFERENCE: Final = re.compile(r"^\$\{aws_iam_role\.([\w-]+)(?:\[[^\]]*\])?\.(?:arn|id|name)\}$")


def policy_owners(resources: Mapping[str, Json]) -> dict[str, str]:
    """Give what owns the inline policies of roles, by the roles' labels.

    Args:
        resources: a module's resources by type and label, in Terraform's JSON syntax.
    """
    owners: dict[str, str] = {}
    for label, block in section(resources, ROLE).items():
        if isinstance(block, dict) and "inline_policy" in names_set(block):
            owners[label] = f"inline_policy of {ROLE}.{label}"
    for label, block in section(resources, EXCLUSIVE).items():
        role = _role(text(block, "role_name")) if isinstance(block, dict) else ""
        if role:
            owners[role] = f"{EXCLUSIVE}.{label}"
    return owners


def owner_for(function: Mapping[str, Json], owners: Mapping[str, str]) -> str | None:
    """Return the resource that owns the inline policies of a function's role, None for none."""
    return owners.get(_role(text(function, "role")))


def names_set(block: Mapping[str, Json]) -> Iterator[str]:
    """Give the names of what a block sets, also of the blocks that its `dynamic` makes."""
    for name, value in block.items():
        if name == "dynamic":
            for item in value if isinstance(value, list) else [value]:
                yield from item if isinstance(item, dict) else ()
        elif value is not None and value != []:
            yield name


def _role(reference: str) -> str:
    match = _REFERENCE.match(reference)
    return match[1] if match else ""

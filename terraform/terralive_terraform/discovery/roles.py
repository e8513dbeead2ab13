"""Roles whose inline policies belong to another resource. Pure.

The next apply would remove a policy that terralive adds to such a role. Only what the function's
own module declares is seen; nothing is known of a role that comes from elsewhere.

https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/iam_role#inline_policy-1
https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/iam_role_policies_exclusive
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from terralive_stub.shared.json_documents import Json, section, text

ROLE: Final = "aws_iam_role"
EXCLUSIVE: Final = "aws_iam_role_policies_exclusive"
_REFERENCE: Final = re.compile(r"^\$\{aws_iam_role\.([\w-]+)(?:\[[^\]]*\])?\.(?:arn|id|name)\}$")


def policy_owners(resources: Mapping[str, Json]) -> dict[str, str]:
    """Return the resources that own the inline policies of roles, by the roles' labels.

    Args:
        resources: a module's resources by type and label, in Terraform's JSON syntax.
    """
    owners: dict[str, str] = {}
    for label, block in section(resources, ROLE).items():
        if isinstance(block, dict) and "inline_policy" in names_set(block):
            owners[label] = f"inline_policy of {ROLE}.{label}"
    for label, block in section(resources, EXCLUSIVE).items():
        if isinstance(block, dict):
            role = _role(text(block, "role_name"))
            if role:
                owners[role] = f"{EXCLUSIVE}.{label}"
    return owners


def owner_for(function: Mapping[str, Json], owners: Mapping[str, str]) -> str | None:
    """Return the resource that owns the inline policies of a function's role, None for none."""
    return owners.get(_role(text(function, "role")))


def names_set(block: Mapping[str, Json]) -> Iterator[str]:
    """Yield the names of attributes and blocks that a block sets, also those of its `dynamic`."""
    for name, value in block.items():
        if name == "dynamic":
            dynamic = value if isinstance(value, list) else [value]
            for item in dynamic:
                if isinstance(item, dict):
                    yield from item
        elif value is not None and value != []:
            yield name


def _role(reference: str) -> str:
    """Return the label of the role that an expression refers to; "" where it is another one."""
    match = _REFERENCE.match(reference)
    if match is None:
        return ""
    return match[1]

"""Changes of a plan that are not the substitution of functions: what the user has to see. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from terralive_stub.shared.json_documents import text
from terralive_terraform.addresses import without_keys
from terralive_terraform.discovery.declared import FUNCTION_TYPE
from terralive_terraform.runs.shown_plan import PlannedResource, ShownPlan
from terralive_terraform.substitution.marker import is_stub

_UNCHANGED: Final = ("no-op", "read")
# What `rules` changes on a function that becomes live, and takes back from one that is restored.
_SUBSTITUTED: Final = frozenset(
    (
        *("description", "filename", "handler", "image_config", "image_uri", "layers"),
        *("package_type", "publish", "runtime", "s3_bucket", "s3_key", "s3_object_version"),
        *("snap_start", "source_code_hash", "timeout"),
    )
)
# What AWS computes anew with every update of a function:
# https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lambda_function
_COMPUTED: Final = frozenset(
    (
        *("code_sha256", "invoke_arn", "last_modified", "qualified_arn", "qualified_invoke_arn"),
        *("response_streaming_invoke_arn", "signing_job_arn", "signing_profile_version_arn"),
        *("source_code_size", "version"),
    )
)


@dataclass(frozen=True, slots=True)
class OtherChange:
    """A change of a plan beside the substitution.

    Attributes:
        address: the resource's address.
        action: `create`, `update`, `delete`, `replace`, `forget`, `import` or `move`.
        type: the resource's type.
        attributes: the names of the attributes that an update changes.
    """

    address: str
    action: str
    type: str
    attributes: tuple[str, ...] = ()

    @property
    def destroys(self) -> bool:
        """Whether it destroys something that exists on AWS."""
        return self.action in ("delete", "replace")


def other_changes(plan: ShownPlan, live: Collection[str] = ()) -> tuple[OtherChange, ...]:
    """Return what a plan changes beside the code of live functions.

    Args:
        plan: a plan that makes functions live or restores them.
        live: the addresses, without instance keys, of the functions that are live after it.
    """
    found: list[OtherChange] = []
    for resource in plan.resources:
        if resource.action in _UNCHANGED:
            continue
        attributes: frozenset[str] = frozenset()
        if resource.action == "update":
            attributes = resource.changed - _COMPUTED
            if _is_substitution(resource, live):
                attributes -= _SUBSTITUTED
                if not attributes:
                    continue
        names = tuple(sorted(attributes))
        found.append(OtherChange(resource.address, resource.action, resource.type, names))
    return tuple(found)


def _is_substitution(resource: PlannedResource, live: Collection[str]) -> bool:
    if resource.type != FUNCTION_TYPE:
        return False
    if without_keys(resource.address) in live:
        return True
    before = resource.before
    return is_stub(text(before, "handler"), text(before, "description"))

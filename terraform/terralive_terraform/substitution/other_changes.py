"""Changes of a plan that are not the substitution of functions: what the user has to see. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from terralive_stub.protocol.limits import FUNCTION_TIMEOUT_SECONDS
from terralive_stub.shared.json_documents import text
from terralive_terraform.addresses import without_keys
from terralive_terraform.discovery.declared import FUNCTION_TYPE, DeclaredFunction
from terralive_terraform.evaluation.aliases import ALIAS_TYPE
from terralive_terraform.output.shown_plan import PlannedResource, ShownPlan
from terralive_terraform.substitution.marker import is_stub
from terralive_terraform.substitution.rules import GIVEN, LATEST, TAKEN

_UNCHANGED: Final = ("no-op", "read")
# They exist in the state alone, and are replaced to run a command again:
# https://developer.hashicorp.com/terraform/language/resources/terraform-data
_IN_STATE_ONLY: Final = ("null_resource", "terraform_data")
# What AWS computes anew with every update of a function:
# https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lambda_function
COMPUTED: Final = frozenset(
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
        is_tainted: whether it is a replacement of what was created half-way.
    """

    address: str
    action: str
    type: str
    attributes: tuple[str, ...] = ()
    is_tainted: bool = False

    @property
    def destroys(self) -> bool:
        """Tell whether it destroys something that exists outside of Terraform's state."""
        if self.action == "replace" and self.type in _IN_STATE_ONLY:
            return False
        return self.action in ("delete", "replace")


def other_changes(
    plan: ShownPlan,
    functions: Collection[DeclaredFunction] = (),
    *,
    live: Collection[str] = (),
    raised: Mapping[str, int] | None = None,
) -> tuple[OtherChange, ...]:
    """Return what a plan changes beside the code of live functions.

    Args:
        plan: a plan that makes functions live or restores them.
        functions: functions that the configuration declares.
        live: the addresses, without instance keys, of the functions that are live after it.
        raised: the timeouts in seconds of functions that are debugged after it, by address.
    """
    longest = {function.address: function.debug_timeout for function in functions}
    found: list[OtherChange] = []
    for resource in plan.resources:
        if resource.action in _UNCHANGED or _moves_alias(resource):
            continue
        attributes: frozenset[str] = frozenset()
        if resource.action == "update":
            attributes = resource.changed - COMPUTED
            if resource.type == FUNCTION_TYPE:
                attributes -= _substituted(resource, live, raised or {}, longest)
                if not attributes:
                    continue
        names = tuple(sorted(attributes))
        found.append(
            OtherChange(
                resource.address, resource.action, resource.type, names, resource.is_tainted
            )
        )
    return tuple(found)


def _moves_alias(resource: PlannedResource) -> bool:
    """Tell whether nothing happens but that an alias points at a stub, or does so no more."""
    if resource.type != ALIAS_TYPE or resource.action != "update":
        return False
    versions = (resource.before.get("function_version"), resource.after.get("function_version"))
    return resource.changed == {"function_version"} and LATEST in versions


def _substituted(
    function: PlannedResource,
    live: Collection[str],
    raised: Mapping[str, int],
    longest: Mapping[str, int],
) -> frozenset[str]:
    """Return the attributes of a function in which terralive's own values come or go.

    Args:
        function: the function.
        live: see `other_changes`.
        raised: see `other_changes`.
        longest: the timeouts of functions while they are debugged, by address.
    """
    address = without_keys(function.address)
    before, after = function.before, function.after
    is_live = address in live
    was_live = is_stub(text(before, "handler"), text(before, "description"))
    own: set[str] = set()
    if is_live:
        # A stub that needs its layers keeps them, with all changes of the team's.
        own |= {name for name in TAKEN if not after.get(name) and name not in function.unknown}
    elif was_live:
        own |= {name for name in TAKEN if not before.get(name)}
    else:
        return frozenset()
    own |= GIVEN
    is_raised = address in raised and after.get("timeout") == raised[address]
    raised_before = longest.get(address, FUNCTION_TIMEOUT_SECONDS)
    is_taken_back = was_live and before.get("timeout") == raised_before
    if is_raised or is_taken_back:
        own.add("timeout")
    stub = after if is_live else before
    if stub.get("publish") is False:
        own.add("publish")
    return frozenset(own)

"""Checks of plans that make an app live or restore it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from terralive_stub.errors import TerraformError
from terralive_stub.shared.json_documents import text
from terralive_terraform.addresses import without_keys
from terralive_terraform.discovery.declared import FUNCTION_TYPE
from terralive_terraform.output.progress import Change
from terralive_terraform.output.shown_plan import ShownPlan
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.marker import is_stub

# Terraform's own reasons for a change that the configuration, or a creation that failed half-way,
# asks for:
# https://developer.hashicorp.com/terraform/internals/machine-readable-ui#planned-change
_ASKED_FOR: Final = ("tainted", "requested", "delete_because_")


def refuse_replacements(changes: Sequence[Change], addresses: Collection[str]) -> None:
    """Refuse a plan that deletes or replaces a function which should only get other code.

    Args:
        changes: the plan's changes.
        addresses: the functions that become live, without instance keys.

    Raises:
        TerraformError: `function-would-be-replaced`.
    """
    lost: list[str] = []
    for change in changes:
        is_live = change.type == FUNCTION_TYPE and without_keys(change.address) in addresses
        is_removed = change.action in ("delete", "replace")
        if is_live and is_removed and not change.reason.startswith(_ASKED_FOR):
            lost.append(change.address)
    if lost:
        raise TerraformError(
            "function-would-be-replaced",
            f"Terraform would delete and create again: {', '.join(lost)}. Nothing of the app has "
            "been applied: its triggers, permissions and aliases would go with it.",
            hint="`terraform plan` shows what forces it. A change that you mean (another "
            "function_name, another package type) comes first: `terraform apply`, or `terralive "
            "destroy` where terralive deployed the app. A container image whose package_type only "
            "Terraform knows (a module's variable) cannot become live: take it out of "
            "terralive.toml.",
        )


def refuse_new_images(
    changes: Sequence[Change], addresses: Collection[str], known: Collection[str] = ()
) -> None:
    """Refuse a plan that adds an instance to live functions that are container images.

    The key of an instance's stub is derived from its ARN, which may exist after the apply only.

    Args:
        changes: the plan's changes.
        addresses: the images with `count` or `for_each` that become live, without instance keys.
        known: the instances whose ARN is known before.

    Raises:
        TerraformError: `image-instance-new`.
    """
    new: list[str] = []
    for change in changes:
        is_live = change.type == FUNCTION_TYPE and without_keys(change.address) in addresses
        if is_live and change.action == "create" and change.address not in known:
            new.append(change.address)
    if new:
        raise TerraformError(
            "image-instance-new",
            f"The plan creates container images: {', '.join(new)}. The stub's image needs a key "
            "that is derived from the function's ARN, which Terraform does not know yet. Nothing "
            "of the app has been applied.",
            hint="Deploy them first with `terraform apply`, then run the command again.",
        )


def refuse_forgotten_stubs(plan: ShownPlan) -> None:
    """Refuse a plan that leaves a stub on AWS, and in no state: nothing could restore it.

    https://developer.hashicorp.com/terraform/language/block/removed

    Raises:
        TerraformError: `stub-would-be-forgotten`.
    """
    lost: list[str] = []
    for function in plan.of_type(FUNCTION_TYPE):
        before = function.before
        was_live = is_stub(text(before, "handler"), text(before, "description"))
        if was_live and function.action == "forget":
            lost.append(function.address)
    if lost:
        raise TerraformError(
            "stub-would-be-forgotten",
            "Terraform would remove live functions from its state and keep them on AWS: "
            f"{', '.join(lost)}. Their stubs would stay there. Nothing of the app has been "
            "applied.",
            hint="Put the functions' blocks back in the place of the `removed` blocks, run "
            "`terralive restore`, and remove them then.",
        )


def functions_after(
    deployed: Mapping[str, DeployedFunction], changes: Sequence[Change]
) -> dict[str, DeployedFunction]:
    """Return the functions that exist after a plan's apply, by address.

    Args:
        deployed: the deployed functions by address.
        changes: the plan's changes.
    """
    found: dict[str, DeployedFunction] = {}
    gone: set[str] = set()
    for change in changes:
        if change.type == FUNCTION_TYPE and change.action == "create":
            found[change.address] = DeployedFunction(name="", arn="")
        if change.type == FUNCTION_TYPE and change.action == "delete":
            gone.add(change.address)
    found.update(deployed)
    return {address: function for address, function in found.items() if address not in gone}

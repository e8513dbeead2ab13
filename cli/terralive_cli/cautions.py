"""What a user should know before an app becomes live, and what must not be applied at all. Pure: values in, values out.

It reads neither files nor AWS; `deployment.py` asks it, emits what it gives and stops where it raises.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from terralive_cli.events import Warning_
from terralive_stub.errors import TerraformError
from terralive_terraform.addresses import without_keys
from terralive_terraform.progress import Change
from terralive_terraform.substitution import FunctionFacts

_FUNCTION: Final = "aws_lambda_function"
# Terraform's own reasons for a change that the configuration, or a creation that failed half-way, asks for:
# https://developer.hashicorp.com/terraform/internals/machine-readable-ui#planned-change
_ASKED_FOR: Final = ("tainted", "requested", "delete_because_")


def refuse_replacements(changes: Sequence[Change], addresses: Collection[str]) -> None:
    """Stop before a plan that deletes or replaces a function which only ought to get other code.

    Args:
        changes: the plan's.
        addresses: the functions that become live, without instance keys.

    Raises:
        TerraformError: `function-would-be-replaced`.
    """
    lost = [
        change.address
        for change in changes
        if change.type == _FUNCTION
        and change.action in ("delete", "replace")
        and without_keys(change.address) in addresses
        and not change.reason.startswith(_ASKED_FOR)
    ]
    if lost:
        raise TerraformError(
            "function-would-be-replaced",
            f"Terraform would delete and create again: {', '.join(lost)}. Nothing of the app has been applied: "
            "its triggers, permissions and aliases would go with it.",
            hint="`terraform plan` shows what forces it. A change that you mean (another function_name, another "
            "package type) comes first: `terraform apply`, or `terralive destroy` where terralive deployed the app.",
        )


def functions_after(names: Mapping[str, str], changes: Sequence[Change]) -> dict[str, str]:
    """Give the functions that a plan leaves, by address, with their names; "" where it is not deployed yet."""
    own = [change for change in changes if change.type == _FUNCTION]
    gone = {change.address for change in own if change.action == "delete"}
    fresh = {change.address: "" for change in own if change.action == "create"}
    return {address: name for address, name in {**fresh, **names}.items() if address not in gone}


def cautions(functions: Sequence[FunctionFacts]) -> Iterator[Warning_]:
    """Give what stops nothing and should be known of functions that become live."""
    for facts in functions:
        if "vpc_config" in facts.attributes:
            yield Warning_(
                reference="function-in-vpc",
                message="It runs in a VPC: its stub connects only where its subnets have a way to the internet (a NAT "
                "gateway) or its VPC an endpoint for execute-api, and its security groups let port 443 out. Otherwise "
                "every invocation ends in a time-out.",
                function=facts.address,
            )

"""What a user should know before an app becomes live, and what must not be applied at all. Pure: values in, values out.

It reads neither files nor AWS; `deployment.py` asks it, emits what it gives and stops where it
raises.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from terralive_relay.events import Warned
from terralive_stub.errors import ConfigurationError, TerraformError
from terralive_stub.protocol.limits import FUNCTION_TIMEOUT_SECONDS
from terralive_terraform.addresses import without_keys
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.discovery.triggers import HTTP, REST
from terralive_terraform.runs.progress import Change

_FUNCTION: Final = "aws_lambda_function"
# Terraform's own reasons for a change that the configuration, or a creation that failed half-way,
# asks for:
# https://developer.hashicorp.com/terraform/internals/machine-readable-ui#planned-change
_ASKED_FOR: Final = ("tainted", "requested", "delete_because_")
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html and
# api-gateway-execution-service- limits-table.html
_GATEWAYS: Final = {
    HTTP: "An HTTP API waits for 30 s",
    REST: "A REST API waits for 29 s, unless its quota is raised,",
}


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
            "package type) comes first: `terraform apply`, or `terralive destroy` where terralive deployed the app. "
            "A container image whose package_type only Terraform knows (a module's variable) cannot become live: take "
            "it out of terralive.toml.",
        )


def images_in(region: str, images: Mapping[str, str]) -> dict[str, str]:
    """Put the region into the stub's images, by architecture; Lambda takes none of another region.

    https://docs.aws.amazon.com/lambda/latest/dg/images-create.html

    Raises:
        ConfigurationError: `stub-image-elsewhere`.
    """
    placed = {
        architecture: image.replace("{region}", region) for architecture, image in images.items()
    }
    for architecture, image in placed.items():
        if f".{region}.amazonaws.com" not in image:
            raise ConfigurationError(
                "stub-image-elsewhere",
                f"The stub's image is in another region than this stage ({region}): {image}.",
                hint="Push it to a registry there (ECR replicates), and put `{region}` in the place of the region's "
                f"name: [stub_image] {architecture} in terralive.toml.",
            )
    return placed


def functions_after(names: Mapping[str, str], changes: Sequence[Change]) -> dict[str, str]:
    """Give the functions that a plan leaves, by address, with their names.

    "" where it is not deployed yet.
    """
    own = [change for change in changes if change.type == _FUNCTION]
    gone = {change.address for change in own if change.action == "delete"}
    fresh = {change.address: "" for change in own if change.action == "create"}
    return {address: name for address, name in {**fresh, **names}.items() if address not in gone}


def cautions(functions: Sequence[DeclaredFunction]) -> Iterator[Warned]:
    """Give what stops nothing and should be known of functions that become live."""
    for facts in functions:
        if "vpc_config" in facts.attributes:
            yield Warned(
                reference="function-in-vpc",
                message="It runs in a VPC: its stub connects only where its subnets have a way to the internet (a NAT "
                "gateway) or its VPC an endpoint for execute-api, and its security groups let port 443 out. Otherwise "
                "every invocation ends in a time-out.",
                function=facts.address,
            )


def debug_cautions(facts: DeclaredFunction) -> Iterator[Warned]:
    """Give what bounds how long an invocation of a debugged function may stand at a breakpoint."""
    timeout = facts.debug_timeout
    if facts.queue_visibilities and timeout < FUNCTION_TIMEOUT_SECONDS:
        known = "is not known from here"
        if facts.shortest_visibility is not None:
            known = f"is {facts.shortest_visibility} s"
        raised = f"stays {facts.timeout} s"
        if timeout > facts.timeout:
            raised = f"is raised to {timeout} s only"
        yield Warned(
            reference="debug-queue-visibility",
            message=f"The visibility timeout of its queue {known}, and AWS takes no longer function timeout than that: "
            f"its timeout {raised}. An invocation that takes longer ends there, and its messages come again. Give the "
            f"queue visibility_timeout_seconds = {FUNCTION_TIMEOUT_SECONDS} on the stages you debug on.",
            function=facts.address,
        )
    elif timeout < FUNCTION_TIMEOUT_SECONDS:
        yield Warned(
            reference="debug-timeout-ignored",
            message=f"Its lifecycle ignores changes of timeout: it stays {timeout} s.",
            function=facts.address,
        )
    for kind in facts.gateways:
        yield Warned(
            reference="debug-gateway-limit",
            message=f"{_GATEWAYS[kind]} and then answers its caller with an error. An invocation at a breakpoint goes "
            "on all the same; its answer then reaches nobody.",
            function=facts.address,
        )

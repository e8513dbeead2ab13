"""Warnings about functions before they become live, and the stub's images. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from terralive_cli.output.formats.words import listed
from terralive_relay.events import Warned
from terralive_stub.errors import ConfigurationError
from terralive_stub.protocol.limits import FUNCTION_TIMEOUT_SECONDS
from terralive_terraform.addresses import without_keys
from terralive_terraform.artifacts import STUB_IMAGE_TAG
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.discovery.files import Module
from terralive_terraform.evaluation.aliases import PlannedAlias
from terralive_terraform.evaluation.triggers.services import HTTP, REST
from terralive_terraform.output.shown_plan import ShownPlan
from terralive_terraform.substitution.rules import LATEST, ignored_by_terraform

# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
_GATEWAYS: Final = {
    HTTP: "An HTTP API waits for 30 s",
    REST: "A REST API waits for 29 s, unless its quota is raised,",
}

# `v2`, `v2-orders`, and not `v20`.
_OWN_TAG: Final = re.compile(rf"{STUB_IMAGE_TAG}(?![0-9])")

_NAMED_RESOURCES: Final = 10


def images_in(region: str, images: Mapping[str, str]) -> dict[str, str]:
    """Put the region into the names of the stub's images, by architecture.

    Lambda accepts no image of another region:
    https://docs.aws.amazon.com/lambda/latest/dg/images-create.html

    Raises:
        ConfigurationError: `stub-image-elsewhere`, `stub-image-too-old`.
    """
    placed: dict[str, str] = {}
    for architecture, name in images.items():
        image = name.replace("{region}", region)
        _require_version(image, architecture)
        if f".{region}.amazonaws.com" not in image:
            raise ConfigurationError(
                "stub-image-elsewhere",
                f"The stub's image is in another region than this stage ({region}): {image}.",
                hint="Push it to a registry there (ECR replicates), and put `{region}` in the "
                f"place of the region's name: [stub_image] {architecture} in terralive.toml.",
            )
        placed[architecture] = image
    return placed


def _require_version(image: str, architecture: str) -> None:
    """Refuse an image whose tag says that it is of another version of the stub's arguments.

    A digest (`@sha256:…`) says nothing about the version; the image itself checks its arguments.

    Raises:
        ConfigurationError: `stub-image-too-old`.
    """
    name = image.rpartition("/")[2]
    if "@" in name:
        return
    tag = name.partition(":")[2]
    if not _OWN_TAG.match(tag):
        raise ConfigurationError(
            "stub-image-too-old",
            f"The stub's image is of an older kind: {image}. This terralive needs one whose tag "
            f"begins with {STUB_IMAGE_TAG}.",
            hint="Build it again: `terralive init --stub-image FOLDER` writes its files and prints "
            f"the commands. Then name it in [stub_image] {architecture} of terralive.toml.",
        )


def function_warnings(functions: Sequence[DeclaredFunction]) -> Iterator[Warned]:
    """Yield the warnings about functions that become live.

    A WebSocket API is public, and an interface endpoint reaches private APIs only:
    https://repost.aws/knowledge-center/api-gateway-vpc-connections
    Lambda has interface endpoints, too:
    https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc-endpoints.html
    """
    for function in functions:
        if "vpc_config" in function.attributes:
            yield Warned(
                reference="function-in-vpc",
                message="It runs in a VPC. Its stub connects only if its subnets have a route to "
                "the internet (a NAT gateway), its security groups let port 443 out, and the VPC "
                "has no interface endpoint for execute-api with private DNS: with that endpoint, "
                "every public API answers 403 Forbidden. The deployed code answers where nobody is "
                "connected only if the stub also reaches Lambda's API: through the internet, or "
                "by an interface endpoint for lambda. Your local code cannot reach private "
                "resources of the VPC (databases, caches) without a VPN or a tunnel.",
                function=function.address,
            )


def new_resource_warnings(new: Sequence[str], plan: ShownPlan) -> Iterator[Warned]:
    """Yield a warning of resources that a plan limited to functions does not create.

    A queue or a route that is new would stay silent, and nothing would say why.

    Args:
        new: the addresses of the resources that are not deployed yet.
        plan: the plan that is applied.
    """
    created = {resource.address for resource in plan.resources if resource.action == "create"}
    left = sorted(address for address in new if address not in created)
    if not left:
        return
    yield Warned(
        reference="not-deployed",
        message="The configuration has resources that are not deployed: "
        f"{listed(left, _NAMED_RESOURCES)}. terralive leaves them alone: your own "
        "`terraform apply` creates them. Where terralive has deployed the app (in a sandbox), "
        "`terralive destroy --app` and a new start do.",
    )


def version_warnings(
    functions: Sequence[DeclaredFunction],
    aliases: Sequence[PlannedAlias],
    versions: Mapping[str, str],
) -> Iterator[Warned]:
    """Yield the warnings about published versions, whose invocations do not arrive here.

    Args:
        functions: the functions that become live.
        aliases: the aliases of the app.
        versions: the version that each alias points at while the functions are live, by address.
    """
    live: set[str] = set()
    by_api: set[str] = set()
    for function in functions:
        addresses = {instance.address for instance in function.instances or ()}
        live |= addresses
        if ignored_by_terraform(function):
            by_api |= addresses
    for alias in aliases:
        version = versions.get(alias.address, LATEST)
        if version == LATEST or not alias.is_of(live):
            continue
        why = alias.kept or "its lifecycle ignores the version, so something else moves it"
        if not alias.kept and alias.is_of(by_api):
            why = "Lambda's API makes its function live, and moves no alias"
        yield Warned(
            reference="alias-not-live",
            message=f"Its alias {alias.name} stays at version {version}: {why}. Invocations of "
            "this alias do not run here.",
            function=without_keys(alias.functions[0]),
        )


def unreadable_warnings(modules: Sequence[Module]) -> Iterator[Warned]:
    """Yield the places in configuration files that cannot be read, and what that hides."""
    for module in modules:
        for item in module.unreadable:
            where = f"{item.file}:{item.line}"
            if item.block:
                where += f" (in {item.block})"
            hidden = "No function is declared there."
            if item.may_hide_functions:
                hidden = "Functions that are declared there are not found, and stay as they are."
            yield Warned(
                reference="terraform-unreadable",
                message=f"{where} cannot be read as Terraform: {item.problem}. {hidden} `terraform "
                "validate` says more. If it finds no error, report this as a fault of terralive.",
            )


def debug_warnings(function: DeclaredFunction) -> Iterator[Warned]:
    """Yield what limits the time that an invocation of a debugged function may stay stopped."""
    timeout = function.debug_timeout
    if ignored_by_terraform(function):
        yield Warned(
            reference="debug-timeout-ignored",
            message="Terraform ignores changes of its code, so it is live by Lambda's API, which "
            f"leaves its timeout: it stays {function.timeout} s.",
            function=function.address,
        )
    elif function.queue_visibilities and timeout < FUNCTION_TIMEOUT_SECONDS:
        yield _queue_warning(function)
    elif timeout < FUNCTION_TIMEOUT_SECONDS:
        yield Warned(
            reference="debug-timeout-ignored",
            message=f"Its lifecycle ignores changes of timeout: it stays {timeout} s.",
            function=function.address,
        )
    for kind in function.gateways:
        yield Warned(
            reference="debug-gateway-limit",
            message=f"{_GATEWAYS[kind]} and then answers its caller with an error. An invocation "
            "at a breakpoint goes on all the same; its answer then reaches nobody.",
            function=function.address,
        )


def _queue_warning(function: DeclaredFunction) -> Warned:
    timeout = function.debug_timeout
    visibility = "is not known from here"
    if function.shortest_visibility is not None:
        visibility = f"is {function.shortest_visibility} s"
    raised = f"stays {function.timeout} s"
    if timeout > function.timeout:
        raised = f"is raised to {timeout} s only"
    return Warned(
        reference="debug-queue-visibility",
        message=f"The visibility timeout of its queue {visibility}, and AWS takes no longer "
        f"function timeout than that: its timeout {raised}. An invocation that takes longer ends "
        "there, and its messages come again. Give the queue visibility_timeout_seconds = "
        f"{FUNCTION_TIMEOUT_SECONDS} on the stages you debug on.",
        function=function.address,
    )

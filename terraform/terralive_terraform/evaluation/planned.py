"""One Lambda function of a plan, and what invokes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

# https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lambda_function
DEFAULT_ARCHITECTURE: Final = "x86_64"


@dataclass(frozen=True, slots=True)
class Triggers:
    """Triggers of one function that limit how long an invocation may take.

    Attributes:
        queue_visibilities: the visibility timeout of each queue that it polls, in seconds; None for
            one that is not known.
        gateways: the types of the API Gateway integrations that call it.
        authorizers: the types of the API Gateway authorizers that call it.
        streams: whether a function URL or a REST API takes streamed responses of it.
    """

    queue_visibilities: tuple[int | None, ...] = ()
    gateways: tuple[str, ...] = ()
    authorizers: tuple[str, ...] = ()
    streams: bool = False


@dataclass(frozen=True, slots=True)
class PlannedFunction:
    """One instance of an `aws_lambda_function`. None says that the value is unset or not known.

    Attributes:
        address: its address, with instance keys.
        module: the address of its module, with instance keys; "" for the root module.
        name: its name.
        region: the region of its resource, which version 6 of the provider tells.
        provider: the key of its provider: `aws.eu` in the root module, `module.a:aws` elsewhere; ""
            where the plan does not tell it.
        handler: its handler; an image's command where that is one word.
        wrapped_handler: the team's own handler, where `handler` is a layer's that calls it.
        named_handlers: the values of environment variables that may name a handler.
        runtime: its runtime.
        package_type: `Zip` or `Image`.
        architecture: `x86_64` or `arm64`; None also where AWS's default is to be used.
        timeout: seconds.
        filename: the zip file, absolute.
        s3_bucket: the bucket of its zip.
        s3_key: the key of its zip.
        image_uri: its image.
        starts_otherwise: whether it starts another command or program than its image says.
        code_hash: `source_code_hash` of the configuration.
        code_elsewhere: whether its module is told that something else deploys its code
            (`ignore_source_code_hash` of terraform-aws-modules/lambda).
        is_set: the names of the attributes and blocks that have a value.
        unknown: the names of those that are known only after an apply.
        declared: the names of the attributes and blocks that its block names, set or not.
        environment_names: the names of its environment variables.
        environment_known: whether these are all.
        triggers: what limits how long its invocations may take.
        invoked_by: the services that invoke it, by their names for people (`SQS`), as far as the
            plan tells.
    """

    address: str
    module: str
    name: str | None = None
    region: str | None = None
    provider: str = ""
    handler: str | None = None
    wrapped_handler: str | None = None
    named_handlers: tuple[str, ...] = field(default=(), repr=False)
    runtime: str | None = None
    package_type: str | None = None
    architecture: str | None = None
    timeout: int | None = None
    filename: Path | None = None
    s3_bucket: str | None = None
    s3_key: str | None = None
    image_uri: str | None = None
    starts_otherwise: bool = False
    code_hash: str | None = None
    code_elsewhere: bool = False
    is_set: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    declared: frozenset[str] = frozenset()
    environment_names: frozenset[str] = frozenset()
    environment_known: bool = True
    triggers: Triggers = Triggers()
    invoked_by: tuple[str, ...] = ()

    @property
    def is_image(self) -> bool:
        """Tell whether it is certainly a container image."""
        return self.package_type == "Image"

    def unwrapped(self) -> PlannedFunction:
        """Return the function with the handler that a layer's handler calls, if it has one."""
        return replace(self, handler=self.wrapped_handler or self.handler)


def image_architectures(functions: Iterable[PlannedFunction]) -> frozenset[str]:
    """Return the architectures of the container images among functions.

    One that a plan does not know may be AWS's default.
    """
    found: set[str] = set()
    for function in functions:
        if not function.is_image:
            continue
        found.add(function.architecture or DEFAULT_ARCHITECTURE)
    return frozenset(found)


def planned_arns(
    functions: Iterable[PlannedFunction], *, partition: str, account: str, region: str
) -> dict[str, str]:
    """Return the ARN of each function whose name is known, by its address.

    Args:
        functions: functions of the default provider.
        partition: AWS's partition.
        account: the provider's account.
        region: the provider's region. A resource may have one of its own:
            https://registry.terraform.io/providers/hashicorp/aws/latest/docs/guides/enhanced-region-support
    """
    arns: dict[str, str] = {}
    for function in functions:
        if function.name is not None:
            own = function.region or region
            arn = f"arn:{partition}:lambda:{own}:{account}:function:{function.name}"
            arns[function.address] = arn
    return arns

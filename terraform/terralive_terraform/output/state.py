"""Reads Terraform's state (format version 4): outputs, resource instances, Lambda functions. Pure.

The format is Terraform's own and not documented for other programs. A state that looks different is
read as an empty one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from terralive_stub.shared.arns import place_of
from terralive_stub.shared.json_documents import Json, as_object, items, section, text
from terralive_terraform.addresses import with_key
from terralive_terraform.output.shown_plan import ShownPlan

_FUNCTION_TYPE: Final = "aws_lambda_function"
_ALIAS_TYPE: Final = "aws_lambda_alias"


@dataclass(frozen=True, slots=True)
class OutputValue:
    """One output of the configuration. The value of a sensitive one is never shown."""

    value: Json = field(repr=False)
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class Package:
    """The code of a Lambda function, as Terraform's state names it; "" for what is not set.

    https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lambda_function

    Attributes:
        filename: the zip file, relative to the folder that Terraform runs in.
        bucket: the S3 bucket that the zip file is in.
        key: its key there.
        object_version: its version there.
        kms_key: the ARN of the key that the zip file is encrypted with.
        image: the container image.
        architectures: the architectures of the code.
        publish: whether every change of the function is published as a version.
    """

    filename: str = ""
    bucket: str = ""
    key: str = ""
    object_version: str = ""
    kms_key: str = ""
    image: str = ""
    architectures: tuple[str, ...] = ()
    publish: bool = False


@dataclass(frozen=True, slots=True)
class DeployedFunction:
    """A Lambda function in Terraform's state, or one that a plan adds to it.

    Attributes:
        name: its name on AWS; "" where a plan creates it.
        arn: its ARN, without a qualifier; "" where a plan creates it.
        reserved: its reserved concurrency; None where it has none.
        account: the id of its account; "" where only an apply shows it.
        handler: its handler.
        description: its description.
        tags: its tags, with the provider's `default_tags`.
        package: its code.
        code_hash: the Base64 SHA-256 of its code, as the state has it (`source_code_hash`). It may
            be wrong: an update of the code may have failed, or Lambda's API has changed it.
    """

    name: str
    arn: str
    reserved: int | None = None
    account: str = ""
    handler: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    package: Package = field(default_factory=Package)
    code_hash: str = ""


@dataclass(frozen=True, slots=True)
class DeployedAlias:
    """An alias in Terraform's state.

    Attributes:
        function: the name or the ARN of its function.
        version: the version that it points at.
    """

    function: str
    version: str


@dataclass(frozen=True, slots=True)
class DeployedLambda:
    """The Lambda functions and aliases of a state, by address."""

    functions: Mapping[str, DeployedFunction]
    aliases: Mapping[str, DeployedAlias]


@dataclass(frozen=True, slots=True)
class ResourceInstance:
    """One managed resource instance of a state.

    Attributes:
        address: its address.
        type: its type.
        attributes: its attributes.
        is_deposed: whether it is what a replacement (`create_before_destroy`) could not destroy.
            The current instance has the same address.
    """

    address: str
    type: str
    attributes: Mapping[str, Json]
    is_deposed: bool = False

    @property
    def id(self) -> str:
        """The provider's id of it."""
        return text(self.attributes, "id")


def outputs_in(state: Json) -> dict[str, OutputValue]:
    """Return the outputs of a state by their names."""
    outputs: dict[str, OutputValue] = {}
    for name, item in section(as_object(state), "outputs").items():
        if isinstance(item, dict):
            sensitive = item.get("sensitive") is True
            outputs[name] = OutputValue(item.get("value"), sensitive=sensitive)
    return outputs


def managed_instances(state: Json) -> Iterator[ResourceInstance]:
    """Yield the managed resource instances of a state."""
    for resource in items(as_object(state), "resources"):
        if not isinstance(resource, dict) or resource.get("mode") != "managed":
            continue
        kind = str(resource.get("type"))
        address = f"{kind}.{resource.get('name')}"
        if resource.get("module"):
            address = f"{resource['module']}.{address}"
        for instance in items(resource, "instances"):
            if isinstance(instance, dict):
                at = with_key(address, instance.get("index_key"))
                yield ResourceInstance(
                    at,
                    kind,
                    section(instance, "attributes"),
                    is_deposed=bool(text(instance, "deposed")),
                )


def deployed_functions(state: Json) -> Iterator[tuple[str, DeployedFunction]]:
    """Yield the address of each Lambda function of a state, and the function."""
    for instance in managed_instances(state):
        if instance.type != _FUNCTION_TYPE or instance.is_deposed:
            continue
        if text(instance.attributes, "function_name"):
            yield instance.address, _deployed_function(instance.attributes)


def deployed_lambda(state: Json) -> DeployedLambda:
    """Return the Lambda functions and aliases of a state."""
    aliases: dict[str, DeployedAlias] = {}
    for instance in managed_instances(state):
        if instance.type == _ALIAS_TYPE:
            attributes = instance.attributes
            aliases[instance.address] = DeployedAlias(
                text(attributes, "function_name"), text(attributes, "function_version")
            )
    return DeployedLambda(dict(deployed_functions(state)), aliases)


def functions_of_plan(plan: ShownPlan) -> Iterator[dict[str, DeployedFunction]]:
    """Yield a plan's functions by address: first as they are, then as its apply leaves them."""
    functions = list(plan.of_type(_FUNCTION_TYPE))
    yield {item.address: _deployed_function(item.before) for item in functions if item.before}
    yield {item.address: _deployed_function(item.after) for item in functions if item.after}


def versions_after(plan: ShownPlan) -> dict[str, str]:
    """Return the version that each alias of a plan points at after its apply, by address.

    An alias whose version only an apply tells is not among them.
    """
    found: dict[str, str] = {}
    for item in plan.of_type(_ALIAS_TYPE):
        version = text(item.after, "function_version")
        if version:
            found[item.address] = version
    return found


def _deployed_function(attributes: Mapping[str, Json]) -> DeployedFunction:
    # A function's role is in the function's own account:
    # https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
    account = place_of(text(attributes, "arn") or text(attributes, "role")).account
    # `tags_all` has the provider's `default_tags`, too.
    tags = {**section(attributes, "tags"), **section(attributes, "tags_all")}
    return DeployedFunction(
        name=text(attributes, "function_name"),
        arn=text(attributes, "arn"),
        reserved=reserved_concurrency(attributes),
        account=account,
        handler=text(attributes, "handler"),
        description=text(attributes, "description"),
        tags={name: value for name, value in tags.items() if isinstance(value, str)},
        package=_package(attributes),
        code_hash=text(attributes, "source_code_hash"),
    )


def _package(attributes: Mapping[str, Json]) -> Package:
    architectures = items(attributes, "architectures")
    return Package(
        filename=text(attributes, "filename"),
        bucket=text(attributes, "s3_bucket"),
        key=text(attributes, "s3_key"),
        object_version=text(attributes, "s3_object_version"),
        kms_key=text(attributes, "source_kms_key_arn"),
        image=text(attributes, "image_uri"),
        architectures=tuple(item for item in architectures if isinstance(item, str)),
        publish=attributes.get("publish") is True,
    )


def reserved_concurrency(function: Mapping[str, Json]) -> int | None:
    """Return a function's reserved concurrency from its attributes; None where it has none."""
    reserved = function.get("reserved_concurrent_executions")
    if not isinstance(reserved, int) or reserved < 0:  # the provider writes -1 for "none"
        return None
    return reserved

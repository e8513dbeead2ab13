"""Terraform resources with plain attributes, on cdktf's generic classes.

The prebuilt bindings of the AWS provider cost 10 s and 600 MB in every synthesis. The generic
classes cost neither, but have no types for attributes: Terraform checks their values at plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from constructs import Construct, IConstruct

from terralive_terraform.constructs.cdk import cdk

Attribute: TypeAlias = (
    "str | int | float | bool | Sequence[Attribute] | Mapping[str, Attribute] | None"
)

PROVIDER_SOURCE: Final = "hashicorp/aws"
PROVIDER_VERSION: Final = ">= 5.0"


def set_attributes(element: cdk.TerraformElement, attributes: Mapping[str, Attribute]) -> None:
    """Set attributes of an element's block. An attribute that is None is left out."""
    for name, value in attributes.items():
        if value is not None:
            element.add_override(name, value)


class Resource(cdk.TerraformResource):
    """One resource of the AWS provider.

    Args:
        scope: the stack or construct that it belongs to.
        id: its id there. In a stack this is its name in Terraform.
        type: the resource type (`aws_lambda_function`).
        attributes: arguments and nested blocks. One that is None is left out.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002  # constructs' own word
        type: str,  # noqa: A002  # likewise
        attributes: Mapping[str, Attribute],
    ) -> None:
        super().__init__(
            scope,
            id,
            terraform_resource_type=type,
            terraform_generator_metadata={"provider_name": "aws"},
        )
        set_attributes(self, attributes)

    @property
    def address(self) -> str:
        """The resource's address, for `depends_on`."""
        return f"{self.terraform_resource_type}.{self.friendly_unique_id}"

    def ref(self, attribute: str) -> str:
        """Return a reference to an attribute that Terraform computes."""
        return self.get_string_attribute(attribute)


class AwsProvider(cdk.TerraformProvider):
    """The AWS provider."""

    def __init__(self, scope: Construct, attributes: Mapping[str, Attribute]) -> None:
        super().__init__(
            scope,
            "aws",
            terraform_resource_type="aws",
            terraform_generator_metadata={
                "provider_name": "aws",
                "provider_version_constraint": PROVIDER_VERSION,
            },
            terraform_provider_source=PROVIDER_SOURCE,
        )
        set_attributes(self, attributes)


def statement(actions: Sequence[str], resources: Sequence[str]) -> dict[str, Attribute]:
    """Return a policy statement that allows actions on resources."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}


def lambda_trust() -> dict[str, Attribute]:
    """Return the trust policy of a role that Lambda assumes.

    https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
    """
    principal: Attribute = {"Service": "lambda.amazonaws.com"}
    return policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal})


def policy(*statements: Mapping[str, Attribute]) -> dict[str, Attribute]:
    """Return a policy document of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def outdir_of(construct: IConstruct) -> Path:
    """Return the folder that the app is synthesised to. Terraform runs in `stacks/<stack>`."""
    root = construct.node.root
    if not isinstance(root, cdk.App):
        raise TypeError(f"{construct.node.path} is in no cdktf App")
    return Path(root.outdir).resolve()

"""The Aspect for CDKTF programs, which defines the stub of every function.

    from terralive_terraform.live import attach
    ...
    attach(app)
    app.synth()

It does nothing unless terralive runs the program, which sets `TERRALIVE_LIVE`. The functions keep
their own values: terralive plans the app without stubs first. What the Aspect defines is written
under `//` of each function, and terralive puts it in place by an override file. So the program runs
once in each command. cdktf visits the Aspects of stacks, never those of the `App`, so `attach` is
called last, when the stacks exist.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeGuard, cast

import jsii
from constructs import IConstruct

from terralive_stub.shared.json_documents import Json, section
from terralive_terraform.constructs.cdk import cdk
from terralive_terraform.discovery.declared import FUNCTION_TYPE, declared_function
from terralive_terraform.substitution.rules import LIVE_VARIABLE, stub_definition


@jsii.implements(cdk.IAspect)
class LiveFunctions:
    """Defines the stub of every function that is deployed from a zip.

    The stub of a container image is another image, which a stage has, so no program defines it.
    """

    def visit(self, node: IConstruct) -> None:
        """Define the stub of one function. cdktf calls this for every construct."""
        if not _is_function(node):
            return
        address = f"{FUNCTION_TYPE}.{node.friendly_unique_id}"
        function = declared_function(address, _block(node))
        if not function.is_image:
            node.add_override("//.terralive.stub", stub_definition(function).document())


def attach(app: cdk.App, environ: Mapping[str, str] = os.environ) -> None:
    """Define the stubs of an app's functions if terralive runs the program.

    Args:
        app: the app, whose stacks exist.
        environ: the environment variables.
    """
    if not environ.get(LIVE_VARIABLE):
        return
    for child in app.node.children:
        if isinstance(child, cdk.TerraformStack):
            cdk.Aspects.of(child).add(cast("cdk.IAspect", LiveFunctions()))


def _is_function(node: IConstruct) -> TypeGuard[cdk.TerraformResource]:
    return isinstance(node, cdk.TerraformResource) and node.terraform_resource_type == FUNCTION_TYPE


def _block(node: cdk.TerraformResource) -> Mapping[str, Json]:
    """Return a resource's block in Terraform's JSON syntax, with cdktf's tokens resolved."""
    raw = cast("Mapping[str, Json]", node.to_terraform())
    resolver = cdk.DefaultTokenResolver(cdk.StringConcat())
    resolved: object = cdk.Tokenization.resolve(
        raw, preparing=False, resolver=resolver, scope=cdk.TerraformStack.of(node)
    )
    resources = section(cast("Mapping[str, Json]", resolved), "resource")
    return section(section(resources, FUNCTION_TYPE), node.friendly_unique_id)

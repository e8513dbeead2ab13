"""The way for CDKTF programs: an Aspect that makes functions live, whatever bindings they use.

    from terralive_terraform.live import attach
    ...
    attach(app)
    app.synth()

It does nothing unless terralive runs the program: it acts only where `TERRALIVE_LIVE` names a
settings file. terralive also runs the program for its configuration as it is. Then the Aspect only
marks the functions, which says that another run would make them live. cdktf visits the Aspects of
stacks, never those of the `App`, so `attach` is called last, when the stacks exist.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard, cast

import jsii
from constructs import IConstruct

from terralive_stub.shared.json_documents import Json, section
from terralive_terraform.constructs.cdk import cdk
from terralive_terraform.constructs.resources import outdir_of
from terralive_terraform.discovery.declared import FUNCTION_TYPE, declared_function
from terralive_terraform.discovery.queues import KINDS, queue_visibilities
from terralive_terraform.substitution.rules import (
    LIVE_VARIABLE,
    WITHOUT_STUBS,
    LiveSettings,
    NotLive,
    substitute,
)


def _is_function(node: IConstruct) -> TypeGuard[cdk.TerraformResource]:
    return isinstance(node, cdk.TerraformResource) and node.terraform_resource_type == FUNCTION_TYPE


def _mark_attached(function: cdk.TerraformResource) -> None:
    function.add_override("//.terralive.attached", value=True)


@jsii.implements(cdk.IAspect)
class LiveFunctions:
    """Replaces every function that it visits by the stub, and records its own values under `//`.

    terralive reads those values in the synthesised configuration.
    """

    def __init__(self, live: LiveSettings) -> None:
        self._live = live
        # Queues and event source mappings by the stack's path. They are read once for each stack:
        # asking jsii for all constructs is slow.
        self._mappings: dict[str, dict[str, Json]] = {}

    def visit(self, node: IConstruct) -> None:
        """Replace one function. cdktf calls this for every construct."""
        if not _is_function(node):
            return
        _mark_attached(node)
        stack = cdk.TerraformStack.of(node)
        path = stack.node.path
        if path not in self._mappings:
            self._mappings[path] = {}
            if self._live.debug:
                self._mappings[path] = _resources(stack, KINDS)
        block = _block(node)
        function = declared_function(f"{FUNCTION_TYPE}.{node.friendly_unique_id}", block)
        visibilities = queue_visibilities(
            function.label, function.function_name, self._mappings[path]
        )
        function = replace(function, queue_visibilities=visibilities)
        if not self._live.selects(function):
            return
        terraform_folder = outdir_of(node) / "stacks" / stack.node.id
        decision = substitute(function, self._live.seen_from(terraform_folder))
        if isinstance(decision, NotLive):
            node.add_override("//.terralive.refused", decision.reason)
            return
        for name, value in {**decision.set, **decision.blocks}.items():
            node.add_override(name, value)
        for name in (*decision.unset, *decision.removed_blocks):
            node.add_override(name, None)
        node.add_override("//.terralive.live", value=True)
        node.add_override("//.terralive.handler", function.handler or "")
        node.add_override("//.terralive.runtime", function.runtime or "")
        node.add_override("//.terralive.timeout", function.timeout)


@jsii.implements(cdk.IAspect)
class Attached:
    """Records on every function, under `//`, that `attach` was called."""

    def visit(self, node: IConstruct) -> None:
        """Mark one function. cdktf calls this for every construct."""
        if _is_function(node):
            _mark_attached(node)


def _resources(stack: cdk.TerraformStack, kinds: tuple[str, ...]) -> dict[str, Json]:
    """Return a stack's resources of some types, by type and label."""
    found: dict[str, dict[str, Json]] = {kind: {} for kind in kinds}
    for node in stack.node.find_all():
        if isinstance(node, cdk.TerraformResource) and node.terraform_resource_type in found:
            found[node.terraform_resource_type][node.friendly_unique_id] = dict(_block(node))
    return dict(found)


def _block(node: cdk.TerraformResource) -> Mapping[str, Json]:
    """Return a resource's block in Terraform's JSON syntax, with cdktf's tokens resolved."""
    raw = cast("Mapping[str, Json]", node.to_terraform())
    resolver = cdk.DefaultTokenResolver(cdk.StringConcat())
    resolved: object = cdk.Tokenization.resolve(
        raw, preparing=False, resolver=resolver, scope=cdk.TerraformStack.of(node)
    )
    blocks = section(
        section(cast("Mapping[str, Json]", resolved), "resource"), node.terraform_resource_type
    )
    return section(blocks, node.friendly_unique_id)


def attach(app: cdk.App, environ: Mapping[str, str] = os.environ) -> None:
    """Make the app's functions live if terralive runs the program. Otherwise change nothing."""
    file = environ.get(LIVE_VARIABLE)
    if not file:
        return
    settings = Path(file).read_text("utf-8")
    aspect: cdk.IAspect = Attached()
    if settings != WITHOUT_STUBS:
        aspect = LiveFunctions(LiveSettings.from_json(settings))
    for child in app.node.children:
        if isinstance(child, cdk.TerraformStack):
            cdk.Aspects.of(child).add(aspect)

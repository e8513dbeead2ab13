"""The first door: an Aspect that makes the functions of a CDKTF app live, whatever bindings made them.

    from terralive_terraform.live import attach
    ...
    attach(app)
    app.synth()

Without terralive running it does nothing: it acts only where `TERRALIVE_LIVE` names a settings file. cdktf visits
Aspects stack by stack (one on the `App` is never visited), so `attach` goes last, when the stacks exist.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import jsii
from cdktf import (
    App,
    Aspects,
    DefaultTokenResolver,
    IAspect,
    StringConcat,
    TerraformResource,
    TerraformStack,
    Tokenization,
)
from constructs import IConstruct

from terralive_terraform.documents import Json, section
from terralive_terraform.resources import outdir_of
from terralive_terraform.substitution import (
    LIVE_VARIABLE,
    FunctionFacts,
    LiveSettings,
    Refusal,
    facts_from_block,
    substitute,
)

FUNCTION: str = "aws_lambda_function"


@jsii.implements(IAspect)
class LiveFunctions:
    """Puts the stub in the place of every function it visits, and notes under `//` what stood there before."""

    def __init__(self, live: LiveSettings) -> None:
        self._live = live

    def visit(self, node: IConstruct) -> None:
        """Handle one construct; cdktf calls this."""
        if not isinstance(node, TerraformResource) or node.terraform_resource_type != FUNCTION:
            return
        facts = facts_of(node)
        if not self._live.selects(facts):
            return
        stack = TerraformStack.of(node)
        decision = substitute(facts, self._live.seen_from(outdir_of(node) / "stacks" / stack.node.id))
        if isinstance(decision, Refusal):
            node.add_override("//.terralive.refused", decision.reason)
            return
        for name, value in decision.set.items():
            node.add_override(name, value)
        for name in (*decision.unset, *decision.removed_blocks):
            node.add_override(name, None)
        node.add_override("//.terralive.live", value=True)
        node.add_override("//.terralive.handler", facts.handler)
        node.add_override("//.terralive.runtime", facts.runtime)
        stack.add_override(f"resource.aws_iam_role_policy.{decision.policy_label}", dict(decision.policy))


def facts_of(node: TerraformResource) -> FunctionFacts:
    """Read a function construct's facts, with cdktf's tokens resolved."""
    raw = cast("Mapping[str, Json]", node.to_terraform())
    resolver = DefaultTokenResolver(StringConcat())
    resolved: object = Tokenization.resolve(raw, preparing=False, resolver=resolver, scope=TerraformStack.of(node))
    label = node.friendly_unique_id
    blocks = section(section(cast("Mapping[str, Json]", resolved), "resource"), FUNCTION)
    return facts_from_block(f"{FUNCTION}.{label}", section(blocks, label))


def attach(app: App, environ: Mapping[str, str] = os.environ) -> None:
    """Make the app's functions live where terralive runs it; otherwise change nothing."""
    file = environ.get(LIVE_VARIABLE)
    if not file:
        return
    aspect = LiveFunctions(LiveSettings.from_json(Path(file).read_text("utf-8")))
    for child in app.node.children:
        if isinstance(child, TerraformStack):
            Aspects.of(child).add(aspect)

"""Where moto's services fall short of what Terraform and the data planes need: one place, applied once at start.

A module a service. Each gap names what AWS does and the page that says so. Nothing here copies moto's code; it replaces
or wraps.
"""

from __future__ import annotations

from moto.core.config import default_user_config

from terralive_sandbox.triggers.deliveries import Deliver

from . import apigatewayv2, functions, sns


def configure() -> None:
    """Before any of moto's state exists: AWS's own managed policies can be attached (moto leaves them out)."""
    default_user_config.setdefault("iam", {})["load_aws_managed_policies"] = True


def apply(deliver: Deliver) -> None:
    """Close the gaps. `deliver` invokes asynchronously, at once."""
    sns.topics_invoke_functions(deliver)
    functions.other_triggers_say_that_they_are_missing()
    functions.functions_take_every_update()
    functions.functions_have_dead_letter_queues()
    functions.destinations_are_checked()
    apigatewayv2.stages_can_be_changed()
    apigatewayv2.stages_can_be_tagged()

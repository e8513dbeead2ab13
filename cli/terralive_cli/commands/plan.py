"""`terralive plan`: what would become live, and what Terraform would do. Changes nothing."""

from __future__ import annotations

from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import approval
from terralive_cli.deploy.deployment import Deployment
from terralive_cli.deploy.target import opened
from terralive_cli.output.ui import Ui

_CHANGES: Final = 2  # https://developer.hashicorp.com/terraform/cli/commands/plan#detailed-exitcode


def run(config: Config, ui: Ui, *, detailed_exitcode: bool = False) -> int:
    """Plan the debug stack and the live app.

    Gives 2 for changes where `detailed_exitcode` asks for it.
    """
    with opened(config, may_start_sandbox=True) as target:
        deployment = Deployment(config, target, ui.emit)
        debug, outputs = deployment.plan_debug_stack()
        planned = deployment.plan_live(outputs)
        ui.emit(approval.plan_event(config, planned))
        changes = debug.has_changes or planned.plan.has_changes
        return _CHANGES if changes and detailed_exitcode else 0

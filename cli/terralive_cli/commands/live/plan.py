"""`terralive plan`: show what would become live and what Terraform would change."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import approval, plans
from terralive_cli.deploy.debug_stack import DebugStack
from terralive_cli.deploy.target import Stage, opened
from terralive_cli.output.ui import Ui
from terralive_cli.protection.accounts import check_target
from terralive_cli.protection.guard import Guard
from terralive_cli.stacks.stage_apps import StageApps
from terralive_stub.errors import CredentialsError, TerraformError

# https://developer.hashicorp.com/terraform/cli/commands/plan#detailed-exitcode
_CHANGES: Final = 2


def run(
    config: Config, ui: Ui, *, detailed_exitcode: bool = False, terraform_output: bool = False
) -> int:
    """Plan the debug stack and the live app; change nothing.

    Args:
        config: the configuration.
        ui: shows events.
        detailed_exitcode: return 2 if there are changes.
        terraform_output: also show both plans as Terraform prints them.
    """
    with opened(config, may_start_sandbox=True) as target:
        stage = Stage.of(config, target, ui.emit)
        check_target(stage, ui, changes=False)
        apps = StageApps(stage, Guard(stage, ui, changes=False))
        try:
            debug_stack = DebugStack.opened(stage)
            deployed = debug_stack.outputs()
        except (TerraformError, CredentialsError):
            # For example, Terraform cannot download the provider.
            apps.show_declared()
            raise
        with ExitStack() as open_plans:
            planning = open_plans.enter_context(debug_stack.planned_beside())
            live = apps.planned_live(deployed, needs_file=terraform_output)
            plan = open_plans.enter_context(live)
            approval.show_live_plan(stage, ui, plan)
            if terraform_output:
                made = [item for item in plan.plans if item.ready.plan is not plans.NO_PLAN]
                for of_stack in made:
                    ui.emit(plans.text_of(of_stack.ready, of_stack.stack))
            has_changes = plan.has_changes or bool(plan.waiting)
            if apps.needs_repository(plan):
                debug_stack, planning = debug_stack.with_images(planning, open_plans)
            ready = planning.result()
            has_changes = has_changes or ready.plan.has_changes
            # One that is joined has no plan of its own.
            if terraform_output and not debug_stack.existing.is_joined:
                ui.emit(plans.text_of(ready))
    if has_changes and detailed_exitcode:
        return _CHANGES
    return 0

"""The order of things in a deployment: plan, show, ask, apply.

Making an app live has these steps, and each leaves a state that `restore` and `destroy` understand:

    1. The debug stack is synthesised and planned. If it changes, the app is planned first, so that
       a mistake in the app is found while nothing is deployed yet. Then it is applied.
    2. The stub's zip is built with the debug stack's address in it.
    3. The app is planned with stubs in the place of its functions, and applied if anything changes.
    4. The names of the deployed functions are read from the state and attached to the local code.

A failed apply leaves its finished changes in Terraform's state, and the error says so.
"""

from __future__ import annotations

from terralive_cli.deploy import approval, plans
from terralive_cli.deploy.app import LiveApp, StageApp
from terralive_cli.deploy.debug_stack import DebugStack, DebugStackOutputs
from terralive_cli.deploy.target import Stage
from terralive_cli.output.ui import Ui


def deploy_debug_stack(
    debug_stack: DebugStack, app: StageApp, ui: Ui, deployed: DebugStackOutputs | None
) -> DebugStackOutputs:
    """Deploy the debug stack; nothing is applied where nothing has changed.

    Args:
        debug_stack: the debug stack.
        app: the app, which is planned before the debug stack changes.
        ui: asks the user.
        deployed: the outputs of the debug stack that is deployed; None where there is none.

    Raises:
        Declined: the user said no.
    """
    with debug_stack.planned() as ready:
        if ready.plan.has_changes:
            with app.planned_live(deployed):
                pass  # only its errors count here
            approval.ask_debug_stack(debug_stack.stage, ui, ready.plan)
        return debug_stack.apply(ready)


def make_live(stage: Stage, app: StageApp, ui: Ui, outputs: DebugStackOutputs) -> LiveApp:
    """Put the stub in the functions' place; nothing is applied where nothing has changed.

    Raises:
        Declined: the user said no.
    """
    with app.planned_live(outputs) as plan:
        if plan.ready.plan.has_changes:
            approval.ask_live(stage, ui, plan)
        return app.apply_live(plan)


def restore(stage: Stage, ui: Ui, *, asked: bool = False) -> bool:
    """Make the app what its configuration says.

    Args:
        stage: the stage.
        ui: asks the user.
        asked: the user has agreed already to put the code back.

    Returns:
        False where it is so already, or where the app is not deployed.

    Raises:
        Declined: the user said no.
    """
    plans.forget_plans(stage)
    with StageApp(stage).planned_restore() as ready:
        if ready is None:
            return False
        if ready.plan.has_changes:
            approval.ask_restore(stage, ui, ready.plan, asked=asked)
        plans.apply(ready)
        return ready.plan.has_changes

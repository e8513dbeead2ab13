"""`terralive destroy`: restore the functions, and remove the debug stack.

The app gets its own code back and stays, whoever deployed it. Only `--app` removes it.

The app comes first: without a debug stack, its stubs could not even report what is wrong.
"""

from __future__ import annotations

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import approval, plans, record, workflows
from terralive_cli.deploy.app import StageApp
from terralive_cli.deploy.debug_stack import DebugStack
from terralive_cli.deploy.target import Stage, opened
from terralive_cli.output import failures
from terralive_cli.output.events import Message
from terralive_cli.output.ui import Ui


def run(config: Config, ui: Ui, *, app: bool = False) -> int:
    """Destroy the stage.

    Args:
        config: the configuration.
        ui: shows events and asks questions.
        app: also remove the app, with all its data.
    """
    with opened(config) as target:
        stage = Stage.of(config, target, ui.emit)
        if app:
            config.refuse_protected()
            question = (
                f"Destroy the debug stack and the whole app {stage.name} in {target.name}, with "
                "all its data?"
            )
            done = f"{stage.name} is removed: the app, and everything that terralive made for it."
        else:
            question = (
                f"Put the functions' own code back and destroy the debug stack of {stage.name} in "
                f"{target.name}?"
            )
            done = (
                f"Everything that terralive made for {stage.name} is removed. The app itself stays."
            )
        try:
            approval.ask(ui, question)
            if app:
                app_changed = StageApp(stage).destroy()
            else:
                app_changed = workflows.restore(stage, ui, asked=True)
        except approval.Declined:
            ui.emit(Message(message=approval.DECLINED))
            return failures.FAILED
        stack_removed = DebugStack.opened(stage).destroy()
        if not app_changed and not stack_removed:
            done = f"Nothing to remove: terralive has deployed nothing for {stage.name}."
        plans.forget_plans(stage)
        record.forget(target.work)
        ui.emit(Message(message=done))
        return 0

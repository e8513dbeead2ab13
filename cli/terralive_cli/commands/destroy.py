"""`terralive destroy`: restore the functions, and remove everything that terralive made.

An app that existed before terralive gets its own code back and stays. An app that terralive
deployed is removed too, unless the user adds `--keep-app`; `--app` removes an app that existed
before.

The app comes first: without a debug stack, its stubs could not even report what is wrong.
"""

from __future__ import annotations

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import approval, plans, record, workflows
from terralive_cli.deploy.app import StageApp
from terralive_cli.deploy.debug_stack import DebugStack, today
from terralive_cli.deploy.target import Stage, opened
from terralive_cli.output import failures
from terralive_cli.output.events import Message
from terralive_cli.output.ui import Ui


def run(config: Config, ui: Ui, *, app: bool | None = None) -> int:
    """Destroy the stage.

    Args:
        config: the configuration.
        ui: shows events and asks questions.
        app: True removes the app, and False keeps it; None removes it if terralive deployed it.
    """
    with opened(config) as target:
        stage = Stage.of(config, target, ui.emit)
        removes_app = app
        if removes_app is None:
            # terralive has deployed the app from nothing.
            removes_app = record.load(target.work, today=today()).made_app is True
        if removes_app:
            config.refuse_protected()
            question = (
                f"Destroy the debug stack and the whole app {stage.name} in {target.name}, with "
                "all its data (--keep-app keeps the app)?"
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
            if removes_app:
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

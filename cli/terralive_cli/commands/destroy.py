"""`terralive destroy`: restore the functions, and remove everything that terralive made.

An app that existed before terralive gets its deployed code back and stays. An app that terralive
deployed is removed too, unless the user adds `--keep-app`; `--app` removes an app that existed
before.

The app comes first: without a debug stack, its stubs could not even report what is wrong.
"""

from __future__ import annotations

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import approval, workflows
from terralive_cli.deploy.app import StageApp
from terralive_cli.deploy.debug_stack import DebugStack
from terralive_cli.deploy.stage import Stage
from terralive_cli.deploy.target import opened
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
            removes_app = workflows.app_was_made_by_terralive(stage)
        if removes_app:
            config.refuse_protected()
        try:
            approval.ask(ui, _question(stage, removes_app=removes_app))
            if removes_app:
                StageApp(stage).destroy()
            else:
                workflows.restore(stage, ui, asked=True)
        except approval.Declined:
            ui.emit(Message(message=approval.DECLINED))
            return failures.FAILED
        DebugStack.opened(stage).destroy()
        workflows.forget_stage(stage)
        text = f"Everything that terralive made for {stage.name} is removed. The app itself stays."
        if removes_app:
            text = f"{stage.name} is removed: the app, and everything that terralive made for it."
        ui.emit(Message(message=text))
        return 0


def _question(stage: Stage, *, removes_app: bool) -> str:
    where = stage.target.name
    if removes_app:
        return (
            f"Destroy the debug stack and the whole app {stage.name} in {where}, with all its "
            "data (--keep-app keeps the app)?"
        )
    return f"Put the deployed code back and destroy the debug stack of {stage.name} in {where}?"

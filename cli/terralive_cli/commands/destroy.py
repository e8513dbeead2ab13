"""`terralive destroy`: put everything back and remove what terralive made.

An app that was there before terralive gets its own code back and stays. An app that terralive
deployed from nothing is terralive's making and goes too, unless `--keep-app` says otherwise;
`--app` removes one that was there before.
The app comes first: without a debug stack its stubs could not even say what is wrong.
"""

from __future__ import annotations

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import approval, workflows
from terralive_cli.deploy.app import StageApp
from terralive_cli.deploy.debug_stack import DebugStack
from terralive_cli.deploy.stage import Stage
from terralive_cli.deploy.target import Target, opened
from terralive_cli.output.events import Message
from terralive_cli.output.ui import Ui


def run(config: Config, ui: Ui, *, app: bool | None = None) -> int:
    """Destroy.

    `app`: True removes the app, False keeps it; None keeps it unless terralive deployed it from
    nothing.
    """
    with opened(config) as target:
        stage = Stage.of(config, target, ui.emit)
        whole = app
        if whole is None:
            whole = workflows.app_was_made_by_terralive(stage)
        if whole:
            config.refuse_protected()
        try:
            approval.ask(ui, _question(config, target, whole=whole))
            if whole:
                StageApp(stage).destroy()
            else:
                workflows.restore(stage, ui, asked=True)
        except approval.Declined:
            ui.emit(Message(message="Stopped: nothing was changed."))
            return 1
        DebugStack.opened(stage).destroy()
        workflows.forget_stage(stage)
        left = (
            "nothing of it is left"
            if whole
            else "the app runs its own code, and nothing of terralive's is left"
        )
        ui.emit(Message(message=f"Stage {config.stage} of {config.app}: {left}."))
        return 0


def _question(config: Config, target: Target, *, whole: bool) -> str:
    what = f"{config.app}/{config.stage} in {target.name}"
    if whole:
        return f"Destroy the debug stack and the whole app {what}, with all its data (--keep-app keeps the app)?"
    return f"Put the deployed code back and destroy the debug stack of {what}?"

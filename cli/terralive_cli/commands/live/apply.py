"""`terralive apply`: deploy the debug stack and the stubs without connecting."""

from __future__ import annotations

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import approval, workflows
from terralive_cli.deploy.debug_stack import DebugStack
from terralive_cli.deploy.target import Stage, opened
from terralive_cli.functions.debugging import NO_DEBUGGING
from terralive_cli.output import failures
from terralive_cli.output.events import Message
from terralive_cli.output.ui import Ui
from terralive_cli.protection.accounts import check_target
from terralive_cli.protection.guard import Guard
from terralive_cli.stacks.stage_apps import StageApps
from terralive_cli.unchanged.again import Start, begin
from terralive_cli.unchanged.heard import Heard
from terralive_cli.unchanged.remembering import remember


def run(config: Config, ui: Ui, *, takeover: bool = False) -> int:
    """Deploy. Until a user connects, the deployed code of live functions answers, or they fail.

    Args:
        config: the configuration.
        ui: shows events and asks questions.
        takeover: take functions that are live for another stage.
    """
    with opened(config) as target:
        heard = Heard(ui.emit)
        stage = Stage.of(config, target, heard)
        check_target(stage, ui, changes=True)
        apps = StageApps(stage, Guard(stage, ui, takeover=takeover))
        start = Start(stage, heard, NO_DEBUGGING)
        begin(start)
        try:
            debug_stack = DebugStack.opened(stage)
            outputs, live = workflows.make_live(debug_stack, apps, ui, debug_stack.outputs())
            remember(start, outputs, live)
        except approval.Declined as declined:
            ui.emit(Message(message=str(declined)))
            return failures.FAILED
        names = ", ".join(function.name for function in live.functions)
        text = (
            f"Live: {names}. Until `terralive start` connects, their deployed code answers. "
            "Invocations of functions without a fallback fail."
        )
        ui.emit(Message(message=text))
        return 0

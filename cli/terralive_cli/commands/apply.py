"""`terralive apply`: deploy the debug stack and the stubs without connecting."""

from __future__ import annotations

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import approval, workflows
from terralive_cli.deploy.app import StageApp
from terralive_cli.deploy.debug_stack import DebugStack
from terralive_cli.deploy.target import Stage, opened
from terralive_cli.output import failures
from terralive_cli.output.events import Message
from terralive_cli.output.ui import Ui


def run(config: Config, ui: Ui) -> int:
    """Deploy. Invocations of live functions fail, by name, until a user connects."""
    with opened(config) as target:
        stage = Stage.of(config, target, ui.emit)
        app = StageApp(stage)
        try:
            debug_stack = DebugStack.opened(stage)
            deployed = debug_stack.outputs()
            outputs = workflows.deploy_debug_stack(debug_stack, app, ui, deployed)
            live = workflows.make_live(stage, app, ui, outputs)
        except approval.Declined:
            ui.emit(Message(message=approval.DEPLOYMENT_DECLINED))
            return failures.FAILED
        names = ", ".join(function.name for function in live.functions)
        text = f"Live: {names}. Their invocations fail until `terralive start` connects."
        ui.emit(Message(message=text))
        return 0

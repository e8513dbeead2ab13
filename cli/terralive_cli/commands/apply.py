"""`terralive apply`: deploy the debug stack and the stubs without connecting."""

from __future__ import annotations

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import approval, workflows
from terralive_cli.deploy.app import StageApp
from terralive_cli.deploy.debug_stack import DebugStack
from terralive_cli.deploy.stage import Stage
from terralive_cli.deploy.target import opened
from terralive_cli.output.events import Message
from terralive_cli.output.ui import Ui


def run(config: Config, ui: Ui) -> int:
    """Deploy; every invocation of the live functions fails by name until somebody connects."""
    with opened(config) as target:
        stage = Stage.of(config, target, ui.emit)
        app = StageApp(stage)
        try:
            debug_stack = DebugStack.opened(stage)
            deployed = debug_stack.outputs()
            outputs = workflows.deploy_debug_stack(debug_stack, app, ui, deployed)
            live = workflows.make_live(stage, app, ui, outputs)
        except approval.Declined:
            ui.emit(
                Message(
                    message="Stopped: nothing more is changed. `terralive destroy` takes back what is deployed."
                )
            )
            return 1
        names = ", ".join(function.name for function in live.functions)
        ui.emit(
            Message(
                message=f"Live: {names}. Their invocations fail until `terralive start` connects."
            )
        )
        return 0

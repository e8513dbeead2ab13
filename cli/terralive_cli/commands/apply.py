"""`terralive apply`: deploy the debug stack and the stubs without connecting."""

from __future__ import annotations

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import approval
from terralive_cli.deploy.deployment import Deployment
from terralive_cli.deploy.target import opened
from terralive_cli.output.events import Message
from terralive_cli.output.ui import Ui


def run(config: Config, ui: Ui) -> int:
    """Deploy; every invocation of the live functions fails by name until somebody connects."""
    with opened(config) as target:
        deployment = Deployment(config, target, ui.emit)
        try:
            outputs = deployment.apply_debug_stack(approval.debug_stack(config, target, ui))
            live = deployment.apply_live(outputs, approval.live(config, target, ui))
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

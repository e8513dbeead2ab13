"""`terralive restore`.

Put every function's own code back; the debug stack stays for the next start.
"""

from __future__ import annotations

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import approval, workflows
from terralive_cli.deploy.stage import Stage
from terralive_cli.deploy.target import opened
from terralive_cli.output.events import Message
from terralive_cli.output.ui import Ui


def run(config: Config, ui: Ui) -> int:
    """Apply the app's configuration without stubs."""
    with opened(config) as target:
        stage = Stage.of(config, target, ui.emit)
        try:
            changed = workflows.restore(stage, ui)
        except approval.Declined:
            ui.emit(Message(message="Stopped: nothing was changed."))
            return 1
        ui.emit(
            Message(
                message="Every function runs its own code again."
                if changed
                else "Nothing to restore: nothing is live."
            )
        )
        return 0

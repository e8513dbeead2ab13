"""`terralive restore`: put every function's own code back.

The debug stack stays for the next start.
"""

from __future__ import annotations

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import approval, workflows
from terralive_cli.deploy.target import Stage, opened
from terralive_cli.output import failures
from terralive_cli.output.events import Message
from terralive_cli.output.ui import Ui


def run(config: Config, ui: Ui) -> int:
    """Apply the app's configuration without stubs."""
    with opened(config) as target:
        stage = Stage.of(config, target, ui.emit)
        try:
            changed = workflows.restore(stage, ui)
        except approval.Declined:
            ui.emit(Message(message=approval.DECLINED))
            return failures.FAILED
        text = "Nothing to restore: no function is live."
        if changed:
            text = "Every live function has its own code back."
        ui.emit(Message(message=text))
        return 0

"""`terralive restore`: put every function's own code back.

The debug stack stays for the next start.
"""

from __future__ import annotations

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import approval, record, workflows
from terralive_cli.deploy.target import Stage, opened
from terralive_cli.output import failures
from terralive_cli.output.events import Message
from terralive_cli.output.ui import Ui
from terralive_cli.protection.accounts import check_target
from terralive_cli.protection.guard import Guard
from terralive_cli.stacks.stage_apps import StageApps


def run(config: Config, ui: Ui, *, takeover: bool = False) -> int:
    """Apply the app's configuration without stubs.

    Args:
        config: the configuration.
        ui: shows events and asks questions.
        takeover: also restore functions that are live for another stage.
    """
    with opened(config) as target:
        stage = Stage.of(config, target, ui.emit)
        check_target(stage, ui, changes=True)
        apps = StageApps(stage, Guard(stage, ui, takeover=takeover))
        record.begin_change(target.work)
        try:
            restored = workflows.restore(stage, apps, ui)
        except approval.Declined as declined:
            ui.emit(Message(message=str(declined)))
            return failures.FAILED
        if not restored.unseen:
            record.forget_session(target.work)
        ui.emit(Message(message=_text(restored)))
        return 0


def _text(restored: workflows.Restored) -> str:
    looked_at = ""
    if restored.unseen:
        looked_at = " that terralive can look at"
    if restored.changed:
        return f"Every live function{looked_at} has its own code back."
    return f"Nothing to restore: no function{looked_at} is live."

"""`terralive restore`: put every function's own code back.

The debug stack stays for the next start.
"""

from __future__ import annotations

from terralive_cli.app.live_plan import NO_WISH, RestoreWish
from terralive_cli.configuration.values import Config
from terralive_cli.deploy import approval, record, workflows
from terralive_cli.deploy.restored import Restored
from terralive_cli.deploy.target import Stage, opened
from terralive_cli.output import failures
from terralive_cli.output.events import Message
from terralive_cli.output.ui import Ui
from terralive_cli.protection.accounts import check_target
from terralive_cli.protection.guard import Guard
from terralive_cli.sessions.others import warn_of_session
from terralive_cli.stacks.stage_apps import StageApps


def run(config: Config, ui: Ui, *, takeover: bool = False, deploy_local: bool = False) -> int:
    """Bring back what stubs have replaced.

    Args:
        config: the configuration.
        ui: shows events and asks questions.
        takeover: also restore functions that are live for another stage.
        deploy_local: deploy the code of the working tree instead.
    """
    with opened(config) as target:
        stage = Stage.of(config, target, ui.emit)
        check_target(stage, ui, changes=True)
        warn_of_session(config, ui)
        wish = RestoreWish(deploys_local=deploy_local)
        try:
            restore_stage(stage, ui, takeover=takeover, wish=wish)
        except approval.Declined as declined:
            ui.emit(Message(message=str(declined)))
            return failures.FAILED
        return 0


def restore_stage(
    stage: Stage, ui: Ui, *, takeover: bool = False, wish: RestoreWish = NO_WISH
) -> None:
    """Bring back what the stubs of a stage have replaced.

    Args:
        stage: the stage.
        ui: shows events and asks questions.
        takeover: also restore functions that are live for another stage.
        wish: how the user wants to restore.

    Raises:
        Declined: the user said no.
        TerraliveError: see `workflows.restore`.
    """
    apps = StageApps(stage, Guard(stage, ui, takeover=takeover))
    record.begin_change(stage.target.work)
    restored = workflows.restore(stage, apps, ui, wish=wish)
    if not restored.unseen:
        record.forget_session(stage.target.work)
    ui.emit(Message(message=_text(restored)))


def _text(restored: Restored) -> str:
    looked_at = ""
    if restored.unseen:
        looked_at = " that terralive can look at"
    if restored.changed:
        return f"Every live function{looked_at} has its own code back."
    return f"Nothing to restore: no function{looked_at} is live."

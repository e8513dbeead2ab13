"""`terralive destroy`: restore the functions, and remove the debug stack.

The app gets its own code back and stays, whoever deployed it. Only `--app` removes it.

The app comes first: without a debug stack, its stubs could not even report what is wrong.
"""

from __future__ import annotations

from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import approval, plans, record, workflows
from terralive_cli.deploy.debug_stack import DebugStack
from terralive_cli.deploy.target import Stage, opened
from terralive_cli.orphans.texts import REFERENCE, staying_text
from terralive_cli.output import failures
from terralive_cli.output.events import Message
from terralive_cli.output.ui import Ui
from terralive_cli.protection.accounts import check_target
from terralive_cli.protection.guard import Guard
from terralive_cli.sessions.others import warn_of_session
from terralive_cli.stacks.stage_apps import StageApps
from terralive_relay.events import Warned
from terralive_stub.errors import StageHeldError, TerraformError
from terralive_terraform.output.failures import BUILD_MISSING

_STACK_REMOVED: Final = (
    "The debug stack is removed. The app is as it was: functions that were live answer with an "
    "error until `terralive restore`, or your own `terraform apply`, puts their code back."
)


def run(config: Config, ui: Ui, *, app: bool = False, takeover: bool = False) -> int:
    """Destroy the stage.

    Args:
        config: the configuration.
        ui: shows events and asks questions.
        app: also remove the app, with all its data.
        takeover: also restore, or remove, functions that are live for another stage.
    """
    with opened(config) as target:
        stage = Stage.of(config, target, ui.emit)
        check_target(stage, ui, changes=True)
        warn_of_session(config, ui)
        guard = Guard(stage, ui, takeover=takeover)
        # Another project's debug stack is refused before anything changes.
        debug_stack = DebugStack.opened(stage, joins=False)
        apps = StageApps(stage, guard)
        # What an interrupted deployment has left would stay: the state does not have it.
        staying = apps.require_no_orphans()
        record.begin_change(target.work)
        not_built: TerraformError | None = None
        app_changed = False
        try:
            if app:
                app_changed = workflows.destroy(stage, apps, ui)
            else:
                app_changed = _restore(stage, apps, guard, ui)
        except approval.Declined as declined:
            ui.emit(Message(message=str(declined)))
            return failures.FAILED
        except TerraformError as error:
            if error.reference != BUILD_MISSING:
                raise
            not_built = error
            approval.ask(ui, f"The app cannot be planned. {_debug_stack_question(stage)}")
        stack_removed = debug_stack.destroy()
        if not_built is not None:
            not_built.hint = f"{not_built.hint} {_STACK_REMOVED}"
            raise not_built
        done = f"Everything that terralive made for {stage.name} is removed. The app itself stays."
        if app:
            done = f"{stage.name} is removed: the app, and everything that terralive made for it."
        if not app_changed and not stack_removed:
            done = f"Nothing to remove: terralive has deployed nothing for {stage.name}."
        plans.forget_plans(stage)
        record.forget(target.work)
        ui.emit(Message(message=done))
        if app and staying:
            ui.emit(Warned(reference=REFERENCE, message=staying_text(staying)))
        return 0


def _restore(stage: Stage, apps: StageApps, guard: Guard, ui: Ui) -> bool:
    """Put the functions' own code back, where they are live for this stage.

    Returns:
        Whether the app has changed.
    """
    where = f"of {stage.name} in {stage.target.name}"
    question = f"Put the functions' own code back and destroy the debug stack {where}?"
    try:
        return workflows.restore(stage, apps, ui, question, is_last=True).changed
    except StageHeldError as held:
        if guard.has_own:
            raise
        # They are none of this stage's business, and this stage can be destroyed without them.
        ui.emit(Message(message=f"{held.message} They stay as they are."))
        approval.ask(ui, _debug_stack_question(stage))
        return False


def _debug_stack_question(stage: Stage) -> str:
    return f"Destroy the debug stack of {stage.name} in {stage.target.name}?"

"""The order of things in a deployment: plan, show, ask, apply.

Making an app live has these steps, and each leaves a state that `restore` and `destroy` understand:

    1. The app is planned with stubs, and the debug stack is planned. Nothing is deployed yet, so
       every mistake and everything that must not be touched is found first.
    2. Both plans are shown. There is one question for them, and one for everything else that the
       app's configuration changes.
    3. The debug stack is applied, if it changes. It is refused where API Gateway writes its
       messages to CloudWatch. Its address is in the stub's zip, so the app is planned again. If
       that plan changes other things than the one that was shown, it is shown, too, and the user
       is asked again.
    4. The app is applied, if it changes. Terraform may invoke functions meanwhile, so those that
       are known are served before. The names of the deployed functions are read from the state and
       attached to the local code.

Something else may change the state between a plan of the app and its apply. Terraform then refuses
the plan (https://developer.hashicorp.com/terraform/cli/commands/apply#saved-plan-mode), and nothing
of it was applied. The plan is made once more. If it changes the same, it is applied; otherwise it
is shown, and the user is asked again.

A failed apply leaves its finished changes in Terraform's state, and the error says so.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

from terralive_cli.app.live_plan import LiveApp, LivePlan, RestorePlan, Restoring
from terralive_cli.app.stage_app import StageApp
from terralive_cli.deploy import approval, plans, record
from terralive_cli.deploy.debug_stack import DebugStack, DebugStackOutputs
from terralive_cli.deploy.target import Stage
from terralive_cli.output.progress import Phase
from terralive_cli.output.ui import Ui
from terralive_cli.protection.data_trace import require_no_tracing
from terralive_stub.errors import TerraformError
from terralive_terraform.output.failures import PLAN_STALE


def make_live(
    debug_stack: DebugStack, app: StageApp, ui: Ui, deployed: DebugStackOutputs | None
) -> tuple[DebugStackOutputs, LiveApp]:
    """Deploy the debug stack and put the stub in the functions' place.

    Nothing is applied where nothing has changed.

    Args:
        debug_stack: the debug stack.
        app: the app.
        ui: asks the user.
        deployed: the outputs of the debug stack that is deployed; None where there is none.

    Raises:
        Declined: the user said no.
        TerraliveError: `would-destroy`, `data-trace-on`; also what planning and applying raise.
    """
    stage = debug_stack.stage
    plans.forget_plans(stage)
    with ExitStack() as open_plans:
        shown = open_plans.enter_context(app.planned_live(deployed))
        if app.needs_repository(shown):
            debug_stack = debug_stack.with_images()
        stack = open_plans.enter_context(debug_stack.planned())
        approval.ask_deployment(stage, ui, stack.plan, shown)
        outputs = debug_stack.apply(stack, deployed)
        urls = (outputs.relay_url, outputs.stub_url)
        require_no_tracing(stage, urls, is_joined=debug_stack.existing.is_joined)
        is_last = False
        if outputs == deployed:
            with _StaleOnce(stage, app, "app"):
                return outputs, app.apply_live(shown)
            is_last = True
    live = _planned_and_applied(stage, ui, app, outputs, _changes(shown), is_last=is_last)
    return outputs, live


def _planned_and_applied(
    stage: Stage,
    ui: Ui,
    app: StageApp,
    outputs: DebugStackOutputs,
    agreed: set[object],
    *,
    is_last: bool,
) -> LiveApp:
    """Plan the app again, and apply the plan.

    Args:
        stage: the stage.
        ui: asks the user, if the plan differs from what was agreed to.
        app: the app.
        outputs: those of the debug stack.
        agreed: what the user has agreed to.
        is_last: whether a plan that is stale is an error.
    """
    with app.planned_live(outputs) as plan:
        if _changes(plan) != agreed:
            approval.ask_again(stage, ui, plan)
        if is_last:
            return app.apply_live(plan)
        with _StaleOnce(stage, app, "app"):
            return app.apply_live(plan)
    return _planned_and_applied(stage, ui, app, outputs, _changes(plan), is_last=True)


class _StaleOnce:
    """A context for an apply. Where its plan is stale, the context ends without an error.

    Args:
        stage: the stage.
        app: the app, whose next plan is made from the state as it is then.
        phase: the part of the work, for the note that the plan is made once more.
    """

    def __init__(self, stage: Stage, app: StageApp, phase: str) -> None:
        self._app = app
        self._phase = Phase(phase, stage.emit)

    def __enter__(self) -> None:
        """Begin the apply."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, TerraformError) or error.reference != PLAN_STALE:
            return False
        self._app.forget_state()
        self._phase.note("the state has changed since the plan was made: planning once more")
        return True


def _changes(plan: LivePlan | RestorePlan) -> set[object]:
    """Return what an apply would do, for comparison."""
    actions = {(change.address, change.action) for change in plan.ready.plan.changes}
    return {*actions, *plan.others}


@dataclass(frozen=True, slots=True)
class Restored:
    """The end of a restore.

    Attributes:
        changed: whether a function carried a stub.
        unseen: the addresses of functions that could not be looked at.
        published: the addresses of functions of which terralive has published a version.
    """

    changed: bool
    unseen: tuple[str, ...] = ()
    published: frozenset[str] = frozenset()


def restore(stage: Stage, app: StageApp, ui: Ui, question: str = "") -> Restored:
    """Make the app what its configuration says, and check that its functions have their own code.

    Args:
        stage: the stage.
        app: the app.
        ui: asks the user.
        question: the question that is asked, also where nothing changes; "" for the restore's own.

    Raises:
        Declined: the user said no.
        TerraliveError: `would-destroy`, `restore-incomplete`; also what planning and applying
            raise.
    """
    plans.forget_plans(stage)
    restored = _planned_and_restored(stage, app, ui, question)
    if restored.published:
        _let_aliases_follow(stage, app, ui, restored.published)
    return restored


def _planned_and_restored(stage: Stage, app: StageApp, ui: Ui, question: str) -> Restored:
    """Plan a restore, ask, and carry it out; see `restore`."""
    with app.planned_restore() as restoring:
        plan = restoring.plan
        if plan is None or not plan.is_needed:
            if question:
                approval.ask(ui, question)
            if plan is not None:
                plans.apply(plan.ready)  # reports that nothing changes
            return Restored(changed=False, unseen=restoring.unseen)
        approval.ask_restore(stage, ui, plan, question)
        with _StaleOnce(stage, app, "restore"):
            return _restored(restoring)
    with app.planned_restore() as again:
        if (
            again.plan is not None
            and again.plan.is_needed
            and _changes(again.plan) != _changes(plan)
        ):
            approval.ask_restore(stage, ui, again.plan)
        return _restored(again)


def _restored(restoring: Restoring) -> Restored:
    """Apply the plan of a restore, and put back the code that it has left a stub's."""
    plan, restorer = restoring.plan, restoring.restorer
    if plan is None or restorer is None:
        return Restored(changed=True, unseen=restoring.unseen)
    if plan.ready.plan.has_changes:
        plans.apply(plan.ready)
    functions = plan.ready.terraform.state.functions()
    finished = restorer.finish({at: functions[at] for at in plan.stubs & functions.keys()})
    unseen = {*restoring.unseen, *finished.unseen}
    return Restored(True, tuple(sorted(unseen)), finished.published)


def _let_aliases_follow(stage: Stage, app: StageApp, ui: Ui, published: Collection[str]) -> None:
    """Let Terraform point aliases at versions that terralive has published."""
    with app.planned_restore(also=published) as following:
        if following.plan is not None and following.plan.ready.plan.has_changes:
            approval.ask_following(stage, ui, following.plan)
            plans.apply(following.plan.ready)


def destroy(stage: Stage, app: StageApp, ui: Ui) -> bool:
    """Remove the whole app, with all its data. The user has asked for this by `--app`.

    Returns:
        Whether the app was deployed.

    Raises:
        Declined: the user said no.
    """
    plans.forget_plans(stage)
    with app.planned_destroy() as removing:
        approval.ask_destroy(stage, ui, removing)
        if removing is None:
            return False
        with _StaleOnce(stage, app, "app"):
            plans.apply_always(removing.ready)
            record.end_deployment(stage.target.work)
            return True
    with app.planned_destroy() as again:
        if again is not None:
            if _changes(again) != _changes(removing):
                approval.ask_destroy(stage, ui, again)
            plans.apply_always(again.ready)
    record.end_deployment(stage.target.work)
    return True

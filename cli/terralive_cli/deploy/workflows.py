"""The order of things in a deployment: plan, show, ask, apply.

Making an app live has these steps, and each leaves a state that `restore` and `destroy` understand:

    1. The app is planned with stubs, and the debug stack is planned beside it, on another thread.
       Nothing is deployed yet, so every mistake and everything that must not be touched is found
       first.
    2. Both plans are shown. There is one question for them, and one for everything else that the
       app's configuration changes.
    3. The debug stack is applied, if it changes. It is refused where API Gateway writes its
       messages to CloudWatch. Its address is in the stub's zip, so the app is planned again. If
       that plan changes other things than the one that was shown, it is shown, too, and the user
       is asked again.
    4. The app is applied, if it changes. Terraform may invoke functions meanwhile, so those that
       are known are served before. The names of the deployed functions are read from the state and
       attached to the local code.

Something else may change the state between a plan and its apply. Terraform then refuses the plan
(https://developer.hashicorp.com/terraform/cli/commands/apply#saved-plan-mode), and nothing of it
was applied. The plan is made once more, of the debug stack after another look at what exists. If it
changes the same, it is applied; otherwise the user is asked again.

The app may have several stacks (see `stacks`). Each step is done for all of them: one page, one
question, then the applies in the order of their dependencies.

A failed apply leaves its finished changes in Terraform's state, and the error says so.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Final

from terralive_cli.app.live_plan import (
    NO_WISH,
    LiveApp,
    LivePlans,
    RestorePlan,
    RestoreWish,
    Restoring,
)
from terralive_cli.app.stage_app import StageApp
from terralive_cli.deploy import approval, plans, record
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.debug_stack import DebugStack, DebugStackOutputs
from terralive_cli.deploy.plans import ReadyPlan
from terralive_cli.deploy.restored import Restored
from terralive_cli.deploy.target import Stage
from terralive_cli.fallback.removing import remove_versions
from terralive_cli.output.ui import Ui
from terralive_cli.protection.data_trace import require_no_tracing
from terralive_cli.restoring.restorer import Restorer
from terralive_cli.stacks.applying import StaleOnce, actions_of, changes_of, naming
from terralive_cli.stacks.deploying import LiveProgress
from terralive_cli.stacks.stage_apps import StageApps
from terralive_stub.errors import TerraliveError
from terralive_terraform.addresses import in_stack, stack_of, without_stack
from terralive_terraform.side_by_side.beside import Beside

_log: Final = logging.getLogger("terralive.cli")
_LOST: Final = (
    "Terraform ignores its code, and terralive has no record of the code that the stub has "
    "replaced; deploy it with what deploys its code, and then run the same command again"
)
_REMOVED: Final = "These stacks are removed already"


def make_live(
    debug_stack: DebugStack, apps: StageApps, ui: Ui, deployed: DebugStackOutputs | None
) -> tuple[DebugStackOutputs, LiveApp]:
    """Deploy the debug stack and put the stub in the functions' place.

    Nothing is applied where nothing has changed.

    Args:
        debug_stack: the debug stack.
        apps: the app, stack by stack.
        ui: asks the user.
        deployed: the outputs of the debug stack that is deployed; None where there is none.

    Raises:
        Declined: the user said no.
        TerraliveError: `would-destroy`, `data-trace-on`; also what planning and applying raise.
    """
    stage = debug_stack.stage
    plans.forget_plans(stage)
    with ExitStack() as open_plans:
        planning = open_plans.enter_context(debug_stack.planned_beside())
        shown = open_plans.enter_context(apps.planned_live(deployed))
        if apps.needs_repository(shown):
            debug_stack, planning = debug_stack.with_images(planning, open_plans)
        debug_stack, outputs = _asked_and_deployed(debug_stack, planning, ui, shown, deployed)
        urls = (outputs.relay_url, outputs.stub_url)
        require_no_tracing(stage, urls, is_joined=debug_stack.existing.is_joined)
        progress = LiveProgress(stage, ui, apps, shown)
        if outputs == deployed:
            progress.apply_shown()
    progress.finish(outputs)
    return outputs, apps.live(outputs)


def _asked_and_deployed(
    debug_stack: DebugStack,
    planning: Beside[ReadyPlan],
    ui: Ui,
    live: LivePlans,
    deployed: DebugStackOutputs | None,
) -> tuple[DebugStack, DebugStackOutputs]:
    """Wait for the plan of the debug stack, ask for the whole deployment, and apply the plan.

    Args:
        debug_stack: the debug stack.
        planning: its plan, which is left then.
        ui: asks the user.
        live: the plans of the app.
        deployed: the outputs of the debug stack that is deployed; None where there is none.

    Returns:
        The debug stack that is deployed then, and its outputs.
    """
    stage = debug_stack.stage
    with closing(planning):
        first = planning.result()
        approval.ask_deployment(stage, ui, first.plan, live)
        record.forget_last_start(stage.target.work)
        with StaleOnce(debug_stack, "debug-stack"):
            return debug_stack, debug_stack.apply(first, deployed)
    # Another one may have deployed all of it.
    debug_stack = debug_stack.opened_again()
    with debug_stack.planned() as again:
        if not actions_of(again.plan) <= actions_of(first.plan):
            approval.ask_debug_stack_again(stage, ui, again.plan)
        return debug_stack, debug_stack.apply(again, None)


class _StackRestore:
    """The restore of one stack, whose plan is made.

    Args:
        app: the stack.
        restoring: the plan, whose file exists.
        wish: how the user wants to restore.
    """

    def __init__(self, app: StageApp, restoring: Restoring, wish: RestoreWish) -> None:
        # These never change.
        self._app = app
        self._restoring = restoring
        self._wish = wish
        # The end of it; nothing before the apply, or where that has failed.
        self.restored = Restored()
        # The error that the apply has ended with; None for none.
        self.error: TerraliveError | None = None
        # Whether Terraform has refused the plan because its state has changed.
        self.is_stale = False

    @property
    def needed(self) -> RestorePlan | None:
        """The plan; None where there is nothing to restore."""
        plan = self._restoring.plan
        if plan is None or not plan.is_needed:
            return None
        return plan

    @property
    def accounts(self) -> Accounts | None:
        """Sessions in the accounts of its functions; None where it is not deployed."""
        restorer = self._restoring.restorer
        if restorer is None:
            return None
        return restorer.accounts

    def apply(self) -> None:
        """Apply the plan. An error is kept, so that the other stacks are restored, too."""
        once = StaleOnce(self._app, "restore")
        try:
            with naming(self._app.stack), once:
                self.restored = _restored(self._app, self._restoring)
        except TerraliveError as error:
            self.error = error
        self.is_stale = once.was_stale

    def apply_anew(self, stage: Stage, ui: Ui) -> None:
        """Plan the restore once more, and restore the stack. Ask again if it changes other things.

        Raises:
            Declined: the user said no.
            TerraliveError: see `restore`.
        """
        planning = self._app.planned_restore(wish=self._wish)
        with naming(self._app.stack), planning as restoring:
            again = _StackRestore(self._app, restoring, self._wish)
            plan = again.needed
            if plan is not None and again.changes() not in (set(), self.changes()):
                approval.ask_restore(stage, ui, [plan])
            self.restored = _restored(self._app, restoring)

    def changes(self) -> set[object]:
        """Return what the restore changes, for comparison."""
        if self.needed is None:
            return set()
        return changes_of(self.needed)


def restore(
    stage: Stage,
    apps: StageApps,
    ui: Ui,
    question: str = "",
    wish: RestoreWish = NO_WISH,
    *,
    is_last: bool = False,
) -> Restored:
    """Bring back what stubs have replaced, and check that the functions have their own code.

    Its stacks are restored in the reverse order of their dependencies. One that fails does not keep
    the others from being restored. When all of them are, the versions are deleted that terralive
    has published of the replaced code.

    Args:
        stage: the stage.
        apps: the app, stack by stack.
        ui: asks the user.
        question: the question that is asked, also where nothing changes; "" for the restore's own.
        wish: how the user wants to restore.
        is_last: whether nothing of terralive's is to stay: such versions are looked for at all
            functions, and not only at those that were live.

    Raises:
        Declined: the user said no.
        TerraliveError: `would-destroy`, `restore-incomplete`; also what planning and applying
            raise.
    """
    plans.forget_plans(stage)
    with ExitStack() as open_plans:
        restores = [_planned_restore(open_plans, app, wish) for app in reversed(apps.stacks)]
        _ask_restore(stage, ui, restores, question, wish)
        for item in restores:
            item.apply()
    for item in restores:
        if item.is_stale:
            item.apply_anew(stage, ui)
    restored = Restored()
    for item in restores:
        if item.error is not None:
            raise item.error
        restored |= item.restored
    if restored.published:
        _let_aliases_follow(stage, apps, ui, restored.published)
    searched = restored.own if is_last else restored.stubs
    accounts = [item.accounts for item in restores if item.accounts is not None]
    if restored.own:
        ui.emit(*remove_versions(stage, accounts, restored.own, searched))
    return restored


def _planned_restore(open_plans: ExitStack, app: StageApp, wish: RestoreWish) -> _StackRestore:
    """Plan the restore of one stack; see `restore`."""
    with naming(app.stack):
        restoring = open_plans.enter_context(app.planned_restore(wish=wish))
        return _StackRestore(app, restoring, wish)


def _ask_restore(
    stage: Stage,
    ui: Ui,
    restores: Sequence[_StackRestore],
    question: str,
    wish: RestoreWish,
) -> None:
    """Show what is restored, and ask; see `restore`."""
    needed = [item.needed for item in restores if item.needed is not None]
    if not wish.deploys_local:
        approval.show_code(ui, needed)
    if wish.is_leaving:
        approval.ask_following(stage, ui, needed)
    elif needed:
        approval.ask_restore(stage, ui, needed, question)
    elif question:
        approval.ask(ui, question)


def _restored(app: StageApp, restoring: Restoring) -> Restored:
    """Apply the plan of a restore, and put back the code that it has left a stub's."""
    plan, restorer = restoring.plan, restoring.restorer
    unseen = set(restoring.unseen)
    published: frozenset[str] = frozenset()
    stubs: frozenset[str] = frozenset()
    changed = plan is not None and plan.is_needed
    reasons: Mapping[str, str] = {}
    if plan is not None:
        stubs = plan.stubs
        reasons = _applied_and_put_back(plan, restorer)
    if plan is not None and restorer is not None and changed:
        functions = plan.ready.terraform.state.functions()
        carried = {at: functions[at] for at in plan.stubs & functions.keys()}
        reasons = {**reasons, **dict.fromkeys(plan.lost, _LOST)}
        finished = restorer.finish(carried, {*plan.originals, *plan.lost}, reasons)
        unseen |= finished.unseen
        published = finished.published
    own = {at: item.arn for at, item in restoring.functions.items() if at not in unseen}
    return Restored(
        changed,
        tuple(in_stack(app.stack, address) for address in sorted(unseen)),
        frozenset(in_stack(app.stack, address) for address in published),
        frozenset(own.values()),
        frozenset(arn for address, arn in own.items() if address in stubs),
    )


def _applied_and_put_back(plan: RestorePlan, restorer: Restorer | None) -> Mapping[str, str]:
    """Apply a plan, and put back by Lambda's API what Terraform would not bring back.

    Returns:
        The reasons why functions are not put back, by address.
    """
    if restorer is None or not plan.originals:
        # It reports where nothing changes.
        plans.apply(plan.ready)
        return {}
    try:
        if plan.ready.plan.has_changes:
            plans.apply(plan.ready)
    except TerraliveError:
        # These functions do not depend on it.
        restorer.put_back(plan.originals)
        raise
    reasons = restorer.put_back(plan.originals)
    try:
        # The state still says that these functions are stubs.
        plan.ready.terraform.refresh(sorted(plan.originals.keys() - reasons.keys()))
    except TerraliveError as error:
        # Every command looks at the functions themselves, too.
        _log.debug("the state is not refreshed: %s", error.message)
    return reasons


def _let_aliases_follow(stage: Stage, apps: StageApps, ui: Ui, published: Collection[str]) -> None:
    """Let Terraform point aliases at versions that terralive has published."""
    for app in apps.stacks:
        own = [without_stack(address) for address in published if stack_of(address) == app.stack]
        if not own:
            continue
        with app.planned_restore(also=own) as following:
            if following.plan is not None and following.plan.ready.plan.has_changes:
                approval.ask_following(stage, ui, [following.plan])
                plans.apply(following.plan.ready)


def destroy(stage: Stage, apps: StageApps, ui: Ui) -> bool:
    """Remove the whole app, with all its data. The user has asked for this by `--app`.

    Its stacks are removed in the reverse order of their dependencies.

    Returns:
        Whether the app was deployed.

    Raises:
        Declined: the user said no.
    """
    plans.forget_plans(stage)
    with ExitStack() as open_plans:
        found: list[tuple[StageApp, RestorePlan]] = []
        for app in reversed(apps.stacks):
            with naming(app.stack):
                plan = open_plans.enter_context(app.planned_destroy())
            if plan is not None:
                found.append((app, plan))
        approval.ask_destroy(stage, ui, [plan for _, plan in found])
        left = _removed(found)
    for app, plan in left:
        with naming(app.stack):
            _removed_anew(stage, ui, app, changes_of(plan))
    for app in apps.stacks:
        record.end_deployment(app.work)
    return bool(found)


def _removed(
    found: Sequence[tuple[StageApp, RestorePlan]],
) -> Sequence[tuple[StageApp, RestorePlan]]:
    """Remove stacks, up to one whose plan is stale; return that one and the others."""
    for number, (app, plan) in enumerate(found):
        removed = [other.stack for other, _ in found[:number]]
        once = StaleOnce(app, "app")
        with naming(app.stack, removed, _REMOVED), once:
            plans.apply_always(plan.ready)
        if once.was_stale:
            return found[number:]
        record.end_deployment(app.work)
    return ()


def _removed_anew(stage: Stage, ui: Ui, app: StageApp, agreed: set[object]) -> None:
    """Plan the removal of a stack once more, and remove it."""
    with app.planned_destroy() as again:
        if again is not None:
            if changes_of(again) != agreed:
                approval.ask_destroy(stage, ui, [again])
            plans.apply_always(again.ready)
    record.end_deployment(app.work)

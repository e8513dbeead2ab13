"""Makes the stacks of an app live, one after the other, as the user has agreed to."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Final

from terralive_cli.app.live_plan import LivePlan, LivePlans
from terralive_cli.app.stage_app import StageApp
from terralive_cli.deploy import approval
from terralive_cli.deploy.debug_stack import DebugStackOutputs
from terralive_cli.deploy.target import Stage
from terralive_cli.output.ui import Ui
from terralive_cli.stacks.applying import StaleOnce, changes_of, naming
from terralive_cli.stacks.stage_apps import StageApps

_STAY_LIVE: Final = (
    "The same command goes on with the other stacks, and `terralive restore` puts all functions' "
    "own code back. These stacks are live already"
)


class LiveProgress:
    """The work of making an app live, stack by stack, in the order of their dependencies.

    Args:
        stage: the stage.
        ui: asks the user.
        apps: the stacks.
        shown: their plans, to which the user has agreed.
    """

    def __init__(self, stage: Stage, ui: Ui, apps: StageApps, shown: LivePlans) -> None:
        self._stage = stage
        self._ui = ui
        self._apps = apps
        # The plans by stack, and what each of them changes.
        self._shown = {plan.stack: plan for plan in shown.plans}
        self._agreed = {plan.stack: changes_of(plan) for plan in shown.plans}
        # The stacks that are not applied yet, in order.
        self._left = [
            app for app in apps.stacks if app.stack in self._shown or app.stack in shown.waiting
        ]
        # The stacks that are live.
        self._done: list[str] = []
        # The stack whose plan was stale; None for none.
        self._stale: str | None = None
        # The stacks in which functions have got their own code. Their stubs follow.
        self._with_own_code: set[str] = set()

    def apply_shown(self) -> None:
        """Apply the plans that were shown, up to one that has to be made again.

        Raises:
            TerraliveError: see `StageApps.apply_live`.
        """
        changed: set[str] = set()
        while self._left:
            app = self._left[0]
            plan = self._shown.get(app.stack)
            if plan is None:
                return
            if app.part.dependencies & changed:
                # It may read what the apply of another stack has changed.
                app.forget_state()
                return
            once = StaleOnce(app, "app")
            with self._naming(app), once:
                self._apps.apply_live(app, plan)
            if once.was_stale:
                self._stale = app.stack
                return
            if plan.own_code_first:
                self._has_own_code(app, plan)
                return
            self._finished(app)
            if plan.others or (plan.is_whole and plan.ready.plan.has_changes):
                changed.add(app.stack)

    def finish(self, outputs: DebugStackOutputs) -> None:
        """Plan the other stacks anew, and apply them. The user is asked about what differs.

        Raises:
            Declined: the user said no.
            TerraliveError: see `StageApps`.
        """
        while self._left:
            app = self._left[0]
            with self._naming(app):
                self._planned_and_applied(app, outputs, is_last=app.stack == self._stale)
            self._finished(app)

    def _planned_and_applied(
        self, app: StageApp, outputs: DebugStackOutputs, *, is_last: bool
    ) -> None:
        """Plan a stack, and apply the plan.

        Args:
            app: the stack.
            outputs: those of the debug stack.
            is_last: whether a plan that is stale is an error.
        """
        once = StaleOnce(app, "app")
        with self._apps.planned_again(app, outputs) as plan:
            if plan is None:
                return
            self._ask(plan)
            if is_last:
                self._apps.apply_live(app, plan)
            else:
                with once:
                    self._apps.apply_live(app, plan)
        if once.was_stale:
            self._planned_and_applied(app, outputs, is_last=True)
        elif plan.own_code_first:
            self._has_own_code(app, plan)
            self._planned_and_applied(app, outputs, is_last=False)

    def _ask(self, plan: LivePlan) -> None:
        """Ask about a plan, unless the user has agreed to the same changes."""
        changes = changes_of(plan)
        agreed = self._agreed.get(plan.stack)
        if plan.stack in self._with_own_code and not plan.others:
            # The question before has named the stubs that follow.
            agreed = changes
        if agreed is None:
            approval.ask_stack(self._stage, self._ui, plan)
        elif agreed != changes:
            approval.ask_again(self._stage, self._ui, plan)
        self._agreed[plan.stack] = changes

    def _has_own_code(self, app: StageApp, plan: LivePlan) -> None:
        """Note that functions have their own code, and that their stubs are to be planned."""
        self._with_own_code.add(plan.stack)
        app.own_code_is_there()

    def _naming(self, app: StageApp) -> AbstractContextManager[None]:
        return naming(app.stack, self._done, _STAY_LIVE)

    def _finished(self, app: StageApp) -> None:
        self._left.remove(app)
        self._done.append(app.stack)

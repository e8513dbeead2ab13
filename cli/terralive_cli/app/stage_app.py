"""The team's app of a stage: its plans with and without stubs, and what is live after an apply.

The functions are discovered and mapped to local code before anything is written. What was planned
and shown is what is applied.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final

from terralive_cli.app.checks import Inspection, check_changes
from terralive_cli.app.evaluation import Evaluation
from terralive_cli.app.live_plan import (
    NO_WISH,
    AppGuard,
    LiveApp,
    LivePlan,
    PlanSources,
    RestorePlan,
    RestoreWish,
    Restoring,
    Selected,
)
from terralive_cli.app.plan_event import live_functions, unplanned_event
from terralive_cli.app.source import AppSource
from terralive_cli.app.stub_settings import StubSettings
from terralive_cli.app.warnings import Warnings
from terralive_cli.code_changes.of_app import CodeChanges
from terralive_cli.deploy import record
from terralive_cli.deploy.debug_stack import DebugStackOutputs
from terralive_cli.deploy.plans import NO_PLAN, ReadyPlan, apply, of_evaluation, planned
from terralive_cli.deploy.target import Stage
from terralive_cli.fallback.app_fallback import AppFallback
from terralive_cli.fallback.decision import IGNORED
from terralive_cli.functions.debugging import NO_DEBUGGING, Debugging
from terralive_cli.functions.evaluated import EvaluatedApp
from terralive_cli.functions.mapping import Mapped, instances
from terralive_cli.orphans.look import Found
from terralive_cli.output.events import Emit, PlanMade
from terralive_cli.output.progress import Phase, without_failures
from terralive_cli.restoring.own_code import OwnCode
from terralive_cli.selecting.selecting import Selecting
from terralive_cli.stacks.names import page_of_stack
from terralive_stub.errors import (
    ConfigurationError,
    CredentialsError,
    TerraformError,
    TerraliveError,
)
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.output.schedules import schedules_in
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.app import Part, Prepared
from terralive_terraform.substitution.other_changes import other_changes
from terralive_terraform.substitution.rules import NotLive
from terralive_terraform.substitution.selection import addresses_of
from terralive_terraform.substitution.targets import plan_targets
from terralive_workers.function import LocalFunction

_log: Final = logging.getLogger("terralive.cli")


class StageApp:
    """The app of a stage, or one stack of it.

    Args:
        stage: the stage.
        part: the app, or its stack.
        guard: refuses what must not be touched, before anything is planned or applied.
        debugging: the functions to debug.
        shown_stack: the name of the stack, where several stacks are live; else "".
    """

    def __init__(
        self,
        stage: Stage,
        part: Part,
        guard: AppGuard,
        debugging: Debugging = NO_DEBUGGING,
        shown_stack: str = "",
    ) -> None:
        self._stage = stage
        self._guard = guard
        self._debugging = debugging.in_stack(part.name)
        # The app, or its stack.
        self.part = part
        # The name of the stack, where several stacks are live; else "".
        self.stack = shown_stack
        self._source = AppSource(stage, part.app)
        self._stub = StubSettings(stage, self._debugging)
        self._warnings = Warnings(stage, self._debugging.names)
        self._evaluation = Evaluation(stage, guard, self._stub, self._warnings)
        self._inspection = Inspection(stage, guard, self._source)
        self._code_changes = CodeChanges(stage, guard, self._source, self._warnings)
        self._fallback = AppFallback(stage)
        self._own_code = OwnCode(stage, guard, self._source, self._inspection, shown_stack)
        self._selecting = Selecting(
            stage, self._stub, self._evaluation, self._code_changes, self._fallback
        )

    @contextmanager
    def selected_live(
        self, outputs: DebugStackOutputs | None, *, may_wait: bool = False
    ) -> Iterator[Selected]:
        """Ask Terraform for the functions of the app, and select those that become live.

        The app is open while the context lasts.

        Args:
            outputs: those of the debug stack; None before it is deployed.
            may_wait: whether a failure of Terraform's is expected, and nothing is shown then.

        Raises:
            TerraformError: the app cannot be planned.
            TerraliveError: whatever the guard raises.
        """
        emit = self._stage.emit
        if may_wait:
            emit = without_failures(emit)
        phase = Phase("app", emit)
        with ExitStack() as stack:
            with phase.step("synth"):
                app = stack.enter_context(self._source.opened())
            evaluated = self._evaluation.of(app, phase, shows_failure=not may_wait)
            yield self._selecting.of(app, outputs, evaluated, phase)

    def local_functions(self) -> tuple[LocalFunction, ...]:
        """Return the functions that may become live, with their local code; nothing is changed.

        Raises:
            TerraformError: the app cannot be planned.
            TerraliveError: whatever the guard raises.
        """
        with self.selected_live(None) as selected:
            return self._expected(selected.prepared.live, selected.mapped, selected.evaluated)

    @contextmanager
    def planned_live(
        self, selected: Selected, outputs: DebugStackOutputs | None, *, needs_file: bool = False
    ) -> Iterator[LivePlan]:
        """Plan the app with stubs; the plan's file exists while the context does.

        Args:
            selected: the functions that become live.
            outputs: those of the debug stack; None before it is deployed.
            needs_file: plan also where the evaluation has made a plan that shows the same changes,
                and has no file.

        Raises:
            ConfigurationError: `instance-unmapped`; also what mapping raises.
            TerraformError: the plan failed, or `function-would-be-replaced`.
            TerraliveError: whatever the guard raises.
        """
        stage = self._stage
        phase = Phase("app", stage.emit)
        prepared, mapped, refused = selected.prepared, selected.mapped, selected.refused
        evaluated, functions = selected.evaluated, prepared.live
        applied, first = prepared, dict[str, str]()
        if selected.first is not None:
            applied, first = selected.first.prepared, dict(selected.first.reasons)
        by_terraform = applied.functions
        self._warnings.emit_for(functions)
        targets = self._targets(prepared, evaluated)
        is_first = outputs is None and selected.is_first
        # A plan with placeholders would show another one than the plan with stubs.
        needs_file = needs_file or evaluated.builds.error is not None
        with ExitStack() as stack:
            with self._shown_if_it_fails(functions, mapped, refused):
                terraform = stage.app_terraform(applied, phase)
                if targets is None:
                    ready = ReadyPlan(NO_PLAN, terraform, phase)
                    shown = self._inspection.shown(ready)
                elif is_first and not needs_file:
                    # With stubs, the same would be created, and it will be planned again.
                    ready = of_evaluation(evaluated.made, terraform, phase)
                    shown = self._inspection.inspect(evaluated.made.shown)
                else:
                    plan = planned(stage, terraform, phase, targets=targets)
                    ready = stack.enter_context(plan)
                    shown = self._inspection.shown(ready)
                evaluated.builds.require_untouched(shown)
            # Check what only the plan shows.
            check_changes(stage.config, ready, functions, mapped, self._evaluation.arns)
            unfinished_since = record.unfinished_since(self.work)
            created = self._inspection.require_new(shown, prepared, unfinished_since)
            self._warnings.emit_for_plan(applied.live, evaluated, shown)
            timeouts = self._debugging.raised_timeouts(by_terraform)
            live, stubs = addresses_of(functions), addresses_of(by_terraform)
            accounts = self._source.accounts(prepared.directory)
            yield LivePlan(
                ready,
                functions,
                mapped,
                refused,
                accounts,
                timeouts=timeouts,
                others=other_changes(shown, by_terraform, live=stubs, raised=timeouts),
                is_first=shown.is_first,
                is_whole=targets == (),
                outputs=outputs,
                expected=self._expected(functions, mapped, evaluated),
                stack=self.stack,
                sources=PlanSources(
                    prepared,
                    evaluated.made.evaluation,
                    functions,
                    ready.plan.reads,
                    dict(self._selecting.not_found),
                    lacks_builds=evaluated.builds.error is not None,
                    lacks_layers=not live.isdisjoint(evaluated.undecided_layers),
                ),
                created=created,
                fallback=self._fallback.planned(
                    evaluated,
                    self._evaluation.readers,
                    live,
                    shown,
                    accounts=accounts,
                    outputs=outputs,
                    first={**dict.fromkeys(addresses_of(applied.by_api), IGNORED), **first},
                ),
                code=selected.code,
                own_code_first=first,
            )

    @contextmanager
    def _shown_if_it_fails(
        self,
        functions: Sequence[DeclaredFunction],
        mapped: Mapped,
        refused: Mapping[str, NotLive],
    ) -> Iterator[None]:
        """Show what is known of the functions where Terraform cannot plan them with stubs."""
        try:
            yield
        except (TerraformError, CredentialsError):
            event = unplanned_event(self._stage.config, live_functions(mapped, functions), refused)
            self._stage.emit(event)
            raise

    @property
    def emit(self) -> Emit:
        """Takes events, which name the stack where several stacks are live."""
        return self._stage.emit

    @property
    def work(self) -> Path:
        """The folder for what is remembered of it."""
        return self._stage.own_work

    @property
    def is_unfinished(self) -> bool:
        """Tell whether an apply of all of it has begun and not been finished."""
        return record.is_unfinished(self.work)

    def forget_state(self) -> None:
        """Make the next plan from the state as it is then: something else has changed it."""
        self._evaluation.forget()

    def own_code_is_there(self) -> None:
        """Make the next plan put the stubs of all functions in place.

        A plan has deployed the own code of those that needed it first.
        """
        self._selecting.has_own_code = True
        self.forget_state()
        Phase("app", self.emit).note("the functions' own code is deployed; their stubs follow")

    def page_of(self, selected: Selected) -> PlanMade:
        """Return the page of an app of which nothing is planned."""
        page = unplanned_event(self._stage.config, (), selected.refused)
        return page_of_stack(page, self.stack)

    def declared_page(self) -> PlanMade | None:
        """Return what the app's files say of its functions, where nothing can be planned.

        A failure is not shown: it would hide that of the plan.
        """
        try:
            with self._source.opened() as app:
                page = self._evaluation.declared_page(app)
        except TerraliveError as error:
            _log.debug("nothing can be shown of an app that cannot be planned: %s", error)
            return None
        if page is None:
            return None
        return page_of_stack(page, self.stack)

    def _expected(
        self, functions: Sequence[DeclaredFunction], mapped: Mapped, evaluated: EvaluatedApp
    ) -> tuple[LocalFunction, ...]:
        """Return the functions that will be live, as far as their ARNs are known."""
        known = evaluated.expected(self._evaluation.arns)
        try:
            return self._local(functions, mapped, known)
        except ConfigurationError as error:
            _log.debug("not known before the apply: %s", error.message)
            return ()

    def _local(
        self,
        functions: Sequence[DeclaredFunction],
        mapped: Mapped,
        deployed: Mapping[str, DeployedFunction],
    ) -> tuple[LocalFunction, ...]:
        """Attach local code to deployed functions.

        Raises:
            ConfigurationError: see `mapping.instances`.
        """
        return instances(self._stage.config, mapped, functions, deployed)

    def _targets(self, prepared: Prepared, evaluated: EvaluatedApp) -> tuple[str, ...] | None:
        """Return what a plan with stubs is limited to; () for everything, None for no plan."""
        if self.is_unfinished:
            # What is missing may be the triggers of functions that are deployed.
            return ()
        return plan_targets(prepared.functions, prepared.by_api, evaluated.deployed)

    def apply_live(self, plan: LivePlan) -> LiveApp:
        """Apply a plan that makes the app live, and name the deployed functions.

        Raises:
            ConfigurationError, TerraformError: see `plans.apply` and `mapping.instances`.
            StageHeldError: another user holds the stage.
        """
        terraform = plan.ready.terraform
        self._stub.push_images()
        with ExitStack() as stack:
            stack.enter_context(self._stub.uploaded(plan, self._evaluation.by_file))
            if plan.created is not None:
                stack.enter_context(plan.created.explaining())
            self._fallback.publish(plan)
            if plan.is_whole:
                record.begin_deployment(self.work)
            apply(plan.ready)
            if plan.is_whole:
                record.end_deployment(self.work)
        deployed = terraform.state.functions()
        self._fallback.publish_new(plan, deployed)
        made = self._code_changes.make(plan, deployed)
        self._fallback.renew(plan)
        outputs = {
            name: output.value
            for name, output in terraform.state.outputs().items()
            if not output.sensitive
        }
        declared = [item for item in plan.functions if item.address not in made.refused]
        functions = self._local(declared, plan.mapped, deployed)
        _log.debug("%d functions are live", len(functions))
        mapped = plan.mapped.only(addresses_of(declared))
        return LiveApp(
            functions,
            mapped.code,
            {**plan.refused, **made.refused},
            plan.accounts,
            outputs,
            mapped.found_by,
            plan.sources,
            made.stubs,
            schedules_in(terraform.state.instances().values()),
        )

    def planned_restore(
        self, also: Collection[str] = (), wish: RestoreWish = NO_WISH
    ) -> AbstractContextManager[Restoring]:
        """Plan the restore of the original code; see `OwnCode.planned_restore`."""
        return self._own_code.planned_restore(also, wish)

    def require_no_orphans(self) -> tuple[Found, ...]:
        """Check that no deployment has left what the state lacks; see `OwnCode`."""
        return self._own_code.require_no_orphans()

    def planned_destroy(self) -> AbstractContextManager[RestorePlan | None]:
        """Plan to remove the whole app; see `OwnCode.planned_destroy`."""
        return self._own_code.planned_destroy()

"""The team's app of a stage: its plans with and without stubs, and what is live after an apply.

The functions are discovered and mapped to local code before anything is written. What was planned
and shown is what is applied.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final, TypeAlias

from terralive_cli.app.checks import Inspection, check_changes, left_out, nothing_live
from terralive_cli.app.evaluation import Evaluation
from terralive_cli.app.expected import expected_functions
from terralive_cli.app.live_plan import AppGuard, LiveApp, LivePlan, RestorePlan, Restoring
from terralive_cli.app.plan_event import live_functions, unplanned_event
from terralive_cli.app.source import AppSource
from terralive_cli.app.stub_settings import StubSettings
from terralive_cli.app.warnings import Warnings
from terralive_cli.deploy import record
from terralive_cli.deploy.debug_stack import DebugStackOutputs
from terralive_cli.deploy.plans import ReadyPlan, apply, planned
from terralive_cli.deploy.target import Stage
from terralive_cli.functions.debugging import NO_DEBUGGING, Debugging
from terralive_cli.functions.evaluated import EvaluatedApp
from terralive_cli.functions.mapping import Mapped, instances, map_functions
from terralive_cli.live import last_session
from terralive_cli.output.progress import Phase
from terralive_cli.restoring.examination import Examination
from terralive_cli.restoring.restorer import Restorer
from terralive_stub.errors import (
    ConfigurationError,
    CredentialsError,
    TerraformError,
    TerraliveError,
)
from terralive_terraform.artifacts import Artifact
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.evaluation.evaluated_plan import EvaluatedPlan
from terralive_terraform.evaluation.planned import image_architectures
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.runs.runner import Terraform
from terralive_terraform.substitution.app import OpenApp, Prepared
from terralive_terraform.substitution.other_changes import other_changes
from terralive_terraform.substitution.rules import NotLive
from terralive_terraform.substitution.selection import addresses_of
from terralive_terraform.substitution.targets import live_targets, restore_targets
from terralive_workers.function import LocalFunction

_log: Final = logging.getLogger("terralive.cli")
Serve: TypeAlias = Callable[[DebugStackOutputs, tuple[LocalFunction, ...]], None]


class StageApp:
    """The app of a stage. A command has one of it, so that a CDKTF program runs seldom.

    Args:
        stage: the stage.
        guard: refuses what must not be touched, before anything is planned or applied.
        debugging: the functions to debug.
        serve: serves functions before they are applied, as far as they are known: Terraform may
            invoke them meanwhile. None where nobody is connected.
    """

    def __init__(
        self,
        stage: Stage,
        guard: AppGuard,
        debugging: Debugging = NO_DEBUGGING,
        serve: Serve | None = None,
    ) -> None:
        self._stage = stage
        self._guard = guard
        self._debugging = debugging
        self._serve = serve
        self._source = AppSource(stage)
        self._stub = StubSettings(stage, debugging)
        self._warnings = Warnings(stage, debugging.names)
        self._evaluation = Evaluation(stage, guard, self._stub, self._warnings)
        self._inspection = Inspection(stage, guard, self._source)
        # The functions without local code by address, once an earlier plan has found them.
        self._unmapped: dict[str, NotLive] = {}

    @contextmanager
    def planned_live(
        self, outputs: DebugStackOutputs | None, *, needs_file: bool = False
    ) -> Iterator[LivePlan]:
        """Plan the app with stubs; the plan's file exists while the context does.

        Args:
            outputs: those of the debug stack; None before it is deployed.
            needs_file: plan also where the evaluation has made a plan that shows the same changes,
                and has no file.

        Raises:
            ConfigurationError: `no-live-functions`, `instance-unmapped`; also what mapping and
                debugging raise.
            TerraformError: the plan failed, or `function-would-be-replaced`.
            TerraliveError: whatever the guard raises.
        """
        stage = self._stage
        phase = Phase("app", stage.emit)
        # The stack closes in reverse order: the plan's file is removed, then the lock of the app's
        # folder.
        with ExitStack() as stack:
            with phase.step("synth"):
                app = stack.enter_context(self._source.opened())
            evaluated = self._evaluation.of(app, phase)
            prepared, mapped = self._selected(app, outputs, evaluated, phase)
            functions = prepared.functions
            refused = self._refused(prepared)

            # Find what is wrong before Terraform plans what is to be applied.
            if not mapped.functions:
                if refused:
                    stage.emit(unplanned_event(stage.config, (), refused))
                raise nothing_live(refused, mapped.errors)
            self._debugging.check(functions, tuple(mapped.code.values()))
            self._warnings.emit_for(functions)

            # Plan, and check what only the plan shows.
            targets = self._targets(functions, evaluated)
            is_first = outputs is None and evaluated.made.shown.is_first
            with self._shown_if_it_fails(functions, mapped, refused):
                terraform = stage.app_terraform(prepared, phase)
                if is_first and not needs_file:
                    # With stubs, the same would be created, and it will be planned again.
                    ready = _of_evaluation(evaluated.made, terraform, phase)
                    shown = self._inspection.inspect(evaluated.made.shown)
                else:
                    plan = planned(stage, terraform, phase, targets=targets)
                    ready = stack.enter_context(plan)
                    shown = self._inspection.shown(ready)
            check_changes(stage.config, ready, functions, mapped, self._evaluation.arns)
            self._inspection.require_new(shown, prepared)
            self._warnings.emit_for_plan(functions, evaluated, shown)
            timeouts = self._debugging.raised_timeouts(functions)
            live = addresses_of(functions)
            yield LivePlan(
                ready,
                functions,
                mapped,
                refused,
                self._source.accounts(prepared.directory),
                timeouts=timeouts,
                others=other_changes(shown, functions, live=live, raised=timeouts),
                is_first=shown.is_first,
                is_whole=not targets,
                outputs=outputs,
                expected=self._expected(functions, mapped, evaluated),
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

    def forget_state(self) -> None:
        """Make the next plan from the state as it is then: something else has changed it."""
        self._evaluation.forget()

    def show_declared(self) -> None:
        """Show what the app's files say of its functions, where nothing can be planned.

        A failure is not shown: it would hide that of the plan.
        """
        try:
            with self._source.opened() as app:
                self._evaluation.show_declared(app)
        except TerraliveError as error:
            _log.debug("nothing can be shown of an app that cannot be planned: %s", error)

    def _expected(
        self, functions: Sequence[DeclaredFunction], mapped: Mapped, evaluated: EvaluatedApp
    ) -> tuple[LocalFunction, ...]:
        """Return the functions that will be live, as far as their ARNs are known."""
        known = expected_functions(evaluated, self._evaluation.arns)
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
        """Attach local code and debuggers to deployed functions.

        Raises:
            ConfigurationError: see `mapping.instances`.
        """
        found = instances(self._stage.config, mapped, functions, deployed)
        return self._debugging.with_debuggers(functions, mapped.code.values(), found)

    def _selected(
        self,
        app: OpenApp,
        outputs: DebugStackOutputs | None,
        evaluated: EvaluatedApp,
        phase: Phase,
    ) -> tuple[Prepared, Mapped]:
        """Select the functions that become live, with their local code.

        Nothing of the team's changes.
        """
        deployed = evaluated.deployed.functions
        self._unmapped.update(left_out(self._stage.config, evaluated.planned, deployed))
        live = self._stub.live(
            outputs,
            architectures=image_architectures(evaluated.planned),
            arns=self._evaluation.arns,
            exclude=tuple(self._unmapped),
        )
        with phase.step("synth"):
            selection = app.discovered(live).evaluated(evaluated.planned, evaluated.aliases)
        mapped = map_functions(self._stage.config, selection.functions, evaluated.located)
        if mapped.unmapped:
            self._unmapped.update(mapped.unmapped)
            # Another step, because a CDKTF program may have to run again.
            with phase.step("synth"):
                selection = selection.without(tuple(mapped.unmapped))
                prepared = app.prepared(selection)
        else:
            prepared = app.prepared(selection)
        return prepared, mapped.only(addresses_of(prepared.functions))

    def _refused(self, prepared: Prepared) -> dict[str, NotLive]:
        """Return all functions that stay as they are, by address."""
        refused = {item.address: item for item in prepared.refused}
        refused.update(self._unmapped)
        for address, item in refused.items():
            _log.debug("%s stays as it is: %s", address, item.text)
        return refused

    def _targets(
        self, functions: Sequence[DeclaredFunction], evaluated: EvaluatedApp
    ) -> tuple[str, ...]:
        """Return what a plan with stubs is limited to; () for everything."""
        if record.is_unfinished(self._stage.target.work):
            # What is missing may be the triggers of functions that are deployed.
            return ()
        return live_targets(functions, evaluated.deployed)

    def needs_repository(self, plan: LivePlan) -> bool:
        """Tell whether a plan needs the debug stack's repository for container images."""
        own = self._stage.config.stub_images
        return any(item.is_image and item.architecture not in own for item in plan.functions)

    def apply_live(self, plan: LivePlan) -> LiveApp:
        """Apply a plan that makes the app live, and name the deployed functions.

        Raises:
            ConfigurationError, TerraformError: see `plans.apply` and `mapping.instances`.
            StageHeldError: another user holds the stage.
        """
        if self._serve is not None and plan.outputs is not None and plan.ready.plan.has_changes:
            self._serve(plan.outputs, plan.expected)
        terraform, work = plan.ready.terraform, self._stage.target.work
        self._stub.push_images()
        if plan.is_whole:
            record.begin_deployment(work)
        apply(plan.ready)
        if plan.is_whole:
            record.end_deployment(work)
        outputs = {
            name: output.value
            for name, output in terraform.state.outputs().items()
            if not output.sensitive
        }
        functions = self._local(plan.functions, plan.mapped, terraform.state.functions())
        _log.debug("%d functions are live", len(functions))
        if plan.outputs is not None:
            last_session.write(record.session(work), plan.outputs.relay_url, functions)
        return LiveApp(
            functions,
            plan.mapped.code,
            plan.refused,
            plan.accounts,
            outputs,
            plan.mapped.found_by,
        )

    @contextmanager
    def planned_restore(self, also: Collection[str] = ()) -> Iterator[Restoring]:
        """Plan the app as its configuration says, where a function carries a stub.

        Args:
            also: the addresses of more functions, whose aliases have to follow a new version.

        Raises:
            TerraformError: the plan failed.
            TerraliveError: whatever the guard raises.
        """
        phase = Phase("restore", self._stage.emit)
        with ExitStack() as stack:
            app = self._without_stubs(stack, phase)
            if app is None:
                yield Restoring()
                return
            prepared, terraform = app
            deployed = terraform.state.functions_and_aliases()
            # The state may be wrong: an apply was interrupted, or somebody else has another one.
            restorer = self._restorer(prepared, phase)
            examined = restorer.examine(deployed.functions)
            self._guard.inspect(examined.functions)
            targets = restore_targets(deployed, {*examined.stubs, *also})
            unseen = tuple(sorted(examined.unseen))
            if not targets:
                # A restore leaves all other changes of the configuration alone.
                phase.unchanged("no function is live")
                yield Restoring(unseen=unseen)
                return
            ready = stack.enter_context(self._planned(terraform, phase, targets=targets))
            others = other_changes(self._inspection.shown(ready), prepared.functions)
            yield Restoring(RestorePlan(ready, others, examined.stubs), restorer, unseen)

    @contextmanager
    def planned_destroy(self) -> Iterator[RestorePlan | None]:
        """Plan to remove the whole app; None where it is not deployed."""
        phase = Phase("app", self._stage.emit)
        with ExitStack() as stack:
            app = self._without_stubs(stack, phase, destroy=True)
            if app is None:
                yield None
                return
            prepared, terraform = app
            ready = stack.enter_context(self._planned(terraform, phase, destroy=True))
            others = other_changes(self._inspection.shown(ready), prepared.functions)
            yield RestorePlan(ready, others)

    def _without_stubs(
        self, stack: ExitStack, phase: Phase, *, destroy: bool = False
    ) -> tuple[Prepared, Terraform] | None:
        """Open the app without stubs, and inspect what is deployed; None where nothing is.

        Args:
            stack: owns what is opened.
            phase: reports the progress.
            destroy: whether the app is to be removed, which needs no zips.
        """
        with phase.step("synth"):
            app = stack.enter_context(self._source.opened())
            selection = app.discovered(None)
            if destroy:
                selection = selection.without_builds()
            prepared = app.prepared(selection)
        terraform = self._stage.app_terraform(prepared, phase)
        if terraform.state.is_empty():
            phase.unchanged("the app is not deployed")
            return None
        self._guard.inspect_folder(prepared.directory)
        self._guard.inspect(terraform.state.functions())
        return prepared, terraform

    def _planned(
        self,
        terraform: Terraform,
        phase: Phase,
        *,
        destroy: bool = False,
        targets: Sequence[str] = (),
    ) -> AbstractContextManager[ReadyPlan]:
        """Plan the app without stubs; see `plans.planned`."""
        return planned(self._stage, terraform, phase, destroy=destroy, targets=targets)

    def _restorer(self, prepared: Prepared, phase: Phase) -> Restorer:
        accounts = self._source.accounts(prepared.directory)
        images = frozenset(self._stage.config.stub_images.values())
        examination = Examination(accounts, images, prepared.directory)
        return Restorer(accounts, examination, prepared.directory, phase)

    def stub(self, outputs: DebugStackOutputs) -> Artifact:
        """Build the stub's zip for a debug stack. The same settings give the same bytes."""
        return self._stub.stub(outputs)


def _of_evaluation(made: EvaluatedPlan, terraform: Terraform, phase: Phase) -> ReadyPlan:
    """Return the plan that an evaluation has made, to be shown; it is not applied."""
    with phase.step("plan", reports_its_end=True):
        for summary in made.summary:
            phase.on_progress(summary)
    return ReadyPlan(made.plan, terraform, phase)

"""The team's app of a stage: its plans with and without stubs, and what is live after an apply.

The functions are discovered and mapped to local code before anything is written. What was planned
and shown is what is applied.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import record
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.debug_stack import DebugStackOutputs
from terralive_cli.deploy.live_plan import AppGuard, LiveApp, LivePlan, RestorePlan
from terralive_cli.deploy.plans import ReadyPlan, apply, evaluation_file, planned
from terralive_cli.deploy.target import Stage, aws_providers
from terralive_cli.functions.debugging import NO_DEBUGGING, Debugging
from terralive_cli.functions.evaluated import EvaluatedApp, evaluated_app
from terralive_cli.functions.mapping import Mapped, instances, map_functions
from terralive_cli.functions.warnings import (
    debug_warnings,
    function_warnings,
    images_in,
    new_resource_warnings,
    unreadable_warnings,
    version_warnings,
)
from terralive_cli.images.stage_images import StageImages
from terralive_cli.output.events import LiveFunction, PlanMade
from terralive_cli.output.progress import Phase
from terralive_cli.protection.existing import (
    Located,
    created_functions,
    is_applied_by_hand,
    require_new,
)
from terralive_relay.events import Warned
from terralive_stub.errors import ConfigurationError, TerraformError
from terralive_stub.shared.arns import partition_of
from terralive_terraform.artifacts import (
    STUB_ARCHITECTURES,
    Artifact,
    StubCoordinates,
    build_stub_zip,
)
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.evaluation.planned import image_architectures
from terralive_terraform.evaluation.targets import live_targets, restore_targets
from terralive_terraform.output.progress import BUILD_MISSING
from terralive_terraform.output.shown_plan import ShownPlan
from terralive_terraform.output.state import functions_of_plan, versions_after
from terralive_terraform.runs.runner import EvaluatedPlan, Terraform
from terralive_terraform.substitution.app import App, OpenApp, Prepared
from terralive_terraform.substitution.find_app import find_app
from terralive_terraform.substitution.marker import StageName, live_description
from terralive_terraform.substitution.other_changes import other_changes
from terralive_terraform.substitution.plan_checks import (
    functions_after,
    refuse_forgotten_stubs,
    refuse_new_images,
    refuse_replacements,
)
from terralive_terraform.substitution.rules import ImageStub, LiveSettings
from terralive_terraform.substitution.selection import Selection, addresses_of

_log: Final = logging.getLogger("terralive.cli")
# The debug stack's outputs before it is deployed: the app is planned with them to find mistakes.
_NOT_YET: Final = "not-deployed-yet"
_NOT_DEPLOYED: Final = DebugStackOutputs(_NOT_YET, _NOT_YET, _NOT_YET, _NOT_YET)


class StageApp:
    """The app of a stage. A command has one of it, so that a CDKTF program runs seldom.

    Args:
        stage: the stage.
        guard: refuses what must not be touched, before anything is planned or applied.
        debugging: the functions to debug.
    """

    def __init__(self, stage: Stage, guard: AppGuard, debugging: Debugging = NO_DEBUGGING) -> None:
        self._stage = stage
        self._guard = guard
        self._debugging = debugging
        self._var_files = stage.config.terraform.var_files
        # Address -> reason: the functions without local code, once an earlier plan has found them.
        self._unmapped: dict[str, str] = {}
        # The stub's images of this stage.
        self._images = StageImages(
            stage.target.caller,
            stage.config.stub_image_base,
            has_registry=stage.target.sandbox is None,
        )
        # The architectures of functions that need an image of terralive's.
        self._architectures: frozenset[str] = frozenset()
        # The ARNs of functions by address with instance keys, as far as they are known.
        self._arns: dict[str, str] = {}
        # What Terraform says of the app without stubs, once it was asked.
        self._evaluation: EvaluatedApp | None = None
        # Functions that a plan creates and that did not exist when terralive looked.
        self._new: set[Located] = set()
        # Sessions in the accounts of functions, by the folder whose providers open them.
        self._accounts_by_folder: dict[Path, Accounts] = {}
        # Warnings that were emitted: the app may be planned twice, and warns once.
        self._warned: list[Warned] = []

    @cached_property
    def _app(self) -> App:
        """The team's app. It keeps the last output of a CDKTF program, so there is one of it."""
        return app_of(self._stage.config)

    @contextmanager
    def planned_live(self, outputs: DebugStackOutputs | None) -> Iterator[LivePlan]:
        """Plan the app with stubs; the plan's file exists while the context does.

        Args:
            outputs: those of the debug stack; None before it is deployed.

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
                app = stack.enter_context(self._opened())
            evaluated = self._evaluated(app, phase)
            prepared, mapped = self._selected(app, outputs, evaluated, phase)
            functions = prepared.functions
            refused = self._reasons(prepared)

            # Find what is wrong before Terraform plans what is to be applied.
            if not mapped.functions:
                raise _nothing_live(refused, mapped.errors)
            self._debugging.check(functions, tuple(mapped.code.values()))
            self._warn(functions)

            # Plan, and check what only the plan shows.
            terraform = stage.app_terraform(prepared, phase)
            targets = self._targets(functions, evaluated)
            if outputs is None and evaluated.made.shown.is_first:
                # With stubs, the same would be created, and it will be planned again.
                ready = _of_evaluation(evaluated.made, terraform, phase)
                shown = self._inspected(evaluated.made.shown)
            else:
                plan = planned(stage, terraform, phase, self._var_files, targets=targets)
                ready = stack.enter_context(plan)
                shown = self._shown(ready)
            self._check(ready, functions, mapped)
            self._require_new(shown, prepared)
            self._warn_of_versions(functions, evaluated, shown)
            self._emit_new(new_resource_warnings(evaluated.new, shown))
            timeouts = self._raised_timeouts(functions)
            live = addresses_of(functions)
            yield LivePlan(
                ready,
                functions,
                mapped,
                refused,
                self._accounts(prepared.directory),
                timeouts=timeouts,
                others=other_changes(shown, functions, live=live, raised=timeouts),
                is_first=shown.is_first,
                is_whole=not targets,
            )

    def _targets(
        self, functions: Sequence[DeclaredFunction], evaluated: EvaluatedApp
    ) -> tuple[str, ...]:
        """Return what a plan with stubs is limited to; () for everything."""
        if record.is_unfinished(self._stage.target.work):
            # What is missing may be the triggers of functions that are deployed.
            return ()
        return live_targets(functions, evaluated.deployed)

    def _evaluated(self, app: OpenApp, phase: Phase) -> EvaluatedApp:
        """Ask Terraform for the values of the app without stubs, once for each command.

        Raises:
            TerraformError, CredentialsError: the app cannot be planned. What its files alone say
                has been shown.
            TerraliveError: whatever the guard raises.
        """
        if self._evaluation is not None:
            return self._evaluation
        stage = self._stage
        with phase.step("synth"):
            selection = app.discovered(None)
            prepared = app.prepared(selection)
        # Terraform may refuse the same files, and says then what is wrong in them.
        self._emit_new(unreadable_warnings(selection.modules))
        self._guard.inspect_folder(prepared.directory)
        terraform = stage.app_terraform(prepared, phase)
        deployed = terraform.lambda_state()
        self._guard.inspect(deployed.functions)
        try:
            with phase.step("evaluate"):
                made = self._evaluate(app, selection, terraform, phase)
        except TerraformError:
            self._show_declared(app)
            raise
        self._guard.inspect_variables(made.evaluation.variables())
        self._evaluation = evaluated_app(made, deployed, stage.config.project)
        self._arns = self._known_arns(prepared.directory, self._evaluation)
        return self._evaluation

    def _evaluate(
        self, app: OpenApp, selection: Selection, terraform: Terraform, phase: Phase
    ) -> EvaluatedPlan:
        """Ask Terraform for the values, also where zips are not built: live functions need none.

        Raises:
            TerraformError, CredentialsError: the app cannot be planned.
        """
        file = evaluation_file(self._stage)
        try:
            return terraform.evaluate(file, var_files=self._var_files)
        except TerraformError as error:
            if error.reference != BUILD_MISSING:
                raise
            _log.debug("evaluating without the files that are not built: %s", error.message)
        prepared = app.prepared(selection.without_builds())
        terraform = self._stage.app_terraform(prepared, phase)
        return terraform.evaluate(file, var_files=self._var_files)

    def _show_declared(self, app: OpenApp) -> None:
        """Show what the configuration's files say of its functions, where Terraform cannot plan."""
        self._architectures = frozenset(STUB_ARCHITECTURES)
        selection = app.discovered(self._live_settings(None))
        mapped = map_functions(self._stage.config, selection.functions)
        refused = {item.address: item.reason for item in selection.refused}
        functions = tuple(LiveFunction.of(code) for code in mapped.code.values())
        stage = self._stage.config.stage
        if functions or refused or mapped.unmapped:
            self._stage.emit(
                PlanMade(
                    stage=stage,
                    functions=functions,
                    refused={**refused, **mapped.unmapped},
                    changes=None,
                )
            )

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
        self._architectures = image_architectures(evaluated.planned)
        live = self._live_settings(outputs)
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

    def needs_repository(self, plan: LivePlan) -> bool:
        """Tell whether a plan needs the debug stack's repository for container images."""
        own = self._stage.config.stub_images
        return any(item.is_image and item.architecture not in own for item in plan.functions)

    def apply_live(self, plan: LivePlan) -> LiveApp:
        """Apply a plan that makes the app live, and name the deployed functions.

        Raises:
            ConfigurationError, TerraformError: see `plans.apply` and `mapping.instances`.
        """
        terraform, work = plan.ready.terraform, self._stage.target.work
        self._push_images()
        if plan.is_whole:
            record.begin_deployment(work)
        apply(plan.ready)
        if plan.is_whole:
            record.end_deployment(work)
        outputs = {
            name: output.value
            for name, output in terraform.outputs().items()
            if not output.sensitive
        }
        functions = instances(
            self._stage.config, plan.mapped, plan.functions, terraform.functions()
        )
        functions = self._debugging.with_debuggers(
            plan.functions, plan.mapped.code.values(), functions
        )
        _log.debug("%d functions are live", len(functions))
        return LiveApp(functions, plan.mapped.code, plan.refused, plan.accounts, outputs)

    def _push_images(self) -> None:
        """Push the stub's images, before functions are made of them."""
        names = self._images.pending
        if not names:
            return
        phase = Phase("image", self._stage.emit)
        with phase.step("push"):
            self._images.push(names, phase.note)

    def planned_restore(self) -> AbstractContextManager[RestorePlan | None]:
        """Plan the app as its configuration says; None where no function is live."""
        phase = Phase("restore", self._stage.emit)
        return self._planned_without_stubs(phase)

    def planned_destroy(self) -> AbstractContextManager[RestorePlan | None]:
        """Plan to remove the whole app; None where it is not deployed."""
        phase = Phase("app", self._stage.emit)
        return self._planned_without_stubs(phase, destroy=True)

    def _opened(self) -> AbstractContextManager[OpenApp]:
        stage = self._stage
        work = stage.target.work
        if stage.target.sandbox is None:
            return self._app.opened(work / "app", stage.environment)
        # The sandbox is not what the team's state describes, so its apps have a state of their own,
        # unless the user has applied the configuration to this sandbox by hand.
        own = work / "app.tfstate"
        program = stage.config.terraform
        if not program.app:
            accounts = self._accounts(program.dir)
            if is_applied_by_hand(program.dir, stage.environment, own, accounts):
                return self._app.opened(work / "app-applied-by-hand", stage.environment)
        return self._app.opened(work / "app", stage.environment, own)

    @contextmanager
    def _planned_without_stubs(
        self, phase: Phase, *, destroy: bool = False
    ) -> Iterator[RestorePlan | None]:
        """Plan the app without stubs; None where there is nothing to do."""
        stage = self._stage
        with ExitStack() as stack:
            with phase.step("synth"):
                app = stack.enter_context(self._opened())
                selection = app.discovered(None)
                if destroy:
                    selection = selection.without_builds()
                prepared = app.prepared(selection)
            terraform = stage.app_terraform(prepared, phase)
            if terraform.is_empty():
                phase.unchanged("the app is not deployed")
                yield None
                return
            self._guard.inspect_folder(prepared.directory)
            deployed = terraform.lambda_state()
            self._guard.inspect(deployed.functions)
            if not destroy and not restore_targets(deployed):
                # What else the configuration changes is none of a restore's business.
                phase.unchanged("no function is live")
                yield None
                return
            targets: tuple[str, ...] = ()
            if not destroy:
                targets = restore_targets(deployed)
            plan = planned(
                stage, terraform, phase, self._var_files, destroy=destroy, targets=targets
            )
            ready = stack.enter_context(plan)
            yield RestorePlan(ready, other_changes(self._shown(ready), prepared.functions))

    def _shown(self, ready: ReadyPlan) -> ShownPlan:
        """Read a plan's content, and inspect the functions in it.

        Raises:
            TerraformError: `stub-would-be-forgotten`.
            TerraliveError: whatever the guard raises.
        """
        if not ready.plan.has_changes:
            return ShownPlan((), is_first=False)
        return self._inspected(ready.terraform.show(ready.plan.file))

    def _inspected(self, shown: ShownPlan) -> ShownPlan:
        """Inspect the functions in a plan."""
        # The plan has looked at AWS: the state may be older, and new functions have names now.
        for functions in functions_of_plan(shown):
            self._guard.inspect(functions)
        refuse_forgotten_stubs(shown)
        return shown

    def stub(self, outputs: DebugStackOutputs) -> Artifact:
        """Build the stub's zip for a debug stack. The same settings give the same bytes."""
        return build_stub_zip(self._coordinates(outputs), self._stage.target.work / "stub")

    def _coordinates(self, outputs: DebugStackOutputs) -> StubCoordinates:
        config = self._stage.config
        return StubCoordinates(outputs.stub_url, config.app, config.stage, outputs.secret)

    def _require_new(self, plan: ShownPlan, prepared: Prepared) -> None:
        """Check that the functions that a plan creates may be created, and do not exist yet."""
        target = self._stage.target
        accounts = self._accounts(prepared.directory)
        providers = aws_providers(self._stage.config, prepared.directory)
        created = tuple(
            created_functions(plan, prepared.functions, providers, accounts, target.region)
        )
        self._guard.inspect_new(created)
        located = {new.located for new in created if new.located is not None}
        require_new(sorted(located - self._new), accounts, target.name)
        # The app is planned again after the debug stack was deployed.
        self._new |= located

    def _accounts(self, directory: Path) -> Accounts:
        """Return sessions in the accounts of the functions that a folder's configuration has."""
        if directory not in self._accounts_by_folder:
            self._accounts_by_folder[directory] = self._stage.accounts(directory)
        return self._accounts_by_folder[directory]

    def _known_arns(self, directory: Path, evaluated: EvaluatedApp) -> dict[str, str]:
        """Return the ARNs of functions, by address: of deployed ones, and of images to be deployed.

        Where only the default provider exists, and acts as the caller, an image's name tells its
        ARN.
        """
        arns = {address: item.arn for address, item in evaluated.deployed.functions.items()}
        providers = aws_providers(self._stage.config, directory)
        for provider in providers:
            if provider.alias or provider.profile != "" or provider.role_arn != "":
                return arns
        for function in evaluated.planned:
            if function.is_image and function.name is not None:
                arns.setdefault(function.address, self._arn_prefix + function.name)
        return arns

    @property
    def _arn_prefix(self) -> str:
        """The ARN of a function of the stage's account and region, without the name."""
        target = self._stage.target
        partition = partition_of(target.caller.arn)
        return f"arn:{partition}:lambda:{target.region}:{target.caller.account}:function:"

    def _live_settings(self, outputs: DebugStackOutputs | None) -> LiveSettings:
        config, target = self._stage.config, self._stage.target
        known = outputs or _NOT_DEPLOYED
        coordinates = self._coordinates(known)
        stub = self.stub(known)
        image_stub = None
        if config.stub_images or self._architectures:
            images = images_in(target.region, config.stub_images)
            for architecture in sorted(self._architectures - images.keys()):
                images[architecture] = self._images.name(known.image_repository, architecture)
            image_stub = ImageStub(
                images=images,
                coordinates=coordinates,
                arn_prefix=self._arn_prefix,
                arns=self._arns,
            )
        return LiveSettings(
            stub_zip=stub.path,
            stub_hash=stub.sha256_base64,
            exclude=tuple(self._unmapped),
            debug=self._debugging.names,
            image_stub=image_stub,
            description=live_description(StageName(config.app, config.stage)),
        )

    def _reasons(self, prepared: Prepared) -> dict[str, str]:
        """Return address -> reason for all functions that stay as they are."""
        reasons = {item.address: item.reason for item in prepared.refused}
        reasons.update(self._unmapped)
        for address, reason in reasons.items():
            _log.debug("%s stays as it is: %s", address, reason)
        return reasons

    def _check(
        self, ready: ReadyPlan, functions: Sequence[DeclaredFunction], mapped: Mapped
    ) -> None:
        """Refuse a plan that removes a live function or makes an instance without local code."""
        refuse_replacements(ready.plan.changes, addresses_of(functions))
        repeated = [item for item in functions if item.is_image and item.repeated]
        refuse_new_images(ready.plan.changes, addresses_of(repeated), self._arns)
        # Functions that are mapped instance by instance: the plan shows which instances there are.
        code = mapped.code
        by_instance = [function for function in functions if function.address not in code]
        if by_instance:
            deployed = functions_after(ready.terraform.functions(), ready.plan.changes)
            instances(self._stage.config, mapped, by_instance, deployed)

    def _warn(self, functions: Sequence[DeclaredFunction]) -> None:
        warnings = list(function_warnings(functions))
        for function in functions:
            if function.is_named(self._debugging.names):
                warnings += debug_warnings(function)
        self._emit_new(warnings)

    def _warn_of_versions(
        self, functions: Sequence[DeclaredFunction], evaluated: EvaluatedApp, shown: ShownPlan
    ) -> None:
        """Warn of published versions, whose invocations do not arrive here."""
        versions = {at: alias.version for at, alias in evaluated.deployed.aliases.items()}
        versions.update(versions_after(shown))
        self._emit_new(version_warnings(functions, evaluated.aliases, evaluated.edge, versions))

    def _emit_new(self, warnings: Iterable[Warned]) -> None:
        """Emit those warnings that have not been emitted before."""
        new = [warning for warning in warnings if warning not in self._warned]
        self._warned += new
        # Together, so that the same warning for several functions is shown once.
        self._stage.emit(*new)

    def _raised_timeouts(self, functions: Sequence[DeclaredFunction]) -> dict[str, int]:
        raised: dict[str, int] = {}
        for function in functions:
            is_debugged = function.is_named(self._debugging.names)
            if is_debugged and function.debug_timeout > function.timeout:
                raised[function.address] = function.debug_timeout
        return raised


def _of_evaluation(made: EvaluatedPlan, terraform: Terraform, phase: Phase) -> ReadyPlan:
    """Return the plan that an evaluation has made, to be shown; it is not applied."""
    with phase.step("plan", reports_its_end=True):
        for summary in made.summary:
            phase.on_progress(summary)
    return ReadyPlan(made.plan, terraform, phase)


def app_of(config: Config) -> App:
    """Find the team's app: a CDKTF program runs in `[terraform] dir`, where its cdktf.json is."""
    program = config.require_program()
    terraform_dir = None if program.app else program.dir
    return find_app(
        program.dir,
        terraform_dir=terraform_dir,
        command=program.app,
        stack=program.stack,
        binary=program.binary,
        backend_config=program.backend_config,
        var_files=program.var_files,
    )


def _nothing_live(
    refused: Mapping[str, str], errors: Mapping[str, ConfigurationError]
) -> ConfigurationError:
    """Return the error for an app without a live function."""
    if len(refused) == 1 and len(errors) == 1:
        # The only function's own error says more.
        (error,) = errors.values()
        return error
    message = "The app has no Lambda functions."
    if refused:
        reasons = "".join(f"\n  {address}: {reason}" for address, reason in refused.items())
        message = f"No function of the app can be made live.{reasons}"
    return ConfigurationError(
        "no-live-functions",
        message,
        hint="See docs/CONFIGURATION.md, [functions], for how functions are mapped to local code.",
    )

"""What terralive deploys and how it comes and goes: the debug stack beside an app, and the app with and without stubs.

The stages of making an app live, each of which leaves a state that `restore` and `destroy`
understand:

    1. the debug stack is synthesised, planned, and applied if anything has changed; before it is,
       the app is planned too, so that a mistake in it is told while nothing is deployed yet
    2. the stub's zip is built with the debug stack's address in it
    3. the app is synthesised (or overridden) with the stub in its functions' place, planned, and
       applied if anything has changed; what was planned and shown is what is applied
    4. the deployed functions' names are read from the state and mapped to local code

A failed apply leaves what Terraform has done in Terraform's state, and the error says so. Asking
the user is the caller's: `approve` is called with what is about to change and returns or raises.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import record
from terralive_cli.deploy.target import Target
from terralive_cli.deploy.warnings import (
    cautions,
    debug_cautions,
    functions_after,
    images_in,
    refuse_replacements,
)
from terralive_cli.functions.debugging import NO_DEBUGGING, Debugging
from terralive_cli.functions.mapping import Mapped, instances, map_functions
from terralive_cli.output.events import Emit
from terralive_cli.output.progress import Phase
from terralive_relay.events import Event
from terralive_stub.errors import ConfigurationError, TerraliveError
from terralive_terraform.artifacts import StubCoordinates, build_stub_zip
from terralive_terraform.debug_stack.settings import STUB_STAGE, BackendSettings, DebugStackSettings
from terralive_terraform.debug_stack.synth import synthesise_debug_stack
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.documents import Json
from terralive_terraform.runs.environment import terraform_environment
from terralive_terraform.runs.runner import DeployedFunction, OutputValue, Terraform, TerraformPlan
from terralive_terraform.runs.version import require_terraform
from terralive_terraform.substitution.app import App, Prepared
from terralive_terraform.substitution.rules import LiveSettings
from terralive_workers.function import LocalCode, LocalFunction

_PLACEHOLDER: Final = "not-deployed-yet"
_OUTPUTS: Final = ("stub_url", "relay_url", "api_arn", "table_name")
_PASSES: Final = 2


@dataclass(frozen=True, slots=True)
class DebugStackOutputs:
    """What the debug stack says of itself."""

    stub_url: str
    relay_url: str
    api_arn: str
    table_name: str


@dataclass(frozen=True, slots=True)
class LiveApp:
    """An app whose functions are live. `refused`: address -> why that function is not."""

    functions: tuple[LocalFunction, ...]
    code: Mapping[str, LocalCode]
    refused: Mapping[str, str]
    outputs: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LivePlan:
    """What making the app live changes.

    Attributes:
        plan: Terraform's, with its file.
        code: the functions that become or stay live, by address.
        refused: address -> why that function does not.
        timeouts: address -> the timeout, in seconds, that debugging it raises its own to.
    """

    plan: TerraformPlan
    code: Mapping[str, LocalCode]
    refused: Mapping[str, str]
    timeouts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _ReadyApp:
    prepared: Prepared
    mapped: Mapped
    refused: Mapping[str, str]

    def planned(self, plan: TerraformPlan, debugging: Debugging) -> LivePlan:
        debugged = (facts for facts in self.prepared.functions if facts.is_named(debugging.names))
        timeouts = {
            facts.address: facts.debug_timeout
            for facts in debugged
            if facts.debug_timeout > facts.timeout
        }
        return LivePlan(plan, self.mapped.code, self.refused, timeouts)


class Deployment:
    """One stage of one app, at its target.

    Args:
        config: the configuration.
        target: where the stage lives.
        emit: takes progress events.
        debugging: which functions are debugged, and how.
    """

    def __init__(
        self,
        config: Config,
        target: Target,
        emit: Emit,
        debugging: Debugging = NO_DEBUGGING,
    ) -> None:
        self._config = config
        self._target = target
        self._emit = emit
        self._debugging = debugging
        self._work = target.work
        self._warned: list[Event] = []
        require_terraform(config.terraform.binary, target.environment)
        self._environment = terraform_environment(target.environment, target.work)

    # The debug stack

    def plan_debug_stack(self) -> tuple[TerraformPlan, DebugStackOutputs | None]:
        """Plan the debug stack; with it, what the deployed one says of itself."""
        phase = Phase("debug-stack", self._emit)
        terraform = self._debug_terraform(phase)
        with self._planned(terraform, phase) as plan:
            return plan, _debug_outputs(terraform.outputs())

    def apply_debug_stack(
        self,
        approve: Callable[[TerraformPlan], None],
        *,
        before: Callable[[DebugStackOutputs], None] = lambda _: None,
    ) -> DebugStackOutputs:
        """Make the debug stack what its settings say; nothing is applied where nothing has changed.

        `before` is called first with what a deployed debug stack says of itself; raising ends it
        there.
        """
        phase = Phase("debug-stack", self._emit)
        terraform = self._debug_terraform(phase)
        deployed = _debug_outputs(terraform.outputs())
        if deployed is not None:
            before(deployed)
        with self._planned(terraform, phase) as plan:

            def begin() -> None:
                self.plan_live(deployed)
                approve(plan)

            self._apply(terraform, plan, phase, begin)
        outputs = _debug_outputs(terraform.outputs())
        if outputs is None:
            raise TerraliveError(
                "debug-stack-incomplete",
                "The debug stack has been applied but lacks some of its outputs.",
                hint="Run `terralive destroy` and start again.",
            )
        return outputs

    def destroy_debug_stack(self) -> bool:
        """Remove the debug stack; False if there is none.

        Raises:
            TerraliveError: there is one, but its Terraform state is not here.
        """
        phase = Phase("debug-stack", self._emit)
        terraform = self._debug_terraform(phase)
        if terraform.is_empty():
            broker = self._debug_settings().name("broker")
            if self._target.caller.has_function(broker):
                raise TerraliveError(
                    "debug-stack-elsewhere",
                    f"The debug stack of {self._config.app}/{self._config.stage} is deployed in {self._target.name} "
                    f"(its broker is {broker}), but its Terraform state is not here.",
                    hint="Run this where it was deployed from, or bring that folder's .terralive here. A [backend] in "
                    "terralive.toml keeps the state where every machine finds it.",
                )
        return self._destroy(terraform, phase)

    # The app

    def plan_live(self, outputs: DebugStackOutputs | None) -> LivePlan:
        """Plan the app with stubs.

        Before there is a debug stack, with a placeholder for its address.
        """
        phase = Phase("app", self._emit)
        with self._live_app(phase, outputs) as ready:
            terraform = self._terraform(ready.prepared, phase)
            with self._planned(terraform, phase) as plan:
                self._check(terraform, plan, ready)
                return ready.planned(plan, self._debugging)

    def apply_live(
        self, outputs: DebugStackOutputs, approve: Callable[[LivePlan], None]
    ) -> LiveApp:
        """Put the stub in the functions' place; nothing is applied where nothing has changed."""
        phase = Phase("app", self._emit)
        with self._live_app(phase, outputs) as ready:
            terraform = self._terraform(ready.prepared, phase)

            def begin() -> None:
                approve(ready.planned(plan, self._debugging))
                self._note_who_made_it(terraform)

            with self._planned(terraform, phase) as plan:
                self._check(terraform, plan, ready)
                self._apply(terraform, plan, phase, begin)
            values = {
                name: output.value
                for name, output in terraform.outputs().items()
                if not output.sensitive
            }
            deployed, facts = terraform.functions(), ready.prepared.functions
            reserved = {address: one.reserved for address, one in deployed.items()}
            mapped = instances(self._config, ready.mapped, facts, _names(deployed), reserved)
            functions = self._debugging.with_debuggers(facts, ready.mapped.code.values(), mapped)
            return LiveApp(functions, ready.mapped.code, ready.refused, values)

    def restore(self, approve: Callable[[TerraformPlan], None]) -> bool:
        """Make the app what its configuration says.

        False if it is already, or not deployed at all.
        """
        self._forget_plans()
        phase = Phase("restore", self._emit)
        with self._plain_app(phase) as prepared:
            terraform = self._terraform(prepared, phase)
            if terraform.is_empty():
                phase.unchanged("the app is not deployed")
                return False
            with self._planned(terraform, phase) as plan:
                self._apply(terraform, plan, phase, lambda: approve(plan))
                return plan.has_changes

    def destroy_app(self) -> bool:
        """Remove the whole app; False if there is nothing of it."""
        phase = Phase("app", self._emit)
        with self._plain_app(phase) as prepared:
            return self._destroy(self._terraform(prepared, phase), phase)

    def app_is_terralives(self) -> bool:
        """Tell whether terralive deployed this stage's app from nothing, so that `destroy` takes it away too."""
        return record.load(self._work, today=_today()).made_app is True

    def forget_stage(self) -> None:
        """Remove what this machine remembers of a stage that is gone."""
        self._forget_plans()
        record.forget(self._work)

    # How

    def _apply(
        self, terraform: Terraform, plan: TerraformPlan, phase: Phase, begin: Callable[[], None]
    ) -> None:
        if not plan.has_changes:
            phase.unchanged()
            return
        begin()
        with phase.step("apply", tells_its_end=True), _explained(phase.name):
            terraform.apply(plan.file)

    def _destroy(self, terraform: Terraform, phase: Phase) -> bool:
        if terraform.is_empty():
            phase.unchanged("there is none")
            return False
        with (
            self._planned(terraform, phase, destroy=True) as plan,
            phase.step("apply", tells_its_end=True),
            _explained(phase.name),
        ):
            terraform.apply(plan.file)
        return True

    @contextmanager
    def _planned(
        self, terraform: Terraform, phase: Phase, *, destroy: bool = False
    ) -> Iterator[TerraformPlan]:
        """Plan; the plan's file, which may hold secrets, does not outlive the context."""
        file = self._work / "plans" / f"{phase.name}.tfplan"
        var_files = self._config.terraform.var_files if phase.name != "debug-stack" else ()
        with phase.step("plan", tells_its_end=True):
            plan = terraform.plan(file, destroy=destroy, var_files=var_files)
        try:
            yield plan
        finally:
            file.unlink(missing_ok=True)

    def _forget_plans(self) -> None:
        """A run that was killed leaves its plan, which may hold secrets."""
        shutil.rmtree(self._work / "plans", ignore_errors=True)

    def _note_who_made_it(self, terraform: Terraform) -> None:
        known = record.load(self._work, today=_today())
        if known.made_app is None:
            record.note_app(self._work, known, empty=terraform.is_empty())

    def _debug_terraform(self, phase: Phase) -> Terraform:
        with phase.step("synth"):
            made = synthesise_debug_stack(
                self._debug_settings(), self._work / "debug-stack", environment=self._environment
            )
        return self._initialised(made.directory, None, phase)

    def _debug_settings(self) -> DebugStackSettings:
        config, stack = self._config, self._config.debug_stack
        known = record.load(self._work, today=_today())
        record.save(self._work, known)
        backend = config.backend if self._target.sandbox is None else None
        return DebugStackSettings(
            app=config.app,
            stage=config.stage,
            region=self._target.region,
            owner=config.user,
            created=known.created,
            version=version("terralive"),
            endpoints=self._target.endpoints,
            permissions_boundary=stack.permissions_boundary,
            role_path=stack.role_path,
            name_prefix=stack.name_prefix,
            tags=stack.tags,
            kms_key=stack.kms_key,
            log_retention_days=stack.log_retention_days,
            backend=BackendSettings(backend.type, backend.config) if backend is not None else None,
        )

    def _terraform(self, prepared: Prepared, phase: Phase) -> Terraform:
        return self._initialised(prepared.directory, prepared.data_dir, phase)

    def _initialised(self, directory: Path, data_dir: Path | None, phase: Phase) -> Terraform:
        terraform = Terraform(
            directory,
            binary=self._config.terraform.binary,
            environment=self._environment,
            on_progress=phase.on_progress,
            data_dir=data_dir,
        )
        with phase.step("init"):
            terraform.ensure_init()
        return terraform

    def _prepare(self, live: LiveSettings | None) -> AbstractContextManager[Prepared]:
        app = app_of(self._config)
        sandboxed = self._target.sandbox is not None
        state = self._work / "app.tfstate" if sandboxed else None
        return app.prepared(live, self._work / "app", self._environment, state)

    @contextmanager
    def _plain_app(self, phase: Phase) -> Iterator[Prepared]:
        with ExitStack() as stack:
            with phase.step("synth"):
                prepared = stack.enter_context(self._prepare(None))
            yield prepared

    @contextmanager
    def _live_app(self, phase: Phase, outputs: DebugStackOutputs | None) -> Iterator[_ReadyApp]:
        """Prepare the app with stubs in the place of those functions that have local code."""
        exclude: dict[str, str] = {}
        for _ in range(_PASSES):
            with ExitStack() as stack:
                with phase.step("synth"):
                    prepared = stack.enter_context(
                        self._prepare(self._live_settings(outputs, tuple(exclude)))
                    )
                mapped = map_functions(self._config, prepared.functions)
                if mapped.unmapped:
                    exclude.update(mapped.unmapped)
                    continue
                refused = {**{item.address: item.reason for item in prepared.refused}, **exclude}
                if not mapped.code:
                    raise _nothing_live(refused)
                self._debugging.check(prepared.functions, tuple(mapped.code.values()))
                self._caution(prepared.functions)
                yield _ReadyApp(prepared, mapped, refused)
                return
        raise TerraliveError(
            "functions-unstable",
            "The app's program gives other functions at every run.",
            hint="Make its output depend on its input only.",
        )

    def _check(self, terraform: Terraform, plan: TerraformPlan, ready: _ReadyApp) -> None:
        """Refuse what must not be applied: a function that goes, an instance without local code."""
        functions = ready.prepared.functions
        refuse_replacements(plan.changes, {facts.address for facts in functions})
        by_instance = [facts for facts in functions if facts.address not in ready.mapped.code]
        if by_instance:
            instances(
                self._config,
                ready.mapped,
                by_instance,
                functions_after(_names(terraform.functions()), plan.changes),
            )

    def _caution(self, functions: Sequence[DeclaredFunction]) -> None:
        """Warn once, however often the app is planned."""
        debugged = [facts for facts in functions if facts.is_named(self._debugging.names)]
        more = (warning for facts in debugged for warning in debug_cautions(facts))
        new = [item for item in (*cautions(functions), *more) if item not in self._warned]
        self._warned += new
        # Together, so that the same warning for several functions is shown once.
        self._emit(*new)

    def _live_settings(
        self, outputs: DebugStackOutputs | None, exclude: tuple[str, ...]
    ) -> LiveSettings:
        known = outputs or DebugStackOutputs(*[_PLACEHOLDER] * len(_OUTPUTS))
        coordinates = StubCoordinates(
            known.stub_url, self._target.region, self._config.app, self._config.stage
        )
        stub = build_stub_zip(coordinates, self._work / "stub")
        return LiveSettings(
            stub_zip=stub.path,
            stub_hash=stub.sha256_base64,
            connect_arn=f"{known.api_arn}/{STUB_STAGE}/$connect",
            exclude=exclude,
            debug=self._debugging.names,
            stub_images=images_in(self._target.region, self._config.stub_images),
            stub_arguments=(
                coordinates.url,
                coordinates.region,
                coordinates.app,
                coordinates.stage,
            ),
        )


def app_of(config: Config) -> App:
    """Find the team's app: a CDKTF program runs in `[terraform] dir`, where its cdktf.json is."""
    program = config.require_program()
    return App.discover(
        program.dir,
        terraform_dir=None if program.app else program.dir,
        command=program.app,
        stack=program.stack,
        binary=program.binary,
    )


def _names(deployed: Mapping[str, DeployedFunction]) -> dict[str, str]:
    return {address: one.name for address, one in deployed.items()}


def _today() -> str:
    return dt.datetime.now(dt.UTC).date().isoformat()


def _debug_outputs(outputs: Mapping[str, OutputValue]) -> DebugStackOutputs | None:
    values = [outputs[name].value if name in outputs else None for name in _OUTPUTS]
    texts = [value for value in values if isinstance(value, str)]
    return DebugStackOutputs(*texts) if len(texts) == len(values) else None


@contextmanager
def _explained(phase: str) -> Iterator[None]:
    """Say of a failed apply that it may have left things behind, and what puts them right."""
    try:
        yield
    except TerraliveError as error:
        error.hint = (
            f"{error.hint} What was done before the failure (phase {phase}) stays, and Terraform's state knows it: the "
            "same command goes on from there, `terralive destroy` takes everything back."
        ).strip()
        raise


def _nothing_live(refused: Mapping[str, str]) -> ConfigurationError:
    reasons = "".join(f"\n  {address}: {reason}" for address, reason in refused.items())
    return ConfigurationError(
        "no-live-functions",
        f"No function of the app can be made live.{reasons}"
        if refused
        else "The app has no Lambda functions.",
        hint="See docs/CONFIGURATION.md, [functions], for how functions are mapped to local code.",
    )

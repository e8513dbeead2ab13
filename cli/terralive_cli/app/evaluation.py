"""Asks Terraform for the values of the app without stubs, once in each command."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from terralive_cli.app.live_plan import AppGuard
from terralive_cli.app.plan_event import live_functions, unplanned_event
from terralive_cli.app.stub_settings import (
    Identity,
    StubSettings,
    functions_by_file,
    known_arns,
)
from terralive_cli.app.warnings import Warnings
from terralive_cli.deploy.plans import evaluation_file, missing_builds
from terralive_cli.deploy.target import Stage, aws_providers
from terralive_cli.functions.evaluated import EvaluatedApp, evaluated_app
from terralive_cli.functions.mapping import map_functions
from terralive_cli.functions.reasons import unplanned
from terralive_cli.functions.warnings import unreadable_warnings
from terralive_cli.output.events import PlanMade
from terralive_cli.output.progress import Phase
from terralive_stub.errors import CredentialsError, TerraformError, TerraliveError
from terralive_terraform.artifacts import STUB_ARCHITECTURES
from terralive_terraform.data_folder import data_folder
from terralive_terraform.discovery.hcl.folders import is_opentofu
from terralive_terraform.discovery.version_readers import version_readers
from terralive_terraform.evaluation.evaluated_plan import EvaluatedPlan
from terralive_terraform.missing_builds.placeholders import MissingBuilds
from terralive_terraform.runs.runner import Terraform
from terralive_terraform.substitution.app import OpenApp
from terralive_terraform.substitution.selection import Selection
from terralive_terraform.substitution.targets import with_own_code

_log: Final = logging.getLogger("terralive.cli")


@dataclass(slots=True)
class Evaluation:
    """The app of a stage as Terraform computes it.

    Attributes:
        stage: the stage.
        guard: refuses what must not be touched.
        stub: the settings of the stub.
        warnings: emits warnings.
        arns: the ARNs of functions by address with instance keys, as far as they are known.
        by_file: the addresses, without instance keys, of functions that get the stub as a file.
        readers: what reads the newest version of functions, by address without instance keys.
    """

    stage: Stage
    guard: AppGuard
    stub: StubSettings
    warnings: Warnings
    arns: dict[str, str] = field(default_factory=dict)
    by_file: tuple[str, ...] = ()
    readers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # The answer of Terraform; None before it was asked, and after `forget`.
    _evaluated: EvaluatedApp | None = None

    def of(self, app: OpenApp, phase: Phase, *, shows_failure: bool = True) -> EvaluatedApp:
        """Ask Terraform for the values of the app without stubs.

        Args:
            app: the app.
            phase: reports the progress.
            shows_failure: whether what the app's files alone say is shown where it fails.

        Raises:
            TerraformError, CredentialsError: the app cannot be planned, or Terraform cannot be
                prepared for it.
            TerraliveError: whatever the guard raises.
        """
        if self._evaluated is None:
            with phase.step("synth"):
                selection = app.discovered(None)
            try:
                self._evaluated = self._asked(app, selection, phase)
            except (TerraformError, CredentialsError):
                # Another failure would hide this one.
                with contextlib.suppress(TerraliveError):
                    page = self.declared_page(app)
                    if shows_failure and page is not None:
                        self.stage.emit(page)
                raise
        return self._evaluated

    def forget(self) -> None:
        """Ask Terraform again the next time: the state has changed."""
        self._evaluated = None

    def _asked(self, app: OpenApp, selection: Selection, phase: Phase) -> EvaluatedApp:
        """Ask Terraform; it raises what `of` does."""
        with phase.step("synth"):
            prepared = app.prepared(selection)
        # Terraform may refuse the same files, and says then what is wrong in them.
        self.warnings.emit(unreadable_warnings(selection.modules))
        self.guard.inspect_folder(prepared.directory)
        terraform = self.stage.app_terraform(prepared, phase)
        deployed = terraform.state.functions_and_aliases()
        self.guard.inspect(deployed.functions)
        builds = missing_builds(self.stage, selection)
        with phase.step("evaluate"):
            made = self._evaluate(app, selection, terraform, phase, builds)
        builds.keep(made.shown, with_own_code(deployed))
        self.guard.inspect_variables(made.evaluation.variables())
        project = self.stage.config.project
        evaluated = evaluated_app(made, deployed, project, selection.modules, builds)
        self.arns = known_arns(self.stage, prepared.directory, evaluated)
        providers = aws_providers(self.stage.config, prepared.directory)
        identity = Identity.of(self.stage.target, providers)
        self.by_file = functions_by_file(evaluated, providers, identity)
        folder = prepared.data_dir
        if folder is None:
            folder = data_folder(prepared.directory, self.stage.environment)
        opentofu = is_opentofu(self.stage.config.terraform.binary)
        self.readers = version_readers(prepared.directory, folder, opentofu=opentofu)
        return evaluated

    def _evaluate(
        self,
        app: OpenApp,
        selection: Selection,
        terraform: Terraform,
        phase: Phase,
        builds: MissingBuilds,
    ) -> EvaluatedPlan:
        """Ask Terraform for the values, also where files are not built: live functions need none.

        Raises:
            TerraformError, CredentialsError: the app cannot be planned.
        """
        file = evaluation_file(self.stage)

        def again() -> Terraform:
            prepared = app.prepared(selection.with_placeholders(builds.substitutions()))
            return self.stage.app_terraform(prepared, phase)

        made = builds.run(terraform, lambda run: run.evaluate(file, builds.corrected), again)
        if builds.error is not None:
            _log.debug("evaluated without what is not built: %s", builds.error.message)
        return made

    def declared_page(self, app: OpenApp) -> PlanMade | None:
        """Return what the configuration's files say of its functions, where Terraform cannot plan.

        Raises:
            TerraliveError: they cannot be read, or the stub's image cannot be named.
        """
        config = self.stage.config
        live = self.stub.live(None, architectures=STUB_ARCHITECTURES, arns=self.arns)
        selection = app.discovered(live)
        mapped = map_functions(config, selection.functions)
        refused = {item.address: item for item in selection.refused}
        refused.update({at: unplanned(item) for at, item in mapped.unmapped.items()})
        functions = live_functions(mapped)
        if not functions and not refused:
            return None
        return unplanned_event(config, functions, refused)

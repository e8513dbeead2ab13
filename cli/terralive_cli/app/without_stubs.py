"""The app as its configuration says, prepared for a restore or for its end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from terralive_cli.app.source import AppSource
from terralive_cli.deploy.plans import ReadyPlan, evaluation_file, missing_builds, planned
from terralive_cli.deploy.target import Stage
from terralive_cli.output.progress import Phase
from terralive_terraform.missing_builds.placeholders import MissingBuilds
from terralive_terraform.output.shown_plan import ShownPlan
from terralive_terraform.runs.runner import Terraform
from terralive_terraform.substitution.app import OpenApp, Prepared
from terralive_terraform.substitution.selection import Selection


@dataclass(frozen=True, slots=True)
class AppWithoutStubs:
    """An app without stubs.

    Attributes:
        stage: its stage.
        phase: reports the progress.
        app: the open app.
        selection: its functions.
        prepared: the app, prepared for Terraform.
        terraform: Terraform in its folder.
        builds: what nobody has built. Plans need it of the functions only that they change.
    """

    stage: Stage
    phase: Phase
    app: OpenApp
    selection: Selection
    prepared: Prepared
    terraform: Terraform
    builds: MissingBuilds

    @classmethod
    def opened(
        cls, stage: Stage, source: AppSource, stack: ExitStack, phase: Phase
    ) -> AppWithoutStubs:
        """Open the app.

        Args:
            stage: the stage.
            source: the app's configuration.
            stack: owns what is opened.
            phase: reports the progress.
        """
        with phase.step("synth"):
            app = stack.enter_context(source.opened())
            selection = app.discovered(None)
            prepared = app.prepared(selection)
        terraform = stage.app_terraform(prepared, phase)
        builds = missing_builds(stage, selection)
        return cls(stage, phase, app, selection, prepared, terraform, builds)

    def planned(
        self, *, destroy: bool = False, targets: Sequence[str] = ()
    ) -> AbstractContextManager[ReadyPlan]:
        """Plan the app, with what is known already of missing builds; see `plans.planned`."""
        terraform = self.terraform
        if self.builds.error is not None:
            terraform = self._with_placeholders()
        return planned(
            self.stage,
            terraform,
            self.phase,
            destroy=destroy,
            targets=targets,
            builds=self.builds,
            again=self._with_placeholders,
        )

    def evaluated(self) -> ShownPlan:
        """Return what a plan of the app shows. No file of it stays, and nothing is refreshed.

        Raises:
            TerraformError, CredentialsError: the plan failed.
        """
        file = evaluation_file(self.stage)
        made = self.builds.run(
            self.terraform,
            lambda run: run.evaluate(file, self.builds.corrected),
            self._with_placeholders,
        )
        return made.shown

    def _with_placeholders(self) -> Terraform:
        selection = self.selection.with_placeholders(self.builds.substitutions())
        return self.stage.app_terraform(self.app.prepared(selection), self.phase)

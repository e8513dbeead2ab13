"""One stage of an app at its target, with what its Terraform runs need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from terralive_cli.configuration.values import Config
from terralive_cli.deploy.target import Target
from terralive_cli.output.events import Emit
from terralive_cli.output.progress import Phase
from terralive_terraform.runs.environment import terraform_environment
from terralive_terraform.runs.runner import Terraform
from terralive_terraform.runs.version import require_terraform


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of one app, at its target.

    Attributes:
        config: the configuration.
        target: where the stage is deployed.
        emit: takes progress events, on the calling thread.
        environment: the whole environment of Terraform and of the app's program.
    """

    config: Config
    target: Target
    emit: Emit
    environment: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, config: Config, target: Target, emit: Emit) -> Stage:
        """Return the stage that a command works on.

        Raises:
            ConfigurationError: Terraform is missing or too old.
        """
        require_terraform(config.terraform.binary, target.environment)
        environment = terraform_environment(target.environment, target.work)
        return cls(config, target, emit, environment)

    @property
    def name(self) -> str:
        """The app and the stage, for a person: `orders/dev-ana`."""
        return f"{self.config.app}/{self.config.stage}"

    def terraform(self, directory: Path, data_dir: Path | None, phase: Phase) -> Terraform:
        """Return Terraform in a folder, after `terraform init` where that is necessary."""
        terraform = Terraform(
            directory,
            binary=self.config.terraform.binary,
            environment=self.environment,
            on_progress=phase.on_progress,
            data_dir=data_dir,
        )
        with phase.step("init"):
            terraform.ensure_init()
        return terraform

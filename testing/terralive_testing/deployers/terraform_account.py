"""An AWS account (a sandbox of its own) for tests that run the real Terraform."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from terralive_sandbox.info import SandboxInfo, environment
from terralive_sandbox.process import SandboxProcess
from terralive_terraform.output.plans import TerraformPlan
from terralive_terraform.output.progress import Progress
from terralive_terraform.runs.environment import terraform_environment
from terralive_terraform.runs.runner import Terraform
from terralive_testing.machine.sandbox_logs import LOGS


@contextmanager
def aws_environment(work: Path) -> Iterator[dict[str, str]]:
    """Run a sandbox of its own for as long as the block lasts."""
    LOGS.watch(work / "sandbox.log")
    process = SandboxProcess.start(
        work / "sandbox.json", region="eu-west-1", log_path=work / "sandbox.log"
    )
    mine = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    try:
        yield {**terraform_environment(mine, work), **environment(process.info)}
    finally:
        process.stop()


def by_hand(directory: Path, info: SandboxInfo, work: Path) -> Terraform:
    """Return Terraform as a user runs it after `eval "$(terralive sandbox --env)"`.

    Args:
        directory: the folder of the configuration.
        info: the sandbox.
        work: a folder for a CLI configuration.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    variables = {**terraform_environment(own, work), **environment(info)}
    terraform, _ = terraform_in(directory, variables, None)
    return terraform


def terraform_in(
    directory: Path, environment: dict[str, str], data_dir: Path | None
) -> tuple[Terraform, list[Progress]]:
    events: list[Progress] = []
    return Terraform(
        directory, environment=environment, on_progress=events.append, data_dir=data_dir
    ), events


def plan(terraform: Terraform, work: Path, *, destroy: bool = False) -> TerraformPlan:
    terraform.ensure_init()
    return terraform.plan(work / "plans" / "test.tfplan", destroy=destroy)


def actions(made: TerraformPlan) -> Sequence[tuple[str, str]]:
    return sorted((change.action, change.address) for change in made.changes)

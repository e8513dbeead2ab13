"""Plans of Terraform that are ready to be shown and applied."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from terralive_cli.deploy.stage import Stage
from terralive_cli.output.progress import Phase
from terralive_terraform.runs.runner import Terraform, TerraformPlan


@dataclass(frozen=True, slots=True)
class ReadyPlan:
    """A plan, and the Terraform that applies it.

    Attributes:
        plan: the changes, and the plan's file. The file exists while the context of `planned` does.
        terraform: Terraform in the folder that the plan was made in.
        phase: reports the progress of its apply.
    """

    plan: TerraformPlan
    terraform: Terraform
    phase: Phase

    @property
    def has_changes(self) -> bool:
        """Whether there is anything to apply."""
        return self.plan.has_changes


@contextmanager
def planned(
    stage: Stage,
    terraform: Terraform,
    phase: Phase,
    *,
    destroy: bool = False,
    var_files: Sequence[Path] = (),
) -> Iterator[ReadyPlan]:
    """Plan. The plan's file, which may hold secrets, is removed at the end of the context.

    Args:
        stage: the stage.
        terraform: Terraform in the folder to plan.
        phase: reports the progress.
        destroy: plan to remove everything.
        var_files: absolute paths for `-var-file`.
    """
    file = _folder(stage) / f"{phase.name}.tfplan"
    with phase.step("plan", reports_its_end=True):
        plan = terraform.plan(file, destroy=destroy, var_files=var_files)
    try:
        yield ReadyPlan(plan, terraform, phase)
    finally:
        file.unlink(missing_ok=True)


def forget_plans(stage: Stage) -> None:
    """Remove the plans, which may hold secrets, of a run that was killed."""
    shutil.rmtree(_folder(stage), ignore_errors=True)


def _folder(stage: Stage) -> Path:
    return stage.target.work / "plans"

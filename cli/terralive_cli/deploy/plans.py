"""Plans of Terraform: made, shown and agreed to elsewhere, and applied."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_cli.deploy.target import Stage
from terralive_cli.output.events import TerraformOutput
from terralive_cli.output.progress import Phase
from terralive_stub.errors import TerraliveError
from terralive_terraform.evaluation.evaluated_plan import EvaluatedPlan
from terralive_terraform.missing_builds.placeholders import MissingBuilds
from terralive_terraform.output.failures import PLAN_STALE
from terralive_terraform.output.plans import TerraformPlan
from terralive_terraform.runs.runner import Terraform
from terralive_terraform.substitution.selection import Selection

# An item of a list that may be the key in the command of a stub image. That key is in Terraform's
# state, and on no screen.
_LIST_ITEM: Final = re.compile(r'^\s*[-+~]?\s*"[0-9a-f]{64}".*$', re.MULTILINE)
_STUB_KEY: Final = re.compile(r'"[0-9a-f]{64}"')
_log: Final = logging.getLogger("terralive.cli")
# For what needs no run of Terraform.
NO_PLAN: Final = TerraformPlan((), has_changes=False, file=Path())


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


@contextmanager
def planned(
    stage: Stage,
    terraform: Terraform,
    phase: Phase,
    *,
    destroy: bool = False,
    targets: Sequence[str] = (),
    builds: MissingBuilds | None = None,
    again: Callable[[], Terraform] | None = None,
) -> Iterator[ReadyPlan]:
    """Plan. The plan's file, which may hold secrets, is removed at the end of the context.

    Args:
        stage: the stage.
        terraform: Terraform in the folder to plan.
        phase: reports the progress.
        destroy: plan to remove everything.
        targets: the addresses that the plan is limited to; () for everything.
        builds: plans also where builds are missing; None where that is an error.
        again: prepares Terraform with placeholders for missing builds.
    """
    file = _folder(stage) / f"{phase.name}.tfplan"

    def planned_by(terraform: Terraform) -> ReadyPlan:
        plan = terraform.plan(file, destroy=destroy, targets=targets)
        return ReadyPlan(plan, terraform, phase)

    with phase.step("plan", reports_its_end=True):
        if builds is None or again is None:
            ready = planned_by(terraform)
        else:
            ready = builds.run(terraform, planned_by, again)
    try:
        yield ready
    finally:
        file.unlink(missing_ok=True)


def of_evaluation(made: EvaluatedPlan, terraform: Terraform, phase: Phase) -> ReadyPlan:
    """Return the plan that an evaluation has made, to be shown; it is not applied."""
    with phase.step("plan", reports_its_end=True):
        for summary in made.summary:
            phase.on_progress(summary)
    return ReadyPlan(made.plan, terraform, phase)


def evaluation_file(stage: Stage) -> Path:
    """Return the file of the plan that only tells the values of the app."""
    return _folder(stage) / "evaluation.tfplan"


def missing_builds(stage: Stage, selection: Selection) -> MissingBuilds:
    """Return what is missing of the builds of an app: nothing, before it is planned.

    Args:
        stage: the stage.
        selection: the app without stubs.
    """
    return MissingBuilds(selection.modules, selection.directory, _folder(stage) / "not-built")


def apply(ready: ReadyPlan) -> None:
    """Apply a plan; a plan without changes is not applied.

    Raises:
        TerraformError, CredentialsError: the apply failed. Terraform's state holds what was done,
            and the error's hint says so.
    """
    if not ready.plan.has_changes:
        _log.debug("phase %s: nothing to apply", ready.phase.name)
        ready.phase.unchanged()
        return
    apply_always(ready)


def apply_always(ready: ReadyPlan) -> None:
    """Apply a plan, also one without changes; it raises what `apply` raises."""
    _log.debug("phase %s: applying %d changes", ready.phase.name, len(ready.plan.changes))
    with applying(ready.phase):
        ready.terraform.apply(ready.plan.file)


@contextmanager
def applying(phase: Phase) -> Iterator[None]:
    """Report an apply. The hint of its failure says what stays."""
    try:
        with phase.step("apply", reports_its_end=True):
            yield
    except TerraliveError as error:
        if error.reference == PLAN_STALE:
            raise
        # A failed apply may have left resources behind.
        more = (
            f"What was done before the failure (phase {phase.name}) stays, and Terraform's "
            "state knows it: the same command goes on from there, `terralive destroy` takes "
            "everything back."
        )
        error.hint = f"{error.hint} {more}".strip()
        raise


def text_of(ready: ReadyPlan, stack: str = "") -> TerraformOutput:
    """Return a plan as Terraform itself prints it.

    Args:
        ready: the plan.
        stack: the name of its stack, where several stacks are live; else "".

    Raises:
        TerraformError: Terraform failed.
    """
    text = ready.terraform.shown_text(ready.plan.file)
    return TerraformOutput(phase=ready.phase.name, text=without_keys(text), stack=stack or None)


def without_keys(text: str) -> str:
    """Return Terraform's text of a plan without the keys of stub images."""
    return _LIST_ITEM.sub(lambda line: _STUB_KEY.sub('"(hidden)"', line[0]), text)


def forget_plans(stage: Stage) -> None:
    """Remove the plans, which may hold secrets, of a run that was killed."""
    shutil.rmtree(_folder(stage), ignore_errors=True)


def _folder(stage: Stage) -> Path:
    return stage.target.work / "plans" / stage.stack

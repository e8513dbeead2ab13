"""A plan of the app without stubs, which is made for its values."""

from __future__ import annotations

from dataclasses import dataclass

from terralive_terraform.evaluation.document import Evaluation
from terralive_terraform.output.plans import TerraformPlan
from terralive_terraform.output.progress import Summary
from terralive_terraform.output.shown_plan import ShownPlan


@dataclass(frozen=True, slots=True)
class EvaluatedPlan:
    """A plan of the app without stubs, which was made for its values.

    Attributes:
        evaluation: the values.
        plan: what the plan would do. Its file is removed.
        shown: its content.
        summary: the counts of its changes, which were not shown yet.
    """

    evaluation: Evaluation
    plan: TerraformPlan
    shown: ShownPlan
    summary: tuple[Summary, ...] = ()

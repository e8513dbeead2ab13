"""A plan that was made for its values."""

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
        summary: what Terraform counts in it; nobody was told of it.
    """

    evaluation: Evaluation
    plan: TerraformPlan
    shown: ShownPlan
    summary: tuple[Summary, ...] = ()

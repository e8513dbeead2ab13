"""The changes of a plan, as Terraform lists them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_stub.errors import TerraformError
from terralive_terraform.output.json_output import FinishedRun
from terralive_terraform.output.progress import (
    Change,
    ChangedOutputs,
    ResourceProgress,
)

# `terraform plan -detailed-exitcode`: https://developer.hashicorp.com/terraform/cli/commands/plan
CHANGES_PLANNED: Final = 2


@dataclass(frozen=True, slots=True)
class TerraformPlan:
    """The changes of one plan, and its file.

    Attributes:
        changes: what happens to each resource.
        has_changes: whether applying it does anything. A changed output counts, too, although it
            is no change of a resource.
        file: the plan file.
        outputs: the names of the outputs that change.
        reads: the addresses of the data sources that it has read, or that an apply reads.
    """

    changes: tuple[Change, ...]
    has_changes: bool
    file: Path
    outputs: tuple[str, ...] = ()
    reads: frozenset[str] = frozenset()


def read_plan(finished: FinishedRun, out: Path) -> TerraformPlan:
    """Return the plan of a run that has written the plan file `out`.

    Raises:
        TerraformError: `plan-not-listed`.
    """
    changes = tuple(event for event in finished.events if isinstance(event, Change))
    outputs: list[str] = []
    for event in finished.events:
        if isinstance(event, ChangedOutputs):
            outputs += event.names
    reads: set[str] = set()
    for event in finished.events:
        if isinstance(event, Change | ResourceProgress) and event.action == "read":
            reads.add(event.address)
    has_changes = finished.code == CHANGES_PLANNED
    if has_changes and not changes and not outputs:
        raise TerraformError(
            "plan-not-listed",
            "Terraform plans changes but does not list them, so terralive cannot show what an "
            "apply would do. Nothing has been applied.",
            hint="HCP Terraform and wrappers of Terraform may hide the list. Set the workspace's "
            "execution mode to Local, or name Terraform itself in the table [terraform] of "
            'terralive.toml: binary = "terraform".',
        )
    return TerraformPlan(changes, has_changes, out, tuple(outputs), frozenset(reads))

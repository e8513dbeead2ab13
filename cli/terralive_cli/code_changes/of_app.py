"""The changes of functions' code that Terraform does not make, of one app or stack."""

from __future__ import annotations

from dataclasses import dataclass

from terralive_cli.app.live_plan import LivePlan, Selected
from terralive_cli.app.source import AppSource
from terralive_cli.app.warnings import Warnings
from terralive_cli.code_changes.changes import CodeChange, Keep
from terralive_cli.code_changes.finding import find_other_code
from terralive_cli.code_changes.making import CodeChanger, not_changed
from terralive_cli.deploy.debug_stack import DebugStackOutputs
from terralive_cli.deploy.target import Stage
from terralive_cli.live.stage_stub import stub_of, stub_zip
from terralive_terraform.substitution.marker import StageName
from terralive_terraform.substitution.selection import addresses_of


@dataclass(frozen=True, slots=True)
class CodeChanges:
    """Plans and makes the changes of code by Lambda's API.

    Attributes:
        stage: the stage.
        source: opens sessions in the accounts of functions.
        warnings: emits warnings.
    """

    stage: Stage
    source: AppSource
    warnings: Warnings

    def planned(
        self, selected: Selected, outputs: DebugStackOutputs | None
    ) -> tuple[CodeChange, ...]:
        """Return the changes of code that Terraform does not make.

        Code that would be lost is replaced after a question only, and `--yes` answers none.

        Args:
            selected: the functions that become live.
            outputs: those of the debug stack; None before it is deployed.
        """
        if outputs is None:
            return ()
        table = self.stage.target.caller.table(outputs.table_name)
        changes = find_other_code(
            self.source.accounts(selected.prepared.directory),
            selected.evaluated.deployed.functions,
            addresses_of(selected.prepared.functions),
            stub_of(self.stage, outputs),
            table.get_replaced,
            own_hashes={item.address: item.code_hash for item in selected.evaluated.planned},
        )
        if not self.stage.config.yes:
            return changes
        lost = [change for change in changes if change.keep is Keep.LOST]
        reason = "it is in no version, and `--yes` does not cover that it is lost"
        self.warnings.emit([not_changed(change, reason) for change in lost])
        return tuple(change for change in changes if change not in lost)

    def make(self, plan: LivePlan) -> None:
        """Make the changes of a plan that Terraform has applied."""
        if not plan.code_changes or plan.outputs is None:
            return
        changer = CodeChanger(
            plan.accounts,
            self.stage.target.caller.table(plan.outputs.table_name),
            stub_zip(self.stage, plan.outputs),
            StageName(self.stage.config.app, self.stage.config.stage),
        )
        with plan.ready.phase.step("code"):
            self.warnings.emit(changer.make(plan.code_changes))

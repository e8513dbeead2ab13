"""The changes of functions' code by Lambda's API, of one app or stack: planned, and made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from terralive_cli.app.live_plan import AppGuard, LivePlan
from terralive_cli.app.source import AppSource
from terralive_cli.app.warnings import Warnings
from terralive_cli.code_changes.at_handlers import Instance, instances_of
from terralive_cli.code_changes.changes import CodeChange, Keep, because_ignored
from terralive_cli.code_changes.finding import find_other_code
from terralive_cli.code_changes.ignored import Looked, StubsAtHandlers
from terralive_cli.code_changes.making import CodeChanger, not_changed
from terralive_cli.configuration.tables import FallbackChoice
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.debug_stack import DebugStackOutputs
from terralive_cli.deploy.target import Stage
from terralive_cli.functions.evaluated import EvaluatedApp
from terralive_cli.live.stage_stub import coordinates, stub_of, stub_zip
from terralive_cli.restoring.by_api import NotPutBackError
from terralive_stub.errors import CredentialsError
from terralive_terraform.addresses import without_keys
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.app import Prepared
from terralive_terraform.substitution.marker import StageName, live_description
from terralive_terraform.substitution.rules import NotLive, ignored_by_terraform
from terralive_terraform.substitution.selection import addresses_of

_KEY: Final = "ignore_changes"


@dataclass(frozen=True, slots=True)
class PlannedCode:
    """What terralive changes by Lambda's API.

    Attributes:
        changes: the changes.
        by_api: the functions that are live by Lambda's API, with or without a change, by address
            with instance keys: why.
        refused: the functions that Lambda's API cannot make live, by address.
        stubs: the sums of the stubs that stand at functions' own handlers.
    """

    changes: tuple[CodeChange, ...] = ()
    by_api: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, NotLive] = field(default_factory=dict)
    stubs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MadeCode:
    """What Lambda's API has done.

    Attributes:
        refused: the functions that it has not made live, by address without instance keys.
        stubs: the sums of the stubs that stand at functions' own handlers.
    """

    refused: Mapping[str, NotLive] = field(default_factory=dict)
    stubs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CodeChanges:
    """Plans and makes the changes of code by Lambda's API.

    Attributes:
        stage: the stage.
        guard: refuses what must not be touched.
        source: opens sessions in the accounts of functions.
        warnings: emits warnings.
    """

    stage: Stage
    guard: AppGuard
    source: AppSource
    warnings: Warnings

    def planned(
        self, prepared: Prepared, evaluated: EvaluatedApp, outputs: DebugStackOutputs | None
    ) -> PlannedCode:
        """Return what terralive changes by Lambda's API.

        Args:
            prepared: the app with stubs.
            evaluated: the app without stubs.
            outputs: those of the debug stack; None before it is deployed.

        Raises:
            TerraliveError: whatever the guard raises.
        """
        deployed = evaluated.deployed.functions
        ignored = self._ignored(prepared, deployed, outputs)
        if outputs is None:
            return ignored
        others = self._other_code(prepared, evaluated, outputs)
        return replace(ignored, changes=(*ignored.changes, *others))

    def _other_code(
        self,
        prepared: Prepared,
        evaluated: EvaluatedApp,
        outputs: DebugStackOutputs,
    ) -> tuple[CodeChange, ...]:
        """Return the changes of code that Terraform does not notice.

        Code that would be lost is replaced after a question only, and `--yes` answers none.
        """
        table = self.stage.target.caller.table(outputs.table_name)
        changes = find_other_code(
            self.source.accounts(prepared.directory),
            evaluated.deployed.functions,
            addresses_of(prepared.functions),
            stub_of(self.stage, outputs),
            table.get_replaced,
            own_hashes={item.address: item.code_hash for item in evaluated.planned},
        )
        if not self.stage.config.yes:
            return changes
        lost = [change for change in changes if change.keep is Keep.LOST]
        reason = "it is in no version, and `--yes` does not cover that it is lost"
        self.warnings.emit([not_changed(change, reason) for change in lost])
        return tuple(change for change in changes if change not in lost)

    def _ignored(
        self,
        prepared: Prepared,
        deployed: Mapping[str, DeployedFunction],
        outputs: DebugStackOutputs | None,
    ) -> PlannedCode:
        """Return what makes functions live whose code Terraform ignores."""
        if not prepared.by_api:
            return PlannedCode()
        ignored = {function.address: ignored_by_terraform(function) for function in prepared.by_api}
        looked = self._looked(prepared, ignored, deployed, outputs)
        refused = self._refused(prepared.by_api, looked)
        left = [item for item in looked if without_keys(item.address) not in refused]
        return PlannedCode(
            changes=tuple(item.change for item in left if item.change is not None),
            by_api={
                item.address: because_ignored(ignored[without_keys(item.address)]) for item in left
            },
            refused=refused,
            stubs=frozenset(item.stub for item in left if item.stub),
        )

    def _looked(
        self,
        prepared: Prepared,
        ignored: Mapping[str, tuple[str, ...]],
        deployed: Mapping[str, DeployedFunction],
        outputs: DebugStackOutputs | None,
    ) -> list[Looked]:
        """Look at the functions whose code Terraform ignores.

        Args:
            prepared: the configuration.
            ignored: what Terraform ignores of each function, by address without instance keys.
            deployed: the functions of Terraform's state.
            outputs: the debug stack; None for none yet.

        Raises:
            TerraliveError: another stage holds one of them.
        """
        instances: list[Instance] = []
        for function in prepared.by_api:
            instances += instances_of(function, ignored[function.address], deployed)
        stubs = self._stubs(self.source.accounts(prepared.directory), outputs)
        try:
            looked = list(stubs.look(instances))
        except NotPutBackError as error:
            looked = [Looked(item.address, str(error)) for item in instances]
        held: dict[str, DeployedFunction] = {}
        for item in looked:
            if item.holder is not None:
                description = live_description(item.holder)
                held[item.address] = replace(deployed[item.address], description=description)
        self.guard.inspect(held)
        return looked

    def _refused(
        self, functions: Sequence[DeclaredFunction], looked: Sequence[Looked]
    ) -> dict[str, NotLive]:
        """Return the functions that stay as they are, by address without instance keys."""
        names: dict[str, str] = {}
        for function in functions:
            names.update({at.address: at.name or "" for at in function.instances or ()})
        refused: dict[str, NotLive] = {}
        for item in looked:
            address = without_keys(item.address)
            reason = item.reason or self._unpublished(item.change, names.get(item.address, ""))
            if reason:
                refused[address] = NotLive(address, reason, key=_KEY)
        return refused

    def _unpublished(self, change: CodeChange | None, name: str) -> str:
        """Return why no version of a function's code is published; "" where none is needed.

        Args:
            change: the change of its code; None for none.
            name: the function's name on AWS; "" where it is not known.
        """
        if change is None or (change.arn and change.keep is Keep.KNOWN):
            return ""
        choice = self.stage.config.fallback
        settings = self.stage.config.function_for(change.address, name)
        if settings is not None and settings.fallback is not None:
            choice = settings.fallback
        if choice is not FallbackChoice.NEVER:
            return ""
        return (
            "its code is ignored by Terraform, and terralive restores it from a published version, "
            "which `fallback = false` forbids"
        )

    def make(self, plan: LivePlan, deployed: Mapping[str, DeployedFunction]) -> MadeCode:
        """Make the changes of a plan that Terraform has applied.

        Args:
            plan: the plan.
            deployed: the functions of Terraform's state after it.
        """
        if plan.outputs is None or plan.code is None:
            return MadeCode()
        ignored = [change for change in plan.code.changes if change.ignored]
        others = [change for change in plan.code.changes if not change.ignored]
        if not plan.code.changes:
            return MadeCode(stubs=plan.code.stubs)
        with plan.ready.phase.step("code"):
            self._put_back(plan, plan.outputs, others)
            made = self._made(plan, plan.outputs, ignored, deployed)
        return replace(made, stubs=made.stubs | plan.code.stubs)

    def _put_back(
        self, plan: LivePlan, outputs: DebugStackOutputs, changes: Sequence[CodeChange]
    ) -> None:
        """Put the stub back where Terraform does not notice that it was replaced."""
        if changes:
            changer = CodeChanger(
                plan.accounts,
                self.stage.target.caller.table(outputs.table_name),
                stub_zip(self.stage, outputs),
                self._name,
            )
            self.warnings.emit(changer.make(changes))

    def _made(
        self,
        plan: LivePlan,
        outputs: DebugStackOutputs,
        changes: Sequence[CodeChange],
        deployed: Mapping[str, DeployedFunction],
    ) -> MadeCode:
        """Put stubs at the handlers of functions whose code Terraform ignores."""
        stubs = self._stubs(plan.accounts, outputs)
        refused: dict[str, NotLive] = {}
        sums: set[str] = set()
        for change in changes:
            address = without_keys(change.address)
            function = deployed.get(change.address)
            if function is None:
                continue
            try:
                sums.add(stubs.put(replace(change, arn=function.arn)))
            except (NotPutBackError, CredentialsError) as error:
                reason = f"its code is ignored by Terraform, and it stays: {error}"
                refused[address] = NotLive(address, reason, key=_KEY)
        return MadeCode(refused, frozenset(sums))

    def _stubs(self, accounts: Accounts, outputs: DebugStackOutputs | None) -> StubsAtHandlers:
        folder = self.stage.target.work / "stub"
        if outputs is None:
            return StubsAtHandlers(accounts, self._name, None, folder, lambda _: None)
        table = self.stage.target.caller.table(outputs.table_name)
        known = coordinates(self.stage, outputs)
        return StubsAtHandlers(accounts, self._name, known, folder, table.get_replaced)

    @property
    def _name(self) -> StageName:
        return StageName(self.stage.config.app, self.stage.config.stage)

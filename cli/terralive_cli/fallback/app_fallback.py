"""The fallback of an app's plans: it takes what plans know, and works for one app or one stack."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from terralive_cli.app.live_plan import LivePlan
from terralive_cli.code_changes.renewing import Stubs
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.debug_stack import DebugStackOutputs
from terralive_cli.deploy.target import Stage
from terralive_cli.fallback.candidates import Candidate, candidates, with_plan
from terralive_cli.fallback.stage_fallback import PlannedFallback, StageFallback
from terralive_cli.functions.evaluated import EvaluatedApp
from terralive_cli.joining.demands import table_of
from terralive_cli.live.stage_stub import coordinates, stub_zip
from terralive_cli.restoring.examination import Examination
from terralive_cli.restoring.originals import uploaded
from terralive_cli.selecting.own_code_first import with_own_code_first
from terralive_terraform.addresses import without_keys
from terralive_terraform.output.shown_plan import ShownPlan
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.app import Prepared
from terralive_terraform.substitution.marker import StageName
from terralive_terraform.substitution.selection import addresses_of


class AppFallback:
    """The fallback of an app, or of one of its stacks. A command has one of it.

    Args:
        stage: the stage.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        # The work with one set of accounts; None before the first plan.
        self._work: StageFallback | None = None

    def own_code_first(
        self,
        evaluated: EvaluatedApp,
        readers: Mapping[str, tuple[str, ...]],
        prepared: Prepared,
    ) -> Mapping[str, str]:
        """Return the functions whose real code is deployed before their stubs.

        Args:
            evaluated: the app without stubs.
            readers: what reads the newest version of functions, by address without instance keys.
            prepared: the app with stubs.

        Returns:
            The setting that needs it, by address without instance keys.

        Raises:
            BuildMissingError: see `with_own_code_first`.
        """
        config, stubs = self._stage.config, addresses_of(prepared.functions)
        deployed = evaluated.deployed.functions
        found = candidates(config, evaluated.made.evaluation, readers, stubs, deployed)
        return with_own_code_first(found, evaluated, stubs, config.project)

    def planned(
        self,
        evaluated: EvaluatedApp,
        readers: Mapping[str, tuple[str, ...]],
        live: Collection[str],
        shown: ShownPlan,
        *,
        accounts: Accounts,
        outputs: DebugStackOutputs | None,
        first: Mapping[str, str],
    ) -> PlannedFallback:
        """Return the fallback of the functions of a live plan.

        Args:
            evaluated: the app without stubs.
            readers: what reads the newest version of functions, by address without instance keys.
            live: the addresses of the live functions, without instance keys.
            shown: the plan.
            accounts: sessions in the accounts of the functions.
            outputs: those of the debug stack; None before it is deployed.
            first: why the real code of functions is deployed before their stubs, by address
                without instance keys.
        """
        config = self._stage.config
        known = candidates(
            config, evaluated.made.evaluation, readers, live, evaluated.deployed.functions
        )
        found = [
            replace(item, own_code_first=first.get(without_keys(item.address), ""))
            for item in known
        ]
        if self._work is None:
            name = StageName(config.app, config.stage)
            self._work = StageFallback(
                self._stage.target.caller, name, accounts, partial(table_of, self._stage)
            )
        table = outputs.table_name if outputs is not None else ""
        return self._work.planned(with_plan(found, evaluated.aliases, shown), table)

    def publish(self, plan: LivePlan) -> None:
        """Publish the code that a plan is about to replace, immediately before its apply.

        The fallback of functions that are live already is switched as the user wants it.
        """
        outputs = plan.outputs
        if self._work is None or plan.fallback is None or outputs is None:
            return
        self._work.switch(plan.fallback.candidates, outputs.table_name)
        if plan.has_changes:
            self._publish(plan, plan.fallback.candidates)

    def publish_new(self, plan: LivePlan, deployed: Mapping[str, DeployedFunction]) -> None:
        """Publish the code of functions that an apply has deployed, and that Lambda's API changes.

        Args:
            plan: the plan that was applied.
            deployed: the functions of Terraform's state after it.
        """
        if plan.fallback is None:
            return
        by_api = {change.address for change in plan.code_changes if change.ignored}
        new = [
            replace(item, function=deployed[item.address])
            for item in plan.fallback.candidates
            if item.function is None and item.address in by_api & deployed.keys()
        ]
        if new:
            self._publish(plan, new)

    def renew(self, plan: LivePlan) -> None:
        """Publish versions of live functions anew, whose settings a plan has changed.

        The role of a function may invoke its version also where it keeps its former settings.

        Args:
            plan: the plan that was applied.
        """
        outputs = plan.outputs
        if self._work is None or plan.fallback is None or outputs is None or not plan.has_changes:
            return
        shown = plan.fallback.shown
        stale = [item for item in plan.fallback.candidates if shown[item.address].stale]
        if not stale:
            return
        stubs = Stubs(
            coordinates(self._stage, outputs),
            stub_zip(self._stage, outputs),
            self._stage.target.work / "stub",
            partial(uploaded, self._stage),
        )
        with plan.ready.phase.step("publish"):
            warnings = list(self._work.renew(stale, stubs, outputs.table_name))
        self._stage.emit(*warnings)

    def _publish(self, plan: LivePlan, found: Sequence[Candidate]) -> None:
        if self._work is None or plan.outputs is None or plan.sources is None:
            return
        images = frozenset(self._stage.config.stub_images.values())
        examination = Examination(plan.accounts, images, plan.sources.prepared.directory)
        with plan.ready.phase.step("publish"):
            warnings = self._work.publish(found, examination, plan.outputs.table_name)
        self._stage.emit(*warnings)

"""The plan of a restore: what Terraform brings back, and what Lambda's API puts back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from terralive_cli.app.checks import Inspection
from terralive_cli.app.live_plan import RestorePlan
from terralive_cli.app.without_stubs import AppWithoutStubs
from terralive_cli.deploy.accounts import Clients
from terralive_cli.deploy.plans import ReadyPlan
from terralive_cli.restoring.exact import Original, differences
from terralive_cli.restoring.packages import planned_sha256
from terralive_stub.shared.arns import place_of
from terralive_stub.shared.json_documents import text
from terralive_terraform.discovery.declared import FUNCTION_TYPE
from terralive_terraform.output.failures import BuildMissingError
from terralive_terraform.output.plans import TerraformPlan
from terralive_terraform.output.shown_plan import PlannedResource, ShownPlan
from terralive_terraform.output.state import DeployedLambda
from terralive_terraform.substitution.other_changes import other_changes
from terralive_terraform.substitution.targets import restore_targets

_log: Final = logging.getLogger("terralive.cli")
_NO_PLAN: Final = TerraformPlan((), has_changes=False, file=Path())


@dataclass(frozen=True, slots=True)
class ToRestore:
    """What is known of an app before its restore is planned.

    Attributes:
        deployed: the functions and aliases of Terraform's state.
        stubs: the addresses of functions that carry a stub.
        also: the addresses of more functions, whose aliases have to follow a new version.
        own: the addresses of functions that have their own code, whatever the state says.
        originals: what the stubs have replaced, by address, as far as that is known.
        ignored: the addresses of functions that carry a stub, and whose code Terraform ignores.
    """

    deployed: DeployedLambda
    stubs: frozenset[str]
    also: frozenset[str]
    own: frozenset[str]
    originals: Mapping[str, Original] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()

    def targets(self, by_api: frozenset[str] = frozenset()) -> tuple[str, ...]:
        """Return what Terraform restores.

        Args:
            by_api: the functions that Lambda's API restores.
        """
        return restore_targets(self.deployed, (self.stubs | self.also) - by_api, self.own | by_api)


@dataclass(frozen=True, slots=True)
class RestorePlanner:
    """Plans a restore of an app, or of one stack of it.

    Attributes:
        app: the app without stubs.
        inspection: inspects plans.
        clients: clients in the accounts of the functions.
        stack: the name of the stack, where several stacks are live; else "".
        only_stubs: whether nothing else may change, where that is possible.
    """

    app: AppWithoutStubs
    inspection: Inspection
    clients: Clients
    stack: str
    only_stubs: bool

    def planned(self, found: ToRestore, open_plans: ExitStack) -> RestorePlan:
        """Plan the restore. Its plan's file exists while the context of `open_plans` does.

        Terraform restores a function if it brings exactly what the stub has replaced. Lambda's API
        puts the others back, and they are no targets of the plan. If the plan would change one of
        them all the same, because another function depends on it, all go back by the API.

        Raises:
            TerraformError: the plan failed.
        """
        originals = dict(found.originals)
        by_api = found.ignored
        while True:
            left = {at: item for at, item in originals.items() if at not in by_api}
            try:
                ready, shown = self._planned(found, by_api, open_plans)
            except BuildMissingError:
                if not left:
                    raise
                by_api |= left.keys()
                continue
            originals = _described(originals, shown)
            more = self._not_brought(shown, left, by_api)
            if not more:
                break
            by_api |= more
        self.app.builds.require_untouched(shown)
        unrecorded = found.stubs - originals.keys() - found.ignored
        return RestorePlan(
            ready,
            other_changes(shown, self.app.prepared.functions),
            found.stubs,
            self.stack,
            originals={at: originals[at] for at in sorted(by_api & originals.keys())},
            unrecorded=tuple(sorted(unrecorded)),
            lost=tuple(sorted(found.ignored - originals.keys())),
        )

    def _planned(
        self, found: ToRestore, by_api: frozenset[str], open_plans: ExitStack
    ) -> tuple[ReadyPlan, ShownPlan]:
        """Plan what Terraform restores, perhaps nothing.

        Raises:
            BuildMissingError: it cannot be planned without a build.
        """
        app = self.app
        targets = found.targets(by_api)
        if not targets:
            return ReadyPlan(_NO_PLAN, app.terraform, app.phase), ShownPlan((), is_first=False)
        ready = open_plans.enter_context(app.planned(targets=targets))
        shown = self.inspection.shown(ready)
        if app.builds.keep(shown, found.deployed.functions.keys() - set(targets)):
            # Functions that others depend on keep the code that they have.
            ready = open_plans.enter_context(app.planned(targets=targets))
            shown = self.inspection.shown(ready)
        return ready, shown

    def _not_brought(
        self, shown: ShownPlan, left: Mapping[str, Original], by_api: frozenset[str]
    ) -> frozenset[str]:
        """Return the functions that a plan would not bring back as they were.

        Args:
            shown: the plan.
            left: what the stubs of functions have replaced that Terraform may restore.
            by_api: the functions that Lambda's API restores.
        """
        touched = {item.address for item in shown.resources if item.action != "no-op"}
        others = other_changes(shown, self.app.prepared.functions)
        if touched & by_api or (others and self.only_stubs):
            return frozenset(left)
        planned = {item.address: item for item in shown.of_type(FUNCTION_TYPE)}
        differing: set[str] = set()
        for address, original in left.items():
            function = planned.get(address)
            names: tuple[str, ...] = ("not planned",)
            if function is not None:
                names = differences(function, original, self._sum(function, shown, original))
            if names:
                _log.debug("%s goes back by Lambda's API: %s", address, ", ".join(names))
                differing.add(address)
        return frozenset(differing)

    def _sum(self, function: PlannedResource, shown: ShownPlan, original: Original) -> str:
        """Return the sum of the zip file that a plan would deploy; "" for not known."""
        version = original.version
        if version.is_image:
            return ""
        place = place_of(version.function)
        return planned_sha256(
            function,
            shown,
            self.app.prepared.directory,
            version,
            lambda: self.clients.client("s3", place.account, place.region),
        )


def _described(originals: Mapping[str, Original], shown: ShownPlan) -> dict[str, Original]:
    """Return what stubs have replaced, with the configuration's descriptions for unknown ones."""
    found = dict(originals)
    for item in shown.of_type(FUNCTION_TYPE):
        original = found.get(item.address)
        if original is not None and original.description is None:
            found[item.address] = replace(original, description=text(item.after, "description"))
    return found

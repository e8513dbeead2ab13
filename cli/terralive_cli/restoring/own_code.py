"""The app with its own code: the plans of restores and of `destroy --app`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from terralive_cli.app.checks import Inspection
from terralive_cli.app.live_plan import (
    NO_WISH,
    AppGuard,
    RestorePlan,
    RestoreWish,
    Restoring,
)
from terralive_cli.app.source import AppSource
from terralive_cli.app.without_stubs import AppWithoutStubs
from terralive_cli.deploy import record
from terralive_cli.deploy.target import Stage
from terralive_cli.orphans.creations import Creations
from terralive_cli.orphans.look import Found
from terralive_cli.output.progress import Phase, without_failures
from terralive_cli.restoring.exact import Original
from terralive_cli.restoring.examination import Examination, Examined
from terralive_cli.restoring.originals import Originals
from terralive_cli.restoring.planning import RestorePlanner, ToRestore
from terralive_cli.restoring.restorer import Restorer
from terralive_relay.events import Warned
from terralive_stub.errors import CredentialsError, TerraformError
from terralive_terraform.addresses import without_keys
from terralive_terraform.substitution.app import Prepared
from terralive_terraform.substitution.other_changes import other_changes
from terralive_terraform.substitution.rules import ignored_by_terraform


@dataclass(frozen=True, slots=True)
class OwnCode:
    """An app, or one of its stacks, without stubs.

    Attributes:
        stage: the stage.
        guard: refuses what must not be touched, before anything is planned or applied.
        source: opens the app.
        inspection: inspects plans.
        stack: the name of the stack, where several stacks are live; else "".
    """

    stage: Stage
    guard: AppGuard
    source: AppSource
    inspection: Inspection
    stack: str

    @contextmanager
    def planned_restore(
        self, also: Collection[str] = (), wish: RestoreWish = NO_WISH
    ) -> Iterator[Restoring]:
        """Plan the restore of the original code of functions that carry a stub.

        Args:
            also: the addresses of more functions, whose aliases have to follow a new version.
            wish: how the user wants to restore.

        Raises:
            TerraformError: the plan failed.
            TerraliveError: whatever the guard raises.
        """
        phase = Phase("restore", self.stage.emit)
        with ExitStack() as stack:
            app = self._without_stubs(stack, phase)
            if app is None:
                yield Restoring()
                return
            deployed = app.terraform.state.functions_and_aliases()
            # The state may be wrong: an apply was interrupted, or somebody else has another one.
            restorer = self._restorer(app.prepared, phase)
            examined = restorer.examine(deployed.functions)
            self.guard.inspect(examined.functions)
            own = frozenset(examined.functions.keys() - examined.stubs)
            ignored = _ignored(app, examined.stubs)
            found = ToRestore(deployed, examined.stubs, frozenset(also), own, ignored=ignored)
            unseen = tuple(sorted(examined.unseen))
            if not found.targets():
                # A restore leaves all other changes of the configuration alone.
                phase.unchanged("no function is live")
                yield Restoring(None, restorer, unseen, examined.functions)
                return
            recorded = examined.stubs
            if wish.deploys_local:
                # The working tree does not say what their code is.
                recorded = ignored
            originals = self._originals(restorer, app, examined, recorded)
            for address in ignored & originals.keys():
                originals[address] = replace(originals[address], is_ignored=True)
            found = replace(found, originals=originals)
            planner = RestorePlanner(
                app, self.inspection, restorer.accounts, self.stack, wish.is_leaving
            )
            yield Restoring(planner.planned(found, stack), restorer, unseen, examined.functions)

    @contextmanager
    def planned_destroy(self) -> Iterator[RestorePlan | None]:
        """Plan to remove the whole app; None where it is not deployed."""
        phase = Phase("app", self.stage.emit)
        with ExitStack() as stack:
            app = self._without_stubs(stack, phase)
            if app is None:
                yield None
                return
            ready = stack.enter_context(app.planned(destroy=True))
            others = other_changes(self.inspection.shown(ready), app.prepared.functions)
            yield RestorePlan(ready, others, stack=self.stack)

    def require_no_orphans(self) -> tuple[Found, ...]:
        """Check that a deployment which was not finished has left nothing that the state lacks.

        Returns:
            Resources that exist, and of which nobody knows who has created them. There are none
            where every deployment was finished, or where Terraform cannot plan the app.

        Raises:
            ConfigurationError: `resources-exist`.
            TerraliveError: the app cannot be opened.
        """
        since = record.unfinished_since(self.stage.own_work)
        if since is None:
            return ()
        # A destroy goes on where it fails.
        phase = Phase("app", without_failures(self.stage.emit))
        with ExitStack() as stack:
            app = AppWithoutStubs.opened(self.stage, self.source, stack, phase)
            self.guard.inspect_folder(app.prepared.directory)
            try:
                with phase.step("evaluate"):
                    shown = app.evaluated()
            except (TerraformError, CredentialsError) as error:
                self.stage.emit(
                    Warned(
                        reference="orphans-unknown",
                        message="Terraform cannot plan the app. So nobody knows whether a "
                        "deployment that was not finished has created what the Terraform state "
                        f"does not have. {error.message}",
                    )
                )
                return ()
            accounts = self.source.accounts(app.prepared.directory)
            created = Creations.of(self.stage, accounts, app.prepared.directory, shown)
            return created.require_none_left(since)

    def _without_stubs(self, stack: ExitStack, phase: Phase) -> AppWithoutStubs | None:
        """Open the app without stubs, and inspect what is deployed; None where nothing is."""
        app = AppWithoutStubs.opened(self.stage, self.source, stack, phase)
        if app.terraform.state.is_empty():
            phase.unchanged("the app is not deployed")
            return None
        self.guard.inspect_folder(app.prepared.directory)
        self.guard.inspect(app.terraform.state.functions())
        return app

    def _restorer(self, prepared: Prepared, phase: Phase) -> Restorer:
        accounts = self.source.accounts(prepared.directory)
        images = frozenset(self.stage.config.stub_images.values())
        examination = Examination(accounts, images, prepared.directory)
        originals = Originals.of(self.stage, accounts)
        return Restorer(accounts, examination, originals, prepared.directory, phase)

    def _originals(
        self,
        restorer: Restorer,
        app: AppWithoutStubs,
        examined: Examined,
        stubs: Collection[str],
    ) -> dict[str, Original]:
        """Read what the stubs of functions have replaced."""
        if not stubs:
            return {}
        carrying = {address: examined.functions[address] for address in stubs}
        debugged = {item.address: item.debug_timeout for item in app.prepared.functions}
        timeouts = {address: debugged.get(without_keys(address), 0) for address in carrying}
        return dict(restorer.originals_of(carrying, timeouts))


def _ignored(app: AppWithoutStubs, stubs: Collection[str]) -> frozenset[str]:
    """Return those of some functions whose code Terraform ignores."""
    declared = {item.address for item in app.prepared.functions if ignored_by_terraform(item)}
    return frozenset(address for address in stubs if without_keys(address) in declared)

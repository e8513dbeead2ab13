"""A plan of the app with or without stubs, what is live after it, and who may refuse it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from terralive_terraform.substitution.marker import is_stub

# An unchanged start does not wait for these.
if TYPE_CHECKING:
    from pathlib import Path

    from terralive_cli.code_changes.changes import CodeChange
    from terralive_cli.code_changes.of_app import PlannedCode
    from terralive_cli.deploy.accounts import Accounts, Clients
    from terralive_cli.deploy.debug_stack import DebugStackOutputs
    from terralive_cli.deploy.plans import ReadyPlan
    from terralive_cli.fallback.stage_fallback import PlannedFallback
    from terralive_cli.functions.evaluated import EvaluatedApp
    from terralive_cli.functions.mapping import Mapped
    from terralive_cli.orphans.creations import Creations
    from terralive_cli.output.events import PlanMade
    from terralive_cli.protection.existing import NewFunction
    from terralive_cli.restoring.exact import Original
    from terralive_cli.restoring.restorer import Restorer
    from terralive_stub.shared.json_documents import Json
    from terralive_terraform.discovery.declared import DeclaredFunction
    from terralive_terraform.evaluation.document import Evaluation
    from terralive_terraform.output.state import DeployedFunction
    from terralive_terraform.substitution.app import Prepared
    from terralive_terraform.substitution.other_changes import OtherChange
    from terralive_terraform.substitution.rules import NotLive
    from terralive_workers.function import LocalCode, LocalFunction


class AppGuard(Protocol):
    """Refuses what must not be touched, by a TerraliveError (see `protection.guard`)."""

    def inspect_folder(self, directory: Path) -> None:
        """Inspect the folder that Terraform runs in, before anything is planned."""

    def inspect_variables(self, variables: Mapping[str, Json]) -> None:
        """Inspect the values of the configuration's variables."""

    def inspect(self, functions: Mapping[str, DeployedFunction]) -> None:
        """Inspect functions by address: those of the state, then those of each plan."""

    def inspect_new(self, functions: Sequence[NewFunction]) -> None:
        """Inspect the functions that a plan creates, before anything is asked about them."""


@dataclass(frozen=True, slots=True)
class OwnCodeFirst:
    """An app in which some functions get their own code, before a second apply makes them live.

    Attributes:
        prepared: the app with the stubs of the other functions, ready for Terraform.
        reasons: why these functions get their own code first, by address without instance keys.
    """

    prepared: Prepared
    reasons: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Selected:
    """The functions of an app, or of one of its stacks, that are to become live.

    Attributes:
        prepared: the app with stubs, ready for Terraform.
        mapped: the local code of those functions.
        refused: the functions that stay as they are, by address.
        evaluated: the app without stubs.
        code: what terralive changes by Lambda's API; None for nothing.
        first: the app with the stubs of the next apply, where some functions get their own code
            first; None where the next apply makes all functions live.
    """

    prepared: Prepared
    mapped: Mapped
    refused: Mapping[str, NotLive]
    evaluated: EvaluatedApp = field(repr=False)
    code: PlannedCode | None = None
    first: OwnCodeFirst | None = None

    @property
    def is_first(self) -> bool:
        """Tell whether nothing of the app is deployed yet."""
        return self.evaluated.made.shown.is_first

    @property
    def has_stubs(self) -> bool:
        """Tell whether functions of the app carry a stub, as far as Terraform's state tells."""
        functions = self.evaluated.deployed.functions.values()
        return any(is_stub(item.handler, item.description) for item in functions)


@dataclass(frozen=True, slots=True)
class PlanSources:
    """The sources of a plan of the app; see `unchanged`.

    Attributes:
        prepared: the app.
        evaluation: the app without stubs as Terraform computes it.
        functions: the functions that are live after it, as the configuration declares them.
        reads: the addresses of the data sources that the plan has read.
        not_found: the functions whose local code was not found, by address.
        lacks_builds: whether placeholders stood for what nobody has built.
        lacks_layers: whether only an apply tells the layers of a function.
    """

    prepared: Prepared
    evaluation: Evaluation = field(repr=False)
    functions: tuple[DeclaredFunction, ...]
    reads: frozenset[str]
    not_found: Mapping[str, NotLive]
    lacks_builds: bool = False
    lacks_layers: bool = False


@dataclass(frozen=True, slots=True)
class LivePlan:
    """A plan that makes the app, or one of its stacks, live, or keeps it so.

    Attributes:
        ready: Terraform's plan.
        functions: the functions that are live after it, as the configuration declares them, also
            those that Lambda's API makes live.
        mapped: their local code.
        refused: the functions that stay as they are, by address.
        timeouts: address -> the timeout in seconds that debugging raises the function's own to.
        others: what the plan changes beside the functions' code.
        is_first: whether nothing of the app is deployed yet.
        is_whole: whether it is a plan of everything, and not of the functions only.
        accounts: sessions in the accounts of the functions.
        outputs: those of the debug stack that its stubs connect to; None before it is deployed.
        expected: the functions that will be live, as far as their names are known before an apply.
        stack: the name of the stack, where several stacks are live; else "".
        sources: what it was made from; None where that is not needed.
        created: what it creates; None where that is not needed.
        fallback: the deployed code of the functions, which answers where nobody is connected; None
            where that is not needed.
        code: what terralive changes after it by Lambda's API; None for nothing.
        own_code_first: why some functions get their own code by this plan, by address without
            instance keys. The next plan makes them live.
    """

    ready: ReadyPlan
    functions: tuple[DeclaredFunction, ...]
    mapped: Mapped
    refused: Mapping[str, NotLive]
    accounts: Accounts = field(repr=False)
    timeouts: Mapping[str, int] = field(default_factory=dict)
    others: tuple[OtherChange, ...] = ()
    is_first: bool = False
    is_whole: bool = False
    outputs: DebugStackOutputs | None = None
    expected: tuple[LocalFunction, ...] = ()
    stack: str = ""
    sources: PlanSources | None = field(repr=False, default=None)
    created: Creations | None = field(repr=False, default=None)
    fallback: PlannedFallback | None = field(repr=False, default=None)
    code: PlannedCode | None = None
    own_code_first: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_changes(self) -> bool:
        """Tell whether anything changes."""
        return self.ready.plan.has_changes or bool(self.code_changes) or bool(self.renewed)

    @property
    def renewed(self) -> tuple[str, ...]:
        """The addresses of live functions whose version is published anew, with other settings."""
        if self.fallback is None:
            return ()
        shown = self.fallback.shown
        return tuple(address for address, item in shown.items() if item.renewed)

    @property
    def code_changes(self) -> tuple[CodeChange, ...]:
        """The changes that terralive makes by Lambda's API."""
        if self.code is None:
            return ()
        return self.code.changes


@dataclass(frozen=True, slots=True)
class LivePlans:
    """The plans that make an app live: one, or one for each of its stacks.

    Attributes:
        plans: the plans, in the order to apply them.
        others: the pages of stacks without a plan, where no function can be live, or where only
            another stack's apply lets Terraform plan them.
        waiting: the names of the latter.
    """

    plans: tuple[LivePlan, ...]
    others: tuple[PlanMade, ...] = ()
    waiting: tuple[str, ...] = ()

    @property
    def has_changes(self) -> bool:
        """Tell whether one of the plans changes something."""
        return any(plan.has_changes for plan in self.plans)

    @property
    def is_first(self) -> bool:
        """Tell whether nothing of the app is deployed yet."""
        return all(plan.is_first for plan in self.plans)


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """A plan that makes the app what its configuration says, or that removes it.

    Attributes:
        ready: Terraform's plan.
        others: what it changes beside the functions' code; everything where it removes the app.
        stubs: the addresses of the functions of which Lambda says that they carry a stub.
        stack: the name of the stack, where several stacks are live; else "".
        originals: what goes back by Lambda's API, by address. Terraform would bring other code or
            settings.
        unrecorded: the addresses of functions that get the code of the working tree, because
            nothing tells what their stubs have replaced.
        lost: the addresses of functions that cannot be restored: Terraform ignores their code, and
            nothing tells what their stubs have replaced.
    """

    ready: ReadyPlan
    others: tuple[OtherChange, ...]
    stubs: frozenset[str] = frozenset()
    stack: str = ""
    originals: Mapping[str, Original] = field(default_factory=dict)
    unrecorded: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def is_needed(self) -> bool:
        """Tell whether Terraform, or a look at the functions, has found something to restore."""
        return self.ready.plan.has_changes or bool(self.stubs)


@dataclass(frozen=True, slots=True)
class RestoreWish:
    """The user's wish for a restore.

    Attributes:
        deploys_local: deploy the code of the working tree, whatever the stubs have replaced.
        is_leaving: change nothing but stubs, where that is possible: it is the end of a `start`,
            and the user has agreed to that already.
    """

    deploys_local: bool = False
    is_leaving: bool = False


NO_WISH: Final = RestoreWish()


@dataclass(frozen=True, slots=True)
class Restoring:
    """The work of a restore.

    Attributes:
        plan: the plan; None where no function carries a stub.
        restorer: checks that the functions have their own code after the plan's apply, and puts it
            back; None where the app is not deployed.
        unseen: the addresses of functions that could not be looked at.
        functions: the functions that were looked at, by address.
    """

    plan: RestorePlan | None = None
    restorer: Restorer | None = None
    unseen: tuple[str, ...] = ()
    functions: Mapping[str, DeployedFunction] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LiveApp:
    """An app, or one of its stacks, whose functions are live.

    Attributes:
        functions: the deployed functions and instances, with their local code.
        code: local code by address, or by the pattern of the settings.
        refused: the functions that stay as they are, by address.
        accounts: sessions in the accounts of the functions.
        outputs: the app's outputs, without sensitive ones.
        found_by: how the code was found, by the keys of `code`.
        sources: what its plan was made from; None where no plan was made.
        stubs: the sums of the stubs that stand at functions' own handlers, because Terraform
            ignores changes of their code.
        schedules: the expressions of its rules and schedules (`rate(5 minutes)`), by their names.
    """

    functions: tuple[LocalFunction, ...]
    code: Mapping[str, LocalCode]
    refused: Mapping[str, NotLive]
    accounts: Clients = field(repr=False)
    outputs: Mapping[str, Json] = field(default_factory=dict)
    found_by: Mapping[str, str] = field(default_factory=dict)
    sources: PlanSources | None = field(repr=False, default=None)
    stubs: frozenset[str] = frozenset()
    schedules: Mapping[str, str] = field(default_factory=dict)

    @property
    def code_folders(self) -> frozenset[Path]:
        """The folders and files whose edits reload handlers: no plan is needed for them."""
        found: set[Path] = set()
        for function in self.functions:
            found.update((function.path, *function.also_watched))
        return frozenset(found)

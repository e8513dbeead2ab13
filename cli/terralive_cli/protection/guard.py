"""Guard of the app's functions: it refuses production and what another stage holds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from terralive_cli.deploy.target import Stage
from terralive_cli.output.events import Message
from terralive_cli.output.ui import Ui
from terralive_cli.protection.accounts import is_allowed, require_account, require_agreement
from terralive_cli.protection.existing import NewFunction
from terralive_cli.protection.held import find_holder, held_elsewhere, stages_of, still_held
from terralive_cli.protection.production import (
    Name,
    refuse_production,
    tag_names,
    variable_names,
)
from terralive_cli.protection.project_names import names_in_stack
from terralive_relay.events import Warned
from terralive_stub.shared.json_documents import Json
from terralive_terraform.addresses import short_address
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.marker import StageName


class Guard:
    """Inspects the functions of an app; a command has one of it.

    Args:
        stage: the stage at work.
        ui: asks for accounts that the app's functions are in.
        takeover: whether functions that another stage holds may be taken.
        changes: whether the command changes functions. One that only looks warns of what another
            stage holds.

    Attributes:
        has_own: whether a function is live for this stage. Every inspection may set it.
    """

    def __init__(
        self, stage: Stage, ui: Ui, *, takeover: bool = False, changes: bool = True
    ) -> None:
        self._stage = stage
        self._ui = ui
        self._takeover = takeover
        self._changes = changes
        self._own = StageName(stage.config.app, stage.config.stage)
        # Other stages that hold functions and have been reported: each is reported once.
        self._reported: set[StageName] = set()
        # The accounts that are allowed. The caller's own has been checked before.
        self._accounts = {stage.target.caller.account}
        # The addresses of functions in unknown accounts that the user has agreed to.
        self._agreed: set[str] = set()
        self.has_own = False

    def inspect_folder(self, directory: Path) -> None:
        """Refuse a CDKTF program's stack that looks like production.

        The names in plain `*.tf` files are known before a program runs (see `project_names`).

        Args:
            directory: the folder of the synthesised stack, which has the stack's name.

        Raises:
            ConfigurationError: `stage-protected`.
        """
        if self._stage.config.terraform.app:
            self._refuse_production(names_in_stack(directory))

    def inspect_variables(self, variables: Mapping[str, Json]) -> None:
        """Refuse an app whose variables, as Terraform knows them, look like production.

        Raises:
            ConfigurationError: `stage-protected`.
        """
        self._refuse_production(variable_names(variables))

    def inspect(self, functions: Mapping[str, DeployedFunction]) -> None:
        """Refuse functions, by address, that must not be touched.

        Raises:
            ConfigurationError: `stage-protected`, `account-not-allowed`.
            StageHeldError: `stage-held-elsewhere`.
        """
        self._refuse_production(_names(functions))
        self._require_accounts(functions)
        stages = stages_of(functions)
        if stages.pop(self._own, None):
            self.has_own = True
        for name, addresses in stages.items():
            if name in self._reported:
                continue
            known = {address: functions[address] for address in addresses}
            held = still_held(self._stage.target.caller, name, known)
            if held:
                self._reported.add(name)
                self._report(name, held)

    def inspect_new(self, functions: Sequence[NewFunction]) -> None:
        """Check the accounts of functions that a plan creates: their providers tell them.

        Raises:
            ConfigurationError: `account-not-allowed`, `account-unknown`.
        """
        if not self._changes:
            return
        doubtful: list[NewFunction] = []
        for function in functions:
            if function.account:
                self._require_account(function.account)
            elif function.address not in self._agreed and not self._all_allowed(function):
                doubtful.append(function)
        if doubtful:
            require_agreement(self._stage, self._ui, doubtful)
            self._agreed.update(function.address for function in doubtful)

    def _all_allowed(self, function: NewFunction) -> bool:
        unchecked = function.accounts - self._accounts
        return all(is_allowed(account, self._stage.config) for account in unchecked)

    def _refuse_production(self, names: Iterable[Name]) -> None:
        # Nothing real is in the sandbox.
        if self._stage.target.sandbox is None:
            config = self._stage.config
            refuse_production(names, config.production_words, allowed=config.allow_protected)

    def _require_accounts(self, functions: Mapping[str, DeployedFunction]) -> None:
        """Check the accounts of functions: a provider may assume a role in another account."""
        for function in functions.values():
            # An account is not known before the function exists; see `inspect_new`.
            if self._changes and function.account:
                self._require_account(function.account)

    def _require_account(self, account: str) -> None:
        if account not in self._accounts:
            require_account(self._stage, self._ui, account)
            self._accounts.add(account)

    def _report(self, name: StageName, addresses: Sequence[str]) -> None:
        """Refuse functions that another stage holds, or say that they are taken over.

        Raises:
            StageHeldError: `stage-held-elsewhere`.
        """
        if self._takeover:
            names = ", ".join(short_address(address) for address in addresses)
            self._stage.emit(Message(message=f"Taking over from stage {name}: {names}."))
            return
        holder = find_holder(self._stage, name, int(time.time() * 1000))
        held = held_elsewhere(name, addresses, holder)
        if self._changes:
            raise held
        text = f"{held.message} `terralive start` needs `--takeover`."
        self._stage.emit(Warned(reference=held.reference, message=text))


def _names(functions: Mapping[str, DeployedFunction]) -> Iterator[Name]:
    for function in functions.values():
        yield Name("function", function.name)
        yield from tag_names(function.tags)

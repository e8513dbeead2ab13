"""Accounts that terralive may work in: listed in the configuration, or confirmed on this machine.

A confirmation is kept in the user's folder for state
(https://specifications.freedesktop.org/basedir-spec/latest/), once for each account.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.deploy.aws import Caller
from terralive_cli.deploy.target import Stage
from terralive_cli.output.ui import Ui
from terralive_cli.protection.existing import NewFunction
from terralive_cli.protection.production import Name, refuse_production
from terralive_relay.events import Warned
from terralive_stub.errors import ConfigurationError, CredentialsError
from terralive_stub.shared.atomic_files import write_atomically
from terralive_stub.shared.json_documents import items, read_object

_FILE: Final = "accounts.json"
_CONFIRMED: Final = "confirmed"


@dataclass(frozen=True, slots=True)
class ConfirmedAccounts:
    """The accounts that the user has confirmed on this machine.

    Attributes:
        file: the file that keeps them.
    """

    file: Path

    @classmethod
    def of_user(cls, environ: Mapping[str, str], home: Path) -> ConfirmedAccounts:
        """Return those of the user with this environment and home folder."""
        state = Path(environ.get("XDG_STATE_HOME") or "")
        # The specification has relative paths ignored.
        if not state.is_absolute():
            state = home / ".local" / "state"
        return cls(state / "terralive" / _FILE)

    def has(self, account: str) -> bool:
        return account in items(read_object(self.file), _CONFIRMED)

    def add(self, account: str) -> None:
        """Keep an account.

        Raises:
            OSError: the file cannot be written.
        """
        known = {str(item) for item in items(read_object(self.file), _CONFIRMED)}
        document = {_CONFIRMED: sorted({*known, account})}
        write_atomically(self.file, json.dumps(document).encode())


def check_target(stage: Stage, ui: Ui, *, changes: bool) -> None:
    """Check that terralive may work in the account, before anything is deployed or planned.

    Args:
        stage: the stage.
        ui: asks the user to confirm the account.
        changes: whether the command changes the account.

    Raises:
        ConfigurationError: `stage-protected`, `account-not-allowed`.
    """
    config, target = stage.config, stage.target
    if target.sandbox is not None:
        return
    alias = ""
    if not config.allow_protected:
        alias = _alias(target.caller, ui)
        refuse_production([Name("account alias", alias)], config.production_words)
    if changes:
        require_account(stage, ui, target.caller.account, alias)


def _alias(caller: Caller, ui: Ui) -> str:
    """Return the account's alias, and warn where it cannot be checked.

    A network may let no request to IAM out. That is no reason to stop.
    """
    try:
        return caller.account_alias()
    except CredentialsError as error:
        text = (
            "terralive cannot see whether the account's alias looks like production. "
            f"{error.message}"
        )
        ui.emit(Warned(reference="account-alias-unknown", message=text))
        return ""


def require_account(stage: Stage, ui: Ui, account: str, alias: str = "") -> None:
    """Check that terralive may change an account. An endpoint that is not AWS's needs no check.

    Args:
        stage: the stage.
        ui: asks the user to confirm the account.
        account: the account's id.
        alias: its alias; "" if it has none or if it is not known.

    Raises:
        ConfigurationError: `account-not-allowed`.
    """
    if _is_on_aws(stage):
        require_allowed(account, alias, stage.config, ui, _confirmed_accounts())


def is_allowed(account: str, config: Config) -> bool:
    """Tell whether terralive may change an account, without a question to the user."""
    if config.accounts:
        return account in config.accounts
    return _confirmed_accounts().has(account)


def require_agreement(stage: Stage, ui: Ui, functions: Sequence[NewFunction]) -> None:
    """Ask the user about functions in accounts that are not known. `--yes` does not answer this.

    An endpoint that is not AWS's needs no check.

    Args:
        stage: the stage.
        ui: asks the user.
        functions: functions that a plan creates, each in one of several accounts, or in an account
            that only Terraform knows.

    Raises:
        ConfigurationError: `account-unknown`.
    """
    if not _is_on_aws(stage):
        return
    accounts: set[str] = set()
    for function in functions:
        accounts |= function.accounts
    named = sorted(account or "one that only Terraform knows" for account in accounts)
    unknown = (
        f"terralive cannot tell in which account Terraform creates "
        f"{', '.join(function.address for function in functions)} ({' or '.join(named)})."
    )
    can_answer = ui.interactive and not stage.config.yes
    if can_answer and ui.confirm(f"{unknown} Create and make them live wherever that is?"):
        return
    raise ConfigurationError(
        "account-unknown",
        f"{unknown} Nothing was changed.",
        hint="Write the `role_arn` or `profile` of the provider as a text or as a variable with a "
        "value, and all possible accounts into `accounts` of terralive.toml. Or deploy the app "
        "by `terraform apply` first: its state names the accounts. Or run the command in a "
        "terminal, without `--yes`, and answer the question.",
    )


def _is_on_aws(stage: Stage) -> bool:
    return stage.target.sandbox is None and stage.target.caller.is_aws


def _confirmed_accounts() -> ConfirmedAccounts:
    return ConfirmedAccounts.of_user(os.environ, Path.home())


def require_allowed(
    account: str, alias: str, config: Config, ui: Ui, confirmed: ConfirmedAccounts
) -> None:
    """Check that terralive may change an account; ask the user where nothing says so.

    Args:
        account: the account's id.
        alias: its alias; "" if it has none.
        config: the configuration, which may list the accounts.
        ui: asks the user to type the account's id.
        confirmed: the accounts that the user has confirmed.

    Raises:
        ConfigurationError: `account-not-allowed`.
    """
    if config.accounts:
        if account in config.accounts:
            return
        known = ", ".join(config.accounts)
        reason = f"`accounts` allows {known} only."
        raise _not_allowed(account, reason, config.accounts, tables=bool(config.account_settings))
    if confirmed.has(account):
        return
    if config.yes or not ui.interactive:
        raise _not_allowed(account, "Nobody has confirmed it on this machine.")
    name = account
    if alias:
        name = f"{account} ({alias})"
    typed = ui.answer(
        f"terralive has not worked in account {name} from this machine. It would run this "
        "account's functions here. Type the account's id to allow it:"
    )
    if typed != account:
        raise _not_allowed(account, "Its id was not typed.")
    try:
        confirmed.add(account)
    except OSError as error:
        ui.emit(Warned(reference="account-not-kept", message=f"The next start asks again: {error}"))


def _not_allowed(
    account: str, reason: str, accounts: Sequence[str] = (), *, tables: bool = False
) -> ConfigurationError:
    allowed = [*accounts, account]
    line = f"write this line at the top of terralive.toml: accounts = {json.dumps(allowed)}"
    if tables:
        line = f'add this table to terralive.toml: [accounts."{account}"]'
    return ConfigurationError(
        "account-not-allowed",
        f"terralive may not work in account {account}. {reason} Nothing was changed.",
        hint=f"If it is an account for development, {line}\n"
        f"Or set TERRALIVE_ACCOUNTS={','.join(allowed)}, or, where there is no such list, run the "
        "command once in a terminal and without `--yes`.",
    )

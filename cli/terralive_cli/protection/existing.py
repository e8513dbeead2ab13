"""Functions that exist while the state that terralive plans with does not have them.

Somebody has applied the same configuration with another state: by hand in the sandbox, from another
checkout, from another workspace. Terraform would fail halfway, as the names are taken.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_cli.deploy.accounts import Accounts
from terralive_stub.errors import ConfigurationError, CredentialsError
from terralive_stub.shared.arns import place_of
from terralive_stub.shared.json_documents import read_object, section, text
from terralive_terraform.addresses import without_keys
from terralive_terraform.data_folder import data_folder, selected_workspace
from terralive_terraform.discovery.declared import FUNCTION_TYPE, DeclaredFunction
from terralive_terraform.discovery.providers import AwsProvider, provider_by_key
from terralive_terraform.output.shown_plan import ShownPlan
from terralive_terraform.output.state import deployed_functions, managed_instances

_log: Final = logging.getLogger("terralive.cli")
_STATE: Final = "terraform.tfstate"
_NOT_FOUND: Final = "ResourceNotFoundException"
_DEFAULT_WORKSPACE: Final = "default"
_WORKSPACES: Final = "terraform.tfstate.d"


@dataclass(frozen=True, slots=True, order=True)
class Located:
    """A function by its name, account and region.

    Attributes:
        name: its name.
        account: the id of its account.
        region: its region.
    """

    name: str
    account: str
    region: str


@dataclass(frozen=True, slots=True)
class NewFunction:
    """A function that a plan creates and makes live.

    Attributes:
        address: its address in the plan.
        name: its name; "" where only an apply shows it.
        region: its region; "" where it is not known.
        accounts: the ids of all accounts that it may be in; "" stands for one that is not known.
    """

    address: str
    name: str
    region: str
    accounts: frozenset[str]

    @property
    def account(self) -> str:
        """The id of its account; "" where it is not known."""
        if len(self.accounts) != 1:
            return ""
        return "".join(self.accounts)

    @property
    def located(self) -> Located | None:
        """Its name, account and region; None where one of them is not known."""
        if not (self.name and self.account and self.region):
            return None
        return Located(self.name, self.account, self.region)


def created_functions(
    plan: ShownPlan,
    declared: Sequence[DeclaredFunction],
    providers: Sequence[AwsProvider],
    accounts: Accounts,
    region: str,
) -> Iterator[NewFunction]:
    """Yield the functions that a plan creates and makes live.

    Args:
        plan: the plan.
        declared: the functions of the configuration that become live.
        providers: the AWS providers of the configuration.
        accounts: tells the account of a provider.
        region: the region of a provider that names none.
    """
    by_address = {function.address: function for function in declared}
    for resource in plan.of_type(FUNCTION_TYPE):
        function = by_address.get(without_keys(resource.address))
        if resource.action != "create" or function is None:
            continue
        possible = _possible_providers(function, providers)
        known = provider_by_key(providers, resource.provider)
        if resource.provider and known is not None:
            possible = [known]
        in_accounts = {accounts.account_of(provider) or "" for provider in possible}
        of_role = place_of(text(resource.after, "role")).account
        if of_role:
            in_accounts = {of_role}
        # Since version 6 of the provider, a resource may have a region of its own.
        own_region = text(resource.after, "region")
        yield NewFunction(
            address=resource.address,
            name=text(resource.after, "function_name"),
            region=own_region or _region_of(possible, region),
            accounts=frozenset(in_accounts or {""}),
        )


def require_new(functions: Iterable[Located], accounts: Accounts, place: str) -> None:
    """Check that none of the functions that a plan creates exists.

    Args:
        functions: the functions.
        accounts: opens sessions in their accounts.
        place: the stage's target, for a person.

    Raises:
        ConfigurationError: `functions-exist`.
    """
    found = [function for function in functions if exists(function, accounts)]
    if not found:
        return
    names = "".join(f"\n  {item.name} (account {item.account}, {item.region})" for item in found)
    raise ConfigurationError(
        "functions-exist",
        "These functions exist already, and the Terraform state of this stage does not have "
        f"them:{names}\nThey were deployed to {place} with another state. Nothing was changed.",
        hint="Use the state that has them (the `backend`, the workspace or the folder that they "
        "were applied from), remove them there with `terraform destroy`, or give this stage other "
        "names (a variable, another workspace). A new sandbox is empty.",
    )


def exists(function: Located, accounts: Accounts) -> bool:
    """Tell whether a function exists; False where nobody may look."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    try:
        client = accounts.client("lambda", function.account, function.region)
        client.get_function_configuration(FunctionName=function.name)
    except ClientError as error:
        if error.response["Error"].get("Code") != _NOT_FOUND:
            _log.debug("%s cannot be looked at: %s", function.name, error)
        return False
    except (BotoCoreError, CredentialsError) as error:
        _log.debug("%s cannot be looked at: %s", function.name, type(error).__name__)
        return False
    return True


def is_applied_by_hand(
    directory: Path, environment: Mapping[str, str], own: Path, accounts: Accounts
) -> bool:
    """Tell whether the user's own state describes functions of the sandbox.

    That is so after `terraform apply` by hand. A state that is left from another sandbox has no
    function here.

    Args:
        directory: the folder of the root module.
        environment: the environment of Terraform.
        own: the stage's own state file. It counts where it is not empty.
        accounts: opens sessions in the accounts of functions.
    """
    by_hand = local_state(directory, environment)
    if by_hand is None or any(managed_instances(read_object(own))):
        return False
    for _, function in deployed_functions(read_object(by_hand)):
        place = place_of(function.arn)
        located = Located(function.name, place.account, place.region)
        if place.account and exists(located, accounts):
            _log.debug("the app's state is %s", by_hand)
            return True
    return False


def local_state(directory: Path, environment: Mapping[str, str]) -> Path | None:
    """Return the state file of a folder's local backend; None where it has another backend.

    https://developer.hashicorp.com/terraform/language/backend/local

    Args:
        directory: the folder of the root module.
        environment: the environment of Terraform.
    """
    backend = section(read_object(data_folder(directory, environment) / _STATE), "backend")
    if text(backend, "type") not in {"", "local"}:
        return None
    config = section(backend, "config")
    workspace = selected_workspace(directory, environment)
    if workspace in {"", _DEFAULT_WORKSPACE}:
        return directory / (text(config, "path") or _STATE)
    folder = text(config, "workspace_dir") or _WORKSPACES
    return directory / folder / workspace / _STATE


def _possible_providers(
    function: DeclaredFunction, providers: Sequence[AwsProvider]
) -> Sequence[AwsProvider]:
    """Return the providers of which a function has one.

    They are several for a function in a module: a module may be given another provider under the
    name of the default one. There is none where the configuration does not show the provider.
    """
    every = list(providers)
    # Terraform has a default provider without a block for it.
    if all(provider.alias for provider in providers):
        every.append(AwsProvider(Path()))
    if function.address != f"{FUNCTION_TYPE}.{function.label}":
        return every
    alias = (function.provider or "").partition(".")[2]
    return [provider for provider in every if provider.alias == alias]


def _region_of(providers: Sequence[AwsProvider], default: str) -> str:
    """Return the region of the only provider; "" where it is not known."""
    if len(providers) != 1:
        return ""
    (provider,) = providers
    if provider.region is None:
        return ""
    return provider.region or default

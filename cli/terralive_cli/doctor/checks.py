"""The checks of `terralive doctor`, in the order in which they are made and shown."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.doctor.account import connection, permissions, stages
from terralive_cli.doctor.account.account import (
    Account,
    check_clock,
    check_credentials,
    check_limits,
    check_region,
)
from terralive_cli.doctor.examination import Check
from terralive_cli.doctor.findings import Outcome, SkippedError
from terralive_cli.doctor.functions import AppLook
from terralive_cli.doctor.machine import leftovers
from terralive_cli.doctor.machine.provider import check_provider
from terralive_cli.doctor.machine.versions import check_versions
from terralive_cli.joining.inventory import AwsInventory
from terralive_cli.output.ui import Ui
from terralive_cli.permissions.policies import PolicyScope
from terralive_stub.errors import CredentialsError
from terralive_terraform.debug_stack.settings import DebugStackSettings

_CHINA: Final = "cn-"
_WHY_AWS: Final = "terralive deploys nothing and connects nowhere without it."


def checks_of(config: Config, ui: Ui, *, fix: bool) -> list[Check]:
    """Return the checks, those of this machine first.

    Args:
        config: the configuration.
        ui: the user, who is asked nothing.
        fix: whether leftovers on this machine are removed.
    """
    account = Account(config)
    look = AppLook(config, ui)

    def functions() -> Outcome:
        account.known_caller()
        has_leftovers = leftovers.find(config).blocks_terraform
        return look.check_functions(has_leftovers=has_leftovers)

    return [
        Check(
            "versions",
            lambda: check_versions(config.terraform, os.environ),
            "terralive needs these programs.",
        ),
        Check(
            "provider",
            lambda: check_provider(config, os.environ, Path.home()),
            "Terraform runs no plan without the AWS provider.",
        ),
        Check(
            "leftovers",
            lambda: leftovers.check_leftovers(config, fix=fix),
            "Files of killed runs confuse Terraform that is run by hand.",
        ),
        Check("region", lambda: check_region(account), _WHY_AWS),
        Check("credentials", lambda: check_credentials(account, time.time()), _WHY_AWS),
        Check(
            "clock",
            lambda: check_clock(account, time.time()),
            "AWS refuses requests whose time differs.",
        ),
        Check("permissions", lambda: _permissions(account), _WHY_AWS),
        Check(
            "limits",
            lambda: check_limits(account),
            "Live invocations occupy the account's concurrency.",
        ),
        Check(
            "connection",
            lambda: _connection(account),
            "The relay on this machine gets every invocation by a WebSocket.",
        ),
        Check(
            "stages",
            lambda: stages.check_stages(config, account.known_caller(), time.time()),
            "Stages that nobody uses keep their stubs.",
        ),
        Check(
            "functions",
            functions,
            "Functions whose code is not found do not run here.",
        ),
        Check(
            "others",
            look.check_others,
            "A function runs on one developer's machine at a time.",
        ),
    ]


def _permissions(account: Account) -> Outcome:
    config, caller = account.config, account.known_caller()
    scope = PolicyScope(
        account=caller.account,
        region=caller.region,
        app=config.app,
        stage=config.stage,
        name_prefix=config.debug_stack.name_prefix,
        role_path=config.debug_stack.role_path,
    )
    return permissions.check_permissions(caller, scope)


def _connection(account: Account) -> Outcome:
    """Ask at the debug stack's own address, or, where there is none, at that of the region."""
    if account.sandbox is not None:
        return Outcome(f"the sandbox is on this machine, at {account.sandbox.endpoint}")
    relay_url = _relay_url(account)
    urls: tuple[str, ...] = (relay_url,)
    if not relay_url:
        urls = _addresses(account)
    return connection.check_connection(urls, connection.proxy_of(urls[0], os.environ))


def _addresses(account: Account) -> tuple[str, ...]:
    """Return the addresses of API Gateway, where there is no debug stack.

    Raises:
        SkippedError: the region is not known, or an emulator has no such address.
    """
    region = account.known_region()
    is_emulator = account.caller is not None and account.caller.has_own_endpoint
    if is_emulator or account.config.sandbox:
        raise SkippedError("there is no debug stack yet")
    suffix = "amazonaws.com"
    if region.startswith(_CHINA):
        suffix = "amazonaws.com.cn"
    return connection.addresses(region, suffix)


def _relay_url(account: Account) -> str:
    """Return the address of the stage's debug stack; "" where it is not known."""
    caller = account.caller
    if caller is None:
        return ""
    config = account.config
    prefix = config.debug_stack.name_prefix
    settings = DebugStackSettings.for_names(config.app, config.stage, prefix)
    try:
        found = AwsInventory(caller).description(settings.name("connections"))
    except CredentialsError:
        return ""
    if found is None:
        return ""
    return found.outputs.get("relay_url", "")

"""The policies of docs/PERMISSIONS.md for the project at hand: `terralive init --policy`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from terralive_cli.configuration.rules import closest
from terralive_cli.configuration.values import Config
from terralive_cli.deploy.target import aws_providers
from terralive_cli.init.events import PolicyListed
from terralive_cli.output.ui import Ui
from terralive_cli.permissions.policies import PURPOSES, PolicyScope, policy_of
from terralive_stub.errors import ConfigurationError
from terralive_terraform.discovery.providers import default_provider

ALL: Final = "all"


def list_policies(config: Config, ui: Ui, wanted: str) -> None:
    """Show policies. It changes nothing and asks AWS nothing.

    Args:
        config: the configuration.
        ui: shows them.
        wanted: the name of one, or `all`.

    Raises:
        ConfigurationError: `no-such-policy`.
    """
    names: Sequence[str] = tuple(PURPOSES)
    if wanted != ALL:
        names = (wanted,)
    if wanted not in {ALL, *PURPOSES}:
        raise ConfigurationError(
            "no-such-policy",
            f'There is no policy "{wanted}".{closest(wanted, PURPOSES)}',
            hint=f"The policies are: {', '.join(PURPOSES)}. `--policy` alone shows all of them.",
        )
    scope = scope_of(config)
    for name in names:
        document = policy_of(name, scope)
        ui.emit(PolicyListed(name, PURPOSES[name], document, alone=wanted != ALL))


def scope_of(config: Config) -> PolicyScope:
    """Return what is known of a project: account, region, app, stage, bucket."""
    account = "*"
    if len(config.accounts) == 1:
        account = config.accounts[0]
    region = config.region
    provider = default_provider(aws_providers(config, config.terraform.dir))
    if not region and provider is not None:
        region = provider.region
    stage = config.stage
    if config.user in stage:
        # Everybody has a stage of their own.
        stage = stage.partition(config.user)[0] + "*"
    bucket, keys = "", ""
    if config.backend is not None and config.backend.type == "s3":
        bucket = str(config.backend.config.get("bucket") or "")
        key = str(config.backend.config.get("key") or "")
        keys = key.partition(config.stage)[0].rpartition("/")[0] + "/"
    return PolicyScope(
        account=account,
        region=region or "*",
        app=config.app,
        stage=stage,
        name_prefix=config.debug_stack.name_prefix,
        role_path=config.debug_stack.role_path,
        bucket=bucket,
        keys=keys.lstrip("/"),
    )

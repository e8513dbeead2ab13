"""Finds resources of the app that exist, although Terraform's state does not have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.target import Stage, aws_providers
from terralive_cli.orphans.look import Found, Located, Look
from terralive_stub.shared.arns import partition_of
from terralive_terraform.debug_stack.adoption import API
from terralive_terraform.discovery.providers import AwsProvider, provider_by_key
from terralive_terraform.output.new_resources import NewResource
from terralive_terraform.substitution.marker import StageName

# AWS rounds times, and the difference of two clocks is not known exactly.
_CLOCK_SECONDS: Final = 3


@dataclass(frozen=True, slots=True)
class Search:
    """A search for resources that an interrupted deployment may have left.

    Attributes:
        accounts: opens sessions in the accounts of the app.
        providers: the AWS providers of the configuration.
        region: the region of a provider that names none.
        partition: the partition of the caller's account.
    """

    accounts: Accounts
    providers: Sequence[AwsProvider]
    region: str
    partition: str

    @classmethod
    def of(cls, stage: Stage, accounts: Accounts, directory: Path) -> Self:
        """Return the search for an app.

        Args:
            stage: the stage.
            accounts: opens sessions in the accounts of the app.
            directory: the folder of the app's configuration.
        """
        caller = stage.target.caller
        providers = aws_providers(stage.config, directory)
        return cls(accounts, providers, stage.target.region, partition_of(caller.arn))

    def find(
        self, resources: Iterable[NewResource], since: float | None = None
    ) -> tuple[Found, ...]:
        """Look for resources that a plan creates, one after the other.

        Names of APIs are not unique. An API counts only if it was created since a deployment began.

        Args:
            resources: the resources.
            since: the time when the deployment began, by AWS's clock, in seconds since the epoch;
                None where no deployment was interrupted.
        """
        look = Look(self.accounts)
        found: list[Found] = []
        for resource in resources:
            located = self._located(resource)
            if located is None:
                continue
            item = look.find(located)
            if item is None or (item.type == API and not is_since(item, since)):
                continue
            found.append(item)
        return tuple(found)

    def _located(self, resource: NewResource) -> Located | None:
        """Return the place of a resource; None where its provider's account is not known."""
        provider = provider_by_key(self.providers, resource.provider)
        if provider is None or provider.region is None:
            return None
        account = self.accounts.account_of(provider)
        if not account:
            return None
        region = resource.region or provider.region or self.region
        return Located(resource, account, region, self.partition)


def is_since(found: Found, since: float | None) -> bool:
    """Tell whether a resource was certainly created after a time; see `Search.find`."""
    if since is None or found.created is None:
        return False
    return found.created >= since - _CLOCK_SECONDS


def is_left(found: Found, stage: StageName, since: float | None) -> bool:
    """Tell whether a stage's interrupted deployment has certainly created a resource.

    Args:
        found: the resource.
        stage: the stage.
        since: the time when its deployment began, by AWS's clock.
    """
    return found.live_for == stage or is_since(found, since)

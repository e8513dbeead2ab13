"""Comparison of the regions that the user, the shell, the app and a sandbox name. Pure.

A stage is in one region: that of its debug stack, and of the app's default AWS provider. Where two
of them are different, Terraform would make a second copy of the app, or a sandbox would answer for
functions that it does not have. Providers with an alias may be in other regions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from terralive_cli.configuration.loading import SHELL_REGIONS
from terralive_cli.configuration.values import GivenRegion
from terralive_stub.errors import ConfigurationError
from terralive_terraform.discovery.providers import AwsProvider


@dataclass(frozen=True, slots=True)
class Regions:
    """The regions that are known before anything is planned.

    Attributes:
        given: what the user and the shell have given, in the order of precedence.
        provider: the region of the app's default provider, where its configuration tells it.
        provider_decides: whether the default provider sets a region at all; otherwise it takes the
            shell's.
    """

    given: tuple[GivenRegion, ...] = ()
    provider: GivenRegion | None = None
    provider_decides: bool = False

    @classmethod
    def of(
        cls, given: Sequence[GivenRegion], provider: AwsProvider | None, directory: Path
    ) -> Regions:
        """Return the regions of a stage.

        Args:
            given: what the user and the shell have given.
            provider: the app's default provider; None if its configuration has none.
            directory: the folder that files are named relative to.
        """
        if provider is None or provider.region == "":
            return cls(tuple(given))
        if provider.region is None:
            return cls(tuple(given), provider_decides=True)
        file = provider.file.name
        if provider.file.is_relative_to(directory):
            file = str(provider.file.relative_to(directory))
        declared = GivenRegion(provider.region, f'`provider "aws"` in {file}')
        return cls(tuple(given), declared, provider_decides=True)

    def wanted(self, chosen: str | None) -> str | None:
        """Return the region to work in; None if only the AWS profile may name one.

        Args:
            chosen: the region of the configuration (`Config.region`).
        """
        if chosen is not None:
            return chosen
        if self.provider is not None:
            return self.provider.region
        return None

    def require_same_on_aws(self, region: str, profile: GivenRegion | None) -> None:
        """Check that Terraform, run by hand in this shell, works in the stage's region, too.

        Args:
            region: the stage's region.
            profile: the region of the AWS profile, if it has one.

        Raises:
            ConfigurationError: `region-differs`.
        """
        shell = next((item for item in self.given if item.source in SHELL_REGIONS), profile)
        used = [self.provider] if self.provider_decides else [shell]
        self._require_same(region, used, [*self.given, self.provider, profile])

    def require_same_in_sandbox(self, sandbox: GivenRegion) -> None:
        """Check that a running sandbox is in the region of the user and of the app.

        Raises:
            ConfigurationError: `region-differs`.
        """
        first = self.given[0] if self.given else None
        known = [sandbox, *self.given, self.provider]
        self._require_same(sandbox.region, [first, self.provider], known)

    def _require_same(
        self,
        region: str,
        used: Sequence[GivenRegion | None],
        known: Sequence[GivenRegion | None],
    ) -> None:
        if all(item is None or item.region == region for item in used):
            return
        listed: dict[str, str] = {}
        for item in known:
            if item is not None:
                listed.setdefault(item.source, item.region)
        raise ConfigurationError(
            "region-differs",
            f"The regions of this stage differ:{_lines(listed)}",
            hint="A stage is in one region. Write the right one into terralive.toml (`region`) and "
            "into the provider, or take out what does not apply (`unset AWS_REGION "
            "AWS_DEFAULT_REGION`; another sandbox). Functions in other regions use a provider with "
            "an `alias`.",
        )


def _lines(listed: Mapping[str, str]) -> str:
    return "".join(f"\n  {region}: {source}" for source, region in listed.items())

"""The places that Terraform gets the AWS provider from, and whether one of them has it.

Nothing is downloaded. Terraform looks for installed providers, the mirror folders of the system,
and the registry, in this order:
https://developer.hashicorp.com/terraform/cli/config/config-file#implied-local-mirror-directories
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.deploy.target import FOLDER
from terralive_cli.doctor.findings import Finding, Outcome, failed
from terralive_stub.shared import trust_store
from terralive_terraform.data_folder import data_folder
from terralive_terraform.discovery.hcl.folders import is_opentofu
from terralive_terraform.runs.cli_configuration import users_configuration
from terralive_terraform.runs.environment import REGISTRY, holds_provider

_OPENTOFU_REGISTRY: Final = "registry.opentofu.org"
_REGISTRY_SECONDS: Final = 10.0
# Every registry answers at this path:
# https://developer.hashicorp.com/terraform/internals/remote-service-discovery
_DISCOVERY: Final = "/.well-known/terraform.json"
_WHY: Final = "Terraform runs no plan without the AWS provider."


def check_provider(config: Config, environ: Mapping[str, str], home: Path) -> Outcome:
    """Find the AWS provider for Terraform runs of this project."""
    named = environ.get("TERRALIVE_PROVIDER_MIRROR")
    if named:
        return from_mirror(Path(named), has_provider=holds_provider(Path(named)))
    opentofu = is_opentofu(config.terraform.binary)
    registry = REGISTRY
    if opentofu:
        registry = _OPENTOFU_REGISTRY
    installed = installed_versions(_provider_folders(config, environ), registry)
    if installed:
        return Outcome(f"the AWS provider is installed ({', '.join(installed)})")
    if users_configuration(environ).has_installation:
        return Outcome("Terraform's CLI configuration says where providers come from")
    for folder in _implied_mirrors(environ, home):
        if holds_provider(folder):
            return Outcome(f"the AWS provider is in {folder}")
    return of_registry(registry, _registry_fault(f"https://{registry}{_DISCOVERY}"))


def from_mirror(mirror: Path, *, has_provider: bool) -> Outcome:
    """Return the result for the mirror folder that TERRALIVE_PROVIDER_MIRROR names."""
    if has_provider:
        return Outcome(f"the AWS provider is in {mirror}")
    finding = failed(
        "provider-mirror",
        f"TERRALIVE_PROVIDER_MIRROR names {mirror}, and there is no AWS provider in that folder.",
        why=_WHY,
        fix="Run `terraform providers mirror FOLDER` on a machine with a network, and copy that "
        "folder to this machine.",
    )
    return Outcome("not found", (finding,))


def of_registry(registry: str, fault: str) -> Outcome:
    """Return the result for the registry.

    Args:
        registry: its host.
        fault: why it does not answer; "" if it does.
    """
    if not fault:
        return Outcome(f"{registry} answers; the next run of Terraform downloads the AWS provider")
    finding: Finding = failed(
        "provider-unavailable",
        f"The AWS provider is not installed, and {registry} does not answer: {fault}",
        why=_WHY,
        fix="Check the network and a proxy (HTTPS_PROXY). Without a network, set "
        "TERRALIVE_PROVIDER_MIRROR to a folder that `terraform providers mirror` has made.",
    )
    return Outcome("not found", (finding,))


def installed_versions(folders: Iterable[Path], registry: str) -> list[str]:
    """Return the versions of the AWS provider in folders of installed providers."""
    found: set[str] = set()
    for folder in folders:
        for plugin in (folder / registry / "hashicorp" / "aws").glob("*/*_*"):
            found.add(plugin.parent.name)
    return sorted(found)


def _provider_folders(config: Config, environ: Mapping[str, str]) -> list[Path]:
    """Return the folders in which earlier runs have installed providers."""
    folders = [data_folder(config.terraform.dir, environ) / "providers"]
    cache = environ.get("TF_PLUGIN_CACHE_DIR")
    if cache:
        folders.append(Path(cache))
    # Stages without a cache of the user's share one each; see `terraform_environment`.
    folders += (config.project / FOLDER).glob("*/*/*/plugin-cache")
    return folders


def _implied_mirrors(environ: Mapping[str, str], home: Path) -> list[Path]:
    data_home = environ.get("XDG_DATA_HOME") or str(home / ".local" / "share")
    data_dirs = environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    folders = [home / ".terraform.d" / "plugins", Path(data_home) / "terraform" / "plugins"]
    folders.append(home / "Library" / "Application Support" / "io.terraform" / "plugins")
    folders += [Path(name) / "terraform" / "plugins" for name in data_dirs.split(":") if name]
    return folders


def _registry_fault(url: str) -> str:
    """Return why a registry does not answer; "" if it does."""
    try:
        with urllib.request.urlopen(  # noqa: S310  # the scheme is https
            url, timeout=_REGISTRY_SECONDS, context=trust_store.system_and(())
        ):
            return ""
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}"
    except (OSError, ValueError) as error:  # urllib's URLError is an OSError
        return str(getattr(error, "reason", None) or error)

"""Providers that `terraform init` has installed with the stage's own dependency lock file.

Terraform compares the lock file in a configuration's folder with every plan and apply. With a state
of terralive's own, that file is the team's, and it may name other versions or be missing. So plans
and applies get a CLI configuration that names the installed providers, as provider developers do:
https://developer.hashicorp.com/terraform/cli/config/config-file#development-overrides-for-provider-developers
Terraform then uses these and does not look at the lock file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from terralive_stub.shared.atomic_files import write_atomically
from terralive_terraform.overrides.lock_file import selected_versions
from terralive_terraform.runs.cli_configuration import VARIABLE, users_configuration


def providers_environment(
    lock: Path, data_dir: Path, environment: Mapping[str, str], target: Path
) -> dict[str, str]:
    """Write the CLI configuration, and return the variable that names it; {} without providers.

    It has all of the user's own settings.

    Args:
        lock: the dependency lock file that the providers were installed with.
        data_dir: the data folder that they were installed in.
        environment: the environment of Terraform.
        target: the file to write.
    """
    found = dict(_installed(lock, data_dir))
    if not found:
        return {}
    # No method installs anything during a plan or an apply, and Terraform wants one.
    content = users_configuration(environment).with_installation("  direct {}\n", found)
    write_atomically(target, content)
    return {VARIABLE: str(target)}


def _installed(lock: Path, data_dir: Path) -> Iterator[tuple[str, str]]:
    """Yield the address and the folder of each provider in a lock file that is installed."""
    if not lock.is_file():
        return
    for address, version in selected_versions(lock.read_text("utf-8")).items():
        # One folder for each platform: this machine's is the only one that is installed.
        for folder in (data_dir / "providers" / address / version).glob("*_*"):
            yield address, str(folder.resolve())

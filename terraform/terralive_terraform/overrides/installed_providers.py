"""Providers that `terraform init` has installed with the stage's own dependency lock file.

Terraform compares the lock file in a configuration's folder with every plan and apply. With a state
of terralive's own, that file is the team's, and it may name other versions or be missing. So plans
and applies get a CLI configuration that names the installed providers, as provider developers do:
https://developer.hashicorp.com/terraform/cli/config/config-file#development-overrides-for-provider-developers
Terraform then uses these and does not look at the lock file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from terralive_stub.shared.atomic_files import write_atomically

# https://developer.hashicorp.com/terraform/language/files/dependency-lock
_LOCKED: Final = re.compile(r'provider\s+"([^"]+)"\s*\{\s*version\s*=\s*"([^"]+)"')
_USERS_OWN: Final = re.compile(r"\bdev_overrides\s*\{([^}]*)\}")
CLI_CONFIGURATION: Final = "TF_CLI_CONFIG_FILE"


def providers_environment(
    lock: Path, data_dir: Path, environment: Mapping[str, str], target: Path
) -> dict[str, str]:
    """Write the CLI configuration, and return the variable that names it; {} without providers.

    Args:
        lock: the dependency lock file that the providers were installed with.
        data_dir: the data folder that they were installed in.
        environment: the environment of Terraform.
        target: the file to write.
    """
    found = dict(_installed(lock, data_dir))
    if not found:
        return {}
    lines = [f'    "{address}" = "{folder}"' for address, folder in found.items()]
    lines += _users_own(environment)
    content = "provider_installation {\n  dev_overrides {\n%s\n  }\n  direct {}\n}\n"
    write_atomically(target, (content % "\n".join(lines)).encode())
    return {CLI_CONFIGURATION: str(target)}


def _installed(lock: Path, data_dir: Path) -> Iterator[tuple[str, Path]]:
    """Yield the address and the folder of each provider in a lock file that is installed."""
    if not lock.is_file():
        return
    for address, version in _LOCKED.findall(lock.read_text("utf-8")):
        # One folder for each platform: this machine's is the only one that is installed.
        for folder in (data_dir / "providers" / address / version).glob("*_*"):
            yield address, folder.resolve()


def _users_own(environment: Mapping[str, str]) -> list[str]:
    """Return the lines of the user's own CLI configuration that name providers in development."""
    home = Path(environment.get("HOME", "/nonexistent"))
    file = Path(environment.get(CLI_CONFIGURATION) or home / ".terraformrc")
    try:
        block = _USERS_OWN.search(file.read_text("utf-8", "replace"))
    except OSError:
        return []
    if block is None:
        return []
    return block[1].strip().splitlines()

"""Folders that Terragrunt completes: terralive runs Terraform itself. It reads files only.

Terragrunt gives Terraform a source, variables, a backend and generated files. Without them, the
same folder is another configuration, with another state:
https://terragrunt.gruntwork.io/docs/reference/hcl
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_relay.events import Warned
from terralive_stub.errors import ConfigurationError
from terralive_terraform.discovery.backends import backend_blocks
from terralive_terraform.discovery.hcl.folders import is_opentofu

_UNITS: Final = ("terragrunt.hcl", "terragrunt.hcl.json")
# A folder of units has one of these, and no configuration of its own.
_FOLDERS_OF_UNITS: Final = ("terragrunt.stack.hcl", "root.hcl")
# https://terragrunt.gruntwork.io/docs/troubleshooting/debugging/
_VARIABLES: Final = "terragrunt-debug.tfvars.json"
_WHAT_TO_DO: Final = (
    "Give Terraform the same inputs as Terragrunt does. `terragrunt run --inputs-debug -- plan` "
    f"writes the variables to {_VARIABLES}. Run terralive in the folder that `source` "
    "names (not in .terragrunt-cache, which has copies of your code), with the backend and "
    "provider files that Terragrunt generates, and with these variables: "
    f'[terraform] var_files = ["{_VARIABLES}"] in terralive.toml.'
)


def check_terragrunt(config: Config) -> Warned | None:
    """Refuse a folder that only Terragrunt completes, or warn of what it has beside `*.tf` files.

    Raises:
        ConfigurationError: `terragrunt-not-supported`.
    """
    program = config.terraform
    if program.app is not None:
        return None
    unit = _first(program.dir, _UNITS)
    if not program.found:
        file = unit or _first(program.dir, _FOLDERS_OF_UNITS)
        if file is None:
            return None
        raise ConfigurationError(
            "terragrunt-not-supported",
            f"{program.dir} has {file} and no *.tf files. Only Terragrunt would download or "
            "write them, but terralive runs Terraform itself.",
            hint=_WHAT_TO_DO,
        )
    if unit is None:
        return None
    opentofu = is_opentofu(program.binary)
    has_backend = any(True for _ in backend_blocks(program.dir, opentofu=opentofu))
    # The sandbox has a state of its own.
    if not has_backend and not config.sandbox:
        raise ConfigurationError(
            "terragrunt-not-supported",
            f"{program.dir} has {unit}, and no `backend` block in its *.tf files: only Terragrunt "
            "knows where the state is. terralive runs Terraform itself, and would deploy "
            "everything once more.",
            hint=f"{_WHAT_TO_DO} If the state is a local file, declare it with a block: "
            '`backend "local" {}`.',
        )
    return Warned(
        "terragrunt-not-supported",
        f"terralive runs Terraform itself and does not read {unit}.\nIts inputs, generated files "
        f"and extra arguments count only where Terraform finds them by itself. {_WHAT_TO_DO}",
    )


def _first(folder: Path, names: tuple[str, ...]) -> str | None:
    for name in names:
        if (folder / name).is_file():
            return name
    return None

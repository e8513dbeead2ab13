"""The version of the installed Terraform or OpenTofu."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import parse_object, text
from terralive_terraform.runs.environment import without_arguments
from terralive_terraform.runs.process import missing_binary

_OLDEST: Final = (1, 5, 0)


def parse_version(output: str) -> str | None:
    """Return the version in the output of `terraform version`, with or without `-json`.

    It may have a suffix behind the numbers (`1.12.0-beta1`).
    """
    document = parse_object(output)
    named = text(document, "terraform_version") if document else output
    match = re.search(r"\d+\.\d+\.\d+(-[\w.]+)?", named)
    return match[0] if match else None


def require_terraform(binary: str, environment: Mapping[str, str]) -> str:
    """Return the version of the Terraform that will be run.

    Raises:
        ConfigurationError: there is none, it is older than 1.5, or its version cannot be read.
    """
    try:
        ended = subprocess.run(
            [binary, "version", "-json"],
            # `version` knows no option that a user may have set for all commands.
            env=without_arguments(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except FileNotFoundError:
        raise missing_binary(binary) from None
    except (subprocess.TimeoutExpired, OSError) as error:
        raise ConfigurationError(
            "terraform-broken",
            f"`{binary} version` does not answer: {error}",
            hint=f"Run `{binary} version` by hand. terralive needs Terraform 1.5 or newer.",
        ) from None
    version = parse_version(ended.stdout)
    if version is None:
        raise ConfigurationError(
            "terraform-broken",
            f"`{binary} version` does not print a version: "
            f"{(ended.stdout or ended.stderr).strip()[:300]}",
            hint=f"Run `{binary} version` by hand. terralive needs Terraform 1.5 or newer.",
        )
    numbers = version.partition("-")[0].split(".")
    if tuple(map(int, numbers)) < _OLDEST:
        raise ConfigurationError(
            "terraform-too-old",
            f"{binary} is version {version}. terralive needs Terraform 1.5 or newer.",
            hint="Install a newer one from https://developer.hashicorp.com/terraform/install (or "
            "with tfenv: `tfenv install latest`), or name another binary in terralive.toml: "
            "[terraform] binary.",
        )
    return version

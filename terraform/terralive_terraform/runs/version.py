"""Which Terraform there is, and whether it is new enough."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_terraform.runs.process import missing_binary

OLDEST: Final = (1, 5, 0)


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A release of Terraform; `text` also carries what stands behind the numbers (`1.12.0-beta1`)."""

    numbers: tuple[int, int, int]
    text: str

    def __str__(self) -> str:
        return self.text


def parse_version(output: str) -> Version | None:
    """Read what `terraform version -json` prints, or the first line of `terraform version`."""
    try:
        document = json.loads(output)
    except ValueError:
        document = None
    text = document.get("terraform_version") if isinstance(document, dict) else output
    match = re.search(r"(\d+)\.(\d+)\.(\d+)(-[\w.]+)?", text) if isinstance(text, str) else None
    return Version((int(match[1]), int(match[2]), int(match[3])), match[0]) if match else None


def require_terraform(binary: str, environment: Mapping[str, str] | None = None) -> Version:
    """Give the version of the Terraform that will be run.

    Raises:
        ConfigurationError: there is none, it is older than 1.5, or it does not say.
    """
    try:
        ended = subprocess.run(
            [binary, "version", "-json"],
            env=None if environment is None else dict(environment),
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
            hint=f"Run `{binary} version` by hand; terralive needs Terraform 1.5 or newer.",
        ) from None
    version = parse_version(ended.stdout)
    if version is None:
        raise ConfigurationError(
            "terraform-broken",
            f"`{binary} version` does not name its version: {(ended.stdout or ended.stderr).strip()[:300]}",
            hint=f"Run `{binary} version` by hand; terralive needs Terraform 1.5 or newer.",
        )
    if version.numbers < OLDEST:
        raise ConfigurationError(
            "terraform-too-old",
            f"{binary} is version {version}; terralive needs Terraform 1.5 or newer.",
            hint="Install a newer one from https://developer.hashicorp.com/terraform/install (or with tfenv: `tfenv "
            "install latest`), or name another binary in terralive.toml: [terraform] binary.",
        )
    return version

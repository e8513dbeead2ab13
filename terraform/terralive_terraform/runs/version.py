"""The version of the installed Terraform or OpenTofu."""

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
    """A release of Terraform. `text` also has a suffix behind the numbers (`1.12.0-beta1`)."""

    numbers: tuple[int, int, int]
    text: str

    def __str__(self) -> str:
        return self.text


def parse_version(output: str) -> Version | None:
    """Return the version in the output of `terraform version`, with or without `-json`."""
    text: object = output
    try:
        document = json.loads(output)
    except ValueError:
        document = None
    if isinstance(document, dict):
        text = document.get("terraform_version")
    if not isinstance(text, str):
        return None
    match = re.search(r"(\d+)\.(\d+)\.(\d+)(-[\w.]+)?", text)
    if match is None:
        return None
    return Version((int(match[1]), int(match[2]), int(match[3])), match[0])


def require_terraform(binary: str, environment: Mapping[str, str] | None = None) -> Version:
    """Return the version of the Terraform that will be run.

    Raises:
        ConfigurationError: there is none, it is older than 1.5, or its version cannot be read.
    """
    variables = dict(environment) if environment is not None else None
    try:
        ended = subprocess.run(
            [binary, "version", "-json"],
            env=variables,
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
    if version.numbers < OLDEST:
        raise ConfigurationError(
            "terraform-too-old",
            f"{binary} is version {version}. terralive needs Terraform 1.5 or newer.",
            hint="Install a newer one from https://developer.hashicorp.com/terraform/install (or "
            "with tfenv: `tfenv install latest`), or name another binary in terralive.toml: "
            "[terraform] binary.",
        )
    return version

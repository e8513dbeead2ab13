"""The versions of what terralive works with on this machine."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from terralive_cli.configuration.tables import TerraformConfig
from terralive_cli.doctor.findings import Finding, Outcome, failed, of_error, warning
from terralive_cli.functions import interpreters
from terralive_stub.errors import ConfigurationError
from terralive_terraform.discovery.hcl.folders import is_opentofu
from terralive_terraform.overrides.lock_file import selected_versions
from terralive_terraform.runs.version import require_terraform

LOCK_FILE: Final = ".terraform.lock.hcl"
_AWS: Final = "/hashicorp/aws"
_WHY_TERRAFORM: Final = "terralive deploys with Terraform, so it can show and change nothing."


@dataclass(frozen=True, slots=True)
class Versions:
    """Versions of the programs on this machine; "" for a program that is not there.

    Attributes:
        terralive: version of terralive.
        python: version of the Python that runs terralive.
        node: version of Node.js.
        program: name of the program: `Terraform` or `OpenTofu`.
        terraform: its version.
        provider: version of the AWS provider in the project's dependency lock file.
    """

    terralive: str
    python: str
    node: str
    program: str
    terraform: str
    provider: str


def check_versions(config: TerraformConfig, environ: Mapping[str, str]) -> Outcome:
    """Ask the programs for their versions."""
    findings: list[Finding] = []
    terraform = ""
    try:
        terraform = require_terraform(config.binary, environ)
    except ConfigurationError as error:
        findings.append(of_error(error, _WHY_TERRAFORM))
    node = interpreters.default_node()
    node_version = None
    if node is not None:
        node_version = interpreters.version_of(node)
        if node_version is None:
            findings.append(
                failed(
                    "node-broken",
                    f"{node} does not tell its version.",
                    why="Node.js handlers and CDK for Terraform run on it.",
                    fix=f"Run `{node} --version` by hand, and install Node.js again.",
                )
            )
    program = "Terraform"
    if is_opentofu(config.binary):
        program = "OpenTofu"
    found = Versions(
        terralive=version("terralive"),
        python=platform.python_version(),
        node=node_version or "",
        program=program,
        terraform=terraform,
        provider=locked_provider(config.dir / LOCK_FILE),
    )
    findings += _node_findings(found.node)
    return Outcome(describe(found), tuple(findings))


def locked_provider(lock: Path) -> str:
    """Return the version of the AWS provider in a dependency lock file; "" for none."""
    try:
        content = lock.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    for address, selected in selected_versions(content).items():
        if address.endswith(_AWS):
            return selected
    return ""


def describe(found: Versions) -> str:
    """Return all versions in one line."""
    named = [
        ("terralive", found.terralive),
        ("Python", found.python),
        ("Node.js", found.node),
        (found.program, found.terraform),
        ("AWS provider", found.provider),
    ]
    present = [f"{name} {number}" for name, number in named if number]
    missing: list[str] = []
    if not found.node:
        missing.append("no Node.js")
    if not found.provider:
        missing.append("no locked version of the AWS provider")
    return ", ".join([*present, *missing])


def _node_findings(node: str) -> list[Finding]:
    oldest = interpreters.OLDEST_NODE
    if not node or int(node.partition(".")[0]) >= oldest:
        return []
    return [
        warning(
            "node-too-old",
            f"Node.js {node} is older than {oldest}.",
            why="Functions that need Node.js stay as they are.",
            fix=f"Install Node.js {oldest} or newer, or name another one in terralive.toml: "
            "[functions.'ADDRESS'] node.",
        )
    ]

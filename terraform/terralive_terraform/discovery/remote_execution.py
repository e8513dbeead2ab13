"""Recognises a configuration whose plans and applies run in HCP Terraform or Terraform Enterprise.

There, a plan is a run on another machine: `backend "remote"` saves no plan, `cloud` saves a
reference without a list of changes, and the stub's zip is not there. Only a workspace whose
execution mode is `local` keeps its state there and runs on this machine:
https://developer.hashicorp.com/terraform/cloud-docs/workspaces/settings#execution-mode
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import Json, text
from terralive_terraform.discovery.backends import CLOUD, declared_backend, given_arguments
from terralive_terraform.discovery.declared import literal
from terralive_terraform.discovery.hcl.folders import first_block

_REMOTE: Final = "remote"
_HOST: Final = "app.terraform.io"
_LOCAL: Final = "local"
# Terraform itself then runs everything here, whatever the workspace's execution mode is.
_FORCE_LOCAL: Final = "TF_FORCE_LOCAL_BACKEND"


@dataclass(frozen=True, slots=True)
class RemoteWorkspace:
    """A workspace in HCP Terraform or Terraform Enterprise.

    Attributes:
        host: its host name.
        organization: its organization; "" where that is not known here.
        name: its name; "" where that is not known here.
        token: the token that the block gives; "" where it gives none.
    """

    host: str
    organization: str
    name: str
    token: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Return its name for a person."""
        names = [name for name in (self.organization, self.name) if name]
        return f"{'/'.join(names) or 'a workspace'} on {self.host}"


@dataclass(frozen=True, slots=True)
class ExecutionMode:
    """The execution mode of a workspace.

    Attributes:
        name: `local`, `remote` or `agent`; "" where it cannot be known here.
        reason: why it cannot be known.
    """

    name: str = ""
    reason: str = ""


def refuse_remote_execution(
    directory: Path,
    *,
    backend_config: Iterable[str],
    environment: Mapping[str, str],
    selected: str,
    opentofu: bool = False,
) -> None:
    """Check that the plans of a root module run on this machine.

    Args:
        directory: the root module's folder.
        backend_config: arguments for `terraform init -backend-config`.
        environment: the environment of Terraform.
        selected: the selected workspace; "" for none.
        opentofu: whether OpenTofu reads the configuration, and not Terraform.

    Raises:
        ConfigurationError: `remote-execution`.
    """
    block = declared_backend(directory, opentofu=opentofu)
    if block is None or block.type not in (_REMOTE, CLOUD) or environment.get(_FORCE_LOCAL):
        return
    # Few apps come here, and its imports cost every command 30 ms.
    from terralive_terraform.discovery.hcp_terraform import execution_mode  # noqa: PLC0415

    given: dict[str, Json] = dict(block.arguments)
    for item in given_arguments(directory, backend_config, environment):
        given |= item.arguments
    workspace = _with_variables(block.type, _named(given, selected), environment)
    mode = execution_mode(workspace, environment)
    if mode.name != _LOCAL:
        raise _refusal(block.type, workspace, mode)


def _named(arguments: Mapping[str, Json], selected: str) -> RemoteWorkspace:
    """Return the workspace that the arguments of a `cloud` or `remote` block name."""
    workspaces = first_block(arguments.get("workspaces"))
    name = _known(workspaces, "name")
    if not name and selected:
        name = _known(workspaces, "prefix") + selected
    return RemoteWorkspace(
        _known(arguments, "hostname"),
        _known(arguments, "organization"),
        name,
        _known(arguments, "token"),
    )


def _with_variables(
    kind: str, workspace: RemoteWorkspace, environment: Mapping[str, str]
) -> RemoteWorkspace:
    """Add what a `cloud` block takes from the environment, and the default host.

    https://developer.hashicorp.com/terraform/cli/cloud/settings#environment-variables
    """
    host, organization = workspace.host, workspace.organization
    if kind == CLOUD:
        host = host or environment.get("TF_CLOUD_HOSTNAME", "")
        organization = organization or environment.get("TF_CLOUD_ORGANIZATION", "")
    return replace(workspace, host=host or _HOST, organization=organization)


def _known(arguments: Mapping[str, Json], name: str) -> str:
    """Return an argument that is a literal; "" for any other one."""
    return literal(text(arguments, name)) or ""


def _refusal(kind: str, workspace: RemoteWorkspace, mode: ExecutionMode) -> ConfigurationError:
    block = "a `cloud` block"
    if kind == _REMOTE:
        block = '`backend "remote"`'
    found = f"terralive could not read the workspace's execution mode: {mode.reason}."
    if mode.name:
        found = f"The workspace's execution mode is {mode.name}."
    return ConfigurationError(
        "remote-execution",
        f"The app has {block}, so its plans and applies run in {workspace}, and not on this "
        f"machine. {found} terralive needs plans that it can save, show and apply here.",
        hint="Set the execution mode of the stage that you develop on to Local (the workspace's "
        "Settings, General): its state stays where it is. Sign in with `terraform login`, so that "
        "terralive can read the mode. Or set TF_FORCE_LOCAL_BACKEND=1 for this stage: Terraform "
        "then runs here, without the variables that the workspace holds.",
    )

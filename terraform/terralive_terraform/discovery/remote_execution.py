"""Recognises a configuration whose plans and applies run in HCP Terraform or Terraform Enterprise.

There, a plan is a run on another machine: `backend "remote"` saves no plan, `cloud` saves a
reference without a list of changes, and the stub's zip is not there. Only a workspace whose
execution mode is `local` keeps its state there and runs on this machine:
https://developer.hashicorp.com/terraform/cloud-docs/workspaces/settings#execution-mode
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import Json, as_object, items, section, text
from terralive_terraform.discovery.backends import CLOUD, BackendBlock, declared_backend
from terralive_terraform.discovery.declared import literal

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


def refuse_remote_execution(
    directory: Path,
    *,
    backend_config: Iterable[str],
    environment: Mapping[str, str],
    selected: str,
) -> None:
    """Check that the plans of a root module run on this machine.

    Args:
        directory: the root module's folder.
        backend_config: arguments for `terraform init -backend-config`.
        environment: the environment of Terraform.
        selected: the selected workspace; "" for none.

    Raises:
        ConfigurationError: `remote-execution`.
    """
    block = declared_backend(directory)
    if block is None or block.type not in (_REMOTE, CLOUD) or environment.get(_FORCE_LOCAL):
        return
    # Few apps come here, and its imports cost every command 30 ms.
    from terralive_terraform.discovery.hcp_terraform import execution_mode  # noqa: PLC0415

    workspace = remote_workspace(block, backend_config, environment, selected)
    mode = execution_mode(workspace, environment)
    if mode != _LOCAL:
        raise _refusal(block.type, workspace, mode)


def remote_workspace(
    block: BackendBlock,
    backend_config: Iterable[str],
    environment: Mapping[str, str],
    selected: str,
) -> RemoteWorkspace:
    """Return the workspace that a `cloud` block or a `backend "remote"` names. Pure.

    `cloud` also reads `TF_CLOUD_…` and `TF_WORKSPACE`:
    https://developer.hashicorp.com/terraform/cli/cloud/settings#environment-variables
    """
    given: dict[str, Json] = dict(block.arguments)
    for argument in backend_config:
        key, is_pair, value = argument.partition("=")
        if is_pair:
            given[key.strip()] = value.strip()
    host = literal(text(given, "hostname"))
    organization = literal(text(given, "organization"))
    if block.type == CLOUD:
        host = host or environment.get("TF_CLOUD_HOSTNAME")
        organization = organization or environment.get("TF_CLOUD_ORGANIZATION")
    workspaces = section(given, "workspaces")
    if not workspaces:
        workspaces = next((as_object(item) for item in items(given, "workspaces")), {})
    name = literal(text(workspaces, "name"))
    if name is None and selected:
        name = (literal(text(workspaces, "prefix")) or "") + selected
    token = literal(text(given, "token"))
    return RemoteWorkspace(host or _HOST, organization or "", name or "", token or "")


def _refusal(kind: str, workspace: RemoteWorkspace, mode: str) -> ConfigurationError:
    block = "a `cloud` block"
    if kind == _REMOTE:
        block = '`backend "remote"`'
    found = "terralive could not read the workspace's execution mode."
    if mode:
        found = f"The workspace's execution mode is {mode}."
    return ConfigurationError(
        "remote-execution",
        f"The app has {block}, so its plans and applies run in {workspace}, and not on this "
        f"machine. {found} terralive needs plans that it can save, show and apply here.",
        hint="Set the execution mode of the stage that you develop on to Local (the workspace's "
        "Settings, General): its state stays where it is. Sign in with `terraform login`, so that "
        "terralive can read the mode. Or set TF_FORCE_LOCAL_BACKEND=1 for this stage: Terraform "
        "then runs here, without the variables that the workspace holds.",
    )

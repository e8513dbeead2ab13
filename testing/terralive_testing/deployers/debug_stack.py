"""A real debug stack in a sandbox, by Terraform, as `terralive` deploys it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from terralive_sandbox.info import SandboxInfo, environment
from terralive_stub.broker.aws import DynamoDBTable
from terralive_stub.protocol.token import SECRET_BYTES, Api
from terralive_terraform.debug_stack.configuration import write_configuration
from terralive_terraform.debug_stack.settings import DebugStackSettings, Endpoints
from terralive_terraform.runs.environment import terraform_environment
from terralive_terraform.runs.runner import Terraform
from terralive_testing.deployers.sandbox import Aws
from terralive_testing.drivers.command import clean_environment


def deploy(
    info: SandboxInfo, folder: Path, app: str, access: Mapping[str, str] | None = None
) -> Terraform:
    """Apply the debug stack of an app, with its state in `folder`.

    `access`: environment variables with other keys than the sandbox developer's.
    """
    settings = DebugStackSettings(
        app=app,
        stage="dev-ana",
        region=info.region,
        owner="ana",
        created="2026-01-01",
        version="0",
        endpoints=Endpoints(info.websocket_url, info.management_url),
    )
    made = write_configuration(settings, folder / "stack")
    terraform = Terraform(
        made,
        binary=os.environ.get("TERRALIVE_TERRAFORM_BINARY", "terraform"),
        environment=terraform_environment(
            {**clean_environment(), **environment(info), **(access or {})}, folder
        ),
        on_progress=lambda _: None,
    )
    terraform.ensure_init()
    terraform.apply(terraform.plan(folder / "plans" / "apply.tfplan").file)
    return terraform


def outputs(terraform: Terraform) -> dict[str, str]:
    return {name: str(output.value) for name, output in terraform.state.outputs().items()}


def apis(found: Mapping[str, str]) -> dict[str, str]:
    """Return the ids of the APIs `relay` and `stub`, from the outputs of a debug stack."""
    return {api: found[f"{api}_url"].split("/")[-2] for api in Api}


def secret(aws: Aws, found: Mapping[str, str]) -> bytes:
    """Return the secret of a debug stack's stage, and make it if there is none."""
    table = DynamoDBTable(aws.dynamodb, found["table_name"])
    return table.create_secret(os.urandom(SECRET_BYTES))

"""Every resource type together, through the real Terraform and AWS provider, without any drift.

`everything/` has the configuration, one file for each area. `TERRALIVE_EVERYTHING=rest,http`
applies these files alone. The answers that list resources are held against botocore's models
(oracles.shapes).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from terralive_sandbox.info import SandboxInfo, environment
from terralive_terraform.runs.environment import terraform_environment
from terralive_testing.deployers.sandbox import Aws, code, unique

CONFIGURATION = Path(__file__).with_name("everything")
ECHO = "def handler(event, context):\n    return event\n"
CHOSEN = os.environ.get("TERRALIVE_EVERYTHING", "")
# The operations that would list a resource that is left after `destroy`.
LISTS = {
    "apigateway": ["get_rest_apis", "get_api_keys", "get_usage_plans"],
    "apigatewayv2": ["get_apis"],
    "dynamodb": ["list_tables"],
    "ec2": ["describe_vpcs", "describe_security_groups"],
    "events": ["list_rules", "list_event_buses"],
    "iam": ["list_roles", "list_users", "list_instance_profiles"],
    "kinesis": ["list_streams"],
    "kms": ["list_aliases"],
    "lambda": ["list_functions", "list_layers", "list_event_source_mappings"],
    "logs": ["describe_log_groups"],
    "s3": ["list_buckets"],
    "scheduler": ["list_schedules", "list_schedule_groups"],
    "secretsmanager": ["list_secrets"],
    "sns": ["list_topics", "list_subscriptions"],
    "sqs": ["list_queues"],
    "ssm": ["describe_parameters"],
    "stepfunctions": ["list_state_machines"],
}

pytestmark = [
    pytest.mark.skipif(shutil.which("terraform") is None, reason="Terraform is not on PATH"),
    pytest.mark.timeout(600),
]


def test_terraform_finds_no_drift_in_anything_and_leaves_nothing(
    sandbox: SandboxInfo, tmp_path: Path
) -> None:
    folder = tmp_path / "everything"
    folder.mkdir()
    chosen = ["*.tf"]
    if CHOSEN:
        chosen = ["main.tf", *(f"{name}.tf" for name in CHOSEN.split(","))]
    for pattern in chosen:
        for file in CONFIGURATION.glob(pattern):
            shutil.copy(file, folder)
    (folder / "echo.zip").write_bytes(code(ECHO))
    suffix = unique("all")
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "TF_VAR_"))
    }
    environ = {**terraform_environment(clean, tmp_path), **environment(sandbox)}

    def terraform(*arguments: str) -> str:
        done = subprocess.run(
            ["terraform", f"-chdir={folder}", *arguments, "-no-color"],
            env={**environ, "TF_VAR_suffix": suffix},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-20000:]
        return done.stdout

    terraform("init")
    for revision in ("1", "2"):
        terraform("apply", "-auto-approve", f"-var=revision={revision}")
        # The exit code is 2 if there is a change.
        terraform("plan", "-detailed-exitcode", f"-var=revision={revision}")
    assert len(terraform("state", "list").splitlines()) > 1
    left = left_with(sandbox, suffix)
    assert "lambda list_functions" in left, "the lists find resources that exist"
    terraform("destroy", "-auto-approve")
    assert terraform("state", "list") == ""
    assert left_with(sandbox, suffix) == []


def left_with(info: SandboxInfo, suffix: str) -> list[str]:
    """Return the operations whose answers still name something with `suffix`."""
    aws = Aws(info)
    found = []
    for service, operations in LISTS.items():
        client = aws._client(service)
        for operation in operations:
            if client.can_paginate(operation):
                pages = list(client.get_paginator(operation).paginate())
            else:
                pages = [getattr(client, operation)()]
            names = re.findall(rf"[\w/:.-]*{suffix}[\w.-]*", str(pages))
            # A function that runs makes its log group itself, so Terraform leaves it, as on AWS.
            if any("/aws/lambda/" not in name for name in names):
                found.append(f"{service} {operation}")
    return found

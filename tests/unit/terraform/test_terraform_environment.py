"""Which of a user's variables for Terraform reach which run."""

from __future__ import annotations

import pytest

from terralive_terraform.runs.environment import (
    apply_environment,
    debug_stack_environment,
    local_backend_environment,
)

USERS = {
    "PATH": "/bin",
    "AWS_PROFILE": "dev",
    "TF_LOG": "debug",
    "TF_PLUGIN_CACHE_DIR": "/cache",
    "TF_CLI_CONFIG_FILE": "/home/ana/.terraformrc",
    "TF_CLI_ARGS": "-no-color",
    "TF_CLI_ARGS_plan": "-var-file=dev.tfvars",
    "TF_WORKSPACE": "blue",
    "TF_DATA_DIR": ".tf",
    "TF_VAR_region": "us-east-1",
    "TF_REATTACH_PROVIDERS": "{}",
}


def test_the_debug_stack_keeps_what_concerns_the_machine() -> None:
    assert debug_stack_environment(USERS) == {
        "PATH": "/bin",
        "AWS_PROFILE": "dev",
        "TF_LOG": "debug",
        "TF_PLUGIN_CACHE_DIR": "/cache",
        "TF_CLI_CONFIG_FILE": "/home/ana/.terraformrc",
    }


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("-var-file=dev.tfvars -parallelism=4", "-parallelism=4"),
        ("-var size=1 -parallelism 4 -lock=false", "-parallelism 4 -lock=false"),
        ("--lock-timeout=5m -target=module.a -auto-approve", "--lock-timeout=5m"),
        ("-target 'aws_x.y[\"a b\"]'", None),
        ("'open", None),
        ("", None),
    ],
)
def test_the_apply_of_a_saved_plan_takes_no_option_of_a_plan(given: str, kept: str | None) -> None:
    environment = apply_environment({"TF_CLI_ARGS_apply": given, "TF_WORKSPACE": "blue"})
    assert environment.get("TF_CLI_ARGS_apply") == kept
    assert environment["TF_WORKSPACE"] == "blue"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("-backend-config=bucket=b -upgrade", "-upgrade"),
        ("-upgrade -backend-config 'key=a b'", "-upgrade"),
        ("-upgrade", "-upgrade"),
        ("-lockfile=readonly -upgrade", "-upgrade"),
    ],
)
def test_a_local_backend_takes_no_argument_of_the_teams(given: str, kept: str) -> None:
    assert local_backend_environment({"TF_CLI_ARGS_init": given})["TF_CLI_ARGS_init"] == kept

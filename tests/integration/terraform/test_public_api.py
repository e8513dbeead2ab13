"""The import paths that a team's own CDK for Terraform program may use."""

from __future__ import annotations

import importlib

import pytest

BROKER_ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_REGION": "eu-west-1",
    "TABLE_NAME": "connections",
    "RELAY_MANAGEMENT_ENDPOINT": "https://relay.example.org/relay",
    "STUB_MANAGEMENT_ENDPOINT": "https://stub.example.org/stub",
}


@pytest.mark.parametrize(
    "path",
    [
        "terralive_terraform.live.attach",
        "terralive_terraform.function.Function",
        "terralive_terraform.resources.AwsProvider",
        "terralive_terraform.resources.Resource",
        "terralive_terraform.debug_stack.DebugStack",
    ],
)
def test_a_public_import_path_works(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))


def test_the_handlers_that_deployed_functions_name_can_be_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The broker makes its clients at its import, from what Lambda gives it.
    for name, value in BROKER_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert callable(importlib.import_module("terralive_stub.broker").handler)
    assert importlib.util.find_spec("terralive_stub.live") is not None
    assert importlib.util.find_spec("terralive_stub.container") is not None

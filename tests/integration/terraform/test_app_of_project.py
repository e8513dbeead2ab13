"""The Terraform program that a project's configuration leads to; no Terraform runs."""

import json
from pathlib import Path

import pytest

from terralive_cli.app.source import app_of
from terralive_cli.configuration.loading import load
from terralive_stub.errors import ConfigurationError
from terralive_terraform.discovery.hcl.folders import OVERRIDE_FILE
from terralive_terraform.programs.cdktf_app import CdktfApp
from terralive_terraform.substitution.app import App
from terralive_terraform.substitution.find_app import find_app
from terralive_terraform.substitution.plain_app import PlainApp


def app_in(project: Path) -> App:
    return app_of(load(project=project, flags={}, environ={}, user="ana"))


def test_a_cdktf_program_below_the_project_runs_in_its_own_folder_with_the_named_stack(
    tmp_path: Path,
) -> None:
    infra = tmp_path / "infra"
    infra.mkdir()
    (infra / "cdktf.json").write_text(json.dumps({"app": "python main.py", "context": {"a": 1}}))
    (tmp_path / "terralive.toml").write_text('[terraform]\ndir = "infra"\nstack = "orders"\n')
    assert app_in(tmp_path) == CdktfApp(infra, "python main.py", {"a": 1}, "orders")


# It writes one stack for each item of the list: its name, and the content of its file.
STACKS = """
import json, os, pathlib
for name, document in {stacks}:
    at = pathlib.Path(os.environ["CDKTF_OUTDIR"], "stacks", name)
    at.mkdir(parents=True, exist_ok=True)
    (at / "cdk.tf.json").write_text(json.dumps(document))
"""
FUNCTION: dict[str, object] = {"resource": {"aws_lambda_function": {"api": {}}}}
FUNCTIONS: dict[str, object] = {"resource": {"aws_lambda_function": {"api": {}, "job": {}}}}
MODULE = {"module": {"orders": {"source": "acme/orders/aws"}}}
TABLE: dict[str, object] = {"resource": {"aws_dynamodb_table": {"orders": {}}}}


def stack_in(folder: Path, *stacks: tuple[str, object], **flags: str) -> str:
    """Return the name of the stack that a program with these stacks has made live."""
    (folder / "main.py").write_text(STACKS.format(stacks=stacks))
    (folder / "cdktf.json").write_text('{"app": "python main.py"}')
    environment = {"JSII_NODE": str(node_that_serves(folder))}
    app = app_of(load(project=folder, flags=flags, environ={}, user="ana"))
    with app.prepared(None, folder / "work", environment) as prepared:
        return prepared.directory.name


def test_the_stack_that_an_error_asks_for_can_be_named(tmp_path: Path) -> None:
    stacks = [("network", TABLE), ("api", FUNCTIONS), ("job", FUNCTION), ("more", MODULE)]
    with pytest.raises(ConfigurationError) as caught:
        stack_in(tmp_path, *stacks)
    assert caught.value.reference == "stack-unclear"
    listed = "api (2 functions), job (1 function), more (with modules), network (0 functions)"
    assert listed in caught.value.message
    assert "--stack api" in caught.value.hint
    assert "[terraform] stack" in caught.value.hint
    assert stack_in(tmp_path, *stacks, stack="job") == "job"
    (tmp_path / "terralive.toml").write_text('[terraform]\nstack = "network"\n')
    assert stack_in(tmp_path, *stacks) == "network"
    assert stack_in(tmp_path, *stacks, stack="more") == "more"
    with pytest.raises(ConfigurationError, match="no stack gone") as gone:
        stack_in(tmp_path, *stacks, stack="gone")
    assert "api, job, more, network" in gone.value.message


def test_the_only_stack_with_functions_needs_no_name(tmp_path: Path) -> None:
    assert stack_in(tmp_path, ("network", TABLE), ("api", FUNCTION), ("zone", {})) == "api"
    assert stack_in(tmp_path, ("only", TABLE)) == "only"
    # The stacks of the last run are gone.
    with pytest.raises(ConfigurationError, match="stacks: none") as caught:
        stack_in(tmp_path)
    assert "app.synth()" in caught.value.hint


def test_each_stack_has_a_state_of_its_own_in_the_sandbox(tmp_path: Path) -> None:
    """Otherwise the second stack's plan would remove the first."""
    (tmp_path / "main.py").write_text(STACKS.format(stacks=[("api", FUNCTION), ("job", FUNCTION)]))
    environment = {"JSII_NODE": str(node_that_serves(tmp_path)), "TF_WORKSPACE": "blue"}
    files = set()
    for stack in ("api", "job"):
        app = find_app(tmp_path, command="python main.py", stack=stack)
        state = tmp_path / "app.tfstate"
        with app.prepared(None, tmp_path / "work", environment, state) as prepared:
            assert prepared.state_file is not None
            files.add(prepared.state_file)
            backend = json.loads((prepared.directory / OVERRIDE_FILE).read_text())["terraform"]
            workspaces = Path(backend["backend"]["local"]["workspace_dir"])
            assert prepared.state_file.is_relative_to(workspaces)
    assert len(files) == 2


def test_plain_terraform_below_the_project_is_found_there(tmp_path: Path) -> None:
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "main.tf").write_text("")
    (tmp_path / "terralive.toml").write_text('[terraform]\ndir = "infra"\n')
    assert app_in(tmp_path) == PlainApp(tmp_path / "infra", "terraform")


def node_that_serves(folder: Path) -> Path:
    node = folder / "node"
    node.write_text("#!/bin/sh\necho v22.0.0\n")
    node.chmod(0o755)
    return node

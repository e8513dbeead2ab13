"""Which Terraform program a project's configuration leads to; no Terraform runs."""

import json
from pathlib import Path

import pytest

from terralive_cli.app.source import app_of
from terralive_cli.configuration.loading import load
from terralive_stub.errors import ConfigurationError
from terralive_terraform.programs.cdktf_app import CdktfApp
from terralive_terraform.substitution.app import App
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


def test_the_stack_that_an_error_asks_for_can_be_named(tmp_path: Path) -> None:
    program = "import os, pathlib as p\nfor name in ('a', 'b'):\n"
    program += "    at = p.Path(os.environ['CDKTF_OUTDIR'], 'stacks', name)\n"
    program += (
        "    at.mkdir(parents=True, exist_ok=True)\n    (at / 'cdk.tf.json').write_text('{}')\n"
    )
    (tmp_path / "main.py").write_text(program)
    (tmp_path / "cdktf.json").write_text('{"app": "python main.py"}')
    environment = {"JSII_NODE": str(node_that_serves(tmp_path))}
    with (
        pytest.raises(ConfigurationError, match="a, b") as caught,
        app_in(tmp_path).prepared(None, tmp_path / "work", environment),
    ):
        pass
    assert caught.value.reference == "stack-unclear"
    assert "[terraform] stack" in caught.value.hint
    (tmp_path / "terralive.toml").write_text('[terraform]\nstack = "b"\n')
    with app_in(tmp_path).prepared(None, tmp_path / "work", environment) as prepared:
        assert prepared.directory.name == "b"


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

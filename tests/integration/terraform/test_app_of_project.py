"""The Terraform program that a project's configuration leads to; no Terraform runs."""

import json
from pathlib import Path

import pytest

from terralive_cli.app.source import app_of
from terralive_cli.configuration.loading import load
from terralive_stub.errors import ConfigurationError
from terralive_terraform.discovery.hcl.folders import OVERRIDE_FILE
from terralive_terraform.programs.cdktf_app import CdktfApp
from terralive_terraform.substitution.app import App, Part
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
    assert app_in(tmp_path) == CdktfApp(infra, "python main.py", {"a": 1}, ("orders",))


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


def parts_in(folder: Path, *stacks: tuple[str, object], **flags: str) -> tuple[Part, ...]:
    """Return the stacks that a program with these stacks makes live."""
    (folder / "main.py").write_text(STACKS.format(stacks=stacks))
    (folder / "cdktf.json").write_text('{"app": "python main.py"}')
    app = app_of(load(project=folder, flags=flags, environ={}, user="ana"))
    return app.parts(folder / "work", {"JSII_NODE": str(node_that_serves(folder))})


def names_in(folder: Path, *stacks: tuple[str, object], **flags: str) -> list[str]:
    return [part.name for part in parts_in(folder, *stacks, **flags)]


def test_all_stacks_with_functions_become_live_or_those_that_are_named(tmp_path: Path) -> None:
    stacks = [("network", TABLE), ("api", FUNCTIONS), ("job", FUNCTION), ("more", MODULE)]
    assert names_in(tmp_path, *stacks) == ["api", "job", "more"]
    assert names_in(tmp_path, *stacks, stack="job") == ["job"]
    (tmp_path / "terralive.toml").write_text('[terraform]\nstack = "network"\n')
    assert names_in(tmp_path, *stacks) == ["network"]
    assert names_in(tmp_path, *stacks, stack="*o*") == ["job", "more", "network"]
    (tmp_path / "terralive.toml").write_text('[terraform]\nstack = ["a*", "job"]\n')
    assert names_in(tmp_path, *stacks) == ["api", "job"]


def test_a_stack_that_is_not_there_is_an_error_that_lists_them(tmp_path: Path) -> None:
    stacks = [("network", TABLE), ("api", FUNCTIONS), ("job", FUNCTION), ("more", MODULE)]
    with pytest.raises(ConfigurationError, match="no stack gone") as caught:
        names_in(tmp_path, *stacks, stack="gone")
    assert caught.value.reference == "stack-unclear"
    listed = "api (2 functions), job (1 function), more (with modules), network (0 functions)"
    assert listed in caught.value.message
    assert "--stack api" in caught.value.hint
    assert "[terraform] stack" in caught.value.hint


def test_the_only_stack_with_functions_needs_no_name(tmp_path: Path) -> None:
    assert names_in(tmp_path, ("network", TABLE), ("api", FUNCTION), ("zone", {})) == ["api"]
    assert names_in(tmp_path, ("only", TABLE)) == ["only"]
    with pytest.raises(ConfigurationError, match="None of them has a Lambda function"):
        names_in(tmp_path, ("network", TABLE), ("zone", {}))
    # The stacks of the last run are gone.
    with pytest.raises(ConfigurationError, match="stacks: none") as caught:
        names_in(tmp_path)
    assert "app.synth()" in caught.value.hint


def test_a_stack_comes_after_those_that_it_depends_on(tmp_path: Path) -> None:
    order = {"a": ["c"], "b": [], "c": ["d", "gone"], "d": []}
    stacks = [(name, FUNCTION) for name in order]
    described = {name: {"dependencies": wanted} for name, wanted in order.items()}
    manifest = json.dumps({"stacks": described})
    parts_in(tmp_path, *stacks)
    with (tmp_path / "main.py").open("a") as program:
        print(f"(at.parents[1] / 'manifest.json').write_text({manifest!r})", file=program)
    app = find_app(tmp_path)
    found = app.parts(tmp_path / "again", {"JSII_NODE": str(tmp_path / "node")})
    assert [part.name for part in found] == ["b", "d", "c", "a"]
    assert found[2].dependencies == {"d", "gone"}


# It reads the states of two stacks, one of them of another program.
READER = {
    "terraform": {"backend": {"s3": {"bucket": "states", "key": "reader"}}},
    "data": {
        "terraform_remote_state": {
            "base": {"backend": "s3", "config": {"bucket": "states", "key": "base"}},
            "far": {"backend": "s3", "config": {"bucket": "states", "key": "far"}},
        }
    },
    **FUNCTION,
}


def test_each_stack_has_a_state_of_its_own_in_the_sandbox_where_the_others_find_it(
    tmp_path: Path,
) -> None:
    """Otherwise the second stack's plan would remove the first."""
    base = {"terraform": {"backend": {"s3": {"bucket": "states", "key": "base"}}}, **FUNCTION}
    parts = parts_in(tmp_path, ("base", base), ("reader", READER))
    environment = {"JSII_NODE": str(node_that_serves(tmp_path)), "TF_WORKSPACE": "blue"}
    files: list[Path] = []
    backends = []
    for part in parts:
        state = tmp_path / "app.tfstate"
        with part.app.prepared(None, tmp_path / "work", environment, state) as prepared:
            assert prepared.state_file is not None
            files.append(prepared.state_file)
            override = json.loads((prepared.directory / OVERRIDE_FILE).read_text())
            backends.append(override["terraform"]["backend"]["local"])
            workspaces = Path(backends[-1]["workspace_dir"])
            assert prepared.state_file.is_relative_to(workspaces)
    assert len(set(files)) == 2
    # A state that no stack of the program has is read where the team keeps it.
    assert override["data"]["terraform_remote_state"] == {
        "base": {"backend": "local", "config": backends[0]}
    }


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

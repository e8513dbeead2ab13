"""`terralive init` in a folder with Terraform in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from terralive_cli.main import main
from terralive_testing.drivers.plain_app import plain_project


def test_init_writes_a_configuration_that_holds_and_never_writes_over_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "orders"
    folder.mkdir()
    (folder / "main.tf").touch()
    assert main(["init", "--project", str(folder)]) == 0
    written = (folder / "terralive.toml").read_text("utf-8")
    assert written.splitlines()[1] == 'app = "orders"'
    assert main(["init", "--project", str(folder)]) == 0
    assert (folder / "terralive.toml").read_text("utf-8") == written
    assert "It was not changed" in capsys.readouterr().out


def test_launch_configurations_are_written_once_and_terraform_files_stay_alone(
    tmp_path: Path,
) -> None:
    project = plain_project(tmp_path)
    file = tmp_path / ".vscode" / "launch.json"
    for _ in range(2):
        assert main(["init", "--vscode", "--project", str(project.root)]) == 0
    (made,) = json.loads(file.read_text("utf-8"))["configurations"]
    assert made["pathMappings"][0]["localRoot"] == "${workspaceFolder}/functions/greet"
    assert sorted(path.name for path in tmp_path.glob("*.tf*")) == ["main.tf"]


# Two stacks with a function of the same address, as cdktf writes them.
PROGRAM = """
import json, os, pathlib
out = pathlib.Path(os.environ["CDKTF_OUTDIR"], "stacks")
for name in ("jobs", "web"):
    (out / name).mkdir(parents=True, exist_ok=True)
    noted = {"terralive": {"path": str(pathlib.Path(name).resolve())}}
    function = {"handler": "app.handler", "runtime": "python3.13", "//": noted}
    document = {"resource": {"aws_lambda_function": {"api": function}}}
    (out / name / "cdk.tf.json").write_text(json.dumps(document))
"""


def test_functions_of_all_stacks_of_a_program_have_ports_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v22.0.0\n")
    node.chmod(0o755)
    monkeypatch.setenv("JSII_NODE", str(node))
    (tmp_path / "main.py").write_text(PROGRAM)
    (tmp_path / "cdktf.json").write_text('{"app": "python main.py"}')
    for name in ("jobs", "web"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").write_text("def handler(event, context): ...\n")
    assert main(["init", "--vscode", "--project", str(tmp_path)]) == 0
    file = tmp_path / ".vscode" / "launch.json"
    made = json.loads(file.read_text("utf-8"))["configurations"]
    assert [(item["name"], item["connect"]["port"]) for item in made] == [
        ("terralive: jobs/aws_lambda_function.api", 5678),
        ("terralive: web/aws_lambda_function.api", 5679),
    ]


def test_what_the_stubs_image_is_built_from_is_written_again_but_never_among_other_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, own = tmp_path / "stub-image", tmp_path / "own"
    for _ in range(2):
        assert main(["init", "--stub-image", str(folder), "--project", str(tmp_path)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "Dockerfile",
        "terralive_stub",
        "websocket",
    ]
    written = capsys.readouterr().out
    assert "docker buildx build" in written
    assert 'x86_64 = "REGISTRY/terralive-stub:v2"' in written
    (folder / "Dockerfile").write_text("FROM our/python")
    assert main(["init", "--stub-image", str(folder), "--project", str(tmp_path)]) == 0
    assert "its Dockerfile was not changed" in capsys.readouterr().out
    assert (folder / "Dockerfile").read_text() == "FROM our/python"
    own.mkdir()
    (own / "Dockerfile").write_text("FROM scratch")
    assert main(["init", "--stub-image", str(own), "--project", str(tmp_path)]) != 0
    assert "holds other files" in capsys.readouterr().err
    assert [path.read_text() for path in own.iterdir()] == ["FROM scratch"]

"""`terralive init` in a folder with Terraform in it."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from terralive_cli.deploy import record
from terralive_cli.live import last_session
from terralive_cli.main import main
from terralive_testing.drivers.plain_app import add, plain_project
from terralive_workers.function import LocalCode


def test_init_writes_a_configuration_that_holds_and_never_writes_over_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "orders"
    folder.mkdir()
    (folder / "main.tf").touch()
    assert main(["init", "--project", str(folder)]) == 0
    written = (folder / "terralive.toml").read_text("utf-8")
    assert tomllib.loads(written) == {"app": "orders", "stage": "dev-{user}"}
    capsys.readouterr()
    assert main(["init", "--project", str(folder)]) == 0
    assert (folder / "terralive.toml").read_text("utf-8") == written
    assert "unchanged terralive.toml" in capsys.readouterr().out
    edited = 'app = "shop"\n'
    (folder / "terralive.toml").write_text(edited, "utf-8")
    assert main(["init", "--yes", "--project", str(folder)]) == 0
    assert (folder / "terralive.toml").read_text("utf-8") == edited


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


NODE = """
resource "aws_lambda_function" "web" {
  function_name = "web"
  runtime       = "nodejs22.x"
  handler       = "app.handler"
}
"""


def test_jetbrains_editors_get_a_run_configuration_for_each_node_function(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = plain_project(tmp_path)
    add(project, NODE)
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "app.js").write_text("exports.handler = async () => 1\n")
    with (tmp_path / "terralive.toml").open("a", encoding="utf-8") as settings:
        settings.write('[functions."aws_lambda_function.web"]\npath = "web"\n')
    for _ in range(2):
        assert main(["init", "--jetbrains", "--vscode", "--project", str(project.root)]) == 0
    assert "none for Python functions" in capsys.readouterr().out
    (file,) = (tmp_path / ".run").iterdir()
    configuration = ET.parse(file).getroot()[0]  # noqa: S314  # terralive has written it
    (launch,) = [
        item
        for item in json.loads((tmp_path / ".vscode" / "launch.json").read_text("utf-8"))[
            "configurations"
        ]
        if item["type"] == "node"
    ]
    assert configuration.attrib == {
        "default": "false",
        "name": "terralive: web",
        "type": "ChromiumRemoteDebugType",
        "factoryName": "Chromium Remote",
        "host": "127.0.0.1",
        "port": str(launch["port"]),
        "restartOnDisconnect": "true",
    }


IN_A_MODULE = """
data "archive_file" "vendor" {
  source_dir = "vendor"
}
resource "aws_lambda_function" "vendor" {
  runtime = "python3.12"
  handler = "vendor.handler"
}
module "fn" {
  source   = "./fn"
  for_each = toset(["api", "mail"])
}
"""
MODULE = """
variable "runtime" {}
resource "aws_lambda_function" "this" {
  handler = "app.handler"
  runtime = var.runtime
}
"""


def test_functions_whose_code_only_a_plan_tells_are_those_of_the_last_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "main.tf").write_text(IN_A_MODULE)
    (tmp_path / "fn").mkdir()
    (tmp_path / "fn" / "main.tf").write_text(MODULE)
    command = ["init", "--vscode", "--project", str(tmp_path), "--stage", "dev-ana"]
    assert main(command) == 0
    assert "run this command again after the first start" in capsys.readouterr().out

    functions = []
    for name in ("api", "mail"):
        (tmp_path / name).mkdir()
        arn = f"arn:aws:lambda:eu-west-1:1:function:{name}"
        address = f'module.fn["{name}"].aws_lambda_function.this'
        code = LocalCode(
            address=address,
            runtime="python3.12",
            handler="app.handler",
            path=tmp_path / name,
            python=Path(sys.executable),
        )
        functions.append(code.deployed_as(name, address, arn=arn))
    work = tmp_path / ".terralive" / "aws" / "1-eu-west-1" / "dev-ana"
    work.mkdir(parents=True)
    last_session.write(record.session(work), "wss://relay", functions)

    assert main(command) == 0
    written = (tmp_path / ".vscode" / "launch.json").read_text("utf-8")
    made = json.loads(written)["configurations"]
    # The function that is not live has no port, in a start neither.
    assert [(item["name"], item["connect"]["port"]) for item in made] == [
        ('terralive: module.fn["api"].aws_lambda_function.this', 5678),
        ('terralive: module.fn["mail"].aws_lambda_function.this', 5678),
    ]


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

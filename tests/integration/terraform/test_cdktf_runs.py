"""Runs of a CDKTF program that needs neither cdktf nor Node, and their number."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from terralive_stub.errors import TerraliveError
from terralive_terraform.artifacts import STUB_HANDLER
from terralive_terraform.discovery.hcl.folders import OVERRIDE_FILE
from terralive_terraform.evaluation.functions import planned_functions
from terralive_terraform.programs.cdktf_app import CdktfApp
from terralive_terraform.runs.environment import terraform_environment
from terralive_terraform.substitution.rules import LiveSettings

PLACEHOLDER = LiveSettings(Path("/stage/stub.zip"), "placeholder")
DEPLOYED = replace(PLACEHOLDER, stub_hash="real")
API, JOB = "aws_lambda_function.api", "aws_lambda_function.job"
# Every run adds a line to `runs`. ATTACHED makes `api` live as the Aspect does.
PROGRAM = """
import json, os, pathlib
ATTACHED = {attached}
with open("runs", "a") as runs:
    print("run", file=runs)
count = len(open("runs").readlines())
block = {{"handler": "app.handler", "runtime": "python3.13"}}
functions = {{"api": dict(block), "job": dict(block)}}
if ATTACHED and "TERRALIVE_LIVE" in os.environ:
    live = json.load(open(os.environ["TERRALIVE_LIVE"]))
    for function in functions.values():
        function["//"] = {{"terralive": {{"attached": True}}}}
    if live and "aws_lambda_function.api" not in live["exclude"]:
        notes = {{"attached": True, "live": True, **block}}
        functions["api"] = {{**block, "handler": "stub", "//": {{"terralive": notes}}}}
if {unstable} and count > 1:
    del functions["job"]
stack = pathlib.Path(os.environ["CDKTF_OUTDIR"], "stacks", "orders")
stack.mkdir(parents=True, exist_ok=True)
document = {{"resource": {{"aws_lambda_function": functions}}}}
(stack / "cdk.tf.json").write_text(json.dumps(document))
"""


def app_in(folder: Path, *, attached: bool, unstable: bool = False) -> CdktfApp:
    node = folder / "node"
    node.write_text("#!/bin/sh\necho v22.0.0\n")
    node.chmod(0o755)
    (folder / "main.py").write_text(PROGRAM.format(attached=attached, unstable=unstable))
    return CdktfApp(folder, "python main.py", {}, None)


def live_after(
    app: CdktfApp, folder: Path, live: LiveSettings, *, without: tuple[str, ...] = ()
) -> tuple[list[str], list[str]]:
    """The functions that are live, and those of them that the override file makes live."""
    environment = {"JSII_NODE": str(folder / "node")}
    with app.opened(folder / "work", environment) as opened:
        selection = opened.discovered(live).without(without)
        prepared = opened.prepared(selection)
        file = prepared.directory / OVERRIDE_FILE
        overridden: list[str] = []
        if file.exists():
            document = json.loads(file.read_text())
            overridden = sorted(document["resource"]["aws_lambda_function"])
        return [function.label for function in prepared.functions], overridden


def test_a_program_with_the_aspect_does_not_run_for_a_plan_that_is_only_looked_at(
    tmp_path: Path,
) -> None:
    """Before the debug stack is deployed, an override file stands for the Aspect."""
    app = app_in(tmp_path, attached=True)
    with app.opened(tmp_path / "work", {"JSII_NODE": str(tmp_path / "node")}) as opened:
        opened.prepared(opened.discovered(None))
    trial = replace(PLACEHOLDER, is_trial=True)
    assert live_after(app, tmp_path, trial) == (["api", "job"], ["api", "job"])
    assert live_after(app, tmp_path, trial, without=(API,)) == (["job"], ["job"])
    assert runs(tmp_path) == 1
    assert live_after(app, tmp_path, DEPLOYED) == (["api", "job"], ["job"])
    assert runs(tmp_path) == 2


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


def test_a_program_without_the_aspect_runs_once_whatever_settings_follow(tmp_path: Path) -> None:
    app = app_in(tmp_path, attached=False)
    assert live_after(app, tmp_path, PLACEHOLDER, without=(JOB,)) == (["api"], ["api"])
    assert live_after(app, tmp_path, DEPLOYED) == (["api", "job"], ["api", "job"])
    assert runs(tmp_path) == 1


def test_a_program_with_the_aspect_runs_again_for_other_settings(tmp_path: Path) -> None:
    app = app_in(tmp_path, attached=True)
    assert live_after(app, tmp_path, PLACEHOLDER) == (["api", "job"], ["job"])
    assert live_after(app, tmp_path, PLACEHOLDER, without=(JOB,)) == (["api"], [])
    assert runs(tmp_path) == 1
    assert live_after(app, tmp_path, DEPLOYED) == (["api", "job"], ["job"])
    assert runs(tmp_path) == 2


def test_a_program_runs_again_where_the_aspect_has_made_an_excluded_function_live(
    tmp_path: Path,
) -> None:
    app = app_in(tmp_path, attached=True)
    assert live_after(app, tmp_path, PLACEHOLDER, without=(API,)) == (["job"], ["job"])
    assert runs(tmp_path) == 2


def test_a_program_with_other_functions_at_every_run_is_refused(tmp_path: Path) -> None:
    app = app_in(tmp_path, attached=True, unstable=True)
    with pytest.raises(TerraliveError) as caught:
        live_after(app, tmp_path, PLACEHOLDER, without=(API,))
    assert caught.value.reference == "functions-unstable"


def test_a_program_without_the_aspect_runs_once_for_its_configuration_and_for_stubs(
    tmp_path: Path,
) -> None:
    app = app_in(tmp_path, attached=False)
    with app.opened(tmp_path / "work", {"JSII_NODE": str(tmp_path / "node")}) as opened:
        opened.prepared(opened.discovered(None))
    assert live_after(app, tmp_path, DEPLOYED) == (["api", "job"], ["api", "job"])
    assert runs(tmp_path) == 1


def test_a_program_with_the_aspect_runs_again_for_stubs(tmp_path: Path) -> None:
    app = app_in(tmp_path, attached=True)
    with app.opened(tmp_path / "work", {"JSII_NODE": str(tmp_path / "node")}) as opened:
        opened.prepared(opened.discovered(None))
    assert live_after(app, tmp_path, DEPLOYED) == (["api", "job"], ["job"])
    assert runs(tmp_path) == 2


# Two calls of a module, and a function of the stack's own.
STACK = """
import json, os, pathlib
stack = pathlib.Path(os.environ["CDKTF_OUTDIR"], "stacks", "orders")
stack.mkdir(parents=True, exist_ok=True)
function = {{"function_name": "own", "role": "arn:aws:iam::123456789012:role/own",
             "handler": "app.handler", "runtime": "python3.13", "filename": "code.zip"}}
source = os.path.relpath("{module}", stack)
provider = {{"region": "eu-west-1", "access_key": "a", "secret_key": "b",
             "skip_credentials_validation": True, "skip_requesting_account_id": True,
             "skip_metadata_api_check": "true"}}
document = {{
    "terraform": {{"required_providers": {{"aws": {{"source": "hashicorp/aws"}}}}}},
    "provider": {{"aws": [provider]}},
    "module": {{"orders": {{"source": source, "name": "orders"}},
                "jobs": {{"source": source, "name": "jobs"}}}},
    "resource": {{"aws_lambda_function": {{"own": function}}}},
}}
(stack / "cdk.tf.json").write_text(json.dumps(document))
"""
MODULE = """
variable "name" {}
resource "aws_lambda_function" "this" {
  function_name    = var.name
  role             = "arn:aws:iam::123456789012:role/own"
  handler          = "app.handler"
  runtime          = "python3.13"
  filename         = "${path.module}/code.zip"
  source_code_hash = filebase64sha256("${path.module}/code.zip")
}
"""


def test_functions_in_modules_of_a_program_become_live(tmp_path: Path) -> None:
    """As with `TerraformHclModule`. A module's folder is not written to."""
    module = tmp_path / "module"
    module.mkdir()
    (module / "main.tf").write_text(MODULE)
    (module / "code.zip").write_bytes(b"")
    app = app_in(tmp_path, attached=False)
    (tmp_path / "main.py").write_text(STACK.format(module=module))
    environment = terraform_environment(os.environ, tmp_path / "work")
    with app.opened(tmp_path / "work", environment) as opened:
        prepared = opened.prepared(opened.discovered(None))
        terraform = prepared.terraform("terraform", environment, lambda _: None)
        evaluation = terraform.evaluate(tmp_path / "evaluation.tfplan").evaluation
        planned = tuple(planned_functions(evaluation))
        names = ["aws_lambda_function.own", "module.jobs.aws_lambda_function.this"]
        live = replace(DEPLOYED, exclude=(names[1],))
        selection = opened.discovered(live).evaluated(planned)
        prepared = opened.prepared(selection)
        assert [item.address for item in prepared.functions] == [
            names[0],
            "module.orders.aws_lambda_function.this",
        ]
        terraform = prepared.terraform("terraform", environment, lambda _: None)
        out = tmp_path / "plans" / "live.tfplan"
        terraform.plan(out)
        handlers = {
            item.address: item.after["handler"]
            for item in terraform.show(out).of_type("aws_lambda_function")
        }
    assert handlers == {
        names[0]: STUB_HANDLER,
        "module.orders.aws_lambda_function.this": STUB_HANDLER,
        names[1]: "app.handler",
    }
    assert sorted(path.name for path in module.iterdir()) == ["code.zip", "main.tf"]
    assert len(list(tmp_path.glob("work/cdktf.out/stacks/*"))) == 1

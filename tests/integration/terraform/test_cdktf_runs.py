"""Runs of a CDKTF program that needs neither cdktf nor Node, and their number."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from terralive_terraform.artifacts import STUB_HANDLER
from terralive_terraform.discovery.hcl.folders import OVERRIDE_FILE
from terralive_terraform.evaluation.functions import planned_functions
from terralive_terraform.programs.cdktf_app import CdktfApp
from terralive_terraform.runs.environment import terraform_environment
from terralive_terraform.substitution.app import App
from terralive_terraform.substitution.rules import LiveSettings

PLACEHOLDER = LiveSettings(Path("/stage/stub.zip"), "placeholder")
DEPLOYED = replace(PLACEHOLDER, stub_hash="real")
API, JOB = "aws_lambda_function.api", "aws_lambda_function.job"
# Every run adds a line to `runs`. ATTACHED leaves what `attach` does.
PROGRAM = """
import json, os, pathlib
ATTACHED = {attached}
with open("runs", "a") as runs:
    print("run", file=runs)
if os.environ.get("TERRALIVE_LIVE") != "1":
    raise SystemExit("a program learns only that terralive runs it")
block = {{"handler": "app.handler", "runtime": "python3.13"}}
if ATTACHED:
    stub = {{"set": {{"handler": "stub.handler"}}, "unset": [], "removed_blocks": []}}
    block["//"] = {{"terralive": {{"stub": stub}}}}
for name, labels in {{"orders": ["api", "job"], "billing": ["api"]}}.items():
    stack = pathlib.Path(os.environ["CDKTF_OUTDIR"], "stacks", name)
    stack.mkdir(parents=True, exist_ok=True)
    functions = {{label: block for label in labels}}
    document = {{"resource": {{"aws_lambda_function": functions}}}}
    (stack / "cdk.tf.json").write_text(json.dumps(document))
"""


def app_in(folder: Path, *, attached: bool = False) -> CdktfApp:
    node = folder / "node"
    node.write_text("#!/bin/sh\necho v22.0.0\n")
    node.chmod(0o755)
    (folder / "main.py").write_text(PROGRAM.format(attached=attached))
    return CdktfApp(folder, "python main.py", {})


def environment(folder: Path) -> dict[str, str]:
    return {"JSII_NODE": str(folder / "node")}


def live_after(
    app: App, folder: Path, live: LiveSettings, *, without: tuple[str, ...] = ()
) -> tuple[list[str], list[str]]:
    """The functions that are live, and those that the override file makes live."""
    with app.opened(folder / "work", environment(folder)) as opened:
        selection = opened.discovered(live).without(without)
        prepared = opened.prepared(selection)
        document = json.loads((prepared.directory / OVERRIDE_FILE).read_text())
        overridden = sorted(document["resource"]["aws_lambda_function"])
        return [function.label for function in prepared.functions], overridden


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


@pytest.mark.parametrize("attached", [False, True], ids=["without the Aspect", "Aspect"])
def test_a_program_runs_once_whatever_settings_follow(tmp_path: Path, *, attached: bool) -> None:
    """It never sees the settings, which may hold the stage's secret."""
    orders = replace(app_in(tmp_path, attached=attached), stacks=("orders",))
    with orders.opened(tmp_path / "work", environment(tmp_path)) as opened:
        opened.prepared(opened.discovered(None))
    assert live_after(orders, tmp_path, PLACEHOLDER, without=(JOB,)) == (["api"], ["api"])
    assert live_after(orders, tmp_path, DEPLOYED) == (["api", "job"], ["api", "job"])
    assert live_after(orders, tmp_path, DEPLOYED, without=(API,)) == (["job"], ["job"])
    assert runs(tmp_path) == 1


def test_a_program_runs_once_for_all_of_its_stacks(tmp_path: Path) -> None:
    app = app_in(tmp_path)
    billing, orders = app.parts(tmp_path / "work", environment(tmp_path))
    assert (billing.name, orders.name) == ("billing", "orders")
    # Both have the function `api`, and it stays as it is in one of them.
    assert live_after(billing.app, tmp_path, DEPLOYED) == (["api"], ["api"])
    assert live_after(orders.app, tmp_path, DEPLOYED, without=(API,)) == (["job"], ["job"])
    assert live_after(billing.app, tmp_path, DEPLOYED) == (["api"], ["api"])
    assert runs(tmp_path) == 1


def test_the_next_command_runs_the_program_again(tmp_path: Path) -> None:
    for number in (1, 2):
        app_in(tmp_path).parts(tmp_path / "work", environment(tmp_path))
        assert runs(tmp_path) == number


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
    app = app_in(tmp_path)
    (tmp_path / "main.py").write_text(STACK.format(module=module))
    variables = terraform_environment(os.environ, tmp_path / "work")
    with app.opened(tmp_path / "work", variables) as opened:
        prepared = opened.prepared(opened.discovered(None))
        terraform = prepared.terraform("terraform", variables, lambda _: None)
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
        terraform = prepared.terraform("terraform", variables, lambda _: None)
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

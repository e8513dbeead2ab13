"""Programs with cdktf, and with its fork where it is installed, become live; no Terraform."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from terralive_stub.shared.json_documents import read_object, section
from terralive_terraform.artifacts import STUB_HANDLER
from terralive_terraform.discovery.hcl.folders import OVERRIDE_FILE
from terralive_terraform.runs.node import node_for_jsii
from terralive_terraform.substitution.find_app import find_app
from terralive_terraform.substitution.rules import LiveSettings

FORK = pytest.param(
    "cdktn",
    marks=pytest.mark.skipif(
        importlib.util.find_spec("cdktn") is None, reason="cdktn is not installed"
    ),
)
PROGRAM = """
from cdktf import App, TerraformStack
from terralive_terraform.live import attach
from terralive_terraform.resources import AwsProvider, Resource
app = App()
stack = TerraformStack(app, "orders")
AwsProvider(stack, {"region": "eu-west-1"})
own = Resource(stack, "own", "aws_iam_role", {"name": "own", "inline_policy": [{"name": "a"}]})
free = Resource(stack, "free", "aws_iam_role", {"name": "free"})
for role in (own, free):
    Resource(stack, f"{role.node.id}_fn", "aws_lambda_function", {
        "function_name": role.node.id, "role": role.ref("arn"),
        "handler": "app.handler", "runtime": "python3.13"})
queue = Resource(stack, "queue", "aws_sqs_queue", {"visibility_timeout_seconds": 60})
Resource(stack, "mapping", "aws_lambda_event_source_mapping", {
    "event_source_arn": queue.ref("arn"), "function_name": "${aws_lambda_function.free_fn.arn}"})
Resource(stack, "image", "aws_lambda_function", {
    "function_name": "image", "role": free.ref("arn"),
    "package_type": "Image", "image_uri": "resize:1",
    "image_config": {"entry_point": ["/run"], "command": ["app.handler"]}})
attach(app)
app.synth()
"""


@pytest.mark.parametrize("package", ["cdktf", FORK])
@pytest.mark.parametrize("is_attached", [False, True], ids=["without the Aspect", "Aspect"])
def test_a_program_becomes_live_whichever_package_it_uses(
    tmp_path: Path, package: str, *, is_attached: bool
) -> None:
    """Its functions and their code are those of the configuration, and the file of Terraform's."""
    lines = PROGRAM.replace("from cdktf", f"from {package}").splitlines()
    if not is_attached:
        lines = [line for line in lines if "attach" not in line]
    (tmp_path / "main.py").write_text("\n".join(lines))
    (tmp_path / "cdktf.json").write_text('{"app": "python main.py", "language": "python"}')
    live = LiveSettings(tmp_path / "stub.zip", "hash")
    with find_app(tmp_path).prepared(live, tmp_path / "work", os.environ) as prepared:
        by_label = {function.label: function for function in prepared.functions}
        assert sorted(by_label) == ["free_fn", "own_fn"]
        assert {item.handler for item in by_label.values()} == {"app.handler"}
        assert [item.address for item in prepared.refused] == ["aws_lambda_function.image"]
        synthesised = json.loads((prepared.directory / "cdk.tf.json").read_text())
        override = read_object(prepared.directory / OVERRIDE_FILE)
    of_program = synthesised["resource"]["aws_lambda_function"]
    overridden = section(section(override, "resource"), "aws_lambda_function")
    # Its own values are planned first.
    assert of_program["own_fn"]["handler"] == "app.handler"
    assert section(overridden, "own_fn")["handler"] == STUB_HANDLER
    assert section(overridden, "own_fn")["source_code_hash"] == "hash"
    if is_attached:
        stub = of_program["own_fn"]["//"]["terralive"]["stub"]
        assert stub["set"]["handler"] == STUB_HANDLER
        assert "stub" not in of_program["image"].get("//", {}).get("terralive", {})
    else:
        assert "terralive" not in of_program["own_fn"].get("//", {})


def test_the_aspect_does_nothing_where_terralive_does_not_run_the_program(tmp_path: Path) -> None:
    environment = {"JSII_NODE": node_for_jsii({}), "CDKTF_OUTDIR": str(tmp_path / "out")}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, cwd=tmp_path, check=True)

    document = (tmp_path / "out" / "stacks" / "orders" / "cdk.tf.json").read_text()
    assert "terralive" not in document

"""A CDK for Terraform program that knows nothing of terralive becomes live with no setting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from terralive_testing.drivers.plain_app import start
from terralive_testing.drivers.project import Project
from terralive_testing.machine.waiting import eventually

pytestmark = pytest.mark.timeout(300)

PROGRAM = """
from pathlib import Path
import cdktf

def block(kind, label, **values):
    made = cdktf.TerraformResource(stack, label, terraform_resource_type=kind)
    for key, value in values.items():
        made.add_override(key, value)

app = cdktf.App()
stack = cdktf.TerraformStack(app, "orders")
aws = cdktf.TerraformProvider(
    stack, "aws", terraform_resource_type="aws", terraform_provider_source="hashicorp/aws"
)
aws.add_override("region", "us-east-1")
zips = {
    name: cdktf.TerraformAsset(
        stack, f"{name}_code", path=f"code/{name}", type=cdktf.AssetType.ARCHIVE
    )
    for name in ("api", "jobs", "nightly")
}
lambda_service = {"Service": "lambda.amazonaws.com"}
trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": lambda_service}
block(
    "aws_iam_role", "role", name="assets",
    assume_role_policy=cdktf.Fn.jsonencode({"Version": "2012-10-17", "Statement": [trust]}),
)
common = {"role": "${aws_iam_role.role.arn}", "runtime": "python3.13", "timeout": 60}
block(
    "aws_lambda_function", "api", function_name="assets-api", handler="app.handler",
    filename=zips["api"].path, source_code_hash=zips["api"].asset_hash, **common,
)
block("aws_s3_bucket", "bucket", bucket="assets-code")
block(
    "aws_s3_object", "object", bucket="${aws_s3_bucket.bucket.id}",
    key=zips["jobs"].file_name, source=zips["jobs"].path,
)
block(
    "aws_lambda_function", "jobs", function_name="assets-jobs", handler="jobs.handler",
    s3_bucket="${aws_s3_bucket.bucket.id}", s3_key="${aws_s3_object.object.key}", **common,
)
cdktf.TerraformHclModule(
    stack, "job", source=str(Path("modules/job").resolve()),
    variables={"name": "assets-nightly", "role": common["role"], "zip": zips["nightly"].path},
)
app.synth()
"""
MODULE = """
variable "name" { type = string }
variable "role" { type = string }
variable "zip" { type = string }
resource "aws_lambda_function" "this" {
  count         = 1
  function_name = var.name
  role          = var.role
  runtime       = "python3.13"
  handler       = "app.handler"
  filename      = var.zip
  timeout       = 60
}
"""
# Function -> its code's folder, handler, and how its place was found.
EXPECTED = {
    "assets-api": ("code/api", "app.handler", "content of TerraformAsset api_code"),
    "assets-jobs": ("code/jobs", "jobs.handler", "content of TerraformAsset jobs_code"),
    "assets-nightly": ("code/nightly", "app.handler", "content of TerraformAsset nightly_code"),
}


def test_assets_in_files_buckets_and_modules_are_found_and_run_here(tmp_path: Path) -> None:
    root = tmp_path / "orders"
    for folder, handler, _ in EXPECTED.values():
        module = handler.partition(".")[0]
        (root / folder).mkdir(parents=True)
        code = f'def handler(event, context):\n    return "{folder}"\n'
        (root / folder / f"{module}.py").write_text(code, "utf-8")
    (root / "modules" / "job").mkdir(parents=True)
    (root / "modules" / "job" / "main.tf").write_text(MODULE, "utf-8")
    (root / "main.py").write_text(PROGRAM, "utf-8")
    (root / "cdktf.json").write_text('{"language": "python", "app": "python main.py"}', "utf-8")
    project = Project(root)

    with start(project) as command:
        ready = command.wait_for_type("ready", timeout_s=200)
        project.sandbox = ready["sandbox"]
        found = {
            item["name"]: (
                str(Path(item["path"]).relative_to(root)),
                item["handler"],
                item["found_by"],
            )
            for item in ready["functions"]
        }
        assert found == EXPECTED
        for name, (folder, _, _) in EXPECTED.items():
            answer = project.client("lambda").invoke(FunctionName=name, Payload=b"{}")
            assert json.loads(answer["Payload"].read()) == folder
        eventually(lambda: len(command.of_type("invocation")) == len(EXPECTED), "they ran here")

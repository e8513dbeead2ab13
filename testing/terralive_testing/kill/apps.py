"""The apps that are killed: one for each way in which a function's code is packaged."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

PREFIX: Final = "kill"
_HEAD: Final = """
terraform {
  required_providers {
    archive = { source = "hashicorp/archive" }
    aws     = { source = "hashicorp/aws" }
  }
}

provider "aws" {}

resource "aws_iam_role" "functions" {
  name = "kill"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "functions" {
  name   = "queue"
  role   = aws_iam_role.functions.name
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["sqs:*", "logs:*"], Resource = "*" }]
  })
}

resource "aws_sqs_queue" "work" {
  name                       = "kill-work"
  visibility_timeout_seconds = 60
}
"""
_ARCHIVE: Final = """
data "archive_file" "code" {
  type        = "zip"
  source_dir  = "${path.module}/code"
  output_path = "${path.module}/build/code.zip"
}
"""
_FUNCTION: Final = """
resource "aws_lambda_function" "work" {
  function_name    = "kill-work"
  role             = aws_iam_role.functions.arn
  runtime          = "python3.13"
  handler          = "app.handler"
  publish          = true
  filename         = data.archive_file.code.output_path
  source_code_hash = data.archive_file.code.output_base64sha256

  environment {
    variables = { KIND = "archive" }
  }
}

resource "aws_lambda_alias" "live" {
  name             = "live"
  function_name    = aws_lambda_function.work.function_name
  function_version = aws_lambda_function.work.version
}

resource "aws_lambda_permission" "sns" {
  statement_id  = "sns"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.work.function_name
  qualifier     = aws_lambda_alias.live.name
  principal     = "sns.amazonaws.com"
}

resource "aws_lambda_event_source_mapping" "work" {
  event_source_arn = aws_sqs_queue.work.arn
  function_name    = aws_lambda_alias.live.arn
  depends_on       = [aws_iam_role_policy.functions]
}

resource "aws_cloudwatch_log_group" "work" {
  name = "/aws/lambda/kill-work"
}
"""
_S3: Final = """
resource "aws_s3_bucket" "code" {
  bucket = "kill-code"
}

resource "aws_s3_object" "code" {
  bucket      = aws_s3_bucket.code.id
  key         = "code.zip"
  source      = data.archive_file.code.output_path
  source_hash = data.archive_file.code.output_md5
}

resource "aws_lambda_function" "work" {
  function_name    = "kill-work"
  role             = aws_iam_role.functions.arn
  runtime          = "python3.13"
  handler          = "app.handler"
  s3_bucket        = aws_s3_object.code.bucket
  s3_key           = aws_s3_object.code.key
  source_code_hash = data.archive_file.code.output_base64sha256
}
"""
_IMAGE: Final = """
resource "aws_ecr_repository" "service" {
  name = "acme/service"
}

resource "aws_lambda_function" "work" {
  function_name = "kill-work"
  role          = aws_iam_role.functions.arn
  package_type  = "Image"
  image_uri     = "${aws_ecr_repository.service.repository_url}:1"
}
"""
_MODULES: Final = """
module "job" {
  source   = "./modules/job"
  for_each = toset(["first", "second"])
  name     = "kill-${each.key}"
  role     = aws_iam_role.functions.arn
}
"""
_MODULE: Final = """
variable "name" {}
variable "role" {}

data "archive_file" "code" {
  type        = "zip"
  source_dir  = "${path.module}/../../code"
  output_path = "${path.module}/../../build/${var.name}.zip"
}

resource "aws_lambda_function" "this" {
  function_name    = var.name
  role             = var.role
  runtime          = "python3.13"
  handler          = "app.handler"
  publish          = true
  filename         = data.archive_file.code.output_path
  source_code_hash = data.archive_file.code.output_base64sha256
}

resource "aws_lambda_alias" "live" {
  name             = "live"
  function_name    = aws_lambda_function.this.function_name
  function_version = aws_lambda_function.this.version
}
"""
_PROGRAM: Final = """
import json
from pathlib import Path

import cdktf

HERE = Path(__file__).resolve().parent
app = cdktf.App()
stack = cdktf.TerraformStack(app, "kill")


def block(kind, label, values, of=cdktf.TerraformResource):
    made = of(stack, label, terraform_resource_type=kind)
    for name, value in values.items():
        made.add_override(name, value)


for name in ("archive", "aws"):
    cdktf.TerraformProvider(
        stack, name, terraform_resource_type=name, terraform_provider_source=f"hashicorp/{name}"
    )
trust = {
    "Effect": "Allow",
    "Action": "sts:AssumeRole",
    "Principal": {"Service": "lambda.amazonaws.com"},
}
document = {"Version": "2012-10-17", "Statement": [trust]}
block(
    "aws_iam_role",
    "functions",
    {"name": "kill", "assume_role_policy": cdktf.Fn.jsonencode(document)},
)
block(
    "archive_file",
    "code",
    {
        "type": "zip",
        "source_dir": str(HERE / "code"),
        "output_path": str(HERE / "build" / "code.zip"),
    },
    cdktf.TerraformDataSource,
)
block(
    "aws_lambda_function",
    "work",
    {
        "function_name": "kill-work",
        "role": "${aws_iam_role.functions.arn}",
        "runtime": "python3.13",
        "handler": "app.handler",
        "filename": "${data.archive_file.code.output_path}",
        "source_code_hash": "${data.archive_file.code.output_base64sha256}",
    },
)
app.synth()
"""
_HANDLER: Final = "def handler(event, context):\n    return 'deployed'\n"
_DOCKERFILE: Final = 'FROM public.ecr.aws/lambda/python:3.13\nCOPY app.py ./\nCMD ["app.handler"]\n'


def _archive(root: Path) -> None:
    _write(root / "main.tf", _HEAD + _ARCHIVE + _FUNCTION)


def _s3(root: Path) -> None:
    _write(root / "main.tf", _HEAD + _ARCHIVE + _S3)


def _image(root: Path) -> None:
    _write(root / "main.tf", _HEAD + _IMAGE)
    _write(root / "service" / "Dockerfile", _DOCKERFILE)
    _write(root / "service" / "app.py", _HANDLER)


def _module(root: Path) -> None:
    _write(root / "main.tf", _HEAD + _MODULES)
    _write(root / "modules" / "job" / "main.tf", _MODULE)


def _program(root: Path) -> None:
    _write(root / "program.py", _PROGRAM)
    _write(root / "cdktf.json", json.dumps({"language": "python", "app": "python program.py"}))


# Kind -> what writes its app into a folder.
KINDS: Final[Mapping[str, Callable[[Path], None]]] = {
    "archive": _archive,
    "s3": _s3,
    "image": _image,
    "module": _module,
    "program": _program,
}


def make(kind: str, root: Path) -> None:
    """Write the app of a kind into a new folder."""
    _write(root / "code" / "app.py", _HANDLER)
    _write(root / "terralive.toml", f'app = "{PREFIX}"\n')
    KINDS[kind](root)
    subprocess.run(["git", "init", "-q", str(root)], check=True)


def _write(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, "utf-8")

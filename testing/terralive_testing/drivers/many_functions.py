"""An app of many functions in plain Terraform, whose starts are measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from terralive_terraform.artifacts import write_zip
from terralive_testing.drivers.project import Project

_MAIN: Final = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" { PROVIDER }

resource "aws_iam_role" "all" {
  name = "many"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}
"""
_FUNCTION: Final = """
resource "aws_lambda_function" "NAME" {
  function_name    = "many-NAME"
  role             = aws_iam_role.all.arn
  runtime          = "python3.13"
  handler          = "app.handler"
  timeout          = 30
  filename         = "${path.module}/NAME.zip"
  source_code_hash = filebase64sha256("${path.module}/NAME.zip")
}
"""
_SETTINGS: Final = '[functions."aws_lambda_function.NAME"]\npath = "functions/NAME"\n'
_HANDLER: Final = b"def handler(event, context):\n    return event\n"


def project_of_many(
    root: Path, functions: int, provider: str = "", files: Mapping[str, bytes] | None = None
) -> Project:
    """Write the app to a new folder. Its functions `many-f0`, `many-f1`, … return their event.

    Args:
        root: the folder.
        functions: how many it has.
        provider: the arguments of its AWS provider.
        files: the content of more files in the zip of each function.
    """
    terraform, settings = [_MAIN.replace("PROVIDER", provider)], ['app = "many"\n']
    for number in range(functions):
        name = f"f{number}"
        folder = root / "functions" / name
        folder.mkdir(parents=True)
        (folder / "app.py").write_bytes(_HANDLER)
        # Each zip differs from the others, as those of a team do.
        own = {"app.py": _HANDLER, "number.txt": str(number).encode()}
        write_zip({**(files or {}), **own}, root / f"{name}.zip")
        terraform.append(_FUNCTION.replace("NAME", name))
        settings.append(_SETTINGS.replace("NAME", name))
    (root / "main.tf").write_text("".join(terraform), "utf-8")
    (root / "terralive.toml").write_text("".join(settings), "utf-8")
    return Project(root)

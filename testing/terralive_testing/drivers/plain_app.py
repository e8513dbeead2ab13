"""Apps in plain Terraform: a small one, and one of many functions; what is left in the sandbox."""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from terralive_terraform.artifacts import write_zip
from terralive_testing.drivers.command import Command
from terralive_testing.drivers.project import Project

# The head of each app: its provider, and a role.
_HEAD: Final = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {PROVIDER}

resource "aws_iam_role" "ROLE" {
  name = "plain-ROLE"
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


def _head(role: str, provider: str = "") -> str:
    return _HEAD.replace("ROLE", role).replace("PROVIDER", provider)


MAIN = (
    _head("greet")
    + """
resource "aws_lambda_function" "greet" {
  function_name    = "plain-greet"
  role             = aws_iam_role.greet.arn
  runtime          = "python3.12"
  handler          = "app.handler"
  timeout          = 10
  filename         = "${path.module}/greet.zip"
  source_code_hash = filebase64sha256("${path.module}/greet.zip")
}
"""
)

# One more function, and its settings.
SECOND: Final = """
resource "aws_lambda_function" "second" {
  function_name    = "plain-second"
  role             = aws_iam_role.greet.arn
  runtime          = "python3.12"
  handler          = "app.handler"
  filename         = "${path.module}/greet.zip"
}
"""
SECOND_SETTINGS: Final = """
[functions."aws_lambda_function.second"]
path = "functions/greet"
"""

CONFIGURATION = """
app = "plain"

[functions."aws_lambda_function.greet"]
path = "functions/greet"
"""

HANDLER = 'def handler(event, context):\n    return "deployed"\n'
# One of many functions, and its settings.
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
_ECHO: Final = b"def handler(event, context):\n    return event\n"


def plain_project(root: Path) -> Project:
    """Write the app to a new folder: `*.tf`, a zip beside it, its handler, `terralive.toml`."""
    code = root / "functions" / "greet"
    code.mkdir(parents=True)
    (code / "app.py").write_text(HANDLER, "utf-8")
    (root / "main.tf").write_text(MAIN, "utf-8")
    (root / "terralive.toml").write_text(CONFIGURATION, "utf-8")
    with zipfile.ZipFile(root / "greet.zip", "w") as zipped:
        zipped.write(code / "app.py", "app.py")
    return Project(root)


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
    root.mkdir(parents=True)
    (root / "main.tf").write_text(_head("all", provider), "utf-8")
    (root / "terralive.toml").write_text('app = "many"\n', "utf-8")
    project = Project(root)
    for number in range(functions):
        add_one_of_many(project, number, files)
    return project


def add_one_of_many(
    project: Project, number: int, files: Mapping[str, bytes] | None = None
) -> None:
    """Add a function to the app of `project_of_many`."""
    name = f"f{number}"
    folder = project.root / "functions" / name
    folder.mkdir(parents=True)
    (folder / "app.py").write_bytes(_ECHO)
    zip_one_of_many(project, number, str(number), files)
    add(project, _FUNCTION.replace("NAME", name))
    settings = project.root / "terralive.toml"
    settings.write_text(settings.read_text("utf-8") + _SETTINGS.replace("NAME", name), "utf-8")


def zip_one_of_many(
    project: Project, number: int, content: str, files: Mapping[str, bytes] | None = None
) -> None:
    """Write the zip of a function of `project_of_many`.

    Each zip differs from the others, as those of a team do.

    Args:
        project: the app.
        number: the function's number.
        content: a text in the zip.
        files: the content of more files in it.
    """
    own = {"app.py": _ECHO, "number.txt": content.encode()}
    write_zip({**(files or {}), **own}, project.root / f"f{number}.zip")


def start(project: Project, *more: str, environment: Mapping[str, str] | None = None) -> Command:
    return Command(["start", "--sandbox", "--yes", *more], project.root, environment)


def left(project: Project) -> dict[str, list[str]]:
    """Return everything in the account that a destroy has to remove, by kind."""
    functions = project.client("lambda").list_functions(FunctionVersion="ALL")["Functions"]
    found: dict[str, list[Any]] = {
        "functions": [item["FunctionName"] for item in functions if item["Version"] == "$LATEST"],
        "versions": [
            f"{item['FunctionArn']}: {item['Description']}"
            for item in functions
            if item["Version"] != "$LATEST"
        ],
        "apis": [item["Name"] for item in project.client("apigatewayv2").get_apis()["Items"]],
        "tables": project.client("dynamodb").list_tables()["TableNames"],
        "topics": [item["TopicArn"] for item in project.client("sns").list_topics()["Topics"]],
        "buckets": [item["Name"] for item in project.client("s3").list_buckets()["Buckets"]],
        "roles": [item["RoleName"] for item in project.client("iam").list_roles()["Roles"]],
        "logs": [
            item["logGroupName"]
            for item in project.client("logs").describe_log_groups()["logGroups"]
        ],
    }
    return {kind: names for kind, names in found.items() if names}


@contextmanager
def refused(project: Project, action: str) -> Iterator[None]:
    """Deny an action to the developer while the context lasts."""
    iam = project.client("iam")
    user = project.client("sts").get_caller_identity()["Arn"].rpartition("/")[2]
    statement = {"Effect": "Deny", "Action": action, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=user, PolicyName="denied", PolicyDocument=document)
    yield
    iam.delete_user_policy(UserName=user, PolicyName="denied")


def files(project: Project) -> dict[str, bytes]:
    """Return the team's own files: all but terralive's folder and Python's caches."""
    found: dict[str, bytes] = {}
    for path in project.root.rglob("*"):
        own = path.relative_to(project.root)
        if {".terralive", "__pycache__"} & set(own.parts) or not path.is_file():
            continue
        with contextlib.suppress(FileNotFoundError):  # it has gone meanwhile
            found[str(own)] = path.read_bytes()
    return found


def add(project: Project, terraform: str) -> None:
    """Append to the team's configuration."""
    main = project.root / "main.tf"
    main.write_text(main.read_text("utf-8") + terraform, "utf-8")


def reset(project: Project) -> None:
    """Restore the team's configuration. Its code stays as it is."""
    (project.root / "main.tf").write_text(MAIN, "utf-8")
    (project.root / "terralive.toml").write_text(CONFIGURATION, "utf-8")

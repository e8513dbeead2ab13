"""Override files are merged as Terraform merges them: its plan has what is read here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from terralive_stub.shared.json_documents import Json, items, parse_object, section, text
from terralive_terraform.discovery.files import module_calls, modules_of
from terralive_terraform.discovery.hcl.folders import OVERRIDE_FILE
from terralive_terraform.runs.environment import terraform_environment

BINARY: Final = os.environ.get("TERRALIVE_TERRAFORM_BINARY", "terraform")
pytestmark = [
    pytest.mark.skipif(shutil.which(BINARY) is None, reason="Terraform is not on PATH"),
    pytest.mark.timeout(300),
]
HEAD: Final = """
terraform {
  required_providers { aws = { source = "hashicorp/aws" } }
}
provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "x"
  secret_key                  = "x"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}
variable "blocks" {
  default = {}
}
"""
ENVIRONMENT: Final = "environment {\n    variables = { BASE = 1 }\n  }"
DYNAMIC: Final = """dynamic "environment" {
    for_each = [1]
    content {
      variables = { DYNAMIC = 1 }
    }
  }"""
NEVER: Final = DYNAMIC.replace("[1]", "var.blocks")
OTHER: Final = ENVIRONMENT.replace("BASE", "OTHER")
# What the configuration has, and what its override file has.
CASES: Final = {
    "attribute": ('handler = "a.h"', 'handler = "b.h"'),
    "null": ("timeout = 20", "timeout = null"),
    "static_by_static": (ENVIRONMENT, OTHER),
    "static_by_dynamic": (ENVIRONMENT, DYNAMIC),
    "static_by_nothing": (ENVIRONMENT, NEVER),
    "dynamic_by_static": (DYNAMIC, OTHER),
    "dynamic_by_dynamic": (DYNAMIC, DYNAMIC.replace("DYNAMIC", "OTHER")),
    "dynamic_by_nothing": (DYNAMIC, NEVER),
    "nothing_by_static": (NEVER, OTHER),
    "another_type": (ENVIRONMENT, "ephemeral_storage {\n    size = 1024\n  }"),
    "count": ("count = 1", "count = 0"),
    "variable": ("memory_size = 128", "timeout = var.timeout"),
    "live": ('handler = "a.h"', 'handler = "b.h"'),
}
LAST: Final = """
resource "aws_lambda_function" "attribute" {
  handler = "c.h"
}
resource "aws_lambda_function" "live" {
  handler = "c.h"
}
"""
OWN: Final = {"resource": {"aws_lambda_function": {"live": {"handler": "stub.h"}}}}
IN_JSON: Final = {
    "resource": {
        "aws_lambda_function": {
            "static_by_static": {"environment": [{"variables": {"JSON": "1"}}]},
            "another_type": {"dynamic": {"environment": {"for_each": [], "content": {}}}},
        }
    }
}


def test_a_plan_has_what_is_read_of_functions_with_override_files(tmp_path: Path) -> None:
    write(tmp_path)
    functions = planned_functions(tmp_path)
    live = functions.pop("live")
    assert text(live, "handler") == "stub.h", "terralive's own override file comes last"
    (module,) = modules_of(module_calls(tmp_path, tmp_path / ".terraform"))
    assert module.unreadable == ()
    read = {function.label: function for function in module.functions}
    assert read.pop("live").handler == "c.h", "terralive's own override file is not read"
    assert read.keys() == functions.keys()
    for label, planned in functions.items():
        function = read[label]
        assert function.undecided == frozenset(), label
        assert function.handler == text(planned, "handler"), label
        assert function.timeout == planned["timeout"], label
        assert function.environment_names == planned_variables(planned), label
        is_planned = bool(planned.get("environment"))
        assert ("environment" in function.attributes) == is_planned, label
    assert "ephemeral_storage" in read["another_type"].attributes


def write(folder: Path) -> None:
    files = {"main.tf": HEAD, "override.tf": "", "zz_override.tf": LAST}
    files["main.tf"] += 'variable "timeout" {\n  default = 7\n}\n'
    files["override.tf"] += 'variable "timeout" {\n  default = 9\n}\n'
    for label, (base, override) in CASES.items():
        handler = "" if base.startswith("handler") else '  handler = "app.handler"\n'
        files["main.tf"] += (
            f'resource "aws_lambda_function" "{label}" {{\n  function_name = "{label}"\n'
            f'  role = "arn:aws:iam::123456789012:role/x"\n  runtime = "python3.12"\n'
            f'  filename = "code.zip"\n{handler}  {base}\n}}\n'
        )
        files["override.tf"] += f'resource "aws_lambda_function" "{label}" {{\n  {override}\n}}\n'
    for name, content in files.items():
        (folder / name).write_text(content)
    (folder / "y_override.tf.json").write_text(json.dumps(IN_JSON))
    (folder / OVERRIDE_FILE).write_text(json.dumps(OWN))
    (folder / "code.zip").touch()


def planned_functions(folder: Path) -> dict[str, dict[str, Json]]:
    """Return the functions of Terraform's plan, by label."""
    environment = terraform_environment(dict(os.environ), folder / "work")
    shown = ""
    for arguments in (["init"], ["plan", "-out=plan"], ["show", "-json", "plan"]):
        ended = subprocess.run(
            [BINARY, arguments[0], "-no-color", *arguments[1:]],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        shown = ended.stdout
    root = section(section(parse_object(shown), "planned_values"), "root_module")
    found: dict[str, dict[str, Json]] = {}
    for item in items(root, "resources"):
        assert isinstance(item, dict)
        found[text(item, "name")] = section(item, "values")
    return found


def planned_variables(function: dict[str, Json]) -> set[str]:
    names: set[str] = set()
    for block in items(function, "environment"):
        assert isinstance(block, dict)
        names.update(section(block, "variables"))
    return names

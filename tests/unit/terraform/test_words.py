"""Words of expressions that may name the folder of a function's code."""

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_stub.shared.json_documents import Json
from terralive_terraform.discovery.files import module_calls, modules_of
from terralive_terraform.discovery.hcl.scope import Scope
from terralive_terraform.discovery.hcl.words import words
from terralive_terraform.evaluation.code import CodeNotFound, FoundCode, find_code
from terralive_terraform.evaluation.functions import planned_functions
from terralive_testing.fakes.plan_document import PlanDocument

SCOPE = Scope(
    variables={"src": "../code", "number": 3.0},
    locals={"build": "${path.module}/out"},
    paths={"module": "."},
)


@pytest.mark.parametrize(
    ("value", "known"),
    [
        ("cd ${path.module}/../src && zip -r ../a.zip .", ["./../src", "../a.zip"]),
        ("cp -r ${var.src}/*.py ${local.build}", ["../code", "./out"]),
        ("aws s3 cp a.zip s3://${aws_s3_bucket.x.bucket}/a.zip", ["a.zip"]),
        ("${filemd5(local.build)}", ["./out"]),
        ('${sha1(join("", [for f in fileset("${var.src}/x", "**") : f]))}', ["../code/x"]),
        ({"a": "${var.src}/a", "b": ["${var.number}", None, 3]}, ["../code/a"]),
        ("./build.sh ${each.key}/src", ["./build.sh", "${each.key}/src"]),
        ("${unclosed", []),
    ],
)
def test_the_known_words_of_an_expression_are_read(value: Json, known: list[str]) -> None:
    assert [word for word in words(value, SCOPE) if "/" in word or ".zip" in word] == known


COMMANDS = """
resource "null_resource" "build" {
  for_each = toset(["a", "b"])
  provisioner "local-exec" {
    working_dir = "${path.module}/../code/${each.key}_path"
    command     = "zip -r ${path.module}/${each.key}.zip ."
  }
}
module "fn" {
  source = "./fn"
  src    = "../code/a_path"
}
"""
MODULE = """
variable "src" {}
resource "aws_lambda_function" "api" {
  function_name    = "x"
  filename         = "a.zip"
  source_code_hash = base64sha256(join("", [for f in fileset(var.src, "**") : f]))
}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with two folders of the same handler, whose names tell nothing."""
    for name, content in {"infra/main.tf": COMMANDS, "infra/fn/main.tf": MODULE}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    for name in ("a_path", "b_path"):
        (tmp_path / "code" / name).mkdir(parents=True)
        (tmp_path / "code" / name / "app.py").write_text("def handler(event, context): ...\n")
    return tmp_path


def found(plan: PlanDocument, project: Path, address: str) -> FoundCode | CodeNotFound:
    known: dict[str, tuple[str, ...]] = {}
    calls = module_calls(project / "infra", project / "infra" / ".terraform")
    for module in modules_of(calls):
        known.update(module.words)
    evaluation = plan.evaluation(project / "infra")
    functions = planned_functions(evaluation)
    return find_code(evaluation, functions, project, words=known)[address]


PYTHON: dict[str, Json] = {"handler": "app.handler", "runtime": "python3.13"}


def test_each_instance_has_the_folder_that_its_build_runs_in(project: Path) -> None:
    plan = PlanDocument()
    for key in ("a", "b"):
        values: dict[str, Json] = {**PYTHON, "filename": f"{key}.zip", "function_name": "z"}
        plan.managed(f'aws_lambda_function.z["{key}"]', values, depends_on=["null_resource.build"])
        plan.managed(f'null_resource.build["{key}"]', {})
    for key in ("a", "b"):
        code = found(plan, project, f'aws_lambda_function.z["{key}"]')
        build = f'what null_resource.build["{key}"] names'
        assert code == FoundCode(project / "code" / f"{key}_path", build)


def test_the_folder_that_a_hash_is_made_of_is_the_code(project: Path) -> None:
    plan = PlanDocument()
    address = "module.fn.aws_lambda_function.api"
    plan.managed(address, {**PYTHON, "filename": "x.zip", "function_name": "x"})
    code = found(plan, project, address)
    assert code == FoundCode(project / "code" / "a_path", f"what {address} names")


def test_a_configuration_that_names_both_folders_tells_none(project: Path) -> None:
    plan = PlanDocument()
    values: dict[str, Json] = {**PYTHON, "filename": "z.zip", "function_name": "z"}
    plan.managed("aws_lambda_function.z", values, depends_on=["null_resource.build"])
    for key in ("a", "b"):
        plan.managed(f'null_resource.build["{key}"]', {})
    code = found(plan, project, "aws_lambda_function.z")
    assert isinstance(code, CodeNotFound)
    assert "several files may have its handler" in code.reason

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_terraform.discovery.version_readers import version_readers

FUNCTION = 'resource "aws_lambda_function" "api" {\n  function_name = "api"\n}\n'
API = "aws_lambda_function.api"


def readers(folder: Path, **files: str) -> dict[str, tuple[str, ...]]:
    for name, content in files.items():
        path = folder / f"{name.replace('__', '/')}.tf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return dict(version_readers(folder, folder / ".terraform"))


@pytest.mark.parametrize(
    "expression",
    [
        "aws_lambda_function.api.version",
        "aws_lambda_function.api[0].qualified_arn",
        'aws_lambda_function.api["a"].qualified_invoke_arn',
        "aws_lambda_function.api[each.key].version",
        "aws_lambda_function.api[local.names[0]].version",
        "aws_lambda_function.api[*].version",
        "one(aws_lambda_function.api.*.version)",
        '"${aws_lambda_function.api.version}-x"',
        "{ for key, item in aws_lambda_function.api : key => item.version }",
        "values(aws_lambda_function.api)[*].qualified_arn",
        "aws_lambda_function.api",
        "local.version",
        "local.all",
        "data.aws_lambda_function.api.version",
    ],
)
def test_an_output_that_reads_the_newest_version_is_found(tmp_path: Path, expression: str) -> None:
    found = readers(
        tmp_path,
        main=FUNCTION,
        locals="""
        locals {
          version = local.inner
          inner   = aws_lambda_function.api.version
          all     = { arn = aws_lambda_function.api.qualified_arn }
        }
        data "aws_lambda_function" "api" {
          function_name = aws_lambda_function.api.function_name
        }
        """,
        outputs=f'output "read" {{\n  value = {expression}\n}}\n',
    )
    assert found == {API: ("output.read",)}


@pytest.mark.parametrize(
    "expression",
    [
        "aws_lambda_function.api.arn",
        "aws_lambda_function.api[each.key].invoke_arn",
        "{ for key, item in aws_lambda_function.api : key => item.arn }",
        "aws_lambda_alias.live.function_version",
        "aws_s3_object.code.version_id",
        "local.arn",
    ],
)
def test_what_reads_something_else_is_no_reader(tmp_path: Path, expression: str) -> None:
    found = readers(
        tmp_path,
        main=FUNCTION + "locals {\n  arn = aws_lambda_function.api.arn\n}\n",
        outputs=f"""
        output "read" {{
          value      = {expression}
          depends_on = [aws_lambda_function.api]
        }}
        locals {{
          unused = aws_lambda_function.api.version
        }}
        """,
    )
    assert found == {}


def test_an_alias_that_follows_the_newest_version_is_a_reader(tmp_path: Path) -> None:
    alias = (
        'resource "aws_lambda_alias" "live" {\n'
        "  function_version = aws_lambda_function.api.version\n}\n"
    )
    assert readers(tmp_path, main=FUNCTION + alias) == {API: ("aws_lambda_alias.live",)}


def test_outputs_of_a_module_count_only_where_something_reads_them(tmp_path: Path) -> None:
    module = """
    output "arn" { value = aws_lambda_function.api.arn }
    output "version" { value = try(aws_lambda_function.api.version, "") }
    """
    call = 'module "orders" {\n  source = "./orders"\n}\n'
    files = {"orders__main": FUNCTION, "orders__outputs": module}
    arn = 'output "arn" {\n  value = module.orders[each.key].arn\n}\n'
    assert readers(tmp_path, main=call + arn, **files) == {}
    version = 'output "version" {\n  value = module.orders["a"].version\n}\n'
    expected = {"module.orders.aws_lambda_function.api": ("output.version",)}
    assert readers(tmp_path, main=call + version, **files) == expected
    every = 'output "all" {\n  value = { for k, m in module.orders : k => m.version }\n}\n'
    expected = {"module.orders.aws_lambda_function.api": ("output.all",)}
    assert readers(tmp_path, main=call + every, **files) == expected


def test_a_version_that_is_given_to_a_module_is_read_there(tmp_path: Path) -> None:
    call = """
    module "alias" {
      source   = "./alias"
      version_ = aws_lambda_function.api.version
    }
    module "unused" {
      source   = "./unused"
      version_ = aws_lambda_function.api.version
    }
    """
    alias = 'resource "aws_lambda_alias" "live" {\n  function_version = var.version_\n}\n'
    variable = 'variable "version_" {}\n'
    found = readers(
        tmp_path, main=FUNCTION + call, alias__main=variable + alias, unused__main=variable
    )
    assert found == {API: ("module.alias.aws_lambda_alias.live",)}

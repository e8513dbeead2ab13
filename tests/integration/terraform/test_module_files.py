"""Functions and their code as the files of modules declare them, read as Terraform reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.discovery.files import calls_downloaded_modules, module_calls, modules_of
from terralive_terraform.discovery.variables import GivenVariables

CONFIGURATIONS = Path(__file__).parents[3].parent / "shared" / "configurations"
FUNCTION = """
resource "aws_lambda_function" "api" {
  function_name = "api"
  handler       = "app.handler"
  runtime       = "python3.12"
  timeout       = 20
  filename      = "code.zip"
  environment {
    variables = { FIRST = "1" }
  }
  lifecycle {
    prevent_destroy = true
    ignore_changes  = [timeout]
  }
  dynamic "vpc_config" {
    for_each = var.vpc
    content {
      subnet_ids = ["subnet-1"]
    }
  }
}
"""
# The shape of a registry module's function: every optional setting is a variable.
FUNCTION_MODULE = """
variable "create" { default = true }
variable "handler" { default = "" }
variable "runtime" { default = "" }
variable "package_type" { default = "Zip" }
variable "image_uri" { default = null }
variable "layers" { default = null }
variable "vpc_subnet_ids" { default = null }
variable "snap_start" { default = false }
variable "durable_timeout" {
  type    = number
  default = null
}
variable "capacity_provider_config" { default = {} }
variable "environment_variables" { default = {} }
variable "code_signing_config_arn" { default = null }
resource "aws_lambda_function" "this" {
  count                   = local.create ? 1 : 0
  handler                 = var.package_type != "Zip" ? null : var.handler
  runtime                 = var.package_type != "Zip" ? null : var.runtime
  package_type            = var.package_type
  image_uri               = var.image_uri
  layers                  = var.layers
  code_signing_config_arn = var.code_signing_config_arn
  dynamic "environment" {
    for_each = length(keys(var.environment_variables)) == 0 ? [] : [true]
    content {
      variables = var.environment_variables
    }
  }
  dynamic "vpc_config" {
    for_each = var.vpc_subnet_ids != null ? [true] : []
    content {
      subnet_ids = var.vpc_subnet_ids
    }
  }
  dynamic "snap_start" {
    for_each = var.snap_start ? [true] : []
    content {
      apply_on = "PublishedVersions"
    }
  }
  dynamic "durable_config" {
    for_each = var.durable_timeout != null ? [true] : []
    content {
      execution_timeout = var.durable_timeout
    }
  }
  dynamic "capacity_provider_config" {
    for_each = length(var.capacity_provider_config) > 0 ? [var.capacity_provider_config] : []
    content {}
  }
}
locals { create = var.create }
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def functions(
    folder: Path, *, opentofu: bool = False, environ: dict[str, str] | None = None
) -> dict[str, DeclaredFunction]:
    modules = modules_of(
        module_calls(
            folder,
            folder / ".terraform",
            opentofu=opentofu,
            given=GivenVariables(environ=environ or {}),
        )
    )
    return {item.address: item for module in modules for item in module.functions}


def the_function(folder: Path, *, opentofu: bool = False) -> DeclaredFunction:
    (function,) = functions(folder, opentofu=opentofu).values()
    return function


@pytest.mark.parametrize(
    "name", ["override.tf", "a_override.tf", "x.y_override.tf", "z_override.tf.json"]
)
def test_an_override_file_is_merged_last_attribute_by_attribute(tmp_path: Path, name: str) -> None:
    override = """
resource "aws_lambda_function" "api" {
  handler = "other.handler"
  environment {
    variables = { SECOND = "2" }
  }
  lifecycle {
    ignore_changes = [filename]
  }
  vpc_config {
    subnet_ids = ["subnet-2"]
  }
}
resource "aws_lambda_function" "not_declared" {
  handler = "x.y"
}
"""
    if name.endswith(".json"):
        block = {
            "handler": "other.handler",
            "environment": {"variables": {"SECOND": "2"}},
            "lifecycle": [{"ignore_changes": ["filename"]}],
            "vpc_config": {"subnet_ids": ["subnet-2"]},
        }
        override = json.dumps(
            {"resource": {"aws_lambda_function": {"api": block, "not_declared": {}}}}
        )
    write(tmp_path, {"z.tf": FUNCTION, name: override})
    function = the_function(tmp_path)
    assert (function.handler, function.runtime) == ("other.handler", "python3.12")
    assert function.environment_names == {"SECOND"}
    assert function.ignored == ("filename",)
    assert "vpc_config" in function.attributes
    assert function.undecided == frozenset()


def test_the_last_of_several_override_files_decides(tmp_path: Path) -> None:
    override = 'resource "aws_lambda_function" "api" {\n  handler = "HANDLER"\n}\n'
    write(
        tmp_path,
        {
            "main.tf": FUNCTION,
            "b_override.tf": override.replace("HANDLER", "b.handler"),
            "a_override.tf": override.replace("HANDLER", "a.handler"),
        },
    )
    assert the_function(tmp_path).handler == "b.handler"


def test_an_override_of_a_variable_of_a_local_value_and_of_a_call_counts(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "main.tf": 'variable "r" {\n  type    = string\n  default = "python3.12"\n}\n'
            'locals {\n  a = "a"\n  handler = "app.handler"\n}\n'
            'module "fn" {\n  source  = "./fn"\n  handler = local.handler\n  runtime = var.r\n}\n',
            "fn/main.tf": FUNCTION_MODULE,
            "override.tf": 'variable "r" {\n  default = "python3.13"\n}\n'
            'locals {\n  handler = "other.handler"\n}\n'
            'module "fn" {\n  layers = ["arn:aws:lambda:x"]\n}\n',
        },
    )
    function = the_function(tmp_path)
    assert (function.handler, function.runtime) == ("other.handler", "python3.13")
    assert "layers" in function.attributes


@pytest.mark.parametrize(
    ("files", "terraform", "opentofu"),
    [
        (("main.tf", "main.tofu"), ["main.tf"], ["main.tofu"]),
        (("main.tf.json", "main.tofu.json"), ["main.tf.json"], ["main.tofu.json"]),
        (("main.tf", "other.tofu"), ["main.tf"], ["main.tf", "other.tofu"]),
        (("main.tf", "main.tofu.json"), ["main.tf"], ["main.tf", "main.tofu.json"]),
        (("a_override.tf", "main.tf", "a_override.tofu"), ["main.tf"], ["main.tf"]),
        (("main.tofu",), [], ["main.tofu"]),
        (("main.tf", ".hidden.tf", "main.tf~"), ["main.tf"], ["main.tf"]),
    ],
)
def test_opentofu_reads_its_own_files_and_terraform_does_not(
    tmp_path: Path, files: tuple[str, ...], terraform: list[str], opentofu: list[str]
) -> None:
    for name in files:
        label = name.replace(".", "-")
        block: dict[str, object] = {"resource": {"aws_lambda_function": {label: {"handler": name}}}}
        content = json.dumps(block)
        if not name.endswith(".json"):
            content = f'resource "aws_lambda_function" "{label}" {{\n  handler = "{name}"\n}}\n'
        (tmp_path / name).write_text(content)
    for is_opentofu, expected in ((False, terraform), (True, opentofu)):
        found = functions(tmp_path, opentofu=is_opentofu).values()
        assert sorted(str(item.handler) for item in found) == expected


def test_json_syntax_may_repeat_a_name_and_have_lists_everywhere(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "main.tf.json": """[
            {"resource": [{"aws_lambda_function": [{"a": [{"handler": "a.h"}]}]}],
            "resource": {"aws_lambda_function": {"b": {"handler": "${local.h}"}}, "//": "comment"}},
            {"locals": [{"h": "b.h"}]}]"""
        },
    )
    found = {item.label: item.handler for item in functions(tmp_path).values()}
    assert found == {"a": "a.h", "b": "b.h"}


def test_a_registry_modules_function_has_only_what_its_call_sets(tmp_path: Path) -> None:
    """The shape of terraform-aws-modules/lambda 8: no function of it is durable by itself."""
    write(
        tmp_path,
        {
            "main.tf": """
module "plain" {
  source  = "./fn"
  handler = "app.handler"
  runtime = "python3.13"
  environment_variables = { TABLE = aws_dynamodb_table.t.name }
}
module "durable" {
  source          = "./fn"
  durable_timeout = 3600
  snap_start      = true
}
module "unknown" {
  source                   = "./fn"
  durable_timeout          = data.external.settings.result.timeout
  capacity_provider_config = module.capacity.config
}
module "vpc" {
  source         = "./fn"
  vpc_subnet_ids = ["subnet-1"]
}
module "image" {
  source       = "./fn"
  package_type = "Image"
  image_uri    = "registry/image:1"
}
module "none" {
  source = "./fn"
  create = false
}
module "never" {
  source = "./fn"
  count  = 0
}
""",
            "fn/main.tf": FUNCTION_MODULE,
        },
    )
    found = {address.split(".")[1]: item for address, item in functions(tmp_path).items()}
    assert set(found) == {"plain", "durable", "unknown", "vpc", "image"}
    plain = found["plain"]
    assert (plain.handler, plain.runtime) == ("app.handler", "python3.13")
    assert plain.undecided == frozenset()
    assert plain.attributes == {"count", "handler", "runtime", "package_type", "environment"}
    assert plain.environment_names == {"TABLE"}
    assert plain.environment_known
    assert {"durable_config", "snap_start"} <= found["durable"].attributes
    assert found["unknown"].undecided == {"durable_config", "capacity_provider_config"}
    assert "vpc_config" in found["vpc"].attributes
    assert found["image"].is_image
    assert not any(found[name].is_image for name in ("plain", "durable", "vpc"))


@pytest.mark.parametrize(
    ("files", "environ", "is_set"),
    [
        ({}, {}, False),
        ({"terraform.tfvars": 'ids = ["subnet-1"]\n'}, {}, True),
        ({"x.auto.tfvars.json": '{"ids": ["subnet-1"]}'}, {}, True),
        ({}, {"TF_VAR_ids": '["subnet-1"]'}, True),
        ({}, {"TF_CLI_ARGS_plan": """-var='ids=["subnet-1"]'"""}, True),
        ({"dev.tfvars": 'ids = ["subnet-1"]\n'}, {"TF_CLI_ARGS": "-var-file dev.tfvars"}, True),
        ({"terraform.tfvars": "ids = data.x\n"}, {}, None),
    ],
)
def test_a_variable_of_the_root_module_has_the_value_that_this_stage_gives(
    tmp_path: Path, files: dict[str, str], environ: dict[str, str], is_set: bool | None
) -> None:
    main = """
variable "ids" {
  type    = list(string)
  default = null
}
resource "aws_lambda_function" "api" {
  dynamic "vpc_config" {
    for_each = var.ids == null ? [] : [true]
    content {
      subnet_ids = var.ids
    }
  }
}
"""
    write(tmp_path, {"main.tf": main, **files})
    (function,) = functions(tmp_path, environ=environ).values()
    found = ("vpc_config" in function.attributes, "vpc_config" in function.undecided)
    assert found == (is_set is True, is_set is None)


ARCHIVE = """
data "archive_file" "code" {
  type        = "zip"
  source_dir  = "${path.module}/src"
  output_path = "${path.root}/build/code.zip"
}
"""
SOURCES = """
data "archive_file" "code" {
  type        = "zip"
  output_path = "build/code.zip"
  source {
    content  = file("${path.module}/src/app.py")
    filename = "app.py"
  }
  source {
    content  = templatefile("${path.module}/src/lib/util.py", {})
    filename = "lib/util.py"
  }
  source {
    content  = jsonencode({ a = 1 })
    filename = "settings.json"
  }
}
"""
BY_REFERENCE = "filename = data.archive_file.code.output_path"
UPLOADED = """
resource "aws_s3_object" "code" {
  bucket = "b"
  key    = "code.zip"
  source = data.archive_file.code.output_path
}
"""


@pytest.mark.parametrize(
    ("archive", "code"),
    [
        (ARCHIVE, BY_REFERENCE),
        (ARCHIVE.replace("data", "resource"), BY_REFERENCE.replace("data.", "")),
        (
            ARCHIVE.replace("source_dir ", "source_file ").replace("/src", "/src/app.py"),
            BY_REFERENCE,
        ),
        (ARCHIVE, 'filename = "build/code.zip"'),
        (ARCHIVE, 'filename = "./build/../build/code.zip"'),
        (ARCHIVE + 'locals { zip = "${path.root}/build/code.zip" }\n', "filename = local.zip"),
        (ARCHIVE + "locals { zip = data.archive_file.code.output_path }\n", "filename = local.zip"),
        (ARCHIVE.replace("build/", "${var.unknown}/"), BY_REFERENCE),
        (
            ARCHIVE.replace('"zip"\n', '"zip"\n  for_each = toset(["a"])\n'),
            'filename = data.archive_file.code["a"].output_path',
        ),
        (ARCHIVE, "source_code_hash = data.archive_file.code.output_base64sha256"),
        (ARCHIVE, 'source_code_hash = filebase64sha256("build/code.zip")'),
        (ARCHIVE + UPLOADED, 's3_bucket = "b"\n  s3_key = aws_s3_object.code.key'),
        (ARCHIVE + UPLOADED, 's3_bucket = "b"\n  s3_key = "code.zip"'),
        (ARCHIVE + UPLOADED.replace("s3_object", "s3_bucket_object"), 's3_key = "code.zip"'),
        (SOURCES, BY_REFERENCE),
        (SOURCES, 'filename = "build/code.zip"'),
    ],
)
@pytest.mark.parametrize("module", [".", "modules/api"])
def test_the_code_of_a_function_is_the_folder_that_its_archive_is_made_from(
    tmp_path: Path, archive: str, code: str, module: str
) -> None:
    function = f'resource "aws_lambda_function" "api" {{\n  {code}\n}}\n'
    write(tmp_path, {f"{module}/fn.tf": archive + function})
    if module != ".":
        write(tmp_path, {"main.tf": f'module "api" {{\n  source = "./{module}"\n}}\n'})
    assert the_function(tmp_path).path == (tmp_path / module / "src").resolve()


def test_an_archive_that_a_call_passes_on_is_found(tmp_path: Path) -> None:
    call = 'module "fn" {\n  source = "./fn"\n  zip = data.archive_file.code.output_path\n}\n'
    write(
        tmp_path,
        {
            "main.tf": ARCHIVE + call,
            "fn/main.tf": 'variable "zip" {}\n'
            'resource "aws_lambda_function" "api" {\n  filename = var.zip\n}\n',
        },
    )
    assert the_function(tmp_path).path == tmp_path / "src"


@pytest.mark.parametrize(
    "archive",
    [
        ARCHIVE.replace("${path.module}/src", "${each.key}"),
        SOURCES.replace("lib/util.py", "other.py", 1),
        SOURCES.replace("/src/lib/", "/elsewhere/lib/"),
        ARCHIVE + ARCHIVE.replace('"code"', '"other"').replace("/src", "/other"),
    ],
    ids=["expression", "another name", "several folders", "several archives of one path"],
)
def test_no_folder_is_guessed(tmp_path: Path, archive: str) -> None:
    code = '"build/code.zip"' if '"other"' in archive else "data.archive_file.code.output_path"
    write(
        tmp_path,
        {"main.tf": f'{archive}\nresource "aws_lambda_function" "api" {{\n  filename = {code}\n}}'},
    )
    assert the_function(tmp_path).path is None


def test_a_relative_path_begins_in_the_folder_that_terraform_runs_in(tmp_path: Path) -> None:
    archive = ARCHIVE.replace("${path.module}/src", "src")
    write(
        tmp_path,
        {
            "main.tf": 'module "fn" { source = "./fn" }\n',
            "fn/main.tf": f'{archive}\nresource "aws_lambda_function" "a" {{\n  {BY_REFERENCE}\n}}',
        },
    )
    assert the_function(tmp_path).path == tmp_path / "src"


def test_a_file_that_cannot_be_read_costs_only_what_stands_in_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "main.tf": FUNCTION,
            "broken.tf": 'module "x" {\n  source = \n}\nmodule "y" {\n  source = "./y"\n}\n',
            "broken.tf.json": '{\n  "resource": {\n',
            "outputs.tf": 'output "x" {\n  value = \n',
            "y/main.tf": 'resource "aws_lambda_function" "y" {}\n',
        },
    )
    modules = modules_of(module_calls(tmp_path, tmp_path / ".terraform"))
    assert [item.label for module in modules for item in module.functions] == ["api", "y"]
    found = [
        (item.file.name, item.line, item.block, item.may_hide_functions)
        for module in modules
        for item in module.unreadable
    ]
    assert found == [
        ("broken.tf", 2, 'module "x"', True),
        ("broken.tf.json", 3, "", True),
        ("outputs.tf", 2, 'output "x"', False),
    ]


def test_a_module_that_calls_itself_is_read_once(tmp_path: Path) -> None:
    call = f'module "again" {{ source = "../{tmp_path.name}" }}\n'
    write(tmp_path, {"main.tf": FUNCTION + call})
    assert list(functions(tmp_path)) == ["aws_lambda_function.api"]


def test_a_module_is_downloaded_also_if_only_another_module_calls_it(tmp_path: Path) -> None:
    write(tmp_path, {"main.tf": 'module "a" { source = "./a" }\n', "a/main.tf": ""})
    assert not calls_downloaded_modules(tmp_path)
    write(tmp_path, {"a/main.tf": 'module b {\n  source = "terraform-aws-modules/lambda/aws"\n}\n'})
    assert calls_downloaded_modules(tmp_path)


@pytest.mark.parametrize(
    ("name", "address", "code"),
    [
        ("module-label-unquoted", "module.service.aws_lambda_function.api", "service/src"),
        ("heredoc-end-with-spaces", "aws_lambda_function.api", "src"),
        ("vpc-of-dynamic-block", "aws_lambda_function.api", "src"),
        ("archive-resource", "aws_lambda_function.api", "src"),
        ("archive-source-block", "aws_lambda_function.api", "src"),
        ("code-by-s3", "aws_lambda_function.api", "src"),
        ("zip-by-literal-name", "aws_lambda_function.api", "src"),
        ("zip-by-local", "aws_lambda_function.api", "src"),
    ],
)
def test_a_configuration_that_was_misread_is_read(name: str, address: str, code: str) -> None:
    folder = CONFIGURATIONS / name
    if not folder.is_dir():
        pytest.skip(f"there is no {name}")
    found = functions(folder)
    assert list(found) == [address]
    function = found[address]
    assert function.path == (folder / code).resolve()
    assert function.handler is not None
    assert "vpc_config" not in function.attributes
    assert "vpc_config" not in function.undecided

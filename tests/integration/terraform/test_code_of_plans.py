"""Local code of functions, from plans that Terraform has made of real configurations."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from terralive_cli.configuration.tables import TerraformConfig
from terralive_cli.configuration.values import Config
from terralive_cli.functions.mapping import map_functions
from terralive_stub.shared.json_documents import as_object, items, parse_object
from terralive_terraform.discovery.files import Module, module_calls, modules_of
from terralive_terraform.evaluation.code import CodeNotFound, FoundCode, find_code
from terralive_terraform.evaluation.document import DATA, Evaluation
from terralive_terraform.evaluation.functions import planned_functions
from terralive_terraform.evaluation.merge import with_planned
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.images.builds import with_image_sources
from terralive_terraform.missing_builds.marks import NOT_BUILT, marked
from terralive_terraform.missing_builds.placeholders import MissingBuilds
from terralive_terraform.runs.environment import terraform_environment
from terralive_terraform.runs.runner import Terraform
from terralive_terraform.substitution.plain_app import PlainApp
from terralive_testing.deployers.terraform_account import aws_environment
from terralive_testing.drivers.team_repositories import (
    Expected,
    image_repository,
    typescript_monorepo,
    write,
)
from terralive_testing.machine.stand_in_providers import SHARED, with_stand_ins

CONFIGURATIONS = SHARED / "configurations"
API = "aws_lambda_function.api"
ARCHIVE = "archive_file data.archive_file.code"
HANDLER = "def handler(event, context):\n    return {name!r}\n"
# Configurations that Terraform plans, the function in each, and how its code in `src` is found.
# `handler-by-instance` is none of them: in one plan, its zip is that of `module-source-path`.
KINDS = {
    "archive-resource": (API, "archive_file archive_file.code"),
    "archive-source-block": (API, ARCHIVE),
    "code-by-s3": (API, ARCHIVE),
    "function-name-is-arn": (API, ARCHIVE),
    "heredoc-end-with-spaces": (API, ARCHIVE),
    "layer-only-module": (API, ARCHIVE),
    "module-label-unquoted": (
        "module.service.aws_lambda_function.api",
        "archive_file module.service.data.archive_file.code",
    ),
    "module-source-path": (
        "module.orders.aws_lambda_function.this",
        "archive_file module.orders.data.archive_file.code",
    ),
    "prebuilt-zip-beside-source": (API, "handler src/app.py, beside lambda.zip"),
    "runtime-from-variable": (API, ARCHIVE),
    "with-layer": (API, ARCHIVE),
    "zip-by-literal-name": (API, ARCHIVE),
    "zip-by-local": (API, ARCHIVE),
}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of Terraform with a sandbox and all providers."""
    work = tmp_path_factory.mktemp("account")
    environ = with_stand_ins(dict(os.environ), work)
    with aws_environment(work) as aws:
        names = {name: value for name, value in aws.items() if name.startswith("AWS_")}
        yield terraform_environment({**environ, **names}, work)


def evaluated(directory: Path, account: dict[str, str]) -> Evaluation:
    def terraform(*arguments: str) -> str:
        done = subprocess.run(
            ["terraform", *arguments],
            cwd=directory,
            env=account,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    terraform("init", "-input=false")
    terraform("plan", "-input=false", "-refresh=false", "-out=plan")
    return Evaluation(parse_object(terraform("show", "-json", "plan")), directory)


@pytest.fixture(scope="module")
def configurations(tmp_path_factory: pytest.TempPathFactory, account: dict[str, str]) -> Evaluation:
    """One plan of all configurations, each of them a module: a plan for each takes minutes."""
    directory = tmp_path_factory.mktemp("configurations")
    calls = ['provider "aws" {\n  region = "us-east-1"\n}']
    for name in KINDS:
        source = CONFIGURATIONS / name
        if not source.is_dir():
            pytest.skip(f"{source} is not on this machine")
        shutil.copytree(source, directory / name)
        main = directory / name / "main.tf"
        # A module has the provider of its root module.
        main.write_text(re.sub(r'provider "aws" \{[^}]*\}', "", main.read_text()))
        calls.append(f'module "{name}" {{\n  source = "./{name}"\n}}')
    write(directory / "main.tf", "\n".join(calls))
    return evaluated(directory, account)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", KINDS)
def test_the_code_of_a_configuration_is_found_with_no_edit(
    name: str, configurations: Evaluation
) -> None:
    address, found_by = KINDS[name]
    project = configurations.directory / name
    prefix = f"module.{name}."
    functions = [
        function
        for function in planned_functions(configurations)
        if function.address.startswith(prefix)
    ]
    code = find_code(configurations, functions, project)
    folder = project / "src"
    if name == "module-label-unquoted":
        folder = project / "service" / "src"
    kind, _, archive = found_by.partition(" ")
    if kind == "archive_file":
        found_by = f"{kind} {prefix}{archive}"
    assert code == {prefix + address: FoundCode(folder, found_by)}


@dataclass(frozen=True)
class Repositories:
    """One plan of three repositories, each of them a module: a plan for each takes long."""

    evaluation: Evaluation
    modules: tuple[Module, ...]
    expected: dict[str, Expected]

    def functions(self, name: str) -> list[PlannedFunction]:
        planned = planned_functions(self.evaluation)
        return [item for item in planned if item.address.startswith(f"module.{name}.")]

    def top(self, name: str) -> Path:
        return self.evaluation.directory / name

    def code(self, name: str) -> dict[str, FoundCode | CodeNotFound]:
        words: dict[str, Sequence[str]] = {}
        for module in self.modules:
            words.update(module.words)
        return find_code(self.evaluation, self.functions(name), self.top(name), words=words)


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory, account: dict[str, str]) -> Repositories:
    directory = tmp_path_factory.mktemp("repositories")
    names = [f"fn{number:02}" for number in range(10)]
    for name in names:
        write(directory / "thirty" / "functions" / name / "app.py", HANDLER.format(name=name))
    infra = directory / "thirty" / "infra"
    write(infra / "main.tf", THIRTY.format(names=json.dumps(names)))
    write(infra / "packaged" / "main.tf", PACKAGED)
    write(infra / "packaged" / "prepare.py", PREPARE)
    write(infra / "built" / "main.tf", BUILT)
    expected = {
        "images": image_repository(directory / "images"),
        "monorepo": typescript_monorepo(directory / "monorepo"),
    }
    calls = ['provider "aws" { region = "us-east-1" }']
    for name in ("thirty", *expected):
        calls.append(f'module "{name}" {{\n  source = "./{name}/infra"\n}}')
    write(directory / "main.tf", "\n".join(calls))
    evaluation = evaluated(directory, account)
    read = module_calls(directory, directory / ".terraform")
    return Repositories(evaluation, with_image_sources(modules_of(read), read), expected)


@pytest.mark.timeout(600)
def test_thirty_functions_of_modules_have_their_own_folders(repositories: Repositories) -> None:
    found = repositories.code("thirty")
    assert len(found) == 30
    for address, code in found.items():
        key = address.partition('["')[2].partition('"]')[0]
        assert isinstance(code, FoundCode), (address, code)
        assert code.path == repositories.top("thirty") / "functions" / key, (address, code)


@pytest.mark.timeout(600)
def test_the_functions_of_a_typescript_monorepo_are_live_or_come_with_their_build(
    repositories: Repositories,
) -> None:
    found = repositories.code("monorepo")
    expected = repositories.expected["monorepo"]
    assert len(found) == 10
    handlers = {item.address: item.handler for item in repositories.functions("monorepo")}
    live: dict[str, tuple[str, str]] = {}
    lines: dict[str, tuple[str, ...]] = {}
    for address, code in found.items():
        name = address.removeprefix("module.monorepo.")
        if isinstance(code, FoundCode):
            folder = code.path.relative_to(repositories.top("monorepo")).as_posix()
            live[name] = (folder, code.handler or handlers[address] or "")
        else:
            lines[name] = code.settings
    assert live == expected.live
    assert lines == expected.lines


@pytest.mark.timeout(600)
def test_container_images_are_live_by_their_dockerfiles_or_say_what_they_need(
    repositories: Repositories,
) -> None:
    project = repositories.top("images")
    functions = repositories.functions("images")
    declared = [item for module in repositories.modules for item in module.functions]
    evaluated_functions = [
        item
        for item in with_planned(declared, functions)
        if item.address.startswith("module.images.")
    ]
    own = Config(project, "orders", "dev", "ana", TerraformConfig(project))
    mapped = map_functions(own, evaluated_functions, repositories.code("images"))
    prefix = "module.images."
    live = {
        address.removeprefix(prefix): (code.path.relative_to(project).as_posix(), code.handler)
        for address, code in mapped.code.items()
    }
    expected = repositories.expected["images"]
    assert len(functions) == 12
    assert live == expected.live
    reasons = {address.removeprefix(prefix): item for address, item in mapped.unmapped.items()}
    assert reasons.keys() == {*expected.lines, *expected.reasons}
    for address, needed in expected.lines.items():
        assert reasons[address].lines[1:] == needed
    for address, reason in expected.reasons.items():
        assert reasons[address].reason.startswith(reason)


@pytest.mark.timeout(300)
def test_what_is_built_keeps_its_value_where_other_builds_are_missing(
    account: dict[str, str], tmp_path: Path
) -> None:
    """Also where instances of one block, or of one module, differ."""
    app_folder = tmp_path / "app"
    write(app_folder / "main.tf", PARTLY_BUILT)
    write(app_folder / "job" / "main.tf", JOB)
    write(app_folder / "job" / "a" / "app.py", HANDLER.format(name="a"))
    write(app_folder / "texts" / "a.txt", "a")
    zips = {"build/a.zip": "", "build/b.zip": "the team's own"}
    for name, content in zips.items():
        write(app_folder / name, content)
    with PlainApp(app_folder, "terraform").opened(tmp_path / "work", account) as app:
        selection = app.discovered(None)
        builds = MissingBuilds(selection.modules, selection.directory, tmp_path / "not-built")

        def terraform() -> Terraform:
            prepared = app.prepared(selection.with_placeholders(builds.substitutions()))
            return prepared.terraform("terraform", account, lambda _: None)

        first = terraform()
        first.ensure_init()
        made = builds.run(
            first, lambda run: run.evaluate(tmp_path / "plan", builds.corrected), terraform
        )

    assert builds.error is not None
    assert "could not archive missing directory" not in builds.error.message, "of a later round"
    archives = {
        item.address: item.values for item in made.evaluation.instances("archive_file", DATA)
    }
    built, missing = (
        archives[f'module.job["{name}"].data.archive_file.code'] for name in ("a", "b")
    )
    assert (built["source_dir"], missing["source_dir"]) == ("job/a", "job/b")
    assert built["output_path"] == "./build/a.zip"
    assert str(missing["output_path"]).startswith(f"{tmp_path}/not-built/")
    assert (app_folder / "build" / "a.zip").stat().st_size > 0
    assert (app_folder / "build" / "b.zip").read_text() == "the team's own"
    texts = [
        as_object(source).get("content")
        for name in ("a", "b")
        for source in items(archives[f'data.archive_file.texts["{name}"]'], "source")
    ]
    assert texts == ["a", NOT_BUILT]
    # Only what depends on a placeholder would be changed by one.
    assert marked(made.shown, tmp_path / "not-built").keys() == {
        'module.job["b"].terraform_data.zip',
        'terraform_data.texts["b"]',
        "terraform_data.local",
    }
    assert not list(app_folder.glob("*terralive*"))


PARTLY_BUILT = """
module "job" {
  source   = "./job"
  for_each = toset(["a", "b"])
  name     = each.key
}

data "archive_file" "texts" {
  for_each    = toset(["a", "b"])
  type        = "zip"
  output_path = "build/texts-${each.key}.zip"

  source {
    content  = file("${path.module}/texts/${each.key}.txt")
    filename = "text.txt"
  }
}

resource "terraform_data" "texts" {
  for_each = data.archive_file.texts
  input    = each.value.output_base64sha256
}

locals {
  sum = filebase64sha256("build/vendor.zip")
}

resource "terraform_data" "local" {
  input = "sum-${local.sum}"
}
"""
JOB = """
variable "name" {}

data "archive_file" "code" {
  type        = "zip"
  source_dir  = "${path.module}/${var.name}"
  output_path = "${path.root}/build/${var.name}.zip"
}

resource "terraform_data" "zip" {
  input = data.archive_file.code.output_path
}
"""
THIRTY = """
locals {{ names = toset({names}) }}

data "archive_file" "code" {{
  for_each    = local.names
  type        = "zip"
  source_dir  = "${{path.module}}/../functions/${{each.key}}"
  output_path = "${{path.module}}/zips/${{each.key}}.zip"
}}

resource "aws_lambda_function" "archived" {{
  for_each      = local.names
  function_name = "archived-${{each.key}}"
  role          = "arn:aws:iam::123456789012:role/fn"
  handler       = "app.handler"
  runtime       = "python3.13"
  filename      = data.archive_file.code[each.key].output_path
}}

module "packaged" {{
  for_each    = local.names
  source      = "./packaged"
  name        = each.key
  source_path = [{{ path = "${{path.module}}/../functions/${{each.key}}" }}]
}}

module "built" {{
  for_each   = local.names
  source     = "./built"
  name       = each.key
  source_dir = abspath("${{path.module}}/../functions/${{each.key}}")
}}
"""

# As terraform-aws-modules/lambda does it: a program names the zip, and an apply makes it.
PACKAGED = """
variable "name" { type = string }
variable "source_path" { type = any }

data "external" "archive_prepare" {
  count   = 1
  program = ["python3", "${path.module}/prepare.py"]
  query   = { source_path = jsonencode(var.source_path) }
}

resource "null_resource" "archive" {
  triggers = { filename = data.external.archive_prepare[0].result.filename }
}

resource "aws_lambda_function" "this" {
  count         = 1
  function_name = "packaged-${var.name}"
  role          = "arn:aws:iam::123456789012:role/fn"
  handler       = "app.handler"
  runtime       = "python3.13"
  filename      = data.external.archive_prepare[0].result.filename
  depends_on    = [null_resource.archive]
}
"""
PREPARE = """
import hashlib, json, sys
source = json.load(sys.stdin)["source_path"]
print(json.dumps({"filename": f"builds/{hashlib.sha256(source.encode()).hexdigest()}.zip"}))
"""

# An archive of a folder that an apply makes: Terraform cannot read it while it plans.
BUILT = """
variable "name" { type = string }
variable "source_dir" { type = string }

resource "null_resource" "build" {
  triggers = { source = var.source_dir }
  provisioner "local-exec" {
    command = "cp -r ${var.source_dir} ${path.module}/out"
  }
}

data "archive_file" "code" {
  type        = "zip"
  source_dir  = "${path.module}/out/${var.name}"
  output_path = "${path.module}/${var.name}.zip"
  depends_on  = [null_resource.build]
}

resource "aws_lambda_function" "this" {
  function_name = "built-${var.name}"
  role          = "arn:aws:iam::123456789012:role/fn"
  handler       = "app.handler"
  runtime       = "python3.13"
  filename      = data.archive_file.code.output_path
}
"""

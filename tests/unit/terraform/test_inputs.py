"""Files that a configuration reads, and what makes a plan differ although no file has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_stub.shared.json_documents import Json
from terralive_terraform.discovery.files import module_calls
from terralive_terraform.evaluation.document import Evaluation
from terralive_terraform.inputs import configuration, data_sources
from terralive_terraform.inputs.calls import Kind, Read, Undecided
from terralive_terraform.output.json_output import FinishedRun
from terralive_terraform.output.plans import read_plan
from terralive_terraform.output.progress import Change, ResourceProgress, ResourceState


def reads(root: Path, terraform: str) -> list[Read | Undecided]:
    """Write the root module, and return what it reads."""
    (root / "main.tf").write_text(terraform, "utf-8")
    calls = module_calls(root, root / ".terraform")
    return list(configuration.reads_of(calls, root))


def value(expression: str) -> str:
    return f"locals {{\n  value = {expression}\n}}\n"


@pytest.mark.parametrize(
    ("expression", "path"),
    [
        ('file("${path.module}/policy.json")', "./policy.json"),
        ('filebase64("../shared/logo.png")', "../shared/logo.png"),
        ('fileexists("a.txt")', "a.txt"),
        ('upper(trimspace(file("${path.root}/a.txt")))', "./a.txt"),
        ('[for name in ["a"] : merge({}, jsondecode(file("a.json")))]', "a.json"),
        ('"text ${file("a.txt")} text"', "a.txt"),
        ('core::file("a.txt")', "a.txt"),
        ('file(pathexpand("~/.ssh/id.pub"))', "~/.ssh/id.pub"),
    ],
)
def test_a_file_whose_path_is_known_is_read(tmp_path: Path, expression: str, path: str) -> None:
    assert reads(tmp_path, value(expression)) == [Read(path, Kind.CONTENT, is_file=True)]


@pytest.mark.parametrize(
    "function",
    ["filemd5", "filesha1", "filesha256", "filesha512", "filebase64sha256", "filebase64sha512"],
)
def test_of_some_files_only_the_hash_is_read(tmp_path: Path, function: str) -> None:
    found = reads(tmp_path, value(f'{function}("dist/api.zip")'))
    assert found == [Read("dist/api.zip", Kind.HASH, is_file=True)]


def test_of_a_fileset_the_names_are_read(tmp_path: Path) -> None:
    found = reads(tmp_path, value('fileset("${path.module}/src", "*/app.py")'))
    assert found == [Read("./src", Kind.NAMES, is_file=False)]


@pytest.mark.parametrize(
    ("expression", "folder"),
    [
        ('file("${path.module}/policies/${each.key}.json")', "./policies"),
        ('file("../shared/p-${each.key}.json")', "../shared"),
        ('file("p-${each.key}.json")', "."),
        ('[for f in fileset("x", "*") : file("x/${f}")]', "x"),
        ('file(each.key == "a" ? "x/${each.key}" : "x/b-${each.key}")', "x"),
    ],
)
def test_a_folder_is_read_where_only_terraform_knows_the_names_of_the_files(
    tmp_path: Path, expression: str, folder: str
) -> None:
    assert Read(folder, Kind.CONTENT, is_file=False) in reads(tmp_path, value(expression))


def test_local_values_and_variables_are_followed(tmp_path: Path) -> None:
    terraform = """
variable "folder" { default = "../config" }
locals {
  base  = "${var.folder}/${terraform.workspace}"
  value = file(local.base)
  other = file("${var.folder}/all.json")
}
"""
    assert reads(tmp_path, terraform) == [
        Read("../config", Kind.CONTENT, is_file=False),
        Read("../config/all.json", Kind.CONTENT, is_file=True),
    ]


@pytest.mark.parametrize(
    "expression",
    [
        "file(each.value)",
        "file(var.unknown)",
        'file("${each.key}/a")',
        "[for f in local.x : file(f)]",
    ],
)
def test_a_file_that_only_terraform_knows_is_undecided(tmp_path: Path, expression: str) -> None:
    found = reads(tmp_path, value(expression))
    assert [type(item) for item in found] == [Undecided]


@pytest.mark.parametrize(
    "expression",
    [
        "timestamp()",
        'formatdate("YYYY", plantimestamp())',
        "uuid()",
        'bcrypt("x")',
        'provider::http::get("x")',
        "[for x in var.y : timestamp()]",
    ],
)
def test_what_has_another_value_in_every_plan_is_undecided(tmp_path: Path, expression: str) -> None:
    found = reads(tmp_path, value(expression))
    assert any(isinstance(item, Undecided) for item in found)


@pytest.mark.parametrize(
    "expression",
    [
        "local.file",
        'my_file("x")',
        'timeadd("a", "1h")',
        'provider::aws::arn_parse("a")',
        '"file(x)"',
    ],
)
def test_other_expressions_read_nothing(tmp_path: Path, expression: str) -> None:
    assert reads(tmp_path, value(expression)) == []


def test_a_template_may_read_more(tmp_path: Path) -> None:
    (tmp_path / "a.tftpl").write_text('x = ${file("inner.txt")}, ${timestamp()}', "utf-8")
    assert reads(tmp_path, value('templatefile("a.tftpl", {})')) == [
        Read("a.tftpl", Kind.TEMPLATE, is_file=True),
        Read("inner.txt", Kind.CONTENT, is_file=True),
        Undecided("timestamp() has another value in every plan"),
    ]


def test_a_template_in_a_folder_below_and_a_long_one_may_read_more_too(tmp_path: Path) -> None:
    below = tmp_path / "templates" / "web"
    below.mkdir(parents=True)
    (below / "a.tftpl").write_text("${timestamp()}", "utf-8")
    (below / "b.tftpl").write_text("x" * 2_000_000, "utf-8")

    found = reads(tmp_path, value('templatefile("templates/${each.key}/a.tftpl", {})'))

    assert [item.reason for item in found if isinstance(item, Undecided)] == [
        "timestamp() has another value in every plan",
        "the template b.tftpl is too long to look for what it reads",
    ]


def test_modules_read_files_with_the_values_of_their_calls(tmp_path: Path) -> None:
    module = tmp_path / "modules" / "one"
    module.mkdir(parents=True)
    (module / "main.tf").write_text(
        'variable "name" {}\nlocals {\n  a = file("${path.module}/${var.name}.json")\n}\n', "utf-8"
    )
    found = reads(tmp_path, 'module "one" {\n  source = "./modules/one"\n  name = "x"\n}\n')
    assert found == [Read("modules/one/x.json", Kind.CONTENT, is_file=True)]


def test_what_cannot_be_read_is_undecided(tmp_path: Path) -> None:
    found = reads(tmp_path, 'resource "aws_sqs_queue" "a" {\n  name = \n}\n')
    assert [type(item) for item in found] == [Undecided]


def test_an_ephemeral_resource_is_undecided(tmp_path: Path) -> None:
    found = reads(tmp_path, 'ephemeral "aws_secretsmanager_secret_version" "a" {}\n')
    assert [type(item) for item in found] == [Undecided]


def test_json_syntax_is_read_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "more.tf.json").write_text('{"locals": {"a": "${file(\\"a.txt\\")}"}}', "utf-8")
    assert reads(tmp_path, "") == [Read("a.txt", Kind.CONTENT, is_file=True)]


# Data sources


READ = {"data.external.x", "data.archive_file.x", "data.archive_file.x1", "data.local_file.x"}


def evaluation(*sources: dict[str, Json]) -> Evaluation:
    """Return a plan whose data sources were read."""
    several: list[Json] = []
    for number, item in enumerate(sources):
        kind = item.pop("type")
        address = f"data.{kind}.x{number or ''}"
        several.append({"mode": "data", "type": kind, "address": address, "values": item})
    document: dict[str, Json] = {
        "prior_state": {"values": {"root_module": {"resources": several}}},
    }
    return Evaluation(document, Path("/app"))


@pytest.mark.parametrize(
    "kind",
    [
        "aws_caller_identity",
        "aws_iam_policy_document",
        "aws_partition",
        "aws_region",
    ],
)
def test_data_sources_that_only_compute_are_no_matter(kind: str) -> None:
    assert list(data_sources.reads_of(evaluation({"type": kind}), {f"data.{kind}.x"})) == []


@pytest.mark.parametrize(
    "kind",
    [
        "aws_ami",
        "aws_lambda_invocation",
        "aws_ssm_parameter",
        "aws_vpc",
        "external",
        "http",
        "terraform_remote_state",
        "something_new",
    ],
)
def test_data_sources_that_look_at_the_world_are_undecided(kind: str) -> None:
    found = list(data_sources.reads_of(evaluation({"type": kind}), {f"data.{kind}.x"}))
    assert found == [Undecided(f"data.{kind}.x may have another value now")]


def test_data_sources_that_no_live_function_depends_on_are_no_matter() -> None:
    assert list(data_sources.reads_of(evaluation({"type": "aws_vpc"}), set())) == []


def test_a_plan_lists_the_data_sources_that_it_reads_and_that_an_apply_reads() -> None:
    run = FinishedRun(
        0,
        [
            ResourceProgress("data.aws_vpc.now", "read", ResourceState.STARTED),
            ResourceProgress("data.aws_vpc.now", "read", ResourceState.DONE),
            Change("data.aws_vpc.later", "read", "aws_vpc"),
            Change("aws_vpc.new", "create", "aws_vpc"),
        ],
        "",
    )
    assert read_plan(run, Path("x")).reads == {"data.aws_vpc.now", "data.aws_vpc.later"}


def test_archives_read_what_they_are_made_of() -> None:
    plan = evaluation(
        {"type": "archive_file", "source_dir": "../src", "output_path": "a.zip"},
        {"type": "archive_file", "source_file": "b.py", "output_path": "b.zip"},
    )
    assert list(data_sources.reads_of(plan, READ)) == [
        Read("../src", Kind.HASH, is_file=False),
        Read("b.py", Kind.HASH, is_file=True),
    ]
    assert list(data_sources.archive_files(plan)) == ["a.zip", "b.zip"]


def test_local_files_are_read() -> None:
    plan = evaluation({"type": "local_file", "filename": "../a.json"})
    assert list(data_sources.reads_of(plan, READ)) == [
        Read("../a.json", Kind.CONTENT, is_file=True)
    ]


def test_the_program_of_terraform_aws_modules_only_hashes_a_package() -> None:
    program: list[Json] = ["python3", ".terraform/modules/api/package.py", "prepare"]
    query: dict[str, Json] = {"source_path": "src"}
    plan = evaluation({"type": "external", "program": program, "query": query})
    assert list(data_sources.reads_of(plan, READ)) == []

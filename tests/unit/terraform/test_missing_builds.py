"""Plans of apps in which files are missing that a build makes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from terralive_stub.shared.json_documents import Json
from terralive_terraform.addresses import LOCALS
from terralive_terraform.discovery.files import Module
from terralive_terraform.missing_builds.expressions import native_expression, reads_file
from terralive_terraform.missing_builds.marks import NOT_BUILT, MissingSource, corrected
from terralive_terraform.missing_builds.placeholders import MissingBuilds
from terralive_terraform.output.failures import BuildMissingError, failure
from terralive_terraform.output.progress import Diagnostic, parse_line
from terralive_terraform.output.shown_plan import PlannedResource, ShownPlan
from terralive_terraform.substitution.rules import override_document

FOLDER = Path("/stage/not-built")
OUTPUT = "build/web.zip"
SHA1 = hashlib.sha1(OUTPUT.encode()).hexdigest()  # noqa: S324  # as Terraform's sha1()
ZIP = f"{FOLDER}/zips/{SHA1}/web.zip"
FUNCTION = "aws_lambda_function.web"
PLACEHOLDER: dict[str, Json] = {
    "output_path": ZIP,
    "output_base64sha256": "c3VtIG9mIHRoZSBwbGFjZWhvbGRlcg==",
    "source_dir": f"{FOLDER}/source",
}
BLOCKS: dict[str, dict[str, Json]] = {
    LOCALS: {"zip": "x.zip", "sum": '${filemd5("x.zip")}'},
    "data.archive_file.web": {
        "type": "zip",
        "source_dir": "${path.module}/dist/${each.key}",
        "output_path": "${local.zip}",
    },
    "data.archive_file.texts": {
        "output_path": "texts.zip",
        "source": [
            {"content": '${file("a.py")}', "filename": "a.py"},
            {"content": "made here", "filename": "b.py"},
        ],
    },
    FUNCTION: {
        "filename": "x.zip",
        "source_code_hash": '${filebase64sha256("x.zip")}',
        "lifecycle": [{"ignore_changes": ["${tags}"]}],
    },
}


def missing(address: str, path: str) -> Diagnostic:
    detail = f"error creating archive: could not archive missing directory: {path}"
    return Diagnostic("error", "Archive creation error", detail, address, "main.tf:1")


def unread(block: str, where: str = "main.tf:9") -> Diagnostic:
    detail = 'Call to function "filebase64sha256" failed: open x.zip: no such file or directory.'
    return Diagnostic("error", "Error in function call", detail, where=where, block=block)


def builds(folder: Path = FOLDER) -> MissingBuilds:
    jobs = {f"module.{name}.{FUNCTION}": BLOCKS[FUNCTION] for name in ("a", "b")}
    modules = (
        Module(Path("/app"), (), blocks=BLOCKS),
        Module(Path("/app/jobs"), (), blocks=jobs),
    )
    return MissingBuilds(modules, Path("/app"), folder)


def fails_until(*needed: Diagnostic) -> Callable[[MissingBuilds], str]:
    """Return a plan that names one missing file after the other, in rounds."""
    rounds = list(needed)

    def plan(known: MissingBuilds) -> str:
        del known
        if rounds:
            raise failure("plan", [rounds.pop(0)], "")
        return "planned"

    return plan


def test_an_app_is_planned_again_until_nothing_more_is_missing(tmp_path: Path) -> None:
    found = builds(tmp_path)
    plan = fails_until(
        unread(FUNCTION),
        missing('data.archive_file.web["a"]', "./dist/a"),
        missing('data.archive_file.web["b"]', "./dist/b"),
    )
    assert found.run(found, plan, lambda: found) == "planned"
    assert found.substitutions().keys() == {FUNCTION, "data.archive_file.web"}
    assert [file.name for file in (tmp_path / "source").iterdir()] == ["not-built.txt"]


@pytest.mark.parametrize(
    "diagnostic",
    [
        missing("data.archive_file.other", "dist"),
        unread("aws_iam_policy.read"),
        unread(FUNCTION, "elsewhere/main.tf:9"),
        unread("locals", "jobs/main.tf:2"),
    ],
)
def test_what_no_placeholder_can_stand_for_is_terraforms_error(
    tmp_path: Path, diagnostic: Diagnostic
) -> None:
    found = builds(tmp_path)
    plan = fails_until(unread(FUNCTION), diagnostic)
    with pytest.raises(BuildMissingError, match=r"x\.zip") as raised:
        found.run(found, plan, lambda: found)
    assert raised.value is found.error
    assert raised.value.diagnostics == (unread(FUNCTION),)


def test_an_archive_keeps_its_source_and_its_zip_where_they_are_there(tmp_path: Path) -> None:
    found = builds(tmp_path)
    found.run(found, fails_until(missing('data.archive_file.web["a"]', "./dist/a")), lambda: found)
    changes = found.substitutions()["data.archive_file.web"].set
    expression = '"${path.module}/dist/${each.key}"'
    condition = f'try(contains(["./dist/a"], {expression}), false)'
    own = tmp_path.resolve()
    assert changes == {
        "source_dir": f'${{{condition} ? "{own}/source" : try({expression}, null)}}',
        "output_path": f'${{{condition} ? "{own}/zips/${{sha1((local.zip))}}/'
        '${basename((local.zip))}" : (local.zip)}',
    }


def test_a_file_in_a_source_block_has_a_text_in_its_place(tmp_path: Path) -> None:
    found = builds(tmp_path)
    found.run(found, fails_until(unread("data.archive_file.texts")), lambda: found)
    change = found.substitutions()["data.archive_file.texts"]
    assert change.blocks["source"] == [
        {"content": f'${{try((file("a.py")), "{NOT_BUILT}")}}', "filename": "a.py"},
        {"content": "made here", "filename": "b.py"},
    ]
    output = change.set["output_path"]
    assert isinstance(output, str)
    assert output.startswith('${!can((file("a.py"))) ? ')


def test_a_hash_of_a_missing_file_has_a_text_in_its_place_in_all_calls_of_the_module(
    tmp_path: Path,
) -> None:
    found = builds(tmp_path)
    found.run(found, fails_until(unread(FUNCTION, "jobs/main.tf:3")), lambda: found)
    changes = found.substitutions()
    assert changes.keys() == {f"module.a.{FUNCTION}", f"module.b.{FUNCTION}"}
    for change in changes.values():
        assert change.set == {
            "source_code_hash": f'${{try((filebase64sha256("x.zip")), "{NOT_BUILT}")}}'
        }


def test_a_local_value_of_a_missing_file_has_a_text_in_its_place(tmp_path: Path) -> None:
    found = builds(tmp_path)
    found.run(found, fails_until(unread("locals")), lambda: found)
    override = override_document(found.substitutions())
    assert override == {"locals": {"sum": f'${{try((filemd5("x.zip")), "{NOT_BUILT}")}}'}}


def shown(
    action: str, before: dict[str, Json], after: dict[str, Json], address: str = FUNCTION
) -> ShownPlan:
    resource = PlannedResource(address, "aws_lambda_function", action, before, after)
    return ShownPlan((resource,), is_first=False, archives=(PLACEHOLDER,))


@pytest.mark.parametrize(
    "value",
    [
        {"filename": ZIP},
        {"filename": OUTPUT},
        {"source_code_hash": PLACEHOLDER["output_base64sha256"]},
        {"source_code_hash": NOT_BUILT},
        {"tags": {"code": f"sum-{PLACEHOLDER['output_base64sha256']}"}},
    ],
)
def test_a_plan_that_would_apply_a_placeholder_is_refused(
    tmp_path: Path, value: dict[str, Json]
) -> None:
    found = builds(tmp_path)
    found.run(found, fails_until(unread(FUNCTION)), lambda: found)
    marked = MissingBuilds((), Path("/app"), FOLDER)
    marked.error = found.error
    for plan in (shown("create", {}, value), shown("update", {"timeout": 3}, value)):
        with pytest.raises(BuildMissingError):
            marked.require_untouched(plan)
    marked.require_untouched(shown("no-op", value, value))
    marked.require_untouched(shown("update", {"timeout": 3, **value}, {"timeout": 4, **value}))


def test_the_error_is_about_what_would_be_made_of_a_placeholder() -> None:
    """Other functions with missing builds are live, and need none."""
    found = builds()
    others = f"module.a.{FUNCTION}"
    found.run(
        found, fails_until(unread(FUNCTION, "jobs/main.tf:3"), unread(FUNCTION)), lambda: found
    )
    with pytest.raises(BuildMissingError) as caught:
        found.require_untouched(shown("create", {}, {"filename": ZIP}, others))
    assert "at jobs/main.tf:3" in caught.value.message
    assert "at main.tf:9" not in caught.value.message
    assert f"{others} cannot be made without it" in caught.value.hint


def test_a_deployed_function_keeps_its_code_and_what_it_ignored_before() -> None:
    plan = shown("update", {"filename": OUTPUT}, {"filename": ZIP})
    found = builds()
    assert found.keep(plan, [FUNCTION])
    assert not found.keep(plan, [FUNCTION]), "nothing more"
    change = found.substitutions()[FUNCTION]
    assert change.blocks == {"lifecycle": [{"ignore_changes": ["tags", "filename"]}]}


def test_a_function_that_carries_a_stub_is_not_left_with_half_of_its_own() -> None:
    found = builds()
    assert not found.keep(shown("update", {"filename": "stub.zip"}, {"filename": ZIP}), [])
    assert found.substitutions() == {}


def test_a_plans_document_names_what_is_missing_and_not_the_placeholder() -> None:
    address = 'module.web["a"].data.archive_file.web'
    resource: Json = {"address": address, "type": "archive_file", "values": {**PLACEHOLDER}}
    module: Json = {"address": 'module.web["a"]', "resources": [resource]}
    change: Json = {"change": {"after": {"filename": OUTPUT}}}
    document: dict[str, Json] = {
        "prior_state": {"values": {"root_module": {"child_modules": [module]}}},
        "resource_changes": [change],
    }
    real = corrected(document, {address: MissingSource("source_dir", "dist/a")}, FOLDER)
    text = str(real)
    assert str(FOLDER) not in text
    assert "'source_dir': 'dist/a'" in text
    assert f"'output_path': '{OUTPUT}'" in text


@pytest.mark.parametrize(
    ("value", "expression"),
    [
        ("dist/web", '"dist/web"'),
        ("${local.dir}", "(local.dir)"),
        ("${local.dir}/${each.key}", '"${local.dir}/${each.key}"'),
        ('${lookup(var.dirs, "a")}/x', '"${lookup(var.dirs, "a")}/x"'),
        ('say "${var.name}"\n', '"say \\"${var.name}\\"\\n"'),
        ("$${not}", '"$${not}"'),
        ("${broken", None),
        (3, None),
    ],
)
def test_a_text_of_json_syntax_is_written_as_an_expression(
    value: Json, expression: str | None
) -> None:
    assert native_expression(value) == expression


def test_functions_that_read_files_are_told_from_those_that_look_for_them() -> None:
    assert reads_file('${file("a")}')
    assert reads_file('${upper(filemd5("a"))}')
    assert not reads_file('${fileexists("a") ? 1 : 0}')
    assert not reads_file('${join("", fileset("a", "*"))}')
    assert not reads_file("profile (x)")


@pytest.mark.parametrize(
    ("context", "block"),
    [
        ('resource "aws_lambda_function" "web"', "aws_lambda_function.web"),
        ("resource.aws_lambda_function.web", "aws_lambda_function.web"),
        ('data "archive_file" "web"', "data.archive_file.web"),
        ("locals", "locals"),
    ],
)
def test_the_block_of_an_error_is_known_by_what_terraform_quotes(context: str, block: str) -> None:
    line = (
        '{"type": "diagnostic", "diagnostic": {"severity": "error", "summary": "S", "detail": "D", '
        f'"snippet": {{"context": "{context.replace(chr(34), chr(92) + chr(34))}"}}}}}}'
    )
    event = parse_line(line)
    assert isinstance(event, Diagnostic)
    assert event.block == block

"""Local code of the functions of a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_stub.shared.json_documents import Json
from terralive_terraform.evaluation.code import CodeNotFound, FoundCode, find_code
from terralive_terraform.evaluation.functions import planned_functions
from terralive_testing.fakes.plan_document import PlanDocument, References

API = "aws_lambda_function.api"
CODE = "data.archive_file.code"
PYTHON: dict[str, Json] = {"handler": "app.handler", "runtime": "python3.13"}
HANDLER = "def handler(event, context):\n    return 1\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with `src/app.py`."""
    write(tmp_path / "src" / "app.py", HANDLER)
    return tmp_path


def write(file: Path, content: str = "") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def found(plan: PlanDocument, project: Path, address: str = API) -> FoundCode | CodeNotFound:
    evaluation = plan.evaluation(project)
    return find_code(evaluation, planned_functions(evaluation), project)[address]


def function(
    plan: PlanDocument,
    address: str = API,
    *,
    references: References | None = None,
    unknown: tuple[str, ...] = (),
    **values: Json,
) -> None:
    not_known: dict[str, Json] = dict.fromkeys(unknown, True)
    plan.managed(address, {**PYTHON, **values}, unknown=not_known, references=references)


@pytest.mark.parametrize(
    "source",
    [
        {"source_dir": "./src"},
        {"source_file": "src/app.py"},
        {"source_content": HANDLER, "source_content_filename": "app.py"},
        {"source": [{"content": HANDLER, "filename": "app.py"}]},
    ],
)
@pytest.mark.parametrize("address", ["archive_file.code", "data.archive_file.code"])
def test_the_code_of_an_archive_is_what_the_archive_is_made_of(
    project: Path, source: dict[str, Json], address: str
) -> None:
    plan = PlanDocument()
    function(plan, filename="./code.zip")
    add = plan.data if address.startswith("data.") else plan.managed
    add(address, {"output_path": "code.zip", **source})
    assert found(plan, project) == FoundCode(project / "src", f"archive_file {address}")


def test_an_archive_is_found_by_its_sum(project: Path) -> None:
    plan = PlanDocument()
    function(plan, filename="built-by-a-script.zip", source_code_hash="c3Vt")
    sums: dict[str, Json] = {"output_path": "/dev/null", "output_base64sha256": "c3Vt"}
    plan.data(CODE, {"source_dir": "src", **sums})
    assert found(plan, project) == FoundCode(project / "src", f"archive_file {CODE}")


def test_an_archive_behind_an_s3_object_is_found(project: Path) -> None:
    plan = PlanDocument()
    function(plan, s3_key="code.zip", unknown=("s3_bucket",))
    plan.managed("aws_s3_object.code", {"key": "code.zip", "source": "code.zip"})
    plan.data(CODE, {"source_dir": "src", "output_path": "code.zip"})
    assert found(plan, project) == FoundCode(project / "src", f"archive_file {CODE}")


def test_an_archive_whose_values_are_not_known_is_found_by_references(project: Path) -> None:
    plan = PlanDocument()
    function(
        plan,
        "module.fn.aws_lambda_function.api",
        unknown=("filename",),
        references={"filename": ["var.zip"]},
    )
    plan.call("module.fn", {"zip": ["module.package.zip"]})
    plan.output("module.package", "zip", ["data.archive_file.code.output_path"])
    plan.data("module.package.data.archive_file.code", {"source_dir": "src"})
    assert found(plan, project, "module.fn.aws_lambda_function.api") == FoundCode(
        project / "src", "archive_file module.package.data.archive_file.code"
    )


def test_each_instance_has_the_archive_of_its_own_key(project: Path) -> None:
    plan = PlanDocument()
    for key in ("a", "b"):
        write(project / key / "app.py", HANDLER)
        function(
            plan,
            f'{API}["{key}"]',
            unknown=("filename",),
            references={"filename": ["data.archive_file.code", "each.key"]},
        )
        plan.data(f'{CODE}["{key}"]', {"source_dir": key})
    for key in ("a", "b"):
        code = found(plan, project, f'{API}["{key}"]')
        assert code == FoundCode(project / key, f'archive_file {CODE}["{key}"]')

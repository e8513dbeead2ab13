"""Layers of the functions of a plan, and what they are made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from terralive_stub.shared.json_documents import Json
from terralive_terraform.evaluation.layers import PlannedLayer, find_layers
from terralive_terraform.evaluation.sources.layouts import folder_entry
from terralive_testing.fakes.plan_document import PlanDocument, References

API = "aws_lambda_function.api"
SHARED = "aws_lambda_layer_version.shared"
OTHER = "aws_lambda_layer_version.other"
POWERTOOLS = "arn:aws:lambda:eu-west-1:017000801446:layer:AWSLambdaPowertoolsPythonV3:7"


def function(
    plan: PlanDocument,
    layers: Json = None,
    *,
    address: str = API,
    unknown: Json = None,
    references: References | None = None,
) -> None:
    not_known: dict[str, Json] = {}
    if unknown is not None:
        not_known["layers"] = unknown
    plan.managed(address, {"layers": layers}, unknown=not_known, references=references)


def layer(plan: PlanDocument, folder: str, address: str = SHARED, arn: str = "") -> None:
    """Add a layer version that an `archive_file` of a folder is made into."""
    values: dict[str, Json] = {"filename": f"{folder}.zip"}
    not_known: dict[str, Json] = {"arn": True}
    if arn:
        values["arn"] = arn
        not_known = {}
    plan.managed(address, values, unknown=not_known)
    name = address.replace("aws_lambda_layer_version", "archive_file")
    module, _, kind = name.rpartition("archive_file")
    archive = f"{module}data.archive_file{kind}"
    plan.data(archive, {"output_path": f"{folder}.zip", "source_dir": folder})


def layers_of(plan: PlanDocument, project: Path, address: str = API) -> list[PlannedLayer]:
    return list(find_layers(plan.evaluation(project), project).get(address, ()))


def test_a_layer_that_is_deployed_is_the_one_of_its_arn(tmp_path: Path) -> None:
    plan = PlanDocument()
    arn = "arn:aws:lambda:eu-west-1:123456789012:layer:shared:3"
    layer(plan, "layer", arn=arn)
    function(plan, [POWERTOOLS, arn])
    literal, own = layers_of(plan, tmp_path)
    assert literal == PlannedLayer(POWERTOOLS, POWERTOOLS)
    assert own == PlannedLayer(SHARED, entries=(folder_entry(tmp_path / "layer"),))


def test_layers_that_an_apply_creates_keep_their_order_beside_literal_ones(tmp_path: Path) -> None:
    plan = PlanDocument()
    layer(plan, "one")
    layer(plan, "two", OTHER)
    function(
        plan,
        [None, POWERTOOLS, None],
        unknown=[True, False, True],
        references={"layers": [f"{OTHER}.arn", f"{SHARED}.arn"]},
    )
    assert [item.name for item in layers_of(plan, tmp_path)] == [OTHER, POWERTOOLS, SHARED]


def test_a_layer_that_a_local_value_names_is_the_only_one_that_is_new(tmp_path: Path) -> None:
    plan = PlanDocument()
    layer(plan, "layer")
    function(plan, unknown=True, references={"layers": ["local.layers"]})
    (own,) = layers_of(plan, tmp_path)
    assert own.entries == (folder_entry(tmp_path / "layer"),)
    assert own.undecided
    assert own.note.startswith("only an apply tells whether there are others")


def test_layers_that_only_an_apply_tells_are_named(tmp_path: Path) -> None:
    plan = PlanDocument()
    layer(plan, "one")
    layer(plan, "two", OTHER)
    function(plan, unknown=True, references={"layers": ["local.layers"]})
    (unknown,) = layers_of(plan, tmp_path)
    assert unknown.name == f"layers of {API}"
    assert unknown.problem.startswith("only an apply tells its layers")
    assert unknown.undecided


def test_the_layer_of_a_terraform_aws_modules_call_is_its_source_path(tmp_path: Path) -> None:
    (tmp_path / "src" / "shared").mkdir(parents=True)
    plan = PlanDocument()
    source = json.dumps([{"path": "src/shared", "prefix_in_zip": "python/shared"}])
    plan.data(
        "module.layer.data.external.archive_prepare[0]",
        {"query": {"source_path": source}, "result": {"filename": "builds/1f.zip"}},
    )
    version = "module.layer.aws_lambda_layer_version.this[0]"
    plan.managed(version, {"filename": "builds/1f.zip"}, unknown={"arn": True})
    plan.call("module.layer", {})
    plan.output("module.layer", "lambda_layer_arn", ["aws_lambda_layer_version.this[0].arn"])
    function(plan, unknown=True, references={"layers": ["module.layer.lambda_layer_arn"]})
    (own,) = layers_of(plan, tmp_path)
    assert own.name == version
    assert own.entries == (folder_entry(tmp_path / "src" / "shared", "python/shared"),)
    assert own.undecided
    assert own.zips == (tmp_path / "builds" / "1f.zip",)


def test_a_layer_from_s3_is_the_archive_that_was_uploaded(tmp_path: Path) -> None:
    plan = PlanDocument()
    plan.managed(SHARED, {"s3_key": "shared.zip"}, unknown={"arn": True, "s3_bucket": True})
    plan.managed("aws_s3_object.shared", {"key": "shared.zip", "source": "out/shared.zip"})
    values: dict[str, Json] = {"output_path": "out/shared.zip", "source_dir": "layers/shared"}
    plan.data("data.archive_file.shared", values)
    function(plan, unknown=True, references={"layers": [f"{SHARED}.arn"]})
    (own,) = layers_of(plan, tmp_path)
    assert own.entries == (folder_entry(tmp_path / "layers" / "shared"),)


def test_a_zip_that_a_script_builds_is_the_layer(tmp_path: Path) -> None:
    plan = PlanDocument()
    plan.managed(SHARED, {"filename": "out/shared.zip"}, unknown={"arn": True})
    function(plan, [None], unknown=[True], references={"layers": [f"{SHARED}.arn"]})
    (own,) = layers_of(plan, tmp_path)
    assert own == PlannedLayer(SHARED, zips=(tmp_path / "out" / "shared.zip",))


@pytest.mark.parametrize("layers", [None, []])
def test_a_function_without_layers_has_none(tmp_path: Path, layers: Json) -> None:
    plan = PlanDocument()
    function(plan, layers)
    assert layers_of(plan, tmp_path) == []

"""Which functions get their own code before their stubs, and whether that code is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from terralive_cli.configuration.tables import FallbackChoice
from terralive_cli.fallback.candidates import Candidate
from terralive_cli.fallback.decision import Declared
from terralive_cli.functions.evaluated import EvaluatedApp
from terralive_cli.selecting.own_code_first import with_own_code_first
from terralive_stub.errors import TerraformError
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.output.shown_plan import PlannedResource, ShownPlan
from terralive_terraform.output.state import DeployedFunction

API = "aws_lambda_function.api"
ALWAYS, AUTO = FallbackChoice.ALWAYS, FallbackChoice.AUTO
DEPLOYED = DeployedFunction("api", "arn")


def evaluated(
    function: PlannedFunction,
    *,
    made: Sequence[str] = (),
    unbuilt: Sequence[str] = (),
    keys: Sequence[str] = (),
) -> EvaluatedApp:
    """Return an app with one function.

    Args:
        function: the function.
        made: the types of resources that the same apply makes.
        unbuilt: the addresses of what a placeholder stands for.
        keys: the keys of its S3 objects.
    """
    resources = tuple(PlannedResource(f"{kind}.build", kind, "create") for kind in made)
    objects = tuple(SimpleNamespace(values={"key": key}) for key in keys)

    def instances(kind: str) -> tuple[object, ...]:
        return objects if kind == "aws_s3_object" else ()

    shown = ShownPlan(resources, is_first=True)
    evaluation = SimpleNamespace(instances=instances)
    return cast(
        "EvaluatedApp",
        SimpleNamespace(
            planned=(function,),
            builds=SimpleNamespace(touched=lambda _: frozenset(unbuilt)),
            made=SimpleNamespace(shown=shown, evaluation=evaluation),
        ),
    )


def chosen(
    app: EvaluatedApp, *candidates: Candidate, folder: Path = Path("/nowhere")
) -> dict[str, str]:
    return dict(with_own_code_first(candidates, app, {API}, folder))


def function(file: Path | None = None, **values: object) -> PlannedFunction:
    return PlannedFunction(API, "", filename=file, **values)  # type: ignore[arg-type]  # as given


def published(**values: object) -> Candidate:
    return Candidate(API, AUTO, Declared(publishes=True), **values)  # type: ignore[arg-type]


@pytest.fixture
def zipped(tmp_path: Path) -> Path:
    file = tmp_path / "api.zip"
    file.touch()
    return file


def test_a_function_that_is_deployed_is_none_of_them(zipped: Path) -> None:
    app = evaluated(function(zipped))
    assert chosen(app, Candidate(API, ALWAYS, Declared())) == {API: "fallback = true"}
    assert chosen(app, Candidate(API, ALWAYS, Declared(), DEPLOYED)) == {}


def test_a_new_instance_of_a_block_that_is_deployed_does_not_take_the_others_stubs_away(
    zipped: Path,
) -> None:
    instances = [
        Candidate(f'{API}["old"]', ALWAYS, Declared(), DEPLOYED),
        Candidate(f'{API}["new"]', ALWAYS, Declared()),
    ]
    assert chosen(evaluated(function(zipped)), *instances) == {}


def test_a_function_whose_code_terraform_ignores_is_none_of_them(zipped: Path) -> None:
    other = Candidate("aws_lambda_function.other", ALWAYS, Declared())
    assert chosen(evaluated(function(zipped)), other) == {}


def test_a_zip_file_that_nobody_has_built_is_refused_by_name(tmp_path: Path) -> None:
    app = evaluated(function(tmp_path / "build" / "api.zip"))
    with pytest.raises(TerraformError) as caught:
        chosen(app, Candidate(API, ALWAYS, Declared()), folder=tmp_path)
    assert caught.value.reference == "build-missing"
    assert f"{API}: its zip file build/api.zip does not exist" in caught.value.message


def test_a_zip_file_that_the_same_apply_may_make_is_not_missing(tmp_path: Path) -> None:
    app = evaluated(function(tmp_path / "api.zip"), made=["null_resource"])
    assert chosen(app, Candidate(API, ALWAYS, Declared())) == {API: "fallback = true"}


def test_with_publish_the_stub_is_the_first_code_where_the_real_one_may_not_be_there(
    tmp_path: Path, zipped: Path
) -> None:
    there = {API: "publish = true"}
    assert chosen(evaluated(function(zipped)), published()) == there
    assert chosen(evaluated(function(tmp_path / "none.zip")), published()) == {}
    assert chosen(evaluated(function(zipped), unbuilt=[API]), published()) == {}


def test_an_image_or_an_object_that_others_push_may_not_be_there() -> None:
    image = function(package_type="Image", image_uri="acme:1")
    assert chosen(evaluated(image), published()) == {}
    stored = function(s3_key="api.zip")
    assert chosen(evaluated(stored, keys=["other.zip"]), published()) == {}
    assert chosen(evaluated(stored, keys=["api.zip"]), published()) == {API: "publish = true"}
    unknown = function(unknown=frozenset({"filename"}))
    assert chosen(evaluated(unknown), published()) == {API: "publish = true"}

"""Resources, data sources, references and functions in a plan of the app without stubs."""

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_stub.shared.json_documents import Json
from terralive_terraform.evaluation.document import DATA, Evaluation, call_names
from terralive_terraform.evaluation.functions import planned_functions
from terralive_terraform.evaluation.planned import PlannedFunction, planned_arns
from terralive_testing.fakes.plan_document import PlanDocument

FUNCTION = "aws_lambda_function"
API = f"{FUNCTION}.api"


def change(address: str, *actions: str, module: str = "", **after: Json) -> Json:
    kind = address.removeprefix(f"{module}.").partition(".")[0]
    return {
        "address": address,
        "module_address": module,
        "mode": "managed",
        "type": kind,
        "change": {"actions": list(actions), "after": after or None, "after_unknown": {}},
    }


def evaluation(**document: Json) -> Evaluation:
    return Evaluation(document, Path("/app"))


def test_functions_that_exist_after_an_apply_are_the_plans_functions() -> None:
    plan = evaluation(
        resource_changes=[
            change(f"{API}[0]", "create", function_name="new"),
            change(f"{FUNCTION}.same", "no-op", function_name="same"),
            change(f"{FUNCTION}.other", "delete", "create", function_name="other"),
            change(f"{FUNCTION}.gone", "delete"),
            change(f"{FUNCTION}.forgotten", "forget"),
        ]
    )
    names = [function.name for function in planned_functions(plan)]
    assert names == ["new", "same", "other"]


def test_a_data_source_of_a_new_module_is_in_the_planned_values() -> None:
    read: dict[str, Json] = {
        "address": "module.a.data.archive_file.code",
        "mode": "data",
        "type": "archive_file",
        "values": {"output_path": "new.zip"},
    }
    old: Json = {**read, "values": {"output_path": "old.zip"}}
    module: Json = {"address": "module.a", "resources": [read]}
    old_module: Json = {"address": "module.a", "resources": [old]}
    plan = evaluation(
        planned_values={"root_module": {"child_modules": [module]}},
        prior_state={"values": {"root_module": {"child_modules": [old_module]}}},
    )
    (found,) = plan.instances("archive_file", DATA)
    assert found.values == {"output_path": "new.zip"}
    assert found.module == "module.a"


def test_a_data_source_that_an_apply_reads_is_known_as_far_as_it_is_configured() -> None:
    deferred: Json = {
        "address": "data.archive_file.code",
        "mode": "data",
        "type": "archive_file",
        "change": {
            "actions": ["read"],
            "after": {"source_dir": "src", "output_path": "code.zip"},
            "after_unknown": {"output_base64sha256": True, "source": []},
        },
    }
    plan = evaluation(resource_changes=[deferred])
    (found,) = plan.instances("archive_file", DATA)
    assert found.values["source_dir"] == "src"
    assert found.unknown == {"output_base64sha256"}


def test_values_are_not_shown() -> None:
    plan = PlanDocument()
    plan.managed(API, {"function_name": "secret-value"})
    assert "secret-value" not in repr(plan.evaluation(Path("/app")).instances(FUNCTION))


def test_references_and_calls_are_those_of_the_declaring_module() -> None:
    document = PlanDocument()
    document.managed(
        'module.a["x.y"].module.b[0].aws_lambda_function.api',
        {},
        references={"filename": ["var.zip"]},
    )
    document.call("module.a.module.b", {"zip": ["var.package"]})
    plan = document.evaluation(Path("/app"))
    (function,) = plan.instances(FUNCTION)
    assert plan.references(function.address, "filename") == ("var.zip",)
    assert plan.call(function.module)["expressions"] == {"zip": {"references": ["var.package"]}}
    assert plan.block("aws_lambda_function.none") == {}
    assert plan.call("module.none") == {}
    assert call_names(function.module) == ("a", "b")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"filename": "./code.zip"}, PlannedFunction(API, "", filename=Path("/app/code.zip"))),
        ({"filename": "/x/code.zip"}, PlannedFunction(API, "", filename=Path("/x/code.zip"))),
        ({"handler": "", "runtime": None}, PlannedFunction(API, "")),
        ({"timeout": 3, "handler": "a.b"}, PlannedFunction(API, "", timeout=3, handler="a.b")),
        ({"architectures": ["arm64"]}, PlannedFunction(API, "", architecture="arm64")),
        (
            {"package_type": "Image", "image_config": [{"command": ["app.handler"]}]},
            PlannedFunction(
                API, "", package_type="Image", handler="app.handler", starts_otherwise=True
            ),
        ),
        (
            {
                "package_type": "Image",
                "image_config": [{"command": None, "working_directory": "/"}],
            },
            PlannedFunction(API, "", package_type="Image"),
        ),
        (
            {"package_type": "Image", "image_config": [{"entry_point": ["/run"]}]},
            PlannedFunction(API, "", package_type="Image", starts_otherwise=True),
        ),
        (
            {"package_type": "Image", "image_config": [{"command": ["python", "-m", "x"]}]},
            PlannedFunction(API, "", package_type="Image", starts_otherwise=True),
        ),
    ],
)
def test_a_function_has_the_values_that_the_plan_computes(
    values: dict[str, Json], expected: PlannedFunction
) -> None:
    plan = PlanDocument()
    plan.managed(API, values)
    (function,) = planned_functions(plan.evaluation(Path("/app")))
    set_names = frozenset(name for name, value in values.items() if value)
    assert function.is_set == set_names
    shown = {name: getattr(function, name) for name in PlannedFunction.__slots__}
    wanted = {name: getattr(expected, name) for name in PlannedFunction.__slots__}
    assert {**shown, "is_set": None} == {**wanted, "is_set": None}


def test_empty_blocks_are_not_set() -> None:
    plan = PlanDocument()
    plan.managed(
        API,
        {"vpc_config": [], "snap_start": [], "layers": None, "publish": False, "environment": [{}]},
    )
    (function,) = planned_functions(plan.evaluation(Path("/app")))
    assert function.is_set == {"environment"}


@pytest.mark.parametrize(
    ("variables", "unknown", "names", "is_known"),
    [
        ({"A": "1"}, {}, {"A"}, True),
        ({"A": "1"}, {"environment": [{"variables": {"B": True}}]}, {"A", "B"}, True),
        ({}, {"environment": [{"variables": True}]}, set(), False),
        ({}, {"environment": True}, set(), False),
        ({}, {}, set(), True),
    ],
)
def test_environment_variables_have_names_also_where_their_values_are_unknown(
    variables: dict[str, Json], unknown: dict[str, Json], names: set[str], is_known: bool
) -> None:
    plan = PlanDocument()
    plan.managed(API, {"environment": [{"variables": variables}]}, unknown=unknown)
    (function,) = planned_functions(plan.evaluation(Path("/app")))
    assert function.environment_names == names
    assert function.environment_known is is_known


def test_functions_of_one_name_in_two_regions_have_arns_of_their_own() -> None:
    """Version 6 of the provider: `region` of a resource."""
    plan = PlanDocument()
    image: dict[str, Json] = {"function_name": "orders", "package_type": "Image"}
    plan.managed(API, image)
    plan.managed(f"{FUNCTION}.us", {**image, "region": "us-east-1"})
    plan.managed(f"{FUNCTION}.unnamed", {"package_type": "Image"})
    plan.managed(f"{FUNCTION}.zip", {"function_name": "mails", "package_type": "Zip"})
    functions = planned_functions(plan.evaluation(Path("/app")))
    arns = planned_arns(functions, partition="aws-cn", account="1", region="cn-north-1")
    assert arns == {
        API: "arn:aws-cn:lambda:cn-north-1:1:function:orders",
        f"{FUNCTION}.us": "arn:aws-cn:lambda:us-east-1:1:function:orders",
        f"{FUNCTION}.zip": "arn:aws-cn:lambda:cn-north-1:1:function:mails",
    }

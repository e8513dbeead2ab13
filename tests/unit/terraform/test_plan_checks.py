"""Plans that must not be applied to a live app."""

from __future__ import annotations

import pytest

from terralive_stub.errors import TerraformError
from terralive_terraform.artifacts import STUB_HANDLER
from terralive_terraform.output.progress import Change
from terralive_terraform.output.shown_plan import PlannedResource, ShownPlan
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.plan_checks import (
    functions_after,
    refuse_forgotten_stubs,
    refuse_new_images,
    refuse_replacements,
)

API = "module.a.aws_lambda_function.api"


def change(
    action: str, reason: str = "", address: str = API, kind: str = "aws_lambda_function"
) -> Change:
    return Change(address, action, kind, reason)


@pytest.mark.parametrize("address", [API, 'module.a["x.y"].aws_lambda_function.api[0]'])
def test_a_live_function_is_never_replaced(address: str) -> None:
    with pytest.raises(TerraformError, match="delete and create again") as caught:
        refuse_replacements(
            [change("create", address="x"), change("replace", "cannot_update", address)], {API}
        )
    assert caught.value.reference == "function-would-be-replaced"
    assert address in caught.value.message
    with pytest.raises(TerraformError):
        refuse_replacements([change("delete", "", address)], {API})


@pytest.mark.parametrize(
    "harmless",
    [
        change("update"),
        change("create"),
        change("replace", "tainted"),
        change("delete", "delete_because_each_key", f'{API}["gone"]'),
        change("replace", "cannot_update", "aws_lambda_function.other"),
        change(
            "replace", "cannot_update", "aws_api_gateway_deployment.x", "aws_api_gateway_deployment"
        ),
    ],
    ids=lambda item: f"{item.action}-{item.reason}-{item.address}",
)
def test_what_the_configuration_itself_asks_for_goes_ahead(harmless: Change) -> None:
    refuse_replacements([harmless], {API})


def test_an_image_that_the_plan_creates_cannot_be_live_yet() -> None:
    new = change("create", "", f'{API}["new"]')
    with pytest.raises(TerraformError, match="creates container images") as caught:
        refuse_new_images([change("update", "", f'{API}["old"]'), new], {API})
    assert caught.value.reference == "image-instance-new"
    assert f'{API}["new"]' in caught.value.message
    assert f'{API}["old"]' not in caught.value.message
    refuse_new_images([change("create", "", "aws_lambda_function.other"), change("update")], {API})
    refuse_new_images([new], {API}, {new.address})


@pytest.mark.parametrize(
    ("handler", "action", "expected"),
    [
        (STUB_HANDLER, "forget", True),
        (STUB_HANDLER, "delete", False),
        ("app.handler", "forget", False),
    ],
)
def test_a_stub_is_never_forgotten(handler: str, action: str, *, expected: bool) -> None:
    resource = PlannedResource(API, "aws_lambda_function", action, before={"handler": handler})
    plan = ShownPlan((resource,), is_first=False)
    if not expected:
        refuse_forgotten_stubs(plan)
        return
    with pytest.raises(TerraformError, match="keep them on AWS") as caught:
        refuse_forgotten_stubs(plan)
    assert caught.value.reference == "stub-would-be-forgotten"
    assert API in caught.value.message


def test_the_functions_that_a_plan_leaves_are_known_before_it_is_applied() -> None:
    changes = [
        change("create", address="aws_lambda_function.new"),
        change("delete", address="aws_lambda_function.old"),
    ]
    api = DeployedFunction("orders-api", "arn:1", 5)
    deployed = {API: api, "aws_lambda_function.old": DeployedFunction("old", "arn:2")}
    assert functions_after(deployed, changes) == {
        API: api,
        "aws_lambda_function.new": DeployedFunction(name="", arn=""),
    }
